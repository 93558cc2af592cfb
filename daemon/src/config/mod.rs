//! The one configuration: a TOML file, the environment and credentials become one typed value.
//!
//! Promises: all errors are found in one pass; each names the key's full path, its value (never a secret's), its place and
//! the remedy. Nothing global is touched: [`Sources`] are handed in. Every value knows where it came from.
//!
//! Each key can also be set as `USHER_<SECTION>_<KEY>`, and an entry's key as `USHER_PROVIDER_<NAME>_<KEY>`; the
//! environment beats the file.

mod access;
mod alerting;
mod check;
mod document;
mod error;
mod independence;
mod maintenance;
mod organisation;
mod provider;
mod reader;
mod report;
pub mod rule;
mod secret;
mod settings;
mod slot;
mod sources;

use std::path::PathBuf;

pub use access::{ProviderAccess, ReturnMailbox, SmtpSecurity};
pub use alerting::{AlertChannel, AlertWay, Alerting};
pub use error::{ConfigError, FileFault, Key, Place, Source, Warning};
pub use maintenance::{MaintenanceWindow, Recurs};
pub use organisation::{Organisation, Tier, TierLimits};
pub use provider::{ProviderSettings, ReportKeys};
pub use report::{Entry, Reload, Shown, Table, reload};
pub use settings::{
    AUDIT_RETENTION_FLOOR, Audit, Backup, Dispatch, EncryptionKey, HealthChecks, Listen, Log, LogFormat, LogLevel,
    OperatorListener, SOCKET_PATH_LIMIT, Secrets, Sla, Socket, Store, Vault, Webhooks,
};
pub use sources::Sources;

use document::Document;
use reader::Reader;

/// Everything that can be set.
#[derive(Debug)]
pub struct Config {
    /// What this installation is called: `production`, `staging`.
    pub environment: String,
    /// Where the daemon keeps its files.
    pub state_dir: PathBuf,
    /// The Unix socket.
    pub socket: Socket,
    /// TCP listeners.
    pub listen: Listen,
    /// The listener for what providers report.
    pub webhooks: Webhooks,
    /// Logging.
    pub log: Log,
    /// The store.
    pub store: Store,
    /// The vault.
    pub vault: Vault,
    /// Sending.
    pub dispatch: Dispatch,
    /// Probing of providers.
    pub health: HealthChecks,
    /// Service levels.
    pub sla: Sla,
    /// Backups.
    pub backup: Backup,
    /// The audit trail.
    pub audit: Audit,
    /// Secrets that sign.
    pub secrets: Secrets,
    /// Who is told when something is wrong.
    pub alerting: Alerting,
    /// Organisations, in the file's order.
    pub organisations: Vec<Organisation>,
    /// Providers, in the file's order, which is their rank.
    pub providers: Vec<ProviderSettings>,
}

/// A configuration without errors, and how it came about.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// What works, but not as it was written.
    pub warnings: Vec<Warning>,
    /// Every key with its value and source.
    pub entries: Vec<Entry>,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All of them, those of the file first and from its top. When the file cannot be read, or is not TOML, only that is
    /// said: what it would have set is not known.
    pub fn load(sources: &Sources) -> Result<Loaded, Vec<ConfigError>> {
        let (document, mode) = match &sources.file {
            None => (Document::default(), 0),
            Some(path) => {
                let content = sources::read_configuration(path)
                    .map_err(|fault| vec![ConfigError::File { path: path.clone(), fault }])?;
                (Document::parse(path, &content.text)?, content.mode)
            }
        };
        let mut reader = Reader::new(sources, document);
        let sla = settings::sla(&mut reader);
        let config = Self {
            environment: settings::environment(&mut reader),
            state_dir: settings::state_dir(&mut reader),
            socket: settings::socket(&mut reader),
            listen: settings::listen(&mut reader),
            webhooks: settings::webhooks(&mut reader),
            log: settings::log(&mut reader),
            store: settings::store(&mut reader),
            vault: settings::vault(&mut reader),
            dispatch: settings::dispatch(&mut reader),
            health: settings::health(&mut reader),
            sla,
            backup: settings::backup(&mut reader),
            audit: settings::audit(&mut reader),
            secrets: settings::secrets(&mut reader),
            organisations: organisation::read(&mut reader),
            providers: provider::read(&mut reader),
            alerting: alerting::read(&mut reader, sla.violation_alert_threshold),
        };
        provider::check_senders(&mut reader, &config.providers, &config.organisations);
        independence::prove(&mut reader, &config.alerting, &config.providers);
        if config.providers.is_empty() {
            reader.warn("provider", "no provider is set, so nothing can be sent; add a [[provider]]".to_owned());
        }
        if config.organisations.is_empty() {
            reader
                .warn("organisation", "no organisation is set, so nobody can send; add an [[organisation]]".to_owned());
        }
        let (entries, warnings) = reader.finish(mode)?;
        Ok(Loaded { config, warnings, entries })
    }

    /// Where the daemon's socket is, for a program that may read no secrets and does not look at anything else.
    ///
    /// # Errors
    /// As [`Self::load`], of the file itself and of `[socket]`.
    pub fn socket_path(sources: &Sources) -> Result<PathBuf, Vec<ConfigError>> {
        let document = match &sources.file {
            None => Document::default(),
            Some(path) => {
                let content = sources::read_configuration(path)
                    .map_err(|fault| vec![ConfigError::File { path: path.clone(), fault }])?;
                Document::parse(path, &content.text)?
            }
        };
        let mut reader = Reader::new(sources, document);
        let socket = settings::socket(&mut reader);
        if reader.errors.is_empty() { Ok(socket.path) } else { Err(reader.errors) }
    }
}
