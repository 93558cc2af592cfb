//! What a client can ask of the daemon, and what it can make it do.

use serde::{Deserialize, Serialize};

use crate::model::{
    BulkChange, CampaignId, CampaignSpec, Channel, CheckSet, GuestChange, GuestId, ListId, MessageId, MessageState,
    Schedule, Steer, Target, TemplateBody, Verdict,
};

use super::codec::bytes;

/// What every act carries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Act {
    /// Names this act: sent again under the same key, it is answered again and not done again.
    pub key: String,
    /// Why, in the operator's own words; stands in the audit trail.
    pub reason: String,
    /// The row version that the operator saw; the act is refused when the row has changed since. `None` acts on whatever
    /// is there.
    pub seen: Option<u64>,
    /// Do nothing, and say what would be done.
    pub preview: bool,
}

/// How a guest is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestName {
    /// By id.
    Id(GuestId),
    /// By e-mail address or telephone number, as somebody would type it.
    Address(String),
}

/// Whether a request only reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It changes nothing.
    Reads,
    /// It changes something, and needs an [`Act`].
    Acts,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The daemon at a glance.
    Status,
    /// All providers.
    Providers,
    /// All guest lists.
    Lists,
    /// A window of a list's guests, in order of id.
    Guests {
        /// The list.
        list: ListId,
        /// Only those for whom this segment expression holds; empty for all.
        segment: String,
        /// Begin after this guest.
        after: Option<GuestId>,
        /// At most so many, 1 to 1,000.
        limit: u32,
    },
    /// One guest with all that is known.
    Guest {
        /// The list.
        list: ListId,
        /// Which guest.
        guest: GuestName,
    },
    /// Adds a guest to a list; makes the list when there is none of that name.
    GuestAdd {
        /// The list's name.
        list: String,
        /// Its fields, by any header that an import understands.
        fields: Vec<GuestChange>,
        /// Who vouches for it.
        vouched_by: String,
    },
    /// Changes a guest.
    GuestEdit {
        /// The list.
        list: ListId,
        /// Which guest.
        guest: GuestName,
        /// What changes.
        changes: Vec<GuestChange>,
    },
    /// Deletes a guest and destroys its key.
    GuestDelete {
        /// The list.
        list: ListId,
        /// Which guest.
        guest: GuestName,
    },
    /// Changes every guest of a segment.
    GuestBulk {
        /// The list.
        list: ListId,
        /// Whom, and what.
        change: BulkChange,
    },
    /// Begins an import.
    ImportOpen {
        /// The list's name; it is made when there is none.
        list: String,
        /// The file's name, for the record.
        file: String,
        /// Who vouches for these guests.
        vouched_by: String,
        /// Country for national numbers in rows without one, ISO 3166-1 alpha-2; empty for none.
        country: String,
    },
    /// The next bytes of the file, at most [`super::IMPORT_CHUNK`].
    ImportChunk {
        /// From [`super::Reply::ImportOpened`].
        upload: u64,
        /// The bytes.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// The file is at its end.
    ImportFinish {
        /// From [`super::Reply::ImportOpened`].
        upload: u64,
    },
    /// A window of a list as CSV, in order of id; the first one has the header.
    Export {
        /// The list.
        list: ListId,
        /// Only those for whom this segment expression holds; empty for all.
        segment: String,
        /// Begin after this guest.
        after: Option<GuestId>,
        /// At most so many, 1 to 1,000.
        limit: u32,
    },
    /// All templates.
    Templates,
    /// One template's words.
    Template {
        /// Its name.
        name: String,
    },
    /// Writes a template of one's own.
    TemplateSave {
        /// Its name; those that came with the daemon cannot be replaced.
        name: String,
        /// Its words.
        body: TemplateBody,
    },
    /// A template as a guest would get it, with example values where a campaign would bring them.
    TemplatePreview {
        /// Its name.
        name: String,
        /// The way it would travel.
        channel: Channel,
        /// For this guest; `None` for an invented one.
        guest: Option<(ListId, GuestName)>,
    },
    /// All campaigns.
    Campaigns,
    /// One campaign.
    Campaign {
        /// Which.
        id: CampaignId,
    },
    /// A window of a campaign's messages, in order of id.
    Messages {
        /// The campaign.
        campaign: CampaignId,
        /// Only those in this state.
        state: Option<MessageState>,
        /// Begin after this message.
        after: Option<MessageId>,
        /// At most so many, 1 to 1,000.
        limit: u32,
    },
    /// One message with every attempt.
    Message {
        /// The campaign.
        campaign: CampaignId,
        /// Which.
        id: MessageId,
    },
    /// Writes a campaign; it starts as a draft.
    CampaignCreate {
        /// All that its author decides.
        spec: CampaignSpec,
    },
    /// What each of its channels would bring to one guest.
    CampaignPreview {
        /// Which.
        id: CampaignId,
        /// For this guest; `None` for the first of the audience.
        guest: Option<GuestName>,
    },
    /// How many it would reach, and at what cost.
    CampaignEstimate {
        /// Which.
        id: CampaignId,
    },
    /// Sends it once to somebody other than its guests.
    CampaignTest {
        /// Which.
        id: CampaignId,
        /// By this channel.
        channel: Channel,
        /// To this address or number.
        to: String,
    },
    /// Checks it and releases it for sending.
    CampaignApprove {
        /// Which.
        id: CampaignId,
    },
    /// Starts it, or schedules it.
    CampaignSend {
        /// Which.
        id: CampaignId,
        /// When; `None` as its author wrote.
        schedule: Option<Schedule>,
    },
    /// Stops it until it is resumed.
    CampaignPause {
        /// Which.
        id: CampaignId,
    },
    /// Goes on with it.
    CampaignResume {
        /// Which.
        id: CampaignId,
    },
    /// Stops it for good.
    CampaignCancel {
        /// Which.
        id: CampaignId,
    },
    /// Puts it aside; it can be restored for 30 days.
    CampaignDelete {
        /// Which.
        id: CampaignId,
    },
    /// Brings it back.
    CampaignRestore {
        /// Which.
        id: CampaignId,
        /// Its name from now on, where the old one was taken meanwhile; `None` to keep it.
        #[serde(default)]
        name: Option<String>,
    },
    /// Writes a campaign anew that has not begun; it is a draft again, and what was approved of it is not any more.
    CampaignEdit {
        /// Which.
        id: CampaignId,
        /// All that its author decides, in place of what stood there.
        spec: CampaignSpec,
    },
    /// Deletes a list with all its guests, and destroys their keys.
    ListDelete {
        /// The list.
        list: ListId,
    },
    /// Everything that was to reach a person, in all campaigns. Of several on one list who share the address, the one to
    /// whom the list's look-up leads.
    GuestTrace {
        /// One of its e-mail addresses or telephone numbers, as somebody would type it.
        address: String,
    },
    /// Messages whose outcome is in doubt, oldest attempt first.
    Doubts {
        /// Of this campaign; `None` for all.
        campaign: Option<CampaignId>,
        /// At most so many, 1 to 1,000.
        limit: u32,
    },
    /// Settles messages in doubt by an operator's word.
    DoubtSettle {
        /// Of this campaign.
        campaign: CampaignId,
        /// These; empty for all of it.
        messages: Vec<MessageId>,
        /// What became of them.
        verdict: Verdict,
    },
    /// Sends again what failed, and nothing else.
    CampaignResend {
        /// Which.
        id: CampaignId,
    },
    /// What operators keep in force over sending.
    Controls,
    /// Why something moves as it does: a campaign, a provider, or every campaign that runs.
    Why {
        /// What is asked about.
        target: Target,
    },
    /// Stops sending, within a second. What is under way ends; everything else waits, and nothing moves elsewhere.
    Hold {
        /// What is held.
        target: Target,
        /// For how long, in seconds; `None` until it is released.
        seconds: Option<u64>,
    },
    /// Ends a hold. Lanes begin again one after the other within some seconds.
    Release {
        /// What was held.
        target: Target,
    },
    /// Steers a provider for a time. Needs a reason.
    ProviderSteer {
        /// Which, by its name in the configuration.
        provider: String,
        /// How.
        steer: Steer,
        /// For how long, in seconds: 1 to 30 days.
        seconds: u64,
    },
    /// Takes back how a provider is steered. One that was drained comes back with a share that grows.
    ProviderEnable {
        /// Which.
        provider: String,
    },
    /// Sends a letter of one line through a provider, drained and held or not.
    ProviderTest {
        /// Which.
        provider: String,
        /// To this address, number, or Slack id.
        to: String,
        /// In whose name; `None` where there is one organisation only.
        organisation: Option<String>,
    },
    /// Alerts, silences, maintenance windows and alert channels.
    Alerts,
    /// Service levels.
    Sla,
    /// Takes the alerts of a rule over: they are not repeated for half an hour.
    AlertAcknowledge {
        /// The rule.
        rule: String,
    },
    /// Keeps alerts from being told for a time.
    SilenceAdd {
        /// The rules that it is over: a name, or one with `*`.
        rule: String,
        /// The objects that it is over, likewise.
        object: String,
        /// For how long, at most 24 hours.
        seconds: u64,
    },
    /// Ends a silence.
    SilenceEnd {
        /// Which.
        id: u64,
    },
    /// Sends a test by an alert channel, or by all, and waits for their answers.
    AlertTest {
        /// Which; `None` for all.
        channel: Option<String>,
    },
    /// Makes a set of checks, which change nothing but the audit trail.
    Check {
        /// Which.
        set: CheckSet,
    },
    /// A request that this daemon does not know.
    #[serde(other)]
    Unknown,
}

