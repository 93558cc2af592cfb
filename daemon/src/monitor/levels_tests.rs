//! Service levels by table: where each event counts, and that a story gives the same figures however it is read.

use super::super::sli::Counts;
use super::*;
use usher_common::model::{AttemptNo, GuestId, ListId, MessageId};

use crate::store::{AttemptRecord, MessageRecord};

const T: i64 = 1_800_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp(T + seconds * 1_000)
}

fn attempt(no: u32, provider: &str, class: OutcomeClass, started: Timestamp) -> AttemptRecord {
    AttemptRecord {
        no: AttemptNo(no),
        provider: provider.into(),
        started,
        class,
        code: String::new(),
        detail: String::new(),
        provider_id: String::new(),
        latency_ms: 100,
        barred: false,
    }
}

fn message(id: u64, state: MessageState, attempts: Vec<AttemptRecord>) -> ToldMessage {
    let record = MessageRecord {
        state,
        guest: GuestId(id),
        list: ListId(1),
        channel: Channel::Email,
        changed: at(0),
        retry_at: None,
        why: String::new(),
        attempts,
    };
    ToldMessage { id: MessageId(id), campaign: CampaignId(7), record }
}

struct House {
    levels: Levels,
    lsn: u64,
}

impl House {
    fn new() -> Self {
        let carries = [("a".to_owned(), Channel::Email), ("b".to_owned(), Channel::Email)].into();
        Self { levels: Levels::new(carries), lsn: 0 }
    }

    fn hear(&mut self, seconds: i64, told: Told) {
        self.lsn += 1;
        self.levels.hear(&Chapter { lsn: self.lsn, time: at(seconds), told: vec![told] });
    }

    fn outcome(&mut self, seconds: i64, class: OutcomeClass, state: MessageState, id: u64) {
        let last = attempt(1, "a", class, at(seconds));
        self.hear(seconds, Told::Outcome { provider: "a".into(), class, message: message(id, state, vec![last]) });
    }

    fn counts(&mut self, object: &Object) -> (u64, u64) {
        let Counts { good, bad } = self.levels.of(object).map_or(Counts::default(), |sli| sli.counts(Window::Hours24));
        (good, bad)
    }
}

fn provider() -> Object {
    Object::Provider("a".into())
}

#[test]
fn each_class_counts_where_it_should() {
    use MessageState as S;
    use OutcomeClass as C;
    // Class, state that follows, what the provider is charged with, what the message is.
    let table = [
        (C::Accepted, S::Accepted, (1, 0), (1, 0), 0),
        (C::NotSent, S::Queued, (0, 1), (0, 0), 0),
        (C::NotSent, S::Failed, (0, 1), (0, 1), 0),
        (C::Unusable, S::Queued, (0, 1), (0, 0), 0),
        (C::Throttled, S::Queued, (0, 0), (0, 0), 0),
        (C::Recipient, S::Failed, (0, 0), (0, 0), 1),
        (C::Refused, S::Failed, (0, 0), (0, 0), 1),
        (C::Unknown, S::Unknown, (0, 1), (0, 1), 0),
    ];
    for (class, state, charged, is, excluded) in table {
        let mut house = House::new();
        house.outcome(0, class, state, 1);
        assert_eq!(house.counts(&provider()), charged, "{class:?}");
        for object in [Object::All, Object::Channel(Channel::Email), Object::Campaign(CampaignId(7))] {
            assert_eq!(house.counts(&object), is, "{class:?} {object}");
        }
        let found = house.levels.of(&Object::All).map_or(0, Sli::excluded);
        assert_eq!(found, excluded, "{class:?}");
    }
}

#[test]
fn what_is_in_doubt_is_bad_until_it_is_settled_and_counts_once() {
    let ways = [
        (OutcomeClass::Accepted, MessageState::Accepted, (1, 0), (1, 0)),
        (OutcomeClass::NotSent, MessageState::Failed, (0, 1), (0, 1)),
        (OutcomeClass::Unknown, MessageState::Queued, (0, 1), (0, 0)),
        (OutcomeClass::Unknown, MessageState::Unknown, (0, 1), (0, 1)),
    ];
    for (class, state, charged, is) in ways {
        let mut house = House::new();
        house.outcome(0, OutcomeClass::Unknown, MessageState::Unknown, 1);
        house.outcome(600, class, state, 1);
        assert_eq!((house.counts(&provider()), house.counts(&Object::All)), (charged, is), "{class:?} {state:?}");
    }
    // A report settles it too, and one that comes twice settles nothing twice.
    let mut house = House::new();
    house.outcome(0, OutcomeClass::Unknown, MessageState::Unknown, 1);
    for _ in 0..2 {
        let told = message(1, MessageState::Delivered, vec![attempt(1, "a", OutcomeClass::Unknown, at(0))]);
        house.hear(60, Told::Report { provider: "a".into(), message: told });
    }
    assert_eq!((house.counts(&provider()), house.counts(&Object::All)), ((1, 0), (1, 0)));
}

