//! The providers' own record: what reached them, what they took, under which keys, and what they report of it.
//!
//! Whatever reached a provider goes on there by itself, also when the daemon that sent it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use usher_common::model::{MessageId, OutcomeClass};
use usherd::providers::{Answer, Scope};
use usherd::receipts::{Kind, Report};

use super::luck::Luck;
use super::plan::{Fault, Plan};
use super::story::Story;

/// What the daemon's adapters wait for an answer, in milliseconds.
pub(super) const PATIENCE: i64 = 10_000;
/// How long a provider that keeps keys keeps them.
pub(super) const KEYS_KEPT: i64 = 24 * 3_600_000;

/// One letter of a request, as it reached the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) message: u64,
    pub(super) attempt: u32,
    /// Which of the plan's campaigns it is of.
    pub(super) campaign: usize,
    pub(super) to: String,
}

/// A letter that was taken.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) company: usize,
    pub(super) letter: Letter,
}

/// A report on its way.
#[derive(Debug, Clone)]
pub(super) struct Mail {
    pub(super) company: usize,
    pub(super) message: u64,
    pub(super) to: String,
    pub(super) report: Report,
}

/// What the daemon has acknowledged of a message's reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) taken: bool,
    pub(super) arrived: bool,
    pub(super) lost: bool,
}

/// A request that a provider works on.
struct Flight {
    company: usize,
    key: String,
    body: [u8; 32],
    letters: Vec<(Letter, Answer)>,
}

/// An answer under a key.
struct Kept {
    body: [u8; 32],
    answers: Vec<Answer>,
    until: i64,
}

/// What comes of a request that has arrived.
pub(super) struct Arrival {
    /// The answers; none where nothing is ever answered.
    pub(super) answers: Option<Vec<Answer>>,
    /// When, in milliseconds from now.
    pub(super) after: i64,
}

struct Company {
    luck: Luck,
    keys: BTreeMap<String, Kept>,
    /// Addresses that were put off once.
    put_off: BTreeSet<String>,
}

/// All providers' books.
pub(super) struct Books {
    plan: Arc<Plan>,
    companies: Vec<Company>,
    flights: BTreeMap<(i64, u64), Flight>,
    taken: BTreeMap<u64, Vec<Taken>>,
    pub(super) mail: BTreeMap<(i64, u64), Mail>,
    pub(super) heard: BTreeMap<u64, Heard>,
    /// How often a message may have been sent again by an operator's word.
    pub(super) again: BTreeMap<u64, usize>,
    requests: u64,
    numbers: u64,
    /// Promises that were broken.
    pub(super) wrong: Vec<String>,
}

