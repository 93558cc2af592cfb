//! What the daemon says of a campaign, beside what the providers themselves recorded.

use std::collections::HashMap;

use usher_common::model::{CampaignId, MessageState};
use usher_demo::Desk;
use usher_sim::Record;

/// Entries of the record that are looked at together.
const PAGE: usize = 10_000;

/// What came of a campaign's messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Taken by a provider, by the daemon's word.
    pub(crate) accepted: u64,
    /// In doubt.
    pub(crate) unknown: u64,
    /// Given up, each with a reason that the daemon tells.
    pub(crate) failed: u64,
    /// Waiting or under way.
    pub(crate) open: u64,
    /// Called taken that no provider took, taken by one and called given up, given up without a reason, or not there at all.
    pub(crate) lost: u64,
    /// Taken more than once.
    pub(crate) twice: u64,
}

/// Compares the books of a campaign to `expected` guests with the record of a simulator that
/// nobody else used.
pub(crate) async fn balance(
    desk: &Desk,
    campaign: CampaignId,
    record: &Record,
    expected: usize,
) -> anyhow::Result<Balance> {
    let rows = desk.messages(campaign).await?;
    // What the daemon says comes first: what is taken after that is open in its books, and no contradiction.
    let said = rows.iter().map(|row| (row.id.to_string(), Said { state: row.state, reason: !row.why.is_empty() }));
    Ok(compare(&said.collect(), &taken(record), expected))
}

/// How often each message was taken, by whomever.
fn taken(record: &Record) -> HashMap<String, u64> {
    let mut taken = HashMap::new();
    let mut from = 0;
    loop {
        let entries = record.entries(from, PAGE);
        let Some(last) = entries.last() else { return taken };
        from = last.sequence + 1;
        for entry in entries {
            // An entry without our id belongs to no message: it counts as one that went astray.
            *taken.entry(entry.message.unwrap_or_default()).or_default() += 1;
        }
    }
}

/// What the daemon says of a message.
#[derive(Debug, Clone, Copy)]
struct Said {
    state: MessageState,
    /// Whether it says why.
    reason: bool,
}

fn compare(said: &HashMap<String, Said>, taken: &HashMap<String, u64>, expected: usize) -> Balance {
    let mut balance = Balance { lost: (expected as u64).saturating_sub(said.len() as u64), ..Balance::default() };
    for (id, said) in said {
        let taken = taken.contains_key(id);
        match said.state {
            MessageState::Accepted | MessageState::Delivered => {
                balance.accepted += 1;
                balance.lost += u64::from(!taken);
            }
            // Taken or not: that is what it means.
            MessageState::Unknown => balance.unknown += 1,
            MessageState::Held | MessageState::Queued | MessageState::Sending => balance.open += 1,
            MessageState::Failed | MessageState::Suppressed | MessageState::Expired => {
                balance.failed += 1;
                balance.lost += u64::from(taken || !said.reason);
            }
            MessageState::Cancelled => balance.lost += u64::from(taken),
        }
    }
    balance.lost += taken.keys().filter(|id| !said.contains_key(*id)).count() as u64;
    balance.twice = taken.values().map(|times| times - 1).sum();
    balance
}

#[cfg(test)]
mod tests {
    use MessageState::{Accepted, Cancelled, Failed, Queued, Sending, Unknown};

    use super::*;

    fn judged(said: &[(&str, MessageState)], taken: &[(&str, u64)], expected: usize) -> Balance {
        let said = said.iter().map(|(id, state)| ((*id).to_owned(), Said { state: *state, reason: true })).collect();
        let taken = taken.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
        compare(&said, &taken, expected)
    }

    #[test]
    fn what_agrees_is_neither_lost_nor_twice() {
        let said = [("a", Accepted), ("b", Unknown), ("c", Unknown), ("d", Cancelled), ("e", Queued), ("f", Sending)];
        let balance = judged(&said, &[("a", 1), ("b", 1), ("f", 1)], 6);
        assert_eq!(balance, Balance { accepted: 1, unknown: 2, open: 2, ..Balance::default() });
        let given_up = judged(&[("a", Failed)], &[], 1);
        assert_eq!(given_up, Balance { failed: 1, ..Balance::default() }, "given up with a reason");
    }

    #[test]
    fn each_way_to_be_lost_counts_and_so_does_each_time_too_often() {
        let lost = |balance: Balance| (balance.lost, balance.twice);
        assert_eq!(lost(judged(&[("a", Accepted)], &[], 1)), (1, 0), "called taken");
        assert_eq!(lost(judged(&[("a", Failed)], &[("a", 1)], 1)), (1, 0), "called given up");
        assert_eq!(lost(judged(&[("a", Cancelled)], &[("a", 1)], 1)), (1, 0), "called cancelled");
        assert_eq!(lost(judged(&[], &[("x", 1)], 0)), (1, 0), "nobody's");
        assert_eq!(lost(judged(&[("a", Accepted)], &[("a", 3)], 2)), (1, 2), "one is missing, one came three times");
        let silent = HashMap::from([("a".to_owned(), Said { state: Failed, reason: false })]);
        assert_eq!(lost(compare(&silent, &HashMap::new(), 1)), (1, 0), "given up, and nobody says why");
    }
}