#[test]
fn what_waited_through_an_outage_of_its_whole_channel_is_late() {
    let turn = |house: &mut House, seconds: i64, name: &str, open: bool| {
        let open_until = open.then(|| at(seconds + 60));
        let record = BreakerRecord { since: at(seconds), open_until, recovering: false, opens: 1, cause: 0 };
        house.hear(seconds, Told::Breaker { provider: name.into(), record });
    };
    for (both, seconds, good) in [(true, 299, 1), (true, 301, 0), (false, 1_000, 1)] {
        let mut house = House::new();
        house.hear(0, Told::Campaign { id: CampaignId(7), state: CampaignState::Running });
        turn(&mut house, 10, "a", true);
        if both {
            turn(&mut house, 10, "b", true);
        }
        turn(&mut house, 10 + seconds, "a", false);
        house.outcome(11 + seconds, OutcomeClass::Accepted, MessageState::Accepted, 1);
        assert_eq!(house.counts(&Object::All), (good, 1 - good), "{both} {seconds}");
        let used = house.levels.uptime("a", at(11 + seconds));
        assert!((used - (1.0 - seconds as f64 / 86_400.0)).abs() < 1e-6, "{used}");
    }
}

#[test]
fn what_was_tried_for_longer_than_five_minutes_is_late_but_not_for_a_recipient_that_asked_to_wait() {
    for (class, seconds, good) in
        [(OutcomeClass::NotSent, 299, 1), (OutcomeClass::NotSent, 301, 0), (OutcomeClass::Throttled, 3_000, 1)]
    {
        let mut house = House::new();
        let attempts = vec![attempt(1, "a", class, at(0)), attempt(2, "a", OutcomeClass::Accepted, at(seconds))];
        let told = message(1, MessageState::Accepted, attempts);
        house.hear(seconds, Told::Outcome { provider: "a".into(), class: OutcomeClass::Accepted, message: told });
        assert_eq!(house.counts(&Object::All), (good, 1 - good), "{class:?} {seconds}");
    }
}

#[test]
fn a_story_that_is_told_again_changes_nothing_and_goes_on_where_it_was_kept() {
    let mut whole = House::new();
    let mut half = House::new();
    for n in 0..40_u64 {
        let (class, state) = match n % 4 {
            0 => (OutcomeClass::Unknown, MessageState::Unknown),
            1 => (OutcomeClass::NotSent, MessageState::Queued),
            _ => (OutcomeClass::Accepted, MessageState::Accepted),
        };
        // Each fifth is one that was in doubt.
        let id = if n % 5 == 0 { n.saturating_sub(4) } else { n };
        whole.outcome(n as i64, class, state, id);
        if n == 20 {
            let kept: Vec<(Object, Sli)> =
                whole.levels.all().map(|(object, sli)| (object.clone(), Sli::resume(&sli.kept()))).collect();
            half.levels.resume(whole.lsn, whole.levels.memory().clone(), kept);
            half.lsn = whole.lsn;
        }
        if n > 20 {
            half.outcome(n as i64, class, state, id);
            let before = half.levels.clone();
            half.lsn -= 1;
            half.outcome(n as i64, class, state, id);
            assert_eq!(half.levels, before, "told twice");
        }
    }
    assert_eq!(half.levels, whole.levels);
}

#[test]
fn campaigns_that_are_quiet_for_the_longest_make_room() {
    let mut house = House::new();
    for n in 0..CAMPAIGNS as u64 + 5 {
        let mut told =
            message(n, MessageState::Accepted, vec![attempt(1, "a", OutcomeClass::Accepted, at(n as i64 * 7_200))]);
        told.campaign = CampaignId(n);
        let outcome = Told::Outcome { provider: "a".into(), class: OutcomeClass::Accepted, message: told };
        house.hear(n as i64 * 7_200, outcome);
        house.levels.advance(at(n as i64 * 7_200));
    }
    let kept = house.levels.all().filter(|(object, _)| matches!(object, Object::Campaign(_))).count();
    assert_eq!(kept, CAMPAIGNS);
    assert!(house.levels.of(&Object::Campaign(CampaignId(CAMPAIGNS as u64 + 4))).is_some());
}
