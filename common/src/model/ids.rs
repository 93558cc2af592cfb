//! Names for things: small numbers in the store, `c12` or `m4711` before human eyes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is no id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what} id: write {letter}12, or just 12")]
pub struct ParseIdError {
    /// What kind of thing was meant.
    pub what: &'static str,
    /// The letter that such ids begin with.
    pub letter: char,
    /// What was given instead.
    pub text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let trimmed = text.trim();
                trimmed.strip_prefix($letter).unwrap_or(trimmed).parse().map(Self).map_err(|_| ParseIdError {
                    what: $what,
                    letter: $letter,
                    text: text.to_owned(),
                })
            }
        }
    };
}

id!(
    /// A guest list.
    ListId, 'l', "guest list"
);
id!(
    /// A guest, unique in the whole daemon and never used again. It is also the name of the guest's sealing key.
    GuestId, 'g', "guest"
);
id!(
    /// A campaign.
    CampaignId, 'c', "campaign"
);
id!(
    /// One message to one guest by one channel, unique in the whole daemon.
    MessageId, 'm', "message"
);
id!(
    /// An incident: what somebody has to answer for, from the first alert to its end.
    IncidentId, 'i', "incident"
);

/// Which attempt at a message this is, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct AttemptNo(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_as_they_are_written_and_nothing_else_is() {
        assert_eq!(CampaignId(12).to_string().parse(), Ok(CampaignId(12)));
        assert_eq!("12".parse(), Ok(CampaignId(12)));
        let refused = "m12".parse::<CampaignId>().expect_err("another kind's letter");
        assert_eq!(refused.to_string(), "`m12` is not a campaign id: write c12, or just 12");
    }
}
