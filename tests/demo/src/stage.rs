//! The stage itself.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use usher::session::{Client, Target};
use usher_common::protocol::Request;
use usher_sim::{Provider, Simulator};

use crate::{Desk, Programs};

/// The organisation that campaigns on the stage are sent for.
pub const ORGANISATION: &str = "ada-and-ben";
/// What opens the daemon's TCP port, where the plan asks for one.
pub const TOKEN: &str = "stage-token-stage-token-stage-token-1";

/// A daemon that does not answer within this has not started.
const READY: Duration = Duration::from_mins(1);

/// How a stage is set.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How the simulator is set up.
    pub simulator: usher_sim::Config,
    /// Providers of the stage by the simulator's names for them, in order of rank; `resend`, `smtp` and `twilio` unless
    /// set.
    pub providers: Vec<String>,
    /// Lines that a provider's section has besides, by the provider's name: limits other than those that are shipped.
    pub settings: BTreeMap<String, String>,
    /// Lines of configuration that are put before everything else, for keys of the top and whole sections.
    pub extra: String,
    /// Lines that the organisation has besides.
    pub organisation: String,
    /// A program with arguments that the daemon is started by, in a world of its own (`unshare`): it has to become the
    /// program that follows. None unless set.
    pub through: Vec<String>,
    /// Whether the daemon opens a TCP port for consoles.
    pub tcp: bool,
    /// Variables of the environment in which the daemon is started; there are no others.
    pub environment: BTreeMap<String, String>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            simulator: usher_sim::Config::default(),
            providers: vec!["resend".into(), "smtp".into(), "twilio".into()],
            settings: BTreeMap::new(),
            extra: String::new(),
            organisation: String::new(),
            through: Vec::new(),
            tcp: false,
            environment: BTreeMap::new(),
        }
    }
}

/// A simulator, and a daemon that believes it to be the world.
pub struct Stage {
    /// The simulator; its record is the truth.
    pub simulator: Simulator,
    folder: TempDir,
    programs: Programs,
    through: Vec<String>,
    daemon: Option<Child>,
    environment: BTreeMap<String, String>,
    port: Option<u16>,
}

impl Stage {
    /// Sets the stage and starts the daemon; returns when it answers.
    pub async fn set(plan: Plan) -> anyhow::Result<Self> {
        let programs = Programs::get()?;
        let simulator = Simulator::start(plan.simulator.clone()).await.context("starting the simulator")?;
        let folder = tempfile::Builder::new().prefix("usher-").tempdir().context("making a temporary folder")?;
        let port = if plan.tcp { Some(free_port()?) } else { None };
        let (environment, through) = (plan.environment.clone(), plan.through.clone());
        let mut stage = Self { simulator, folder, programs, through, daemon: None, environment, port };
        stage.write_configuration(&plan)?;
        stage.start().await?;
        Ok(stage)
    }

