//! Every section but the lists: what its keys are called, their defaults, bounds and names in the environment.
//!
//! Sections that rooms of a later version will use (`health`, `sla`, `backup`, `audit`) are read and checked already, so
//! that a file which is accepted today is right tomorrow.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use secrecy::{SecretBox, SecretString};

use super::check;
use super::reader::Reader;
use super::slot::{Fault, Word};

const MIB: u64 = 1 << 20;

/// Longest path that a Unix socket's address holds, in bytes (`sun_path` without its closing zero).
pub const SOCKET_PATH_LIMIT: usize = 107;
/// Seven calendar years hold two leap days: the least that audit records are kept, in days.
pub const AUDIT_RETENTION_FLOOR: u32 = 2_557;

/// A key of 256 bits, wiped when dropped.
pub type EncryptionKey = SecretBox<[u8; 32]>;

/// Where consoles on this machine connect.
#[derive(Debug)]
pub struct Socket {
    /// The Unix socket, at most [`SOCKET_PATH_LIMIT`] bytes long.
    pub path: PathBuf,
    /// Its permission bits; never anything for others.
    pub mode: u32,
}

/// The listener for scripts and status pages.
#[derive(Debug)]
pub struct OperatorListener {
    /// Always a loopback address.
    pub address: SocketAddr,
    /// What callers must present, at least 32 characters.
    pub token: SecretString,
}

/// TCP listeners.
#[derive(Debug)]
pub struct Listen {
    /// `None`: no port is opened.
    pub operator: Option<OperatorListener>,
}

/// Where providers report what became of messages.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Always a loopback address: a reverse proxy that speaks TLS stands before it. `None`: no port is opened.
    pub address: Option<SocketAddr>,
    /// How the world sees that proxy, without a slash at the end; providers report to `<public_url>/hooks/<name>`.
    pub public_url: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// To the journal under systemd, text elsewhere.
    Auto,
    /// One line of text an event.
    Text,
    /// One JSON object a line.
    Json,
}

impl Word for LogFormat {
    const ALL: &'static [Self] = &[Self::Auto, Self::Text, Self::Json];
    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// The least important event that is still logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something broke.
    Error,
    /// Something may break.
    Warn,
    /// What an operator wants to know afterwards.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl Word for LogLevel {
    const ALL: &'static [Self] = &[Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Logging.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Which events are kept.
    pub level: LogLevel,
}

/// The store's sizes and times.
#[derive(Debug, Clone, Copy)]
pub struct Store {
    /// Memory for the index's page cache, in bytes.
    pub cache_bytes: u64,
    /// Size at which a segment of the commit log is closed, in bytes.
    pub segment_bytes: u64,
    /// Total of all segments at which intake is refused, in bytes; never less than two segments.
    pub log_cap_bytes: u64,
    /// Time between checkpoints.
    pub checkpoint_interval: Duration,
    /// How long a campaign is over before its messages are put together in less room.
    pub compact_after: Duration,
    /// Free space under which intake is refused, in bytes.
    pub min_free_bytes: u64,
}

/// The vault.
#[derive(Debug)]
pub struct Vault {
    /// Where the root key lies: a configured file or a credential; `None`: the vault makes one in the state folder.
    pub root_key_file: Option<PathBuf>,
}

/// How sending is paced and when it moves to another provider.
#[derive(Debug, Clone, Copy)]
pub struct Dispatch {
    /// Most messages on their way to providers at once.
    pub max_concurrent_messages: u32,
    /// The share of that one campaign may take; at most `max_concurrent_messages`.
    pub per_campaign_in_flight: u32,
    /// Messages claimed together, 50 to 200.
    pub batch_size: u32,
    /// Most messages of one user's campaigns in a clock hour; 0 for no limit.
    pub user_messages_per_hour: u32,
    /// Most messages of one user's campaigns on a day; 0 for no limit.
    pub user_messages_per_day: u32,
    /// How old an attempt in doubt is before its absence from the provider's own list proves that it was not taken; zero: no
    /// list is looked into.
    pub absent_after: Duration,
    /// Failures in a row after which a provider is suspect.
    pub failover_threshold: u32,
    /// Time within which a failover must be complete.
    pub failover_timeout: Duration,
}

