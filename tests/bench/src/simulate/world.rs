//! The world outside the daemon: its time, the providers' books, what operators know, and the story of all that.
//!
//! It outlives every life of the daemon. What is done to it after a life's end is not done: a task that was not yet dropped
//! changes nothing any more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use usher_common::model::{CampaignId, Verdict};
use usherd::providers::Prepared;

use super::books::{Arrival, Books, Letter, Mail};
use super::luck::Luck;
use super::plan::{Act, Plan};
use super::story::Story;

/// Stopping a campaign promises something about a second; what was judged before may go out within two.
const STOPS_WITHIN: i64 = 2_500;

/// The world.
pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    inner: Mutex<Inner>,
    /// Something is to be delivered, or was.
    pub(super) post: Notify,
    /// The daemon's life is over.
    over: Notify,
}

/// What changes in the world.
pub(super) struct Inner {
    time: Time,
    alive: bool,
    pub(super) story: Story,
    pub(super) books: Books,
    pub(super) office: Office,
    /// Reports that were handed to the daemon, which has not answered.
    handed: BTreeMap<u64, Vec<Mail>>,
    luck: Luck,
}

enum Time {
    Stands(i64),
    Runs { from: i64, since: Instant },
}

/// Where a campaign stands with its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    ToCreate,
    ToApprove,
    ToSend,
    Sent,
    /// The daemon has said no, and for good.
    Refused,
}

/// A campaign as its operator knows it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: Option<CampaignId>,
    pub(super) progress: Progress,
    /// Since when the daemon has said that it does not send.
    pub(super) stopped: Option<i64>,
    /// How often somebody wanted it to go on.
    pub(super) turn: u64,
    /// Whether cancelling it was tried, and whether the daemon said that it is.
    pub(super) cancel_tried: bool,
    pub(super) cancelled: bool,
    /// Messages that a report or an operator may have made fail, so that they may be sent again.
    pub(super) lost: Vec<u64>,
    /// Acts that send again what failed, and have begun and not ended.
    pub(super) resending: usize,
}

/// What operators know and want.
pub(super) struct Office {
    pub(super) imported: bool,
    pub(super) campaigns: Vec<Known>,
    /// Acts to be done, by their number.
    pub(super) acts: BTreeMap<usize, (i64, Act)>,
    /// Acts that were begun and not answered.
    pub(super) begun: BTreeMap<usize, (i64, Act)>,
    /// What operators have said of messages, or tried to.
    pub(super) said: BTreeMap<u64, Vec<Verdict>>,
    /// Since when an address must not be written to, as far as the daemon has acknowledged it.
    pub(super) suppressed: BTreeMap<String, i64>,
}

impl World {
    /// A world at its beginning.
    pub(super) fn new(plan: Arc<Plan>, aloud: bool) -> Arc<Self> {
        let known = Known {
            id: None,
            progress: Progress::ToCreate,
            stopped: None,
            turn: 0,
            cancel_tried: false,
            cancelled: false,
            lost: Vec::new(),
            resending: 0,
        };
        let office = Office {
            imported: false,
            campaigns: vec![known; plan.campaigns.len()],
            acts: plan.acts.iter().copied().enumerate().collect(),
            begun: BTreeMap::new(),
            said: BTreeMap::new(),
            suppressed: BTreeMap::new(),
        };
        let inner = Inner {
            time: Time::Stands(0),
            alive: false,
            story: Story::new(aloud),
            books: Books::new(&plan),
            office,
            handed: BTreeMap::new(),
            luck: Luck::of(plan.seed, "world"),
        };
        Arc::new(Self { plan, inner: Mutex::new(inner), post: Notify::new(), over: Notify::new() })
    }

    /// The world, at this moment.
    pub(super) fn now(&self) -> MutexGuard<'_, Inner> {
        // A seed whose check panicked is over; what it leaves is only read.
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *guard;
        let at = inner.at();
        inner.books.advance(at, &mut inner.story);
        guard
    }

    /// A life begins, within its runtime.
    pub(super) fn begin(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let from = inner.at();
        // The end of an earlier life is none of this one's.
        let _ = self.over.notified().now_or_never();
        inner.time = Time::Runs { from, since: Instant::now() };
        inner.alive = true;
    }

    /// The life is over; whoever waits for that is told why.
    pub(super) fn end(&self, why: fmt::Arguments<'_>) {
        let mut guard = self.now();
        if guard.alive {
            guard.tell(format_args!("{why}"));
            guard.alive = false;
            guard.time = Time::Stands(guard.at());
            self.over.notify_one();
        }
    }

    /// The daemon is asked to stop.
    pub(super) fn ask(&self, why: fmt::Arguments<'_>) {
        let mut guard = self.now();
        guard.tell(format_args!("{why}"));
        self.over.notify_one();
    }

    /// Waits for the life's end.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    /// Nothing runs for so long.
    pub(super) fn rest(&self, ms: i64) {
        let mut guard = self.now();
        let inner = &mut *guard;
        let at = inner.at();
        inner.books.cut_off(&mut inner.luck);
        inner.time = Time::Stands(at + ms);
        let begun = std::mem::take(&mut inner.office.begun);
        for (number, (_, act)) in begun {
            // Who got no answer asks again, or gives it up.
            if inner.luck.has(0.7) {
                inner.office.acts.insert(number, (at + ms + 1_000, act));
            }
        }
        for known in &mut inner.office.campaigns {
            known.resending = 0;
        }
        for (_, mail) in std::mem::take(&mut inner.handed) {
            let after = inner.luck.ms(0, 30_000);
            inner.post_again(mail, after);
        }
    }

    /// Sleeps until a moment of the world.
    pub(super) async fn until(&self, at: i64) {
        let wait = at - self.now().at();
        tokio::time::sleep(Duration::from_millis(wait.max(0).unsigned_abs())).await;
    }
}

