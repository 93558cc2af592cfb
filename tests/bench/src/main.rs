//! `usher-bench`: how fast and how small it is, as one table, each figure beside its yardstick from the same run.
//! `docs/performance.md` says what each line means.
//!
//! Daemon, sink and the bare client are three processes, which share the machine. Build with `--release`; a debug build
//! says so in the table. Whatever came twice, or not at all, is an error in the table and in the exit code.
//!
//! `usher-bench crash` measures nothing: it kills a debug build of the daemon, and compares.

mod alerts;
mod balance;
mod bare;
mod big;
mod breaker;
mod commits;
mod crash;
mod failover;
mod faults;
mod import;
mod load;
mod messages;
mod process;
mod queued;
mod run;
mod simulate;
mod sink;
mod stored;
mod sustained;
mod table;
mod watched;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use table::Line;

/// Measures the daemon and prints a table.
#[derive(Debug, Parser)]
#[command(name = "usher-bench", version)]
struct Flags {
    /// What to measure; everything but `sustained`, `breaker`, `failover`, `faults`, `load`, `crash` and `simulate` unless
    /// told
    #[command(subcommand)]
    what: Option<What>,
    /// Few of everything, `sustained`, `faults` and `load` too: proves that the benchmark runs, and measures nothing
    #[arg(long, global = true)]
    small: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// SMS through the daemon, an HTTP request each, beside a bare client on the same sink
    Message {
        /// How many
        #[arg(long, default_value_t = MESSAGES)]
        messages: usize,
    },
    /// E-mail through the daemon in batches, beside a bare client that posts the same batches
    Batches {
        /// How many
        #[arg(long, default_value_t = MESSAGES)]
        messages: usize,
    },
    /// Short letters and long ones
    Templates {
        /// How many of each
        #[arg(long, default_value_t = FEWER)]
        messages: usize,
    },
    /// A thousand messages at once, at a provider that takes 20 ms for each
    Crowd {
        /// How many
        #[arg(long, default_value_t = MESSAGES)]
        messages: usize,
    },
    /// A thousand messages at once, and the provider breaks in the middle
    Failover {
        /// How many
        #[arg(long, default_value_t = MESSAGES)]
        messages: usize,
    },
    /// Durable commits of the store, beside write and fdatasync
    Commits,
    /// A guest list, beside reading its file
    Import {
        /// Rows
        #[arg(long, default_value_t = MANY)]
        guests: usize,
    },
    /// Memory with a queue that nobody takes from, and the start after a kill
    Queued {
        /// How many wait
        #[arg(long, default_value_t = MANY)]
        queued: usize,
    },
    /// What a message costs, and takes of the disk, when many are stored already
    Stored {
        /// How many are done before
        #[arg(long, default_value_t = MANY)]
        stored: usize,
    },
    /// A campaign that nobody watches, beside one with 102 clients attached, one more of which reads nothing
    Watched {
        /// How many messages a campaign
        #[arg(long, default_value_t = MESSAGES)]
        messages: usize,
    },
    /// One campaign to a long list, paused and resumed on its way, and how long others wait for an answer meanwhile
    Big {
        /// Rows of the list
        #[arg(long, default_value_t = MANY)]
        guests: usize,
    },
    /// Campaign after campaign, and the rate in each ten seconds
    Sustained {
        /// How long: `90s` or `5m`
        #[arg(long = "for", default_value = "5m", value_parser = span)]
        span: Duration,
    },
    /// How fast a breaker opens, by rate and fault, and how often for nothing: no daemon, and no clock but a virtual one
    Breaker {
        /// Runs of each, every one with luck of its own
        #[arg(long, default_value_t = 200)]
        seeds: u64,
    },
    /// Kills a debug build of the daemon again and again, and holds its books against the providers'
    Crash(crash::Wanted),
    /// Dispatch and store in a simulated world of faults and crashes, many seeds: measures nothing, finds what is wrong
    Simulate(simulate::Flags),
    /// Nine ways for a provider to break, at five rates, against the real daemon: how soon it is seen, and what it costs
    Faults(faults::Order),
    /// What the system has to carry, beside what is wanted
    Load(load::Order),
    /// How soon somebody is told of what is wrong, with a dead channel in half of the faults
    Alerts {
        /// Faults, one after the other
        #[arg(long, default_value_t = 1_000)]
        times: u64,
    },
    /// The providers that the others send to
    #[command(hide = true)]
    Sink {
        /// How long it thinks before each answer
        #[arg(long, default_value_t = 0)]
        latency_ms: u64,
    },
}

const MESSAGES: usize = 20_000;
const FEWER: usize = 10_000;
const MANY: usize = 100_000;
const SMALL: usize = 200;
const SMALL_SPAN: Duration = Duration::from_secs(3);

