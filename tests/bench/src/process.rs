//! Processes beside this one: the sink that messages go to, and what any process has used of the machine.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::sink::{Sample, Tally};

/// The sink in a process of its own; ends with its value.
pub(crate) struct Sink {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Sink {
    /// Starts one that answers at once; returns when it takes requests.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::slow(Duration::ZERO).await
    }

    /// Starts one that waits before each answer.
    pub(crate) async fn slow(latency: Duration) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("finding this program, to start it as the sink")?;
        let mut child = Command::new(own)
            .args(["sink", "--latency-ms", &latency.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the sink")?;
        let output = child.stdout.take().context("the sink's output was asked for")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await.context("reading where the sink listens")?;
        let url = line.trim().to_owned();
        if !url.starts_with("http://") {
            bail!("instead of its address the sink said `{url}`");
        }
        let client = reqwest::Client::builder().no_proxy().build().context("making a client for the sink's books")?;
        Ok(Self { child, url, client })
    }

    /// Where it listens, for Twilio and Resend alike.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the sink has ended")
    }

    /// What came since this was last called; ids may come again from now on.
    pub(crate) async fn take_tally(&self) -> anyhow::Result<Tally> {
        let asked = self.client.post(format!("{}/tally", self.url)).send().await;
        asked.context("asking the sink for its tally")?.json().await.context("reading the sink's tally")
    }

    /// The same without beginning anew.
    pub(crate) async fn tally(&self) -> anyhow::Result<Tally> {
        let asked = self.client.get(format!("{}/tally", self.url)).send().await;
        asked.context("asking the sink for its tally")?.json().await.context("reading the sink's tally")
    }

    /// A request as it came.
    pub(crate) async fn sample(&self) -> anyhow::Result<Sample> {
        let asked = self.client.get(format!("{}/sample", self.url)).send().await;
        asked.context("asking the sink for a sample")?.json().await.context("reading the sink's sample")
    }
}

/// Seconds of processor time that a process has used.
pub(crate) fn processor_seconds(pid: u32) -> anyhow::Result<f64> {
    ticks(&format!("/proc/{pid}/stat"))
}

/// The busiest threads of a process by name, in seconds of processor time, busiest first.
pub(crate) fn threads(pid: u32) -> anyhow::Result<Vec<(String, f64)>> {
    let mut all: std::collections::BTreeMap<String, f64> = std::collections::BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        let path = path.display();
        // A thread may end meanwhile.
        let (Ok(name), Ok(used)) = (std::fs::read_to_string(format!("{path}/comm")), ticks(&format!("{path}/stat")))
        else {
            continue;
        };
        *all.entry(name.trim().to_owned()).or_default() += used;
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by(|left, right| right.1.total_cmp(&left.1));
    Ok(all)
}

/// Resident memory of a process now and at its peak, in MiB.
pub(crate) fn memory_mib(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    match (kib("VmRSS:"), kib("VmHWM:")) {
        (Some(now), Some(peak)) => Ok((now / 1024, peak / 1024)),
        _ => bail!("/proc/{pid}/status does not tell the memory"),
    }
}

fn ticks(path: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    // The name, in brackets, may hold anything; user and system time are the 12th and 13th field behind it.
    let (_, behind) = text.rsplit_once(')').with_context(|| format!("{path} has no name in it"))?;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let second = rustix::param::clock_ticks_per_second();
    Ok((field(11) + field(12)) as f64 / second as f64)
}

/// What a folder takes of the disk, in bytes of blocks.
pub(crate) fn on_disk(folder: &std::path::Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("looking into {}", folder.display()))? {
        let entry = entry?;
        // What the daemon removes meanwhile takes nothing.
        let Ok(about) = entry.metadata() else { continue };
        bytes += if about.is_dir() { on_disk(&entry.path())? } else { about.blocks() * 512 };
    }
    Ok(bytes)
}