/// Probing of providers.
#[derive(Debug, Clone, Copy)]
pub struct HealthChecks {
    /// Time between probes.
    pub interval: Duration,
    /// Time after which a probe has failed.
    pub timeout: Duration,
    /// The server that checks ask about names; `None`: the machine's own.
    pub dns_server: Option<SocketAddr>,
}

/// Service levels.
#[derive(Debug, Clone, Copy)]
pub struct Sla {
    /// Violations after which an alert goes out.
    pub violation_alert_threshold: u32,
}

/// Backups.
#[derive(Debug)]
pub struct Backup {
    /// Time between backups.
    pub interval: Duration,
    /// What they are encrypted with.
    pub encryption_key: Option<EncryptionKey>,
}

/// The audit trail.
#[derive(Debug)]
pub struct Audit {
    /// Days for which records are kept, at least [`AUDIT_RETENTION_FLOOR`].
    pub retention_days: u32,
    /// What details are encrypted with.
    pub encryption_key: Option<EncryptionKey>,
}

/// Secrets that sign.
#[derive(Debug)]
pub struct Secrets {
    /// Signs unsubscribe links; `None`: the vault derives one.
    pub unsubscribe: Option<SecretString>,
    /// Proves webhooks of generic senders.
    pub webhook_signature: Option<SecretString>,
}

pub(super) fn environment(reader: &mut Reader<'_>) -> String {
    let word = |text: &str| {
        let fits = text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if fits {
            Ok(())
        } else {
            Err(Fault::new("does not fit the status line", "use at most 32 letters, digits, - _ ."))
        }
    };
    reader.at("environment").text(Some("production"), word).unwrap_or_default()
}

pub(super) fn state_dir(reader: &mut Reader<'_>) -> PathBuf {
    reader.at("state_dir").path(Path::new("/var/lib/usher"))
}

pub(super) fn socket(reader: &mut Reader<'_>) -> Socket {
    let path = reader.at("socket.path").text(Some("/run/usher/usherd.sock"), |text| {
        if text.len() > SOCKET_PATH_LIMIT {
            let problem = format!("is {} bytes long, and a socket's path holds {SOCKET_PATH_LIMIT}", text.len());
            Err(Fault::new(problem, "choose a shorter path, such as one below /run"))
        } else if text.starts_with('/') {
            Ok(())
        } else {
            Err(Fault::new("is not an absolute path", "begin it with /"))
        }
    });
    let mode = reader.at("socket.mode").text(Some("0660"), |text| socket_mode(text).map(drop));
    Socket {
        path: path.unwrap_or_default().into(),
        mode: mode.and_then(|text| socket_mode(&text).ok()).unwrap_or_default(),
    }
}

fn socket_mode(text: &str) -> Result<u32, Fault> {
    let remedy = "use \"0660\" (owner and group) or \"0600\" (owner alone)";
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode > 0o777 => Err(Fault::new("is no permission mode", remedy)),
        Ok(mode) if mode & 0o007 != 0 => Err(Fault::new("opens the socket to every user of the machine", remedy)),
        Ok(mode) if mode & 0o600 != 0o600 => Err(Fault::new("locks the daemon's own user out", remedy)),
        Ok(mode) => Ok(mode),
        Err(_) => Err(Fault::new("is no permission mode in octal", remedy)),
    }
}

pub(super) fn listen(reader: &mut Reader<'_>) -> Listen {
    let address = reader.at("listen.operator").parsed(|text| {
        let address: SocketAddr =
            text.parse().map_err(|_| Fault::new("is no address with a port", "write it like 127.0.0.1:7300"))?;
        if address.ip().is_loopback() {
            Ok(address)
        } else {
            let remedy = "use 127.0.0.1 or [::1]; from elsewhere, connect through ssh";
            Err(Fault::new("is not a loopback address, and this listener does not speak TLS", remedy))
        }
    });
    let asked_by = reader.origin("listen.operator");
    let mut token =
        reader.at("listen.operator_token").variable("USHER_OPERATOR_TOKEN").credential("usher-operator-token");
    if address.is_some() {
        token = token.absent_at(asked_by).needed(
            "a listener without a token is open to every user of the machine: set listen.operator_token_file or \
             USHER_OPERATOR_TOKEN (make one with: openssl rand -hex 32), or remove listen.operator",
        );
    }
    let token = token.secret(|text| long_enough(text, 32));
    Listen { operator: address.zip(token).map(|(address, token)| OperatorListener { address, token }) }
}

