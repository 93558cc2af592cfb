//! The states of a campaign: which act leads where, and the equation by which it ends.
//!
//! Promises that no act skips a check (a draft is never sent, an ended campaign runs again only to send what did not get
//! through) and that "finished" is reached by counting alone: every guest accounted for, nothing open, nothing in doubt.

use thiserror::Error;
use usher_common::model::{CampaignState, StateCounts};

/// Something that is done to a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its checks passed and somebody with the right to released it.
    Approve,
    /// It was changed, so what was approved is not what would be sent.
    Edit,
    /// It is given an hour that lies ahead.
    Schedule,
    /// It is taken off its hour.
    Unschedule,
    /// It starts: by hand, or because its hour has come.
    Start,
    /// Nothing new shall go out for now.
    Pause,
    /// It goes on.
    Resume,
    /// It shall stop for good.
    Cancel,
    /// What did not get through shall be sent again.
    Resend,
}

impl Event {
    /// All of them, in the order of a campaign's life.
    pub const ALL: [Self; 9] = [
        Self::Approve,
        Self::Edit,
        Self::Schedule,
        Self::Unschedule,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Cancel,
        Self::Resend,
    ];

    /// The verb on screen and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Edit => "edit",
            Self::Schedule => "schedule",
            Self::Unschedule => "unschedule",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Resend => "resend",
        }
    }
}

/// An act that the campaign's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot {} a campaign that is {state}: {}", event.as_str(), possible(.now))]
pub struct Refusal {
    /// Where it stands.
    pub state: CampaignState,
    /// What was asked.
    pub event: Event,
    /// What can be done instead.
    pub now: Vec<Event>,
}

fn possible(now: &[Event]) -> String {
    if now.is_empty() {
        return "nothing more can be done to it".to_owned();
    }
    let verbs: Vec<&str> = now.iter().map(|event| event.as_str()).collect();
    format!("what is possible now is {}", verbs.join(", "))
}

/// The state that `event` leads to.
pub fn next(state: CampaignState, event: Event) -> Result<CampaignState, Refusal> {
    allowed(state, event).ok_or_else(|| Refusal { state, event, now: possible_in(state) })
}

/// The acts that a state allows.
pub fn possible_in(state: CampaignState) -> Vec<Event> {
    Event::ALL.into_iter().filter(|&event| allowed(state, event).is_some()).collect()
}

fn allowed(state: CampaignState, event: Event) -> Option<CampaignState> {
    use CampaignState as S;
    Some(match (state, event) {
        (S::Draft, Event::Approve) | (S::Scheduled, Event::Unschedule) => S::Approved,
        (S::Draft | S::Approved | S::Scheduled, Event::Edit) => S::Draft,
        (S::Approved | S::Scheduled, Event::Schedule) => S::Scheduled,
        (S::Approved | S::Scheduled, Event::Start)
        | (S::Paused, Event::Resume)
        | (S::Running | S::Settling | S::Partial, Event::Resend) => S::Running,
        // What is settling has nothing left to send, so there is nothing to pause. What is paused stays so, with more to
        // send.
        (S::Running, Event::Pause) | (S::Paused, Event::Resend) => S::Paused,
        // A cancelled one may have messages in doubt; they are settled all the same.
        (S::Draft | S::Approved | S::Scheduled | S::Running | S::Paused | S::Settling, Event::Cancel) => S::Cancelled,
        _ => return None,
    })
}

/// The state of a campaign in which messages wait that was done with them: of what a provider lost after its end, some may go
/// another way.
pub fn reopened(state: CampaignState) -> Option<CampaignState> {
    use CampaignState as S;
    matches!(state, S::Settling | S::Partial | S::Finished).then_some(S::Running)
}

/// The equation: where counting takes a running campaign, or `None` while it goes on.
///
/// `expanded`: whether every guest of the audience has been turned into messages or counted as unreachable. `guests`:
/// how many messages that makes. `settled`: whether messages in doubt have been given up on, by rule or by an operator.
/// A sum that does not agree never ends a campaign: something is yet unaccounted for.
pub fn outcome(expanded: bool, guests: u64, counts: &StateCounts, settled: bool) -> Option<CampaignState> {
    if !expanded || counts.open() > 0 || counts.total() != guests {
        return None;
    }
    if counts.unknown > 0 && !settled {
        return Some(CampaignState::Settling);
    }
    if counts.failed + counts.expired + counts.unknown > 0 {
        return Some(CampaignState::Partial);
    }
    Some(CampaignState::Finished)
}

#[cfg(test)]
mod tests {
    use CampaignState as S;
    use Event as E;
    use proptest::prelude::*;
    use usher_common::model::MessageState;

