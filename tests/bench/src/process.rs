//! Processes beside this one: the sink that messages go to, and what any process has used of the machine.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use usher_sim::{Config, Simulator};

/// The simulator in a process of its own; ends with its value.
pub(crate) struct Sink {
    child: Child,
    addresses: Value,
}

impl Sink {
    /// Starts it; returns when it takes requests.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("finding this program, to start it as the sink")?;
        let mut child = Command::new(own)
            .arg("sink")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the sink")?;
        let output = child.stdout.take().context("the sink's output was asked for")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await.context("reading where the sink listens")?;
        let addresses = serde_json::from_str(&line).with_context(|| format!("the sink said `{line}`"))?;
        Ok(Self { child, addresses })
    }

    /// One of its addresses, by the name that the simulator gives it.
    pub(crate) fn address(&self, name: &str) -> anyhow::Result<&str> {
        self.addresses[name].as_str().with_context(|| format!("the sink has no {name}"))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the sink has ended")
    }
}

/// Is the sink, until standard input ends.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let simulator = Simulator::start(Config { keep_bodies: 0, ..Config::default() }).await?;
    let line = serde_json::to_string(&simulator.addresses())?;
    writeln!(std::io::stdout(), "{line}")?;
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut tokio::io::stdin(), &mut rest).await?;
    simulator.stop().await;
    Ok(())
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