pub(super) fn webhooks(reader: &mut Reader<'_>) -> Webhooks {
    let address = reader.at("webhooks.listen").parsed(|text| {
        let address: SocketAddr =
            text.parse().map_err(|_| Fault::new("is no address with a port", "write it like 127.0.0.1:7301"))?;
        if address.ip().is_loopback() {
            Ok(address)
        } else {
            let remedy = "use 127.0.0.1 or [::1], and let a reverse proxy with TLS pass /hooks/ on to it";
            Err(Fault::new("is not a loopback address, and this listener does not speak TLS", remedy))
        }
    });
    let asked_by = reader.origin("webhooks.listen");
    let mut url = reader.at("webhooks.public_url");
    if address.is_some() {
        url = url.absent_at(asked_by).needed(
            "set it to the address by which the providers reach this daemon, such as \"https://hooks.example.com\": some \
             sign it",
        );
    }
    let url = url.text(None, check::endpoint);
    Webhooks { address, public_url: url.map(|url| url.trim_end_matches('/').to_owned()) }
}

pub(super) fn log(reader: &mut Reader<'_>) -> Log {
    Log {
        format: reader.at("log.format").word(Some(LogFormat::Auto)).unwrap_or(LogFormat::Auto),
        level: reader.at("log.level").live().word(Some(LogLevel::Info)).unwrap_or(LogLevel::Info),
    }
}

pub(super) fn store(reader: &mut Reader<'_>) -> Store {
    let cache = reader.at("store.cache_mib").integer(4_u64, 2..=65_536);
    let segment = reader.at("store.segment_mib").integer(64_u64, 1..=1_024);
    let cap = reader.at("store.log_cap_mib").integer(4_096_u64, 64..=1_048_576);
    if cap < 2 * segment {
        let remedy = format!("set it to {} at least, or make store.segment_mib smaller", 2 * segment);
        reader.reject("store.log_cap_mib", "is less than two segments, so intake would stop at once", remedy);
    }
    let checkpoint = reader.at("store.checkpoint_minutes").integer(60_u64, 1..=1_440);
    let compact = reader.at("store.compact_after_hours").integer(24_u64, 0..=8_760);
    let free = reader.at("store.min_free_mib").integer(512_u64, 16..=1_048_576);
    Store {
        cache_bytes: cache * MIB,
        segment_bytes: segment * MIB,
        log_cap_bytes: cap * MIB,
        checkpoint_interval: minutes(checkpoint),
        compact_after: hours(compact),
        min_free_bytes: free * MIB,
    }
}

pub(super) fn vault(reader: &mut Reader<'_>) -> Vault {
    Vault { root_key_file: reader.at("vault.root_key_file").credential("usher-root-key").file(true) }
}

pub(super) fn dispatch(reader: &mut Reader<'_>) -> Dispatch {
    let most = reader
        .at("dispatch.max_concurrent_messages")
        .variable("MAX_CONCURRENT_MESSAGES")
        .integer(1_000_u32, 1..=100_000);
    let share = reader.at("dispatch.per_campaign_in_flight").integer(1_000_u32, 1..=100_000);
    Dispatch {
        max_concurrent_messages: most,
        per_campaign_in_flight: share.min(most),
        batch_size: reader.at("dispatch.batch_size").integer(100, 50..=200),
        absent_after: Duration::from_secs(reader.at("dispatch.absent_after_seconds").integer(600, 0..=86_400)),
        user_messages_per_hour: reader.at("dispatch.user_messages_per_hour").integer(0, 0..=100_000_000),
        user_messages_per_day: reader.at("dispatch.user_messages_per_day").integer(0, 0..=100_000_000),
        failover_threshold: reader
            .at("dispatch.failover_threshold")
            .variable("PROVIDER_FAILOVER_THRESHOLD")
            .integer(3, 1..=100),
        failover_timeout: milliseconds(
            reader.at("dispatch.failover_timeout_ms").variable("FAILOVER_TIMEOUT_MS").integer(30_000, 1_000..=600_000),
        ),
    }
}

