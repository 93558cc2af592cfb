//! The command line as clap understands it.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use usher_common::model::{CampaignClass, Channel, MessageId, MessageState, Verdict};

use super::alerts::{AlertCommand, SilenceCommand};
use super::check::CheckCommand;
use super::exit::Failure;
use super::steering::{HoldFlags, ProviderCommand, ReleaseFlags};
use crate::session::Target;
use crate::theme::ThemeName;

/// Usher's console and command line.
#[derive(Debug, Parser)]
#[command(
    name = "usher",
    version,
    about = "Watch and steer the Usher daemon. Without a command: the console.",
    after_help = "Exit codes: 0 done, 1 the daemon refused or it failed, 2 usage, 3 not reachable, 4 not found, 5 conflict,\n\
                  130 interrupted while it told how far it was.\n\
                  `campaign watch`: 0 finished, 6 partial, 7 cancelled."
)]
pub struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub(super) struct Global {
    /// The daemon's socket
    #[arg(long, global = true, env = "USHER_SOCKET", default_value = "/run/usher/usherd.sock", value_name = "PATH")]
    pub(super) socket: PathBuf,
    /// Connect by WebSocket on this machine: ws://127.0.0.1:PORT
    #[arg(long, global = true, value_name = "URL", conflicts_with = "ssh")]
    pub(super) connect: Option<String>,
    /// File with the token for --connect
    #[arg(long, global = true, value_name = "PATH", requires = "connect")]
    pub(super) token_file: Option<PathBuf>,
    /// Connect through ssh to the daemon on another machine
    #[arg(long, global = true, value_name = "HOST")]
    pub(super) ssh: Option<String>,
    /// How answers are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
    /// Whether to use colours; auto heeds NO_COLOR
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    pub(super) color: When,
    /// default, dark, light, high-contrast, 16 or mono
    #[arg(long, global = true)]
    pub(super) theme: Option<ThemeName>,
    /// Draw with ASCII only
    #[arg(long, global = true)]
    pub(super) ascii: bool,
    /// Print lines instead of drawing a screen
    #[arg(long, global = true)]
    pub(super) plain: bool,
    /// Do not ask before what cannot be taken back
    #[arg(long, global = true)]
    pub(super) yes: bool,
}

impl Global {
    /// Where the daemon is.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        if let Some(host) = &self.ssh {
            let default = self.socket.as_os_str() == "/run/usher/usherd.sock";
            return Ok(Target::ssh(host, (!default).then(|| self.socket.clone()))?);
        }
        let Some(url) = &self.connect else { return Ok(Target::Unix(self.socket.clone())) };
        let token = match &self.token_file {
            None => None,
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let text =
                    read.map_err(|e| Failure::usage(format!("cannot read the token in {}: {e}", path.display())))?;
                Some(text.trim().to_owned())
            }
        };
        Ok(Target::ws(url, token)?)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    Auto,
    Always,
    Never,
}