    use super::*;

    const STATES: [S; 10] = [
        S::Draft,
        S::Approved,
        S::Scheduled,
        S::Running,
        S::Paused,
        S::Settling,
        S::Finished,
        S::Partial,
        S::Cancelled,
        S::Unknown,
    ];

    #[test]
    fn the_table_of_states_is_this_one() {
        let moves = [
            (S::Draft, vec![(E::Approve, S::Approved), (E::Edit, S::Draft), (E::Cancel, S::Cancelled)]),
            (
                S::Approved,
                vec![
                    (E::Edit, S::Draft),
                    (E::Schedule, S::Scheduled),
                    (E::Start, S::Running),
                    (E::Cancel, S::Cancelled),
                ],
            ),
            (
                S::Scheduled,
                vec![
                    (E::Edit, S::Draft),
                    (E::Schedule, S::Scheduled),
                    (E::Unschedule, S::Approved),
                    (E::Start, S::Running),
                    (E::Cancel, S::Cancelled),
                ],
            ),
            (S::Running, vec![(E::Pause, S::Paused), (E::Cancel, S::Cancelled), (E::Resend, S::Running)]),
            (S::Paused, vec![(E::Resume, S::Running), (E::Cancel, S::Cancelled), (E::Resend, S::Paused)]),
            (S::Settling, vec![(E::Cancel, S::Cancelled), (E::Resend, S::Running)]),
            (S::Finished, vec![]),
            (S::Partial, vec![(E::Resend, S::Running)]),
            (S::Cancelled, vec![]),
            (S::Unknown, vec![]),
        ];
        assert_eq!(moves.len(), STATES.len());
        for (state, expected) in moves {
            let found: Vec<(E, S)> = E::ALL.into_iter().filter_map(|e| next(state, e).ok().map(|s| (e, s))).collect();
            assert_eq!(found, expected, "{state}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_possible() {
        let refusal = next(S::Draft, E::Start).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "cannot start a campaign that is draft: what is possible now is approve, edit, cancel"
        );
        assert!(next(S::Finished, E::Resume).unwrap_err().to_string().contains("nothing more"));
    }

    #[test]
    fn the_equation_by_example() {
        let counts = |delivered, failed, unknown, queued| StateCounts {
            delivered,
            failed,
            unknown,
            queued,
            ..StateCounts::default()
        };
        for (expanded, guests, counts, settled, expected) in [
            (true, 3, counts(3, 0, 0, 0), false, Some(S::Finished)),
            (true, 0, counts(0, 0, 0, 0), false, Some(S::Finished)),
            (false, 3, counts(3, 0, 0, 0), false, None),
            (true, 3, counts(2, 0, 0, 1), false, None),
            (true, 4, counts(3, 0, 0, 0), false, None),
            (true, 3, counts(2, 1, 0, 0), false, Some(S::Partial)),
            (true, 3, counts(1, 1, 1, 0), false, Some(S::Settling)),
            (true, 3, counts(2, 0, 1, 0), true, Some(S::Partial)),
        ] {
            assert_eq!(outcome(expanded, guests, &counts, settled), expected, "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_ends_while_anything_is_open(
            numbers in proptest::collection::vec(0_u64..3, 10), more in 0_u64..2, expanded: bool, settled: bool,
        ) {
            let mut counts = StateCounts::default();
            for (state, n) in MessageState::ALL.into_iter().zip(numbers) {
                *counts.get_mut(state) = n;
            }
            let ended = outcome(expanded, counts.total() + more, &counts, settled);
            let accounted = expanded && more == 0 && counts.held + counts.queued + counts.sending == 0;
            prop_assert_eq!(ended.is_some(), accounted);
            if ended == Some(S::Finished) {
                prop_assert_eq!(counts.failed + counts.expired + counts.unknown, 0);
            }
            if ended.is_some_and(S::is_ended) {
                prop_assert!(counts.unknown == 0 || settled);
            }
        }

        #[test]
        fn an_ended_campaign_stays_ended_but_for_what_is_sent_again(
            start in 0_usize..10, events in proptest::collection::vec(0_usize..9, 0..20),
        ) {
            let mut state = STATES[start];
            for event in events {
                let before = state;
                state = next(state, E::ALL[event]).unwrap_or(state);
                let again = E::ALL[event] == E::Resend && before == S::Partial;
                prop_assert!(!before.is_ended() || state == before || again);
                let could = matches!(before, S::Approved | S::Scheduled | S::Paused | S::Running | S::Settling);
                prop_assert!(state != S::Running || could || again);
            }
        }
    }
}