pub(super) fn health(reader: &mut Reader<'_>) -> HealthChecks {
    let interval = reader.at("health.interval_minutes").variable("HEALTH_CHECK_INTERVAL_MINUTES").integer(1, 1..=60);
    let timeout = reader.at("health.timeout_ms").variable("HEALTH_CHECK_TIMEOUT_MS").integer(30_000, 100..=60_000);
    let dns_server = reader
        .at("health.dns_server")
        .parsed(|text| text.parse().map_err(|_| Fault::new("is no address with a port", "write it like 127.0.0.1:53")));
    HealthChecks { interval: minutes(interval), timeout: milliseconds(timeout), dns_server }
}

pub(super) fn sla(reader: &mut Reader<'_>) -> Sla {
    let threshold =
        reader.at("sla.violation_alert_threshold").variable("SLA_VIOLATION_ALERT_THRESHOLD").integer(3, 1..=1_000);
    Sla { violation_alert_threshold: threshold }
}

pub(super) fn backup(reader: &mut Reader<'_>) -> Backup {
    let hours: u64 = reader.at("backup.interval_hours").variable("BACKUP_INTERVAL_HOURS").integer(1, 1..=24);
    let encryption_key = reader
        .at("backup.encryption_key")
        .variable("BACKUP_ENCRYPTION_KEY")
        .credential("usher-backup-encryption-key")
        .secret(encryption_key);
    Backup { interval: minutes(hours * 60), encryption_key }
}

pub(super) fn audit(reader: &mut Reader<'_>) -> Audit {
    let key = "audit.retention_days";
    let asked = reader.at(key).variable("AUDIT_RETENTION_DAYS").integer(AUDIT_RETENTION_FLOOR, 1..=36_525);
    let retention_days = asked.max(AUDIT_RETENTION_FLOOR);
    if retention_days > asked {
        let text = format!(
            "{asked} days are less than seven calendar years; {retention_days} are used. Set {retention_days} to \
             silence this"
        );
        reader.amend(key, retention_days.to_string(), text);
    }
    let encryption_key = reader
        .at("audit.encryption_key")
        .variable("AUDIT_ENCRYPTION_KEY")
        .credential("usher-audit-encryption-key")
        .secret(encryption_key);
    Audit { retention_days, encryption_key }
}

pub(super) fn secrets(reader: &mut Reader<'_>) -> Secrets {
    Secrets {
        unsubscribe: reader
            .at("secrets.unsubscribe")
            .variable("UNSUBSCRIBE_SECRET")
            .credential("usher-unsubscribe-secret")
            .secret(|text| long_enough(text, 32)),
        webhook_signature: reader
            .at("secrets.webhook_signature")
            .variable("WEBHOOK_SIGNATURE_SECRET")
            .credential("usher-webhook-signature-secret")
            .secret(|text| long_enough(text, 16)),
    }
}

fn long_enough(text: &str, least: usize) -> Result<SecretString, Fault> {
    let length = text.chars().count();
    if length < least {
        let problem = format!("is {length} characters long, and {least} are the least");
        return Err(Fault::new(problem, "make a new one with: openssl rand -hex 32"));
    }
    Ok(SecretString::from(text))
}

/// 32 bytes, as 64 hexadecimal digits or in base64. Passphrases are refused: a key is not derived from what can be guessed.
fn encryption_key(text: &str) -> Result<EncryptionKey, Fault> {
    let bytes = hex::decode(text).or_else(|_| STANDARD.decode(text)).or_else(|_| STANDARD_NO_PAD.decode(text));
    let remedy = "make a new one with: openssl rand -hex 32";
    let bytes = zeroize::Zeroizing::new(bytes.map_err(|_| Fault::new("is neither hexadecimal nor base64", remedy))?);
    let key: [u8; 32] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| Fault::new(format!("holds {} bytes, and a key has 32", bytes.len()), remedy))?;
    Ok(EncryptionKey::new(Box::new(key)))
}

fn hours(count: u64) -> Duration {
    minutes(count * 60)
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}
