//! Log lines: where they go, how they look, and a level that can be changed while the daemon runs.
//!
//! Under systemd, `auto` speaks to the journal itself, so that fields can be asked for (`journalctl -u usherd PROVIDER=…`)
//! and severities are kept; elsewhere, or when the journal cannot be reached, lines of text go to standard error.
//! Libraries are heard from `warn` on, whatever the level: their `debug` may hold what guests were sent.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{Log, LogFormat, LogLevel};

/// Crates whose events follow the configured level.
const OURS: [&str; 4] = ["usherd", "usher_common", "usher_sim", "usher_demo"];

/// What can go wrong with logging.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// Somebody was first.
    #[error("cannot start logging: {0}; it is started once, at the beginning of main")]
    AlreadyStarted(String),
    /// The subscriber is gone.
    #[error("cannot change the log level: {0}; restart the daemon")]
    Gone(String),
}

/// Where events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The journal's own socket, with fields.
    Journal,
    /// Standard error, a line of text an event.
    Text,
    /// Standard error, a JSON object a line.
    Json,
}

/// Logging that runs; changes its level.
#[derive(Debug, Clone)]
pub struct Logging {
    level: reload::Handle<Targets, Registry>,
    destination: Destination,
}

impl Logging {
    /// Starts logging for the whole process. Called once, before anything that logs.
    ///
    /// # Errors
    /// When a subscriber was set already.
    pub fn start(log: Log) -> Result<Self, LoggingError> {
        let stream = std::env::var("JOURNAL_STREAM").ok();
        let wanted = choose(log.format, stream.as_deref(), standard_error());
        let journal = if wanted == Destination::Journal { tracing_journald::layer().ok() } else { None };
        let (level, handle) = reload::Layer::new(targets(log.level));
        let base = tracing_subscriber::registry().with(level);
        let (destination, started) = if let Some(journal) = journal {
            let journal = journal.with_field_prefix(None).with_syslog_identifier("usherd".to_owned());
            (Destination::Journal, base.with(journal).try_init())
        } else {
            let destination = if wanted == Destination::Json { Destination::Json } else { Destination::Text };
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            (destination, base.with(lines(destination, colour, io::stderr)).try_init())
        };
        started.map_err(|error| LoggingError::AlreadyStarted(error.to_string()))?;
        Ok(Self { level: handle, destination })
    }

    /// Changes the level from the next event on.
    ///
    /// # Errors
    /// When the subscriber is gone.
    pub fn set_level(&self, level: LogLevel) -> Result<(), LoggingError> {
        self.level.reload(targets(level)).map_err(|error| LoggingError::Gone(error.to_string()))
    }

    /// Where events go, which under `auto` was decided at the start.
    pub fn destination(&self) -> Destination {
        self.destination
    }
}

/// Decides where events go. `stream` is `$JOURNAL_STREAM`, the device and inode that systemd connected to the journal;
/// it is inherited, so it counts only while `stderr` is still that very file.
pub fn choose(format: LogFormat, stream: Option<&str>, stderr: Option<(u64, u64)>) -> Destination {
    let of_stream = stream.and_then(|text| {
        let (device, inode) = text.split_once(':')?;
        Some((device.parse().ok()?, inode.parse().ok()?))
    });
    match format {
        LogFormat::Json => Destination::Json,
        LogFormat::Auto if of_stream.is_some() && of_stream == stderr => Destination::Journal,
        LogFormat::Auto | LogFormat::Text => Destination::Text,
    }
}

fn standard_error() -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let copy = io::stderr().as_fd().try_clone_to_owned().ok()?;
    let meta = File::from(copy).metadata().ok()?;
    Some((meta.dev(), meta.ino()))
}

fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // An error-only log stays one: libraries are never louder than the daemon itself.
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_targets(OURS.map(|name| (name, level)))
}

fn lines<S, W>(destination: Destination, colour: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match destination {
        Destination::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        Destination::Text | Destination::Journal => layer.with_ansi(colour).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn written(destination: Destination, level: LogLevel, then: LogLevel) -> String {
        let page = Page::default();
        let writer = page.clone();
        let (filter, handle) = reload::Layer::new(targets(level));
        let subscriber =
            tracing_subscriber::registry().with(filter).with(lines(destination, false, move || writer.clone()));
        let logging = Logging { level: handle, destination };
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "usherd::store", lsn = 1, "before");
            logging.set_level(then).unwrap();
            tracing::debug!(target: "usherd::store", lsn = 2, "after");
            tracing::debug!(target: "hyper", "body of a message");
            tracing::error!(target: "hyper", "broken");
        });
        page.text()
    }

    #[test]
    fn the_level_changes_while_running_and_libraries_stay_quiet() {
        let text = written(Destination::Text, LogLevel::Info, LogLevel::Trace);
        assert!(!text.contains("before") && text.contains("after") && text.contains("lsn=2"), "{text}");
        assert!(!text.contains("body of a message") && text.contains("broken"), "{text}");
        let text = written(Destination::Text, LogLevel::Trace, LogLevel::Error);
        assert!(text.contains("before") && !text.contains("after"), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line_with_fields_on_top() {
        let text = written(Destination::Json, LogLevel::Debug, LogLevel::Debug);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[1]["lsn"], 2);
        assert_eq!(lines[1]["message"], "after");
        assert_eq!(lines[1]["target"], "usherd::store");
    }

    #[test]
    fn the_journal_is_used_only_while_standard_error_leads_there() {
        use Destination::{Journal, Json, Text};
        let ours = Some((8, 4711));
        let cases = [
            (LogFormat::Auto, Some("8:4711"), ours, Journal),
            (LogFormat::Auto, Some("8:4712"), ours, Text),
            (LogFormat::Auto, Some("8:4711"), None, Text),
            (LogFormat::Auto, Some("nonsense"), None, Text),
            (LogFormat::Auto, None, ours, Text),
            (LogFormat::Text, Some("8:4711"), ours, Text),
            (LogFormat::Json, Some("8:4711"), ours, Json),
        ];
        for (format, stream, stderr, expected) in cases {
            assert_eq!(choose(format, stream, stderr), expected, "{format:?} {stream:?} {stderr:?}");
        }
    }
}