impl Request {
    /// Whether it only reads.
    pub fn answer(&self) -> Answer {
        match self {
            Self::Status
            | Self::Providers
            | Self::Lists
            | Self::Guests { .. }
            | Self::Guest { .. }
            | Self::Export { .. }
            | Self::Templates
            | Self::Template { .. }
            | Self::TemplatePreview { .. }
            | Self::Campaigns
            | Self::Campaign { .. }
            | Self::Messages { .. }
            | Self::Message { .. }
            | Self::CampaignPreview { .. }
            | Self::CampaignEstimate { .. }
            | Self::GuestTrace { .. }
            | Self::Doubts { .. }
            | Self::Controls
            | Self::Why { .. }
            | Self::Alerts
            | Self::Sla
            | Self::Check { .. }
            | Self::Unknown => Answer::Reads,
            Self::GuestAdd { .. }
            | Self::GuestEdit { .. }
            | Self::GuestDelete { .. }
            | Self::GuestBulk { .. }
            | Self::ImportOpen { .. }
            | Self::ImportChunk { .. }
            | Self::ImportFinish { .. }
            | Self::TemplateSave { .. }
            | Self::CampaignCreate { .. }
            | Self::CampaignTest { .. }
            | Self::CampaignApprove { .. }
            | Self::CampaignSend { .. }
            | Self::CampaignPause { .. }
            | Self::CampaignResume { .. }
            | Self::CampaignCancel { .. }
            | Self::CampaignDelete { .. }
            | Self::CampaignRestore { .. }
            | Self::CampaignEdit { .. }
            | Self::ListDelete { .. }
            | Self::DoubtSettle { .. }
            | Self::CampaignResend { .. }
            | Self::Hold { .. }
            | Self::Release { .. }
            | Self::ProviderSteer { .. }
            | Self::ProviderEnable { .. }
            | Self::ProviderTest { .. }
            | Self::AlertAcknowledge { .. }
            | Self::SilenceAdd { .. }
            | Self::SilenceEnd { .. }
            | Self::AlertTest { .. } => Answer::Acts,
        }
    }
}