impl Inner {
    /// Milliseconds from the beginning.
    pub(super) fn at(&self) -> i64 {
        match &self.time {
            Time::Stands(at) => *at,
            Time::Runs { from, since } => from + since.elapsed().as_millis() as i64,
        }
    }

    /// Whether a daemon lives that can do something.
    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }

    /// Something happens.
    pub(super) fn tell(&mut self, what: fmt::Arguments<'_>) {
        let at = self.at();
        self.story.tell(at, what);
    }

    /// A promise was broken.
    pub(super) fn wrong(&mut self, what: String) {
        self.tell(format_args!("WRONG: {what}"));
        self.books.wrong.push(what);
    }

    /// A request goes out to a provider; none arrives of a daemon that lives no more.
    pub(super) fn arrive(&mut self, n: usize, request: &Prepared, letters: Vec<Letter>) -> Option<Arrival> {
        if !self.alive {
            return None;
        }
        for letter in &letters {
            self.may_go(letter.campaign, letter.message, &letter.to);
        }
        let now = self.at();
        Some(self.books.arrive(now, n, (&request.key, request.hash, letters), &mut self.story))
    }

    /// Looks whether a request may go out now, as far as operators and guests were told.
    fn may_go(&mut self, campaign: usize, message: u64, to: &str) {
        let now = self.at();
        let stopped = self.office.campaigns[campaign].stopped;
        if let Some(since) = stopped.filter(|since| now - since > STOPS_WITHIN) {
            self.wrong(format!("m{message} of c{campaign} goes out {} ms after it was stopped", now - since));
        }
        let suppressed = self.office.suppressed.get(to).copied();
        if let Some(since) = suppressed.filter(|since| now - since > STOPS_WITHIN) {
            self.wrong(format!("m{message} goes to {to} {} ms after that was suppressed", now - since));
        }
    }

    /// A report or an operator may make a message fail.
    pub(super) fn may_fail(&mut self, campaign: usize, message: u64) {
        let known = &mut self.office.campaigns[campaign];
        known.lost.push(message);
        if known.resending > 0 {
            *self.books.again.entry(message).or_default() += 1;
        }
    }

    /// The campaign of a message that a provider has.
    pub(super) fn campaign_of(&self, message: u64) -> Option<usize> {
        self.books.of(message).first().map(|taken| taken.letter.campaign)
    }

    /// Reports that are due, and when the next one is.
    pub(super) fn due_mail(&mut self, most: usize) -> (Vec<Mail>, Option<i64>) {
        let now = self.at();
        let mut due = Vec::new();
        while due.len() < most
            && let Some(first) = self.books.mail.first_entry().filter(|first| first.key().0 <= now)
            && due.last().is_none_or(|mail: &Mail| mail.company == first.get().company)
        {
            due.push(first.remove());
        }
        (due, self.books.mail.keys().next().map(|(at, _)| *at))
    }

    /// Reports are handed to the daemon.
    pub(super) fn hand_over(&mut self, mail: Vec<Mail>) -> u64 {
        let number = self.books.number();
        self.handed.insert(number, mail);
        number
    }

    /// The daemon has answered.
    pub(super) fn handed_over(&mut self, number: u64) {
        self.handed.remove(&number);
    }

    /// Whether any report is on its way.
    pub(super) fn has_mail(&self) -> bool {
        !self.handed.is_empty() || !self.books.mail.is_empty()
    }

    /// Somebody sends again what has failed of a campaign.
    pub(super) fn resends(&mut self, campaign: usize) {
        let known = &mut self.office.campaigns[campaign];
        known.resending += 1;
        let mut lost = known.lost.clone();
        lost.sort_unstable();
        lost.dedup();
        for message in lost {
            *self.books.again.entry(message).or_default() += 1;
        }
    }

    /// Reports were not acknowledged: they are told again later.
    pub(super) fn post_again(&mut self, mail: Vec<Mail>, after: i64) {
        let at = self.at() + after;
        for mail in mail {
            let number = self.books.number();
            self.books.mail.insert((at, number), mail);
        }
    }
}