    /// The folder that everything stands in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The daemon's state.
    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("usherd.sock")
    }

    /// The daemon's configuration.
    pub fn configuration(&self) -> PathBuf {
        self.folder().join("usherd.toml")
    }

    /// What the daemon has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("usherd.log")).unwrap_or_default()
    }

    /// Leaves the folder behind when the stage is gone.
    pub fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// The programs.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The daemon's TCP address, where the plan asked for one.
    pub fn address(&self) -> Option<String> {
        self.port.map(|port| format!("127.0.0.1:{port}"))
    }

    /// The daemon's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().and_then(Child::id)
    }

    /// An operator's desk, with a session of its own.
    pub async fn desk(&self) -> anyhow::Result<Desk> {
        Ok(Desk::new(self.client().await?))
    }

    /// A session with the daemon.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&Target::Unix(self.socket())).await.context("connecting to the daemon")
    }

    /// The command line, pointed at this daemon.
    pub fn usher(&self) -> Command {
        let mut command = Command::new(&self.programs.usher);
        command.env("USHER_SOCKET", self.socket()).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// Sets a variable of the environment in which the daemon is started from now on, or takes it away.
    pub fn tell(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.environment.insert(name.to_owned(), value.to_owned()),
            None => self.environment.remove(name),
        };
    }

    /// Starts the daemon; returns when it answers.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        if self.ready().await? {
            return Ok(());
        }
        let status = self.ended().await?;
        bail!("usherd ended with {status} instead of starting:\n{}", self.log());
    }

    /// Starts the daemon and does not wait for it.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder().join("usherd.log"))?;
        let usherd = self.programs.usherd.as_os_str();
        let mut words = self.through.iter().map(OsStr::new).chain([usherd]);
        let child = Command::new(words.next().unwrap_or(usherd))
            .args(words)
            .arg("--config")
            .arg(self.configuration())
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting usherd")?;
        self.daemon = Some(child);
        Ok(())
    }

    /// Waits until the daemon that was launched answers; `false` when it ended before it did.
    pub async fn ready(&mut self) -> anyhow::Result<bool> {
        let begun = std::time::Instant::now();
        loop {
            let child = self.daemon.as_mut().ok_or_else(|| anyhow!("usherd does not run"))?;
            if child.try_wait()?.is_some() {
                return Ok(false);
            }
            if let Ok(client) = self.client().await
                && client.call(Request::Status, None).await.is_ok()
            {
                return Ok(true);
            }
            if begun.elapsed() > READY {
                bail!("usherd did not answer within {READY:?}:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the daemon has ended, by itself or otherwise. A wait that is given up leaves it as it was.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let child = self.daemon.as_mut().ok_or_else(|| anyhow!("usherd does not run"))?;
        let status = child.wait().await.context("waiting for usherd")?;
        self.daemon = None;
        Ok(status)
    }

    /// Kills the daemon where it stands, as a crash would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.daemon.take() {
            child.kill().await.context("killing usherd")?;
        }
        Ok(())
    }

    /// Asks the daemon to stop, and waits until it has.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.daemon.take().ok_or_else(|| anyhow!("usherd does not run"))?;
        let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("asking usherd to stop")?;
        }
        tokio::time::timeout(Duration::from_secs(90), child.wait())
            .await
            .with_context(|| format!("usherd did not stop:\n{}", self.log()))?
            .context("waiting for usherd")
    }

    fn write_configuration(&self, plan: &Plan) -> anyhow::Result<()> {
        let folder = self.folder();
        std::fs::write(folder.join("ca.pem"), self.simulator.ca_pem())?;
        let mut text = format!(
            "environment = \"stage\"\nstate_dir = \"{}\"\n{}\n[socket]\npath = \"{}\"\n",
            self.state().display(),
            plan.extra,
            self.socket().display()
        );
        if let Some(port) = self.port {
            text += &format!("[listen]\noperator = \"127.0.0.1:{port}\"\noperator_token = \"{TOKEN}\"\n");
        }
        text += &format!(
            "[[organisation]]\nname = \"{ORGANISATION}\"\ndisplay_name = \"Ada & Ben\"\ntier = \"INTERNAL\"\n\
             postal_address = \"1 Mill Lane, Bath BA1 1AA\"\nfrom_email = \"hello@ada-and-ben.example\"\n\
             sms_sender = \"+14155550100\"\nunsubscribe_base = \"https://rsvp.ada-and-ben.example\"\n\
             {}[organisation.values]\nwedding_date = \"12 June 2027\"\nvenue_name = \"The Old Mill\"\n\
             ceremony_time = \"14:00\"\nrsvp_deadline = \"1 May 2027\"\ncouple_names = \"Ada & Ben\"\n\
             rsvp_link = \"https://rsvp.ada-and-ben.example\"\nreception_venue = \"The Barn\"\n",
            plan.organisation
        );
        for name in &plan.providers {
            text += &self.provider(name)?;
            text += plan.settings.get(name).map_or("", String::as_str);
        }
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(self.configuration())?;
        file.write_all(text.as_bytes())?;
        Ok(())
    }

    /// A provider as somebody would set it up who leaves everything at its default.
    fn provider(&self, name: &str) -> anyhow::Result<String> {
        let provider = Provider::from_name(name).ok_or_else(|| anyhow!("the stage has no provider called {name}"))?;
        let own = match provider {
            Provider::Resend => format!(
                "kind = \"resend\"\nbase_url = \"{}\"\napi_key = \"re_simulator\"\n",
                self.simulator.resend_url()
            ),
            Provider::Twilio => format!(
                "kind = \"twilio\"\nbase_url = \"{}\"\naccount_sid = \"AC00000000000000000000000000000001\"\n\
                 auth_token = \"simulator\"\nfrom = \"+14155550100\"\nunit_price = 0.0083\n\
                 status_callback = \"https://hooks.ada-and-ben.example/twilio\"\n",
                self.simulator.twilio_url()
            ),
            Provider::Smtp => format!(
                "kind = \"smtp\"\nhost = \"localhost\"\nport = {}\nsecurity = \"starttls\"\nuser = \"usher\"\n\
                 password = \"simulator\"\nca_file = \"{}\"\n",
                self.simulator.smtp_addr().port(),
                self.folder().join("ca.pem").display()
            ),
            Provider::SendGrid => format!(
                "kind = \"sendgrid\"\nbase_url = \"{}\"\napi_key = \"SG.simulator\"\n",
                self.simulator.sendgrid_url()
            ),
            Provider::Slack => format!(
                "kind = \"slack\"\nbase_url = \"{}\"\nbot_token = \"xoxb-simulator\"\n",
                self.simulator.slack_url()
            ),
            Provider::WhatsApp => format!(
                "kind = \"whatsapp\"\nbase_url = \"{}\"\nphone_number_id = \"100000000000001\"\n\
                 access_token = \"EAAsimulator\"\n",
                self.simulator.whatsapp_url()
            ),
        };
        Ok(format!("[[provider]]\nname = \"{name}\"\n{own}"))
    }
}

/// A port that was free a moment ago, below those that the kernel gives to connections: nobody gets it by chance before
/// it is listened at.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let mut seed = [0; 2];
        getrandom::fill(&mut seed).map_err(|error| anyhow!("no randomness for a port: {error}"))?;
        let port = 10_000 + u16::from_le_bytes(seed) % 22_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("none of a hundred ports between 10000 and 32000 is free")
}
