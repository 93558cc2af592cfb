//! What the daemon answers.

use serde::{Deserialize, Serialize};

use crate::model::{
    AlertPage, AlertTrial, CampaignDetail, CampaignRow, CheckRow, Control, Doubt, Estimate, GuestId, GuestListRow,
    GuestRow, ImportProgress, MessageDetail, MessageId, MessageRow, Overview, ProviderRow, Rendered, SlaRow,
    TemplateBody, TemplateRow, Trace, Why,
};

/// A window of guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPage {
    /// The guests.
    pub rows: Vec<GuestRow>,
    /// Guests on the whole list, whatever the filter.
    pub total: u64,
    /// Where the next window begins; `None` at the end.
    pub next: Option<GuestId>,
}

/// A window of messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagePage {
    /// The messages.
    pub rows: Vec<MessageRow>,
    /// Messages that match, in the whole campaign.
    pub total: u64,
    /// Where the next window begins; `None` at the end.
    pub next: Option<MessageId>,
}

/// Messages in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtPage {
    /// The messages, oldest attempt first.
    pub rows: Vec<Doubt>,
    /// All that are in doubt, in the campaigns that were asked for.
    pub total: u64,
}

/// A window of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvPage {
    /// Whole lines of CSV.
    pub text: String,
    /// Guests in it.
    pub rows: u64,
    /// Where the next window begins; `None` at the end.
    pub next: Option<GuestId>,
}

/// One effect of an act, as a preview tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectLine {
    /// What it would happen to, e.g. `9,412 messages`.
    pub what: String,
    /// What would happen, e.g. `stay queued until resumed`.
    pub effect: String,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, with nothing else to say than this line.
    Done(String),
    /// What the act would do.
    Preview(Vec<EffectLine>),
    /// To `Status`.
    Status(Box<Overview>),
    /// To `Providers`.
    Providers(Vec<ProviderRow>),
    /// To `Lists`.
    Lists(Vec<GuestListRow>),
    /// To `Guests`.
    Guests(GuestPage),
    /// To `Guest`, `GuestAdd` and `GuestEdit`.
    Guest(Box<GuestRow>),
    /// To `ImportOpen`.
    ImportOpened {
        /// Names the import in what follows.
        upload: u64,
    },
    /// To `ImportChunk` and `ImportFinish`.
    Import(ImportProgress),
    /// To `Export`.
    Csv(CsvPage),
    /// To `Templates`.
    Templates(Vec<TemplateRow>),
    /// To `Template`.
    Template {
        /// As in the list.
        row: TemplateRow,
        /// Its words.
        body: TemplateBody,
    },
    /// To `TemplatePreview` and `CampaignPreview`.
    Rendered(Vec<Rendered>),
    /// To `Campaigns`.
    Campaigns(Vec<CampaignRow>),
    /// To `Campaign`, and to every act on a campaign.
    Campaign(Box<CampaignDetail>),
    /// To `CampaignEstimate`.
    Estimate(Estimate),
    /// To `Messages`.
    Messages(MessagePage),
    /// To `Message`.
    Message(Box<MessageDetail>),
    /// To `GuestTrace`.
    Trace(Box<Trace>),
    /// To `Doubts`.
    Doubts(DoubtPage),
    /// To `Controls`.
    Controls(Vec<Control>),
    /// To `Why`.
    Why(Vec<Why>),
    /// To `Alerts`.
    Alerts(Box<AlertPage>),
    /// To `Sla`.
    Sla(Vec<SlaRow>),
    /// To `AlertTest`.
    AlertTrials(Vec<AlertTrial>),
    /// To `Check`.
    Checks(Vec<CheckRow>),
    /// An answer that this client does not know.
    #[serde(other)]
    Unknown,
}