impl When {
    /// Whether colours may be used on an output that is a terminal or not.
    pub(super) fn allowed(self, terminal: bool) -> bool {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && !no_color && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

/// What every act takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ActFlags {
    /// Why; stands in the audit trail
    #[arg(long, default_value = "")]
    pub(super) reason: String,
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The daemon at a glance
    Status,
    /// Providers
    Provider {
        #[command(subcommand)]
        command: ProviderCommand,
    },
    /// Stop sending within a second: everything, an organisation, a campaign or a provider
    ///
    /// What is under way ends; everything else waits, and nothing moves to another provider.
    Hold(HoldFlags),
    /// Let go what is held: it begins again within seconds
    Release(ReleaseFlags),
    /// What is held, and how providers are steered
    Controls,
    /// What is wrong, since when, and what to do first
    Alerts,
    /// Alert channels: their test; and taking alerts over
    Alert {
        #[command(subcommand)]
        command: AlertCommand,
    },
    /// Keep alerts from being told for a time
    Silence {
        #[command(subcommand)]
        command: SilenceCommand,
    },
    /// Service levels: what was promised, and how it stands
    Sla,
    /// First steps for the usual troubles; without a name, which there are
    Runbook {
        /// Such as provider-down
        name: Option<String>,
    },
    /// Named checks around a deploy, each with what it saw and what to do; exit code 1 where one failed
    Check {
        #[command(subcommand)]
        command: CheckCommand,
    },
    /// Guest lists and guests
    #[command(visible_alias = "guest")]
    Guests {
        #[command(subcommand)]
        command: GuestsCommand,
    },
    /// Templates
    Template {
        #[command(subcommand)]
        command: TemplateCommand,
    },
    /// Campaigns
    Campaign {
        #[command(subcommand)]
        command: CampaignCommand,
    },
    /// Messages of which nobody knows whether they arrived
    Unknown {
        #[command(subcommand)]
        command: UnknownCommand,
    },
    /// Copy standard input and output to the local socket, for `usher --ssh`
    #[command(hide = true)]
    Relay,
    /// Print completions for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    Man,
}

const IMPORT_HELP: &str = "\
Columns, by these names or by the usual ones for them in English, German, French and Spanish: email, name, first_name, \
last_name, phone, dietary_requirements, plus_one, rsvp_status, groups, country, locale, timezone, preferred, slack, \
source, vouched_by. Any other column is kept as the list's own. One of email, phone and slack must be there.

A row that cannot be imported is named with its line and costs no other: the exit code is 0 all the same, and `rejected` \
in --output json counts them. A file that is no guest list is refused as a whole: exit code 1, and no list is made.";

#[derive(Debug, Subcommand)]
pub(super) enum GuestsCommand {
    /// Import a CSV file into a list
    #[command(after_help = IMPORT_HELP)]
    Import {
        /// The file; - for standard input
        file: PathBuf,
        /// Name of the list, which is made when there is none, or id of one that is there
        #[arg(long)]
        list: String,
        /// Who answers for it that these people may be written to
        #[arg(long, value_name = "WHO")]
        vouched_by: String,
        /// Country of telephone numbers without a country code, e.g. FR
        #[arg(long, default_value = "", value_name = "CC")]
        country: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// All lists, and deleting one
    Lists {
        #[command(subcommand)]
        command: Option<ListsCommand>,
    },
    /// Guests of a list
    List {
        /// Id or name of the list
        list: String,
        /// Only these, e.g. 'rsvp = confirmed and group = family'
        #[arg(long, default_value = "")]
        segment: String,
        /// At most so many; 0 for all
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// One guest with all that is known
    Show {
        /// Id or name of the list
        list: String,
        /// Id, e-mail address or telephone number
        guest: String,
    },
    /// Everything that was to reach somebody, in all campaigns
    ///
    /// Of several on one list who share the address, it tells of the one to whom the list's own look-up leads.
    Trace {
        /// An e-mail address, or a telephone number with its country code
        address: String,
    },
    /// A list as CSV on standard output
    Export {
        /// Id or name of the list
        list: String,
        /// Only these
        #[arg(long, default_value = "")]
        segment: String,
    },
    /// Add a guest to a list
    Add {
        /// Name of the list, which is made when there is none, or id of one that is there
        list: String,
        /// FIELD=VALUE, as in an import
        #[arg(required = true, value_parser = field)]
        fields: Vec<(String, String)>,
        /// Who answers for it
        #[arg(long, value_name = "WHO")]
        vouched_by: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Change a guest
    Edit {
        /// Id or name of the list
        list: String,
        /// Id, e-mail address or telephone number
        guest: String,
        /// FIELD=VALUE; FIELD= clears it
        #[arg(required = true, value_parser = field)]
        fields: Vec<(String, String)>,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Delete a guest and destroy its key; cannot be taken back
    Delete {
        /// Id or name of the list
        list: String,
        /// Id, e-mail address or telephone number
        guest: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Change every guest of a segment
    Bulk {
        /// Id or name of the list
        list: String,
        /// Whom; empty for everyone
        #[arg(long, default_value = "")]
        segment: String,
        /// FIELD=VALUE; FIELD= clears it
        #[arg(required = true, value_parser = field)]
        fields: Vec<(String, String)>,
        #[command(flatten)]
        act: ActFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum UnknownCommand {
    /// All of them, the oldest first
    List {
        /// Only of this campaign
        #[arg(long)]
        campaign: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// One with every attempt
    Show {
        campaign: String,
        /// Such as m17
        #[arg(value_parser = message)]
        message: MessageId,
    },
    /// Say what became of them
    ///
    /// `resend` may tell somebody twice: only what is known not to have arrived should be sent again.
    Settle {
        campaign: String,
        /// Such as m17
        #[arg(value_parser = message)]
        messages: Vec<MessageId>,
        /// All of the campaign that are in doubt
        #[arg(long, conflicts_with = "messages")]
        all: bool,
        /// accepted, failed or resend
        #[arg(long = "as", value_name = "VERDICT", value_parser = verdict)]
        verdict: Verdict,
        #[command(flatten)]
        act: ActFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ListsCommand {
    /// Delete a list with all its guests and destroy their keys; cannot be taken back
    Delete {
        /// Id or name of the list
        list: String,
        #[command(flatten)]
        act: ActFlags,
    },
}

/// `FIELD=VALUE`.
pub(super) fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not FIELD=VALUE")),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum TemplateCommand {
    /// All templates
    List,
    /// The words of one
    Show { name: String },
    /// One as a guest would get it
    Preview {
        name: String,
        #[arg(long, default_value = "email")]
        channel: Channel,
        /// Id or name of a list, with --guest
        #[arg(long, requires = "guest")]
        list: Option<String>,
        /// Id, e-mail address or telephone number
        #[arg(long, requires = "list")]
        guest: Option<String>,
    },
    /// Write a template of one's own
    Save {
        name: String,
        #[arg(long, default_value = "")]
        subject: String,
        /// File with the plain text; - for standard input
        #[arg(long, value_name = "FILE")]
        text: PathBuf,
        /// File with the HTML part
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// File with the short text, for SMS and WhatsApp
        #[arg(long, value_name = "FILE")]
        short: Option<PathBuf>,
        #[command(flatten)]
        act: ActFlags,
    },
}

/// What a campaign is made of, by flags or by a file.
#[derive(Debug, Default, clap::Args)]
pub(super) struct SpecFlags {
    /// File with all of it, TOML; flags go before it
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// A short name, unique
    #[arg(long)]
    pub(super) name: Option<String>,
    /// What it is for
    #[arg(long)]
    pub(super) description: Option<String>,
    /// The organisation in whose name it goes out
    #[arg(long, alias = "org")]
    pub(super) organisation: Option<String>,
    /// personal, transactional or commercial
    #[arg(long)]
    pub(super) class: Option<CampaignClass>,
    /// email, sms, whatsapp, slack: in order of preference
    #[arg(long = "channel", value_delimiter = ',')]
    pub(super) channels: Vec<Channel>,
    /// One message by each channel, instead of one a guest
    #[arg(long)]
    pub(super) all_channels: bool,
    /// Id or name of the guest list
    #[arg(long)]
    pub(super) list: Option<String>,
    /// Only these guests of it
    #[arg(long)]
    pub(super) segment: Option<String>,
    /// Exactly these guests of it, by id
    #[arg(long = "guest", conflicts_with = "segment")]
    pub(super) guests: Vec<String>,
    /// The template
    #[arg(long)]
    pub(super) template: Option<String>,
    /// TOKEN=VALUE, the same for everyone
    #[arg(long = "value", value_parser = field)]
    pub(super) values: Vec<(String, String)>,
    /// When it starts: "2027-06-12 10:00 Europe/Paris"
    #[arg(long)]
    pub(super) at: Option<String>,
    /// Hours for which a message is worth sending
    #[arg(long, value_name = "HOURS")]
    pub(super) expires_after_hours: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(super) enum CampaignCommand {
    /// Write a campaign; it starts as a draft
    Create {
        #[command(flatten)]
        spec: Box<SpecFlags>,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Write anew what has not begun; it is a draft again, and needs approval again
    ///
    /// What no flag says stays as it is; --file replaces all of it. --value TOKEN= takes a value away.
    Edit {
        campaign: String,
        #[command(flatten)]
        spec: Box<SpecFlags>,
        #[command(flatten)]
        act: ActFlags,
    },
    /// All campaigns
    List {
        /// Deleted ones too
        #[arg(long)]
        deleted: bool,
    },
    /// What it would bring to one guest
    Preview {
        campaign: String,
        /// Id, e-mail address or telephone number; else the first of the audience
        #[arg(long)]
        guest: Option<String>,
    },
    /// How many it would reach, and at what cost
    Estimate { campaign: String },
    /// Send it once to somebody other than its guests
    Test {
        campaign: String,
        #[arg(long)]
        channel: Channel,
        /// Address or number
        #[arg(long)]
        to: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Check it and release it for sending
    Approve {
        campaign: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Start it, or schedule it
    Send {
        campaign: String,
        /// "2027-06-12 10:00 Europe/Paris", or "now" [default: as written when it was created; one that is scheduled
        /// already keeps its hour]
        #[arg(long)]
        at: Option<String>,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Stop it until it is resumed
    Pause {
        campaign: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Go on with it
    Resume {
        campaign: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Stop it for good
    Cancel {
        campaign: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Send again what failed, and nothing else
    Resend {
        campaign: String,
        /// What is sent again
        #[arg(long, default_value = "failed", value_parser = ["failed"])]
        only: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Put it aside; it can be restored for 30 days
    Delete {
        campaign: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Bring it back
    Restore {
        campaign: String,
        /// Its name from now on, where the old one was taken meanwhile
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Where it stands
    Status { campaign: String },
    /// Why it moves as it does: what binds now, what would next, and when all of it would be out
    Why { campaign: String },
    /// Follow it to its end: exit 0 finished, 6 partial, 7 cancelled
    Watch { campaign: String },
    /// Its messages
    Messages {
        campaign: String,
        /// Only in this state
        #[arg(long, value_parser = state)]
        state: Option<MessageState>,
        /// At most so many; 0 for all
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
}

/// `m17`, or its bare number.
fn message(text: &str) -> Result<MessageId, String> {
    text.parse().map_err(|_| format!("`{text}` is no message: write m17, as the lists show it"))
}

/// A verdict by its word.
fn verdict(text: &str) -> Result<Verdict, String> {
    match text {
        "accepted" => Ok(Verdict::Accepted),
        "failed" => Ok(Verdict::Failed),
        "resend" => Ok(Verdict::Resend),
        _ => Err(format!("`{text}` is no verdict: accepted, failed, resend")),
    }
}

fn state(text: &str) -> Result<MessageState, String> {
    MessageState::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
        format!("`{text}` is no state of a message: {}", MessageState::ALL.map(MessageState::as_str).join(", "))
    })
}
