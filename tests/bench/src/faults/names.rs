//! A daemon with names of its own: it is started with another `/etc/hosts` than the machine has, so that a name can be taken
//! away from the resolver that it really asks, and from nobody else's.
//!
//! A mount namespace does it (`unshare`), which needs root or a kernel that gives users namespaces of their own.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::Command;
use usher_sim::NAME;

/// The files that one daemon sees in the places of the machine's.
pub(crate) struct Names {
    folder: TempDir,
}

impl Names {
    /// Files in which [`NAME`] is this machine.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("usher-names-").tempdir().context("making a temporary folder")?;
        let names = Self { folder };
        std::fs::write(names.hosts(), format!("127.0.0.1 localhost {NAME}\n")).context("writing hosts")?;
        // No name server is asked: its answer, or its silence, would be another machine's.
        std::fs::write(names.switch(), "hosts: files\n").context("writing nsswitch.conf")?;
        Ok(names)
    }

    /// Takes the name away. The file stays the same one, which is what the daemon has mounted.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        std::fs::write(self.hosts(), "127.0.0.1 localhost\n").context("taking the name out of hosts")
    }

    /// What the daemon is started by.
    pub(crate) fn through(&self) -> Vec<String> {
        let script = "mount --bind \"$0\" /etc/hosts && mount --bind \"$1\" /etc/nsswitch.conf && shift && exec \"$@\"";
        let files = [self.hosts(), self.switch()].map(|path| path.display().to_string());
        unshare().into_iter().chain(["sh", "-c", script].map(str::to_owned)).chain(files).collect()
    }

    /// Whether this machine allows it, by trying.
    pub(crate) async fn possible() -> anyhow::Result<()> {
        let names = Self::new()?;
        let mut words = names.through().into_iter();
        let program = words.next().context("unshare has a name")?;
        let tried = Command::new(program).args(words).arg("true").output().await.context("starting unshare")?;
        if !tried.status.success() {
            bail!("unshare: {}", String::from_utf8_lossy(&tried.stderr).trim());
        }
        Ok(())
    }

    fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    fn switch(&self) -> PathBuf {
        self.folder.path().join("nsswitch.conf")
    }
}

/// Root makes the namespace itself; others are root in one of users first.
fn unshare() -> Vec<String> {
    let own: &[&str] = if rustix::process::geteuid().is_root() {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--user", "--map-root-user", "--mount"]
    };
    own.iter().map(|word| (*word).to_owned()).collect()
}
