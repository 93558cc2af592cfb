//! `usher-bench`: how fast it is, as one table. Messages through the whole daemon beside a bare client that posts the same
//! requests to the same sink; e-mail in batches; commits of the store beside plain appends with an fdatasync each.
//!
//! The sink is the simulator in a process of its own. Build with `--release`; a debug build says so in the table.

mod commits;
mod messages;
mod process;
mod watched;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures the daemon and prints a table.
#[derive(Debug, Parser)]
#[command(name = "usher-bench", version)]
struct Flags {
    /// What to measure; everything unless told
    #[command(subcommand)]
    what: Option<What>,
    /// Few of everything: proves that the benchmark runs, and measures nothing
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
    /// E-mail through the daemon, in batches
    Batches {
        /// How many
        #[arg(long, default_value_t = MESSAGES)]
        messages: usize,
    },
    /// Durable commits of the store, beside write and fdatasync
    Commits,
    /// A campaign that nobody watches, beside one with 102 clients attached, one more of which reads nothing
    Watched {
        /// How many messages a campaign
        #[arg(long, default_value_t = MESSAGES)]
        messages: usize,
    },
    /// The providers that the others send to
    #[command(hide = true)]
    Sink,
}

const MESSAGES: usize = 20_000;
const SMALL: usize = 200;

/// A line of the table.
struct Line {
    what: String,
    /// How many were done.
    count: usize,
    seconds: f64,
    /// What else there is to say.
    remark: String,
}

impl Line {
    fn rate(&self) -> f64 {
        self.count as f64 / self.seconds
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    // The bare client asks for one when it is made; nobody else may have set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let measured = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match &flags.what {
                Some(What::Sink) => process::serve().await.map(|()| Vec::new()),
                what => measure(what.as_ref(), flags.small).await,
            }
        })
    });
    let (text, code) = match measured {
        Ok(lines) => (table(&lines), ExitCode::SUCCESS),
        Err(error) => (format!("usher-bench: {error:#}\n"), ExitCode::FAILURE),
    };
    // Nobody is left to tell when standard output is closed.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

async fn measure(what: Option<&What>, small: bool) -> anyhow::Result<Vec<Line>> {
    let few = |count: usize| if small { count.min(SMALL) } else { count };
    let mut lines = Vec::new();
    if let None | Some(What::Message { .. }) = what {
        let count = if let Some(What::Message { messages }) = what { *messages } else { MESSAGES };
        lines.extend(messages::single(few(count)).await?);
    }
    if let None | Some(What::Batches { .. }) = what {
        let count = if let Some(What::Batches { messages }) = what { *messages } else { MESSAGES };
        lines.push(messages::batches(few(count)).await?);
    }
    if let None | Some(What::Watched { .. }) = what {
        let count = if let Some(What::Watched { messages }) = what { *messages } else { MESSAGES };
        lines.extend(watched::measure(few(count)).await?);
    }
    if let None | Some(What::Commits) = what {
        lines.extend(commits::measure(few(2_000)).await?);
    }
    Ok(lines)
}

fn table(lines: &[Line]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut out = format!("{:<44} {:>8} {:>9} {:>10}  {}\n", "what", "count", "seconds", "a second", "remark");
    for line in lines {
        out += &format!(
            "{:<44} {:>8} {:>9.3} {:>10.0}  {}\n",
            line.what,
            line.count,
            line.seconds,
            line.rate(),
            line.remark
        );
    }
    if cfg!(debug_assertions) {
        out += "This is a debug build: the figures mean nothing.\n";
    }
    out
}
