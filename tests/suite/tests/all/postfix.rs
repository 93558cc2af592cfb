//! A mail server that others wrote: Postfix as an instance of its own, on a high port, with TLS and a password, delivering
//! into a folder. What is in the folder afterwards is what the guests got.
//!
//! Needs root, as Postfix does, and Debian's packages `postfix` and `sasl2-bin`; where they are missing its tests say that
//! they were skipped.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use usher_demo::{PATIENCE, Plan, Stage, free_port};

/// What the daemon calls it.
pub(crate) const PROVIDER: &str = "postfix";
const MASTER: &str = "/usr/lib/postfix/sbin/master";
/// Mail is written as this user and group: nobody, and nogroup.
const NOBODY: u32 = 65_534;

/// The services that a submission server with local delivery needs; none is in a chroot.
const SERVICES: &str = "\
pickup    unix n - n 60    1 pickup
cleanup   unix n - n -     0 cleanup
qmgr      unix n - n 300   1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n -     - trivial-rewrite
bounce    unix - - n -     0 bounce
defer     unix - - n -     0 bounce
trace     unix - - n -     0 bounce
verify    unix - - n -     1 verify
proxymap  unix - - n -     - proxymap
error     unix - - n -     - error
retry     unix - - n -     - error
virtual   unix - n n -     - virtual
anvil     unix - - n -     1 anvil
postlog   unix-dgram n - n - 1 postlogd
";

/// A running Postfix; ends with its value.
pub(crate) struct Postfix {
    folder: TempDir,
    master: Child,
    port: u16,
}

impl Postfix {
    /// Starts one for `test`, with further lines of configuration, and waits until it takes connections. Where it cannot be
    /// had, says that the test was skipped, which never happens in CI.
    pub(crate) async fn start(test: &str, settings: &str) -> Option<Self> {
        Self::start_with(test, settings, "").await
    }

    /// The same, with further services.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was not tried")]
    pub(crate) async fn start_with(test: &str, settings: &str, services: &str) -> Option<Self> {
        if let Some(why) = Self::missing() {
            assert!(std::env::var_os("CI").is_none(), "nothing is skipped in CI: {why}");
            eprintln!("SKIPPED: {test}: {why}");
            return None;
        }
        let server = Self::launch(settings, services);
        server.ready().await;
        Some(server)
    }

    /// A daemon that has no other provider than this server.
    pub(crate) async fn stage(&self) -> Stage {
        let provider = format!(
            "[[provider]]\nname = \"{PROVIDER}\"\nkind = \"smtp\"\nhost = \"localhost\"\nport = {}\n\
             security = \"starttls\"\nuser = \"usher\"\npassword = \"simulator\"\nca_file = \"{}\"\n",
            self.port,
            self.ca().display()
        );
        Stage::set(Plan { providers: Vec::new(), extra: provider, ..Plan::default() }).await.unwrap()
    }

    /// Why it cannot be started here, where it cannot.
    fn missing() -> Option<String> {
        for program in [MASTER, "/usr/sbin/postfix", "/usr/sbin/saslpasswd2"] {
            if !Path::new(program).exists() {
                return Some(format!("{program} is not installed (packages postfix and sasl2-bin)"));
            }
        }
        (!rustix::process::geteuid().is_root()).then(|| "Postfix starts as root only".to_owned())
    }