impl Books {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        let open = |company: &super::plan::Company| Company {
            luck: Luck::of(plan.seed, &company.name),
            keys: BTreeMap::new(),
            put_off: BTreeSet::new(),
        };
        Self {
            companies: plan.providers.iter().map(open).collect(),
            plan: Arc::clone(plan),
            flights: BTreeMap::new(),
            taken: BTreeMap::new(),
            mail: BTreeMap::new(),
            heard: BTreeMap::new(),
            again: BTreeMap::new(),
            requests: 0,
            numbers: 0,
            wrong: Vec::new(),
        }
    }

    /// Requests that have arrived.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// What was taken of a message.
    pub(super) fn of(&self, message: u64) -> &[Taken] {
        self.taken.get(&message).map_or(&[], Vec::as_slice)
    }

    /// Everything that was taken, by message.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &[Taken])> {
        self.taken.iter().map(|(message, taken)| (*message, taken.as_slice()))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// The fault that a request runs into now.
    fn fault(&mut self, now: i64, n: usize) -> Option<Fault> {
        let luck = &mut self.companies[n].luck;
        let troubles = &self.plan.providers[n].troubles;
        let hit = troubles.iter().find(|t| t.from <= now && now < t.until && luck.has(t.share));
        hit.map(|trouble| trouble.fault)
    }

    /// A request has arrived at a provider.
    pub(super) fn arrive(
        &mut self,
        now: i64,
        n: usize,
        (key, body, letters): (&str, [u8; 32], Vec<Letter>),
        story: &mut Story,
    ) -> Arrival {
        self.requests += 1;
        let plan = Arc::clone(&self.plan);
        let company = &plan.providers[n];
        let fault = self.fault(now, n);
        let luck = &mut self.companies[n].luck;
        let mut latency = luck.ms(company.latency / 2, company.latency * 2);
        if luck.has(0.02) {
            latency *= 8;
        }
        let all = |class, scope, code: &str| Some(vec![answer(class, scope, code); letters.len()]);
        let names: Vec<String> =
            letters.iter().map(|l| format!("m{}/{} c{} {}", l.message, l.attempt, l.campaign, l.to)).collect();
        story.tell(now, format_args!("{} is asked under {key}: {}; {fault:?}", company.name, names.join(", ")));
        match fault {
            Some(Fault::Refuses) => {
                return Arrival { answers: all(OutcomeClass::NotSent, None, "connect"), after: 1 };
            }
            Some(Fault::Locked) => {
                let answers = all(OutcomeClass::Unusable, Some(Scope::Account), "401");
                return Arrival { answers, after: latency };
            }
            Some(Fault::Throttles) => {
                let mut busy = answer(OutcomeClass::Throttled, Some(Scope::Account), "429");
                busy.retry_after = luck.has(0.5).then(|| Duration::from_secs(luck.within(1, 20)));
                return Arrival { answers: Some(vec![busy; letters.len()]), after: latency };
            }
            Some(Fault::ErrsBefore) => {
                return Arrival { answers: all(OutcomeClass::Unknown, None, "500"), after: latency };
            }
            Some(Fault::ResetsBefore) => {
                return Arrival { answers: all(OutcomeClass::Unknown, None, "reset"), after: latency };
            }
            _ => {}
        }
        if company.keeps_keys {
            if let Some(kept) = self.companies[n].keys.get(key).filter(|kept| now < kept.until) {
                if kept.body != body {
                    self.wrong.push(format!("{} saw other bytes under the key {key}", company.name));
                }
                return Arrival { answers: Some(kept.answers.clone()), after: latency };
            }
            if self.flights.values().any(|flight| flight.company == n && flight.key == key) {
                return Arrival { answers: all(OutcomeClass::Unknown, None, "409"), after: latency };
            }
        }
        let judged = self.judge(n, &letters);
        let luck = &mut self.companies[n].luck;
        let (takes_after, answers_after, says) = match fault {
            Some(Fault::Hangs) => (luck.has(0.5).then(|| luck.ms(0, 40_000)), None, None),
            Some(Fault::ResetsAfter) => (Some(latency / 2), Some(latency), Some("reset")),
            Some(Fault::ErrsAfter) => (Some(latency / 2), Some(latency), Some("500")),
            Some(Fault::Slow) => {
                let slow = luck.ms(3_000, 25_000);
                (Some(slow - latency.min(1_000)), Some(slow), None)
            }
            _ => (Some(latency / 2), Some(latency), None),
        };
        let answers: Vec<Answer> = judged.iter().map(|(_, answer)| answer.clone()).collect();
        if let Some(after) = takes_after {
            let id = self.number();
            let flight = Flight { company: n, key: key.to_owned(), body, letters: judged };
            self.flights.insert((now + after, id), flight);
        }
        match (answers_after, says) {
            (Some(after), Some(code)) if after < PATIENCE => {
                Arrival { answers: all(OutcomeClass::Unknown, None, code), after }
            }
            (Some(after), None) if after < PATIENCE => Arrival { answers: Some(answers), after },
            _ => Arrival { answers: None, after: PATIENCE },
        }
    }

    /// What a provider thinks of each letter.
    fn judge(&mut self, n: usize, letters: &[Letter]) -> Vec<(Letter, Answer)> {
        let seed = self.plan.seed;
        let mut judged = Vec::with_capacity(letters.len());
        for letter in letters {
            let number = self.number();
            let mut nature = Luck::of(seed, &letter.to);
            let company = &mut self.companies[n];
            let said = match nature.within(0, 39) {
                0 => answer(OutcomeClass::Recipient, Some(Scope::Recipient), "unknown-user"),
                1 if n.is_multiple_of(2) => answer(OutcomeClass::Unusable, Some(Scope::Region), "region"),
                2 => answer(OutcomeClass::Refused, None, "content"),
                3 if company.put_off.insert(letter.to.clone()) => {
                    answer(OutcomeClass::Throttled, Some(Scope::Recipient), "greylisted")
                }
                _ => {
                    let mut taken = answer(OutcomeClass::Accepted, None, "202");
                    taken.provider_id = format!("{}-{number}", self.plan.providers[n].name);
                    taken
                }
            };
            judged.push((letter.clone(), said));
        }
        let bad = judged.iter().any(|(_, answer)| answer.class != OutcomeClass::Accepted);
        if bad && letters.len() > 1 && self.companies[n].luck.has(0.5) {
            for (_, said) in &mut judged {
                *said = answer(OutcomeClass::Refused, None, "422");
            }
        }
        judged
    }

    /// Lets everything happen that is due until `now`.
    pub(super) fn advance(&mut self, now: i64, story: &mut Story) {
        while let Some(flight) = self.flights.first_entry().filter(|first| first.key().0 <= now) {
            let ((at, _), flight) = flight.remove_entry();
            self.take(at, flight, story);
        }
    }

    /// The daemon is gone: of what was on its way some does not arrive.
    pub(super) fn cut_off(&mut self, luck: &mut Luck) {
        self.flights.retain(|_, _| luck.has(0.7));
    }

    fn take(&mut self, at: i64, flight: Flight, story: &mut Story) {
        let plan = Arc::clone(&self.plan);
        let company = &plan.providers[flight.company];
        let mut any = false;
        for (letter, answer) in &flight.letters {
            if answer.class != OutcomeClass::Accepted {
                continue;
            }
            any = true;
            story.tell(at, format_args!("{} takes m{} as {}", company.name, letter.message, answer.provider_id));
            let taken = self.taken.entry(letter.message).or_default();
            taken.push(Taken { company: flight.company, letter: letter.clone() });
            let times = taken.len();
            let allowed = 1 + self.again.get(&letter.message).copied().unwrap_or(0);
            if times > allowed {
                let by: Vec<&str> =
                    self.of(letter.message).iter().map(|t| plan.providers[t.company].name.as_str()).collect();
                self.wrong.push(format!("m{} was sent {times} times, by {}", letter.message, by.join(" and ")));
            }
            if company.reports {
                self.write_home(at, flight.company, letter, &answer.provider_id);
            }
        }
        if any && company.keeps_keys {
            let answers = flight.letters.iter().map(|(_, answer)| answer.clone()).collect();
            let kept = Kept { body: flight.body, answers, until: at + KEYS_KEPT };
            self.companies[flight.company].keys.insert(flight.key, kept);
        }
    }

    /// Thinks of what a provider will report of a letter, and when.
    fn write_home(&mut self, at: i64, n: usize, letter: &Letter, provider_id: &str) {
        let luck = &mut self.companies[n].luck;
        let mut kinds = Vec::new();
        if luck.has(0.5) {
            kinds.push(Kind::Sent);
        }
        match luck.within(0, 99) {
            0..=69 => kinds.push(Kind::Delivered),
            70..=75 => kinds.push(Kind::SoftBounce),
            76..=79 => kinds.push(Kind::HardBounce),
            80..=81 => kinds.extend([Kind::Delivered, Kind::HardBounce]),
            82..=84 => kinds.extend([Kind::Delivered, Kind::Complaint]),
            85..=87 => kinds.extend([Kind::Delivered, Kind::OptOut]),
            88..=90 => kinds.push(Kind::Doubtful),
            _ => {}
        }
        let late = luck.one(&[50, 3_000, 120_000]);
        for kind in kinds {
            let luck = &mut self.companies[n].luck;
            let mut due = vec![at + luck.ms(0, late)];
            while luck.has(0.15) {
                due.push(at + luck.ms(0, 2 * late));
            }
            let company = &self.plan.providers[n];
            let event = format!("{provider_id}-{}", kind.as_str());
            let report = Report {
                event,
                message: company.echoes.then_some(MessageId(letter.message)),
                provider_id: provider_id.to_owned(),
                recipient: Some((company.channel, letter.to.clone())),
                kind,
                at: None,
                code: "r".to_owned(),
                detail: String::new(),
            };
            let mail = Mail { company: n, message: letter.message, to: letter.to.clone(), report };
            for due in due {
                let id = self.number();
                self.mail.insert((due, id), mail.clone());
            }
        }
    }

    /// The daemon has acknowledged a report.
    pub(super) fn acknowledged(&mut self, mail: &Mail) {
        if !self.plan.providers[mail.company].echoes {
            return;
        }
        let heard = self.heard.entry(mail.message).or_default();
        match mail.report.kind {
            Kind::Delivered => heard.arrived = true,
            Kind::SoftBounce | Kind::HardBounce => heard.lost = true,
            _ => heard.taken = true,
        }
    }
}

/// An answer without an id.
pub(super) fn answer(class: OutcomeClass, scope: Option<Scope>, code: &str) -> Answer {
    let (detail, provider_id) = (String::new(), String::new());
    Answer { class, scope, code: code.to_owned(), detail, provider_id, retry_after: None }
}
