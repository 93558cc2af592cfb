//! What becomes of a message after a report: a table, and nothing else. Reports come late, twice and in any order.
//!
//! What a message can become is ordered: taken, then arrived, then lost. A report only ever moves it up, so the order in
//! which reports come does not matter, nor how often they do: a bounce after "delivered" counts, a "delivered" after a bounce
//! does not.

use usher_common::model::MessageState;

/// What a report says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// The provider took it.
    Taken,
    /// It arrived.
    Arrived,
    /// It will not arrive.
    Lost,
    /// Nothing.
    Nothing,
}

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The provider that took the message, or may have.
    Holder,
    /// One that was asked, and is not known to have taken it.
    Asked,
    /// One that was never asked for this message.
    Stranger,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// Nothing.
    Stays,
    /// It is too early: an attempt is under way, and its own outcome comes first.
    Waits,
    /// The message moves.
    Moves(MessageState),
}

/// What becomes of a message that is `state` after `reporter` says this.
pub fn becomes(state: MessageState, reporter: Reporter, says: Says) -> Becomes {
    use MessageState as S;
    match (state, reporter, says) {
        (_, Reporter::Stranger, _) | (_, _, Says::Nothing) => Becomes::Stays,
        (S::Sending, ..) => Becomes::Waits,
        // What waits was thought not to have gone out: once it is known to have gone, it must not go again.
        (S::Queued | S::Held | S::Unknown, _, Says::Taken) => Becomes::Moves(S::Accepted),
        (S::Queued | S::Held | S::Unknown | S::Accepted, _, Says::Arrived) => Becomes::Moves(S::Delivered),
        // One of several that were asked may have lost it; whoever took it has not.
        (S::Unknown | S::Accepted | S::Delivered, Reporter::Holder, Says::Lost) => Becomes::Moves(S::Failed),
        // Nothing new; or a permanent failure, which stands; or what was never sent, whatever is said of it.
        _ => Becomes::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Becomes::{Moves, Stays, Waits};
    use MessageState as S;
    use Reporter::{Asked, Holder, Stranger};
    use Says::{Arrived, Lost, Nothing, Taken};

    const SAYS: [Says; 4] = [Taken, Arrived, Lost, Nothing];

    #[test]
    fn the_whole_table() {
        // By state: what taken, arrived and lost make of it, said by the holder and by one that was asked.
        let table = [
            (
                S::Held,
                [Moves(S::Accepted), Moves(S::Delivered), Stays],
                [Moves(S::Accepted), Moves(S::Delivered), Stays],
            ),
            (
                S::Queued,
                [Moves(S::Accepted), Moves(S::Delivered), Stays],
                [Moves(S::Accepted), Moves(S::Delivered), Stays],
            ),
            (S::Sending, [Waits; 3], [Waits; 3]),
            (S::Accepted, [Stays, Moves(S::Delivered), Moves(S::Failed)], [Stays, Moves(S::Delivered), Stays]),
            (S::Delivered, [Stays, Stays, Moves(S::Failed)], [Stays; 3]),
            (S::Failed, [Stays; 3], [Stays; 3]),
            (S::Suppressed, [Stays; 3], [Stays; 3]),
            (S::Expired, [Stays; 3], [Stays; 3]),
            (S::Cancelled, [Stays; 3], [Stays; 3]),
            (
                S::Unknown,
                [Moves(S::Accepted), Moves(S::Delivered), Moves(S::Failed)],
                [Moves(S::Accepted), Moves(S::Delivered), Stays],
            ),
        ];
        assert_eq!(table.len(), S::ALL.len());
        for (state, holder, asked) in table {
            let row = |reporter| [Taken, Arrived, Lost].map(|says| becomes(state, reporter, says));
            assert_eq!(row(Holder), holder, "{state}");
            assert_eq!(row(Asked), asked, "{state}");
            assert_eq!(row(Stranger), [Stays; 3], "{state}");
            for reporter in [Holder, Asked, Stranger] {
                assert_eq!(becomes(state, reporter, Nothing), Stays, "{state}");
            }
        }
    }

    fn after(state: S, says: &[Says]) -> S {
        says.iter().fold(state, |state, says| match becomes(state, Holder, *says) {
            Moves(to) => to,
            _ => state,
        })
    }

    #[test]
    fn neither_order_nor_number_of_reports_matters() {
        let worst = |state: S, says: &[Says]| {
            let lost = says.contains(&Lost);
            let arrived = says.contains(&Arrived) || state == S::Delivered;
            let taken = says.contains(&Taken) || state == S::Accepted;
            match (lost, arrived, taken) {
                (true, ..) => S::Failed,
                (_, true, _) => S::Delivered,
                (_, _, true) => S::Accepted,
                _ => state,
            }
        };
        for state in [S::Unknown, S::Accepted, S::Delivered] {
            for a in SAYS {
                for b in SAYS {
                    for c in SAYS {
                        for order in [vec![a], vec![a, b], vec![a, b, c], vec![a, b, c, a], vec![c, c, b, a]] {
                            assert_eq!(after(state, &order), worst(state, &order), "{state} {order:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_settled_message_is_never_in_doubt_or_waiting_again() {
        for state in S::ALL {
            for reporter in [Holder, Asked, Stranger] {
                for says in SAYS {
                    if let Moves(to) = becomes(state, reporter, says) {
                        assert!(matches!(to, S::Accepted | S::Delivered | S::Failed), "{state} {says:?} {to}");
                        assert_ne!(state, S::Failed);
                    }
                }
            }
        }
    }
}
