//! How WhatsApp is to be played: numbers, templates, and who has written lately.
//! Promises: the defaults know every template, and nobody has written: free text is refused, as it would be for a first
//! message.

use super::Marker;
use crate::latency::Latency;
use serde::{Deserialize, Serialize};

/// A business phone number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhoneNumber {
    /// Its id, digits only, as it stands in paths.
    pub id: String,
    /// The number as people read it.
    pub display: String,
    /// Name of the business.
    pub name: String,
    /// `GREEN`, `YELLOW`, `RED` or `NA`.
    pub quality: String,
}

impl Default for PhoneNumber {
    fn default() -> Self {
        Self {
            id: "100000000000001".into(),
            display: "+1 555-000-1111".into(),
            name: "Simulator".into(),
            quality: "GREEN".into(),
        }
    }
}

/// How Meta stands to a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateStatus {
    /// It may be sent.
    #[default]
    Approved,
    /// It may be sent, but waits to be looked at: answered with `held_for_quality_assessment`.
    Held,
    /// Not for now, for its quality: answered 132015.
    Paused,
    /// Never again: answered 132016.
    Disabled,
}

/// A message template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Name.
    pub name: String,
    /// Language or locale, as `en_US`.
    pub language: String,
    /// Parameters that its header takes.
    #[serde(default)]
    pub header: usize,
    /// Parameters that its body takes.
    #[serde(default)]
    pub body: usize,
    /// Its status.
    #[serde(default)]
    pub status: TemplateStatus,
}

/// WhatsApp, as it is to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhatsAppConfig {
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Access tokens that may send.
    pub tokens: Vec<String>,
    /// Access tokens that have expired.
    pub expired_tokens: Vec<String>,
    /// Access tokens without the permission to send.
    pub unpermitted_tokens: Vec<String>,
    /// Numbers of the business.
    pub numbers: Vec<PhoneNumber>,
    /// Templates; with none listed, any name in any language with any parameters.
    pub templates: Vec<Template>,
    /// People who wrote within the last 24 hours, by a part of their number (`+` is everybody): only they get free text.
    pub open_windows: Vec<String>,
    /// Messages a second of each number before 130429; without, no limit.
    pub messages_per_second: Option<u32>,
    /// Time to an answer.
    pub latency: Latency,
    /// Recipients that fare differently.
    pub recipients: Vec<Marker>,
}

impl Default for WhatsAppConfig {
    fn default() -> Self {
        Self {
            port: 0,
            tokens: vec!["EAAsimulator".into()],
            expired_tokens: vec!["EAAexpired".into()],
            unpermitted_tokens: vec!["EAAunpermitted".into()],
            numbers: vec![PhoneNumber::default()],
            templates: Vec::new(),
            open_windows: Vec::new(),
            messages_per_second: None,
            latency: Latency::None,
            recipients: Vec::new(),
        }
    }
}