const ALL: [What; 11] = [
    What::Commits,
    What::Message { messages: MESSAGES },
    What::Batches { messages: MESSAGES },
    What::Templates { messages: FEWER },
    What::Crowd { messages: MESSAGES },
    What::Watched { messages: MESSAGES },
    What::Import { guests: MANY },
    What::Big { guests: MANY },
    What::Queued { queued: MANY },
    What::Stored { stored: MANY },
    What::Alerts { times: 1_000 },
];

fn main() -> ExitCode {
    let flags = Flags::parse();
    // The bare client asks for one when it is made; nobody else may have set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ended = match flags.what {
        Some(What::Crash(wanted)) => crash::run(&wanted).map(|()| Vec::new()),
        Some(What::Sink { latency_ms }) => sink(Duration::from_millis(latency_ms)).map(|()| Vec::new()),
        Some(What::Simulate(flags)) => simulate::command(&flags).map(|()| Vec::new()),
        what => measure(what, flags.small),
    };
    let (text, code) = match ended {
        Ok(lines) if lines.is_empty() => (String::new(), ExitCode::SUCCESS),
        Ok(lines) => {
            let right = lines.iter().all(Line::is_right);
            (table::table(&lines), if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => (format!("usher-bench: {error:#}\n"), ExitCode::FAILURE),
    };
    // Nobody is left to tell when standard output is closed.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

/// One thread: a sink that takes more than one core of two would measure itself.
fn sink(latency: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting the sink's runtime")?;
    runtime.block_on(sink::serve(latency))
}

/// Measures one part, or all; a part that fails is a line of the table, and the others are measured still.
fn measure(what: Option<What>, small: bool) -> anyhow::Result<Vec<Line>> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let all = what.is_none();
    let mut parts = what.map_or_else(|| ALL.to_vec(), |what| vec![what]);
    if small && all {
        parts.push(What::Sustained { span: SMALL_SPAN });
        parts.push(What::Faults(faults::Order::small()));
        parts.push(What::Load(load::Order::small()));
    }
    let mut lines = Vec::new();
    for part in parts {
        let name = part.name();
        // What the part before left to be written would slow this one's fsyncs, tenfold at worst.
        rustix::fs::sync();
        // For whoever waits at a terminal; the table comes at the end.
        let _ = writeln!(std::io::stderr(), "measuring {name} ...");
        lines.extend(runtime.block_on(one(part, small)).unwrap_or_else(|error| vec![Line::broken(name, &error)]));
    }
    Ok(lines)
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Batches { .. } => "batches",
            Self::Templates { .. } => "templates",
            Self::Crowd { .. } => "crowd",
            Self::Commits => "commits",
            Self::Import { .. } => "import",
            Self::Big { .. } => "big",
            Self::Queued { .. } => "queued",
            Self::Stored { .. } => "stored",
            Self::Watched { .. } => "watched",
            Self::Sustained { .. } => "sustained",
            Self::Breaker { .. } => "breaker",
            Self::Crash(_) => "crash",
            Self::Simulate(_) => "simulate",
            Self::Failover { .. } => "failover",
            Self::Faults(_) => "faults",
            Self::Load(_) => "load",
            Self::Alerts { .. } => "alerts",
            Self::Sink { .. } => "sink",
        }
    }
}

async fn one(part: What, small: bool) -> anyhow::Result<Vec<Line>> {
    let few = |count: usize| if small { count.min(SMALL) } else { count };
    match part {
        What::Message { messages } => messages::single(few(messages)).await,
        What::Batches { messages } => messages::batches(few(messages)).await,
        What::Templates { messages } => messages::templates(few(messages)).await,
        What::Crowd { messages } => messages::crowd(few(messages)).await,
        What::Commits => commits::measure(few(2_000)).await,
        What::Import { guests } => import::measure(few(guests)).await,
        What::Big { guests } => big::measure(few(guests)).await,
        What::Queued { queued } => queued::measure(few(queued)).await,
        What::Stored { stored } => stored::measure(few(FEWER), if small { 6 * SMALL } else { stored }).await,
        What::Watched { messages } => watched::measure(few(messages)).await,
        What::Sustained { span } => sustained::measure(few(MESSAGES), if small { SMALL_SPAN } else { span }).await,
        What::Failover { messages } => failover::measure(few(messages), !small).await,
        What::Faults(order) => faults::measure(&order, small).await,
        What::Load(order) => load::measure(&order, small).await,
        What::Alerts { times } => alerts::measure(if small { 20 } else { times }).await,
        What::Breaker { seeds } => Ok(breaker::measure(if small { 3 } else { seeds }, small)),
        What::Crash(_) | What::Simulate(_) | What::Sink { .. } => Ok(Vec::new()),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no time: write 90s or 5m"))?;
    match unit {
        "s" if number > 0 => Ok(Duration::from_secs(number)),
        "m" if number > 0 => Ok(Duration::from_mins(number)),
        _ => Err(format!("`{text}` is no time: write 90s or 5m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_minutes() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("5m"), Ok(Duration::from_mins(5)));
        for wrong in ["", "5", "m", "0s", "5h", "-1s", "5\u{b5}"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
