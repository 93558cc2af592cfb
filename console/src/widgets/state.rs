//! Every state as word, glyph and tone. What comes from old data is never shown as plain OK.

use usher_common::model::{
    AlertState, BreakerState, CampaignState, Health, MessageState, OutcomeClass, Priority, SlaStatus,
};
use usher_common::protocol::Level;

use crate::app::Tone;

/// A state, ready to be drawn: ` + OK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Badge {
    /// One ASCII character.
    pub glyph: &'static str,
    /// The word.
    pub word: &'static str,
    /// How it is meant.
    pub tone: Tone,
}

impl Badge {
    const fn new(glyph: &'static str, word: &'static str, tone: Tone) -> Self {
        Self { glyph, word, tone }
    }

    /// The same, from data that is old: its word with a question mark instead of its glyph.
    #[must_use]
    pub fn aged(self, stale: bool) -> Self {
        if stale { Self { glyph: "?", tone: Tone::Unknown, ..self } } else { self }
    }
}

/// The word for a health.
pub fn health(health: Health) -> Badge {
    match health {
        Health::Ok => Badge::new("+", "OK", Tone::Ok),
        Health::Warning => Badge::new("!", "WARN", Tone::Warning),
        Health::Critical => Badge::new("x", "DOWN", Tone::Critical),
        Health::Unknown => Badge::new("?", "UNKNOWN", Tone::Unknown),
    }
}

/// The word for an alert's urgency while it stands so.
pub fn alert(priority: Priority, state: AlertState) -> Badge {
    let word = priority.as_str();
    match state {
        AlertState::Firing => {
            let tone = if priority.pages() { Tone::Critical } else { Tone::Warning };
            Badge::new("x", word, tone)
        }
        AlertState::Recovering => Badge::new("~", word, Tone::Warning),
        _ => Badge::new(".", word, Tone::Plain),
    }
}

/// The word for a service level.
pub fn sla(status: SlaStatus) -> Badge {
    match status {
        SlaStatus::Met => Badge::new("+", "met", Tone::Ok),
        SlaStatus::Breached => Badge::new("x", "breached", Tone::Critical),
        SlaStatus::NotProvable => Badge::new(".", "not provable", Tone::Plain),
        SlaStatus::Unknown => Badge::new("?", "unknown", Tone::Unknown),
    }
}

/// The word for a breaker.
pub fn breaker(state: BreakerState) -> Badge {
    match state {
        BreakerState::Closed => Badge::new("+", "closed", Tone::Ok),
        BreakerState::Open => Badge::new("x", "open", Tone::Critical),
        BreakerState::HalfOpen => Badge::new("~", "half-open", Tone::Warning),
        BreakerState::Recovering => Badge::new("~", "recovering", Tone::Warning),
        BreakerState::Unknown => Badge::new("?", "unknown", Tone::Unknown),
    }
}

/// The word for a campaign's state; a deleted one says so.
pub fn campaign_state(state: CampaignState, deleted: bool) -> Badge {
    if deleted {
        return Badge::new("-", "deleted", Tone::Plain);
    }
    match state {
        CampaignState::Draft => Badge::new(".", "draft", Tone::Plain),
        CampaignState::Approved => Badge::new("a", "approved", Tone::Plain),
        CampaignState::Scheduled => Badge::new("@", "scheduled", Tone::Plain),
        CampaignState::Running => Badge::new(">", "running", Tone::Ok),
        CampaignState::Paused => Badge::new("=", "paused", Tone::Warning),
        CampaignState::Settling => Badge::new("~", "settling", Tone::Warning),
        CampaignState::Finished => Badge::new("+", "finished", Tone::Ok),
        CampaignState::Partial => Badge::new("!", "partial", Tone::Warning),
        CampaignState::Cancelled => Badge::new("/", "cancelled", Tone::Plain),
        CampaignState::Unknown => Badge::new("?", "unknown", Tone::Unknown),
    }
}

/// The word for a message's state.
pub fn message_state(state: MessageState) -> Badge {
    match state {
        MessageState::Held => Badge::new("=", "held", Tone::Plain),
        MessageState::Queued => Badge::new(".", "queued", Tone::Plain),
        MessageState::Sending => Badge::new(">", "sending", Tone::Plain),
        MessageState::Accepted => Badge::new("+", "accepted", Tone::Ok),
        MessageState::Delivered => Badge::new("*", "delivered", Tone::Ok),
        MessageState::Failed => Badge::new("x", "failed", Tone::Critical),
        MessageState::Suppressed => Badge::new("-", "suppressed", Tone::Plain),
        MessageState::Expired => Badge::new("!", "expired", Tone::Warning),
        MessageState::Cancelled => Badge::new("/", "cancelled", Tone::Plain),
        MessageState::Unknown => Badge::new("?", "unknown", Tone::Unknown),
    }
}

/// The word for what an answer means.
pub fn outcome(class: Option<OutcomeClass>) -> Badge {
    match class {
        None => Badge::new(">", "under way", Tone::Plain),
        Some(OutcomeClass::Accepted) => Badge::new("+", "accepted", Tone::Ok),
        Some(OutcomeClass::Recipient) => Badge::new("-", "recipient", Tone::Plain),
        Some(OutcomeClass::Refused) => Badge::new("x", "refused", Tone::Critical),
        Some(OutcomeClass::Throttled) => Badge::new("=", "throttled", Tone::Warning),
        Some(OutcomeClass::NotSent) => Badge::new("!", "not sent", Tone::Warning),
        Some(OutcomeClass::Unknown) => Badge::new("?", "unknown", Tone::Unknown),
        Some(OutcomeClass::Unusable) => Badge::new("#", "unusable", Tone::Critical),
    }
}

/// The word for a level of the log.
pub fn level(level: Level) -> Badge {
    match level {
        Level::Info => Badge::new(" ", "info", Tone::Plain),
        Level::Warning => Badge::new("!", "warning", Tone::Warning),
        Level::Error => Badge::new("x", "error", Tone::Critical),
        Level::Unknown => Badge::new("?", "unknown", Tone::Unknown),
    }
}

/// The word alone.
pub fn level_word(of: Level) -> &'static str {
    level(of).word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_data_is_never_shown_as_plain_ok() {
        let aged = health(Health::Ok).aged(true);
        assert_ne!(aged, health(Health::Ok));
        assert_eq!((aged.glyph, aged.tone), ("?", Tone::Unknown));
    }

    #[test]
    fn states_differ_by_word_and_by_glyph_without_any_colour() {
        let badges = MessageState::ALL.map(message_state);
        for (i, a) in badges.iter().enumerate() {
            assert!(badges[i + 1..].iter().all(|b| a.glyph != b.glyph && a.word != b.word), "{}", a.word);
        }
    }
}