    fn launch(settings: &str, services: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("postfix-").tempdir().unwrap();
        let at = folder.path();
        // Its processes give up root, and must still come in.
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc/sasl", "queue", "data", "mail"] {
            fs::create_dir_all(at.join(name)).unwrap();
        }
        let postfix = user_id("postfix");
        chown(at.join("data"), Some(postfix), None).unwrap();
        chown(at.join("mail"), Some(NOBODY), Some(NOBODY)).unwrap();
        certificates(at);
        let sasl = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: PLAIN LOGIN\n",
            at.join("sasldb2").display()
        );
        fs::write(at.join("etc/sasl/smtpd.conf"), sasl).unwrap();
        password(&at.join("sasldb2"));
        chown(at.join("sasldb2"), Some(postfix), None).unwrap();
        let port = free_port().unwrap();
        fs::write(at.join("etc/main.cf"), main_cf(at) + settings).unwrap();
        fs::write(
            at.join("etc/master.cf"),
            format!(
                "127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}{}",
                services.replace("{folder}", &at.display().to_string())
            ),
        )
        .unwrap();

        // Makes the folders of the queue, each with the owner it needs.
        let checked = Command::new("/usr/sbin/postfix").arg("-c").arg(at.join("etc")).arg("check").output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
        let output = fs::File::create(at.join("output")).unwrap();
        let master = Command::new(MASTER)
            .arg("-c")
            .arg(at.join("etc"))
            .arg("-s")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { folder, master, port }
    }

    /// Waits until it takes connections.
    async fn ready(&self) {
        let begun = Instant::now();
        let mut again = tokio::time::interval(Duration::from_millis(50));
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "Postfix does not listen:\n{}", self.said());
            again.tick().await;
        }
    }

    /// What it has written to its log.
    pub(crate) fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("output") + &read("maillog")
    }

    /// A folder that its processes can enter.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Waits until nothing is on its way any more, and returns every mail that was delivered.
    pub(crate) async fn delivered(&self, least: usize) -> Vec<String> {
        let begun = Instant::now();
        let mut again = tokio::time::interval(Duration::from_millis(50));
        let inbox = self.folder.path().join("mail/all/new");
        loop {
            again.tick().await;
            let queued = ["maildrop", "incoming", "active", "deferred"];
            let idle = queued.iter().all(|name| is_empty(&self.folder.path().join("queue").join(name)));
            let there = fs::read_dir(&inbox).map_or(0, Iterator::count);
            if idle && there >= least {
                let files = fs::read_dir(&inbox).unwrap();
                return files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
            }
            assert!(begun.elapsed() < PATIENCE, "{there} of {least} mails are there:\n{}", self.said());
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // On this signal it ends its own processes too.
        if let Some(pid) = rustix::process::Pid::from_raw(self.master.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.master.wait();
    }
}

fn is_empty(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    entries.flatten().all(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_empty(&entry.path()))
}

fn user_id(name: &str) -> u32 {
    let output = Command::new("id").args(["-u", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Puts `usher` with its password into the server's own list of users.
fn password(file: &Path) {
    let mut saslpasswd = Command::new("/usr/sbin/saslpasswd2")
        .args(["-c", "-p", "-u", "stage", "-f"])
        .arg(file)
        .arg("usher")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    saslpasswd.stdin.take().unwrap().write_all(b"simulator").unwrap();
    assert!(saslpasswd.wait().unwrap().success());
}

/// An authority, and the server's certificate by it.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    server.use_authority_key_identifier_extension = true;
    fs::write(folder.join("server.pem"), server.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn main_cf(at: &Path) -> String {
    let at = at.display();
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {at}/queue\n\
         data_directory = {at}/data\n\
         command_directory = /usr/sbin\n\
         daemon_directory = /usr/lib/postfix/sbin\n\
         mail_owner = postfix\n\
         setgid_group = postdrop\n\
         maillog_file = {at}/maillog\n\
         maillog_file_prefixes = {at}\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         myhostname = mail.stage.example\n\
         mydestination =\n\
         alias_maps =\n\
         local_recipient_maps =\n\
         virtual_mailbox_domains = example.com example.net example.org\n\
         virtual_mailbox_base = {at}/mail\n\
         virtual_mailbox_maps = static:all/\n\
         virtual_uid_maps = static:{NOBODY}\n\
         virtual_gid_maps = static:{NOBODY}\n\
         smtpd_tls_cert_file = {at}/server.pem\n\
         smtpd_tls_key_file = {at}/server.key\n\
         smtpd_tls_security_level = encrypt\n\
         smtpd_tls_auth_only = yes\n\
         smtpd_sasl_auth_enable = yes\n\
         smtpd_sasl_type = cyrus\n\
         smtpd_sasl_path = smtpd\n\
         cyrus_sasl_config_path = {at}/etc/sasl\n\
         smtpd_sasl_local_domain = stage\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
         smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n"
    )
}
