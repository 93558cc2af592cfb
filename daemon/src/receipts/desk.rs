//! Where reports are filed: each finds its message, the table says what becomes of it, and one commit keeps all of it.
//!
//! Promises: what [`Desk::file`] returns for is durable; a report that finds its message too early, or none, waits and is
//! tried again by [`Desk::match_again`]; a report is believed of a message only if it names what we know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use usher_common::model::{CampaignId, Channel, MessageId, MessageState, OutcomeClass, Timestamp};

use super::precedence::{Becomes, Reporter, Says, becomes};
use super::report::{Kind, Reason, Report};
use crate::clock::Clock;
use crate::failpoint;
use crate::guests::{EmailAddress, GuestBook, address_on};
use crate::store::{
    ALIKE, By, Error, HeldMessage, Lane, Orphan, OrphanRecord, ReceiptMove, ReceiptWrite, Store, SuppressionRecord,
};

/// Reports in one commit.
const PART: usize = 200;
/// Looks at what others change at the same time, before it is given up.
const LOOKS: usize = 16;
/// Waiting reports that are looked at together.
const ORPHANS: usize = 500;

/// Knows by which other channel a message may go.
pub trait Elsewhere: Send + Sync {
    /// The channel on which a message may go that `provider` could not bring to its guest; `None` where it has failed.
    fn elsewhere(&self, held: &HeldMessage, provider: &str) -> Option<Channel>;
}

/// Files reports. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    book: GuestBook,
    clock: Clock,
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// What reports came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filed {
    /// Campaigns of which messages moved, or guests did something with them.
    pub campaigns: BTreeSet<CampaignId>,
    /// Where messages wait again.
    pub lanes: BTreeSet<Lane>,
    /// Messages that moved.
    pub moved: u64,
    /// What the reports say that were not heard before.
    pub heard: Vec<Kind>,
    /// Reports that were heard before.
    pub doubled: u64,
    /// Reports that wait for their message.
    pub waiting: u64,
    /// Addresses that the reports suppress, those that were already among them.
    pub suppressed: u64,
}

impl Filed {
    pub(super) fn add(&mut self, other: Self) {
        self.campaigns.extend(other.campaigns);
        self.lanes.extend(other.lanes);
        self.moved += other.moved;
        self.heard.extend(other.heard);
        self.doubled += other.doubled;
        self.waiting += other.waiting;
        self.suppressed += other.suppressed;
    }
}

/// What is being put together for one commit.
#[derive(Default)]
struct Draft {
    write: ReceiptWrite,
    moving: BTreeMap<MessageId, ReceiptMove>,
    filed: Filed,
}

impl Desk {
    /// A desk over the guest book and its store.
    pub fn new(book: GuestBook, clock: Clock) -> Self {
        Self { book, clock, elsewhere: None }
    }

    /// The same, where what did not arrive may go by another channel.
    #[must_use]
    pub fn with_fallback(self, elsewhere: Arc<dyn Elsewhere>) -> Self {
        Self { elsewhere: Some(elsewhere), ..self }
    }

    pub(super) fn store(&self) -> &Store {
        self.book.store()
    }

    /// Files what a provider reported. Durable when it returns; an error means that part of it is not, and that it may be
    /// told again.
    pub async fn file(&self, provider: &str, reports: &[Report]) -> Result<Filed, Error> {
        let mut filed = Filed::default();
        for part in reports.chunks(PART) {
            filed.add(self.repeat(provider, |desk| desk.draft(provider, part)).await?);
        }
        Ok(filed)
    }

    /// Tries again what waits: everything, or what came since a time.
    pub async fn match_again(&self, since: Option<Timestamp>) -> Result<Filed, Error> {
        let mut filed = Filed::default();
        let mut after = since.map(|came| Orphan { came, event: [0; 16], record: nobody() });
        loop {
            let orphans = self.store().orphans(after.as_ref(), ORPHANS)?;
            let Some(last) = orphans.last().cloned() else { return Ok(filed) };
            let providers: BTreeSet<&str> = orphans.iter().map(|orphan| orphan.record.provider.as_str()).collect();
            for provider in providers {
                let of: Vec<&Orphan> = orphans.iter().filter(|orphan| orphan.record.provider == provider).collect();
                for part in of.chunks(PART) {
                    filed.add(self.repeat(provider, |desk| desk.draft_again(provider, part)).await?);
                }
            }
            after = Some(last);
        }
    }

    /// Clears away what is too old; how many reports found no message in their time.
    pub async fn sweep(&self) -> Result<u64, Error> {
        self.store().sweep_receipts(&by(), (self.clock.now(), self.clock.day())).await
    }

    /// Drafts and commits, anew where somebody else wrote meanwhile.
    async fn repeat(&self, provider: &str, draft: impl Fn(&Self) -> Result<Draft, Error>) -> Result<Filed, Error> {
        let mut looks = 0;
        loop {
            let Draft { mut write, moving, mut filed } = draft(self)?;
            for moved in moving.into_values() {
                filed.campaigns.insert(moved.from.campaign);
                filed.lanes.extend(moved.switch.map(|_| moved.lane()));
                filed.moved += 1;
                write.moves.push(moved);
            }
            filed.waiting += write.wait.len() as u64;
            filed.suppressed += write.suppress.len() as u64;
            let empty = write.moves.is_empty()
                && write.heard.is_empty()
                && write.suppress.is_empty()
                && write.deeds.is_empty()
                && write.wait.is_empty()
                && write.found.is_empty();
            if empty {
                return Ok(filed);
            }
            let at = (self.clock.now(), self.clock.day());
            failpoint::hit("receipts.before-commit");
            match self.store().record_receipts(&by(), provider, &write, at).await {
                Ok(()) => {
                    failpoint::hit("receipts.after-commit");
                    return Ok(filed);
                }
                Err(Error::Changed { .. }) if looks < LOOKS => looks += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn draft(&self, provider: &str, reports: &[Report]) -> Result<Draft, Error> {
        let (now, day) = (self.clock.now(), self.clock.day());
        let mut draft = Draft::default();
        let mut seen = BTreeSet::new();
        for report in reports {
            let event = event(provider, &report.event);
            if !seen.insert(event) || self.store().was_heard(&event, day)? {
                draft.filed.doubled += 1;
                continue;
            }
            draft.write.heard.push(event);
            draft.filed.heard.push(report.kind);
            let reason = report.kind.suppresses();
            let hash = report.recipient.as_ref().and_then(|(channel, to)| self.hash(*channel, to));
            if let (Some(reason), Some(hash)) = (reason, hash) {
                suppress(&mut draft.write, hash, reason, provider, &report.code, now);
            }
            let kept = OrphanRecord {
                provider: provider.to_owned(),
                message: report.message.map(|id| id.0),
                provider_id: report.provider_id.clone(),
                kind: report.kind.as_str().to_owned(),
                code: report.code.clone(),
                detail: report.detail.clone(),
                suppressed: hash.is_some(),
            };
            if self.apply(&mut draft, provider, &kept, report.kind, hash)? {
                draft.write.wait.push(Orphan { came: now, event, record: kept });
            }
        }
        Ok(draft)
    }

    fn draft_again(&self, provider: &str, orphans: &[&Orphan]) -> Result<Draft, Error> {
        let mut draft = Draft::default();
        for orphan in orphans {
            // A word of a newer version stays for it.
            let Some(kind) = Kind::of_word(&orphan.record.kind) else { continue };
            if !self.apply(&mut draft, provider, &orphan.record, kind, None)? {
                draft.write.found.push((*orphan).clone());
            }
        }
        Ok(draft)
    }

    /// Lets a report have its effect on its message. Whether it has to wait for that.
    fn apply(
        &self,
        draft: &mut Draft,
        provider: &str,
        report: &OrphanRecord,
        kind: Kind,
        hash: Option<[u8; 16]>,
    ) -> Result<bool, Error> {
        let deed = kind.deed();
        if kind.says() == Says::Nothing && deed.is_none() {
            return Ok(false);
        }
        let Some(held) = self.find(provider, report)? else {
            // Opens of strangers' letters, where an account is shared, must not push out what may still find its message.
            return Ok(kind.says() != Says::Nothing && (report.message.is_some() || !report.provider_id.is_empty()));
        };
        let id = held.id;
        let reporter = self.reporter(provider, report, hash, &held);
        let state = draft.moving.get(&id).map_or(held.state(), |moved| moved.to);
        let to = match becomes(state, reporter, kind.says()) {
            Becomes::Waits => return Ok(true),
            Becomes::Stays if deed.is_some() && state == MessageState::Sending && reporter != Reporter::Stranger => {
                return Ok(true);
            }
            Becomes::Stays => None,
            Becomes::Moves(to) => Some(to),
        };
        if reporter != Reporter::Stranger
            && let Some(reason) = kind.suppresses()
            && !report.suppressed
            && let Some(hash) = channel_of(provider, &held).and_then(|channel| self.guest_hash(&held, channel))
        {
            suppress(&mut draft.write, hash, reason, provider, &report.code, self.clock.now());
        }
        if let Some(deed) = deed.filter(|_| reporter != Reporter::Stranger) {
            let channel = channel_of(provider, &held).unwrap_or(held.record.channel);
            let done = draft.write.deeds.entry((held.campaign, id)).or_insert_with(|| (channel, BTreeSet::new()));
            done.1.insert(deed);
            draft.filed.campaigns.insert(held.campaign);
        }
        let Some(to) = to else { return Ok(false) };
        let why = match (to, kind) {
            (MessageState::Failed, _) => format!("{} ({})", kind.why(), report.code),
            (MessageState::Accepted, Kind::Doubtful) => kind.why().to_owned(),
            _ => String::new(),
        };
        let provider_id = report.provider_id.clone();
        let lost = matches!(kind, Kind::Failed | Kind::HardBounce | Kind::SoftBounce | Kind::WithheldBounced);
        let sent = matches!(state, MessageState::Accepted | MessageState::Unknown);
        let switch = (to == MessageState::Failed && lost && sent && reporter == Reporter::Holder)
            .then(|| self.elsewhere.as_ref()?.elsewhere(&held, provider))
            .flatten();
        let why = switch.map_or(why.clone(), |to| format!("{}: {why}; goes by {to}", held.record.channel));
        let moved = draft.moving.entry(id).or_insert_with(|| ReceiptMove {
            from: held,
            to,
            switch: None,
            why: String::new(),
            provider: provider.to_owned(),
            provider_id,
        });
        (moved.to, moved.switch, moved.why) = (to, switch, why);
        Ok(false)
    }

    fn find(&self, provider: &str, report: &OrphanRecord) -> Result<Option<HeldMessage>, Error> {
        if let Some(id) = report.message {
            return self.store().held(MessageId(id));
        }
        if report.provider_id.is_empty() {
            return Ok(None);
        }
        self.store().held_by(provider, &report.provider_id, self.clock.day())
    }

    /// What the reporter is to a message. Our ids are small numbers, and another installation that shares the account has
    /// the same ones: a report has to fit what we know besides.
    fn reporter(&self, provider: &str, report: &OrphanRecord, hash: Option<[u8; 16]>, held: &HeldMessage) -> Reporter {
        let asked: Vec<_> = held.record.attempts.iter().filter(|attempt| attempt.provider == provider).collect();
        let under_way = held.intent.as_ref().is_some_and(|intent| intent.provider == provider);
        let its_own = asked.iter().filter(|attempt| attempt.code != ALIKE);
        let mut known = its_own.map(|attempt| attempt.provider_id.as_str()).filter(|id| !id.is_empty()).peekable();
        let fits = if known.peek().is_some() && !report.provider_id.is_empty() {
            known.any(|id| report.provider_id.starts_with(id))
        } else {
            let own = hash.and_then(|_| self.guest_hash(held, held.record.channel));
            hash.zip(own).is_none_or(|(named, own)| named == own)
        };
        let may_hold = |class| matches!(class, OutcomeClass::Accepted | OutcomeClass::Unknown);
        if !fits {
            tracing::warn!(message = %held.id, provider, "a report names a message of ours and does not fit it: left alone");
            Reporter::Stranger
        } else if under_way || asked.iter().any(|attempt| may_hold(attempt.class)) {
            Reporter::Holder
        } else if asked.is_empty() {
            Reporter::Stranger
        } else {
            Reporter::Asked
        }
    }

    /// The suppression hash of an address as a provider writes it.
    pub(super) fn hash(&self, channel: Channel, address: &str) -> Option<[u8; 16]> {
        let address = match channel {
            Channel::Email => EmailAddress::parse(address).ok()?.stored,
            Channel::Sms | Channel::WhatsApp => Some(address).filter(|number| number.starts_with('+'))?.to_owned(),
            Channel::Slack => Some(address).filter(|id| !id.is_empty())?.to_owned(),
        };
        Some(self.book.suppression_hash(channel, &address))
    }

    /// The same of the guest's address as it is now.
    pub(super) fn guest_hash(&self, held: &HeldMessage, channel: Channel) -> Option<[u8; 16]> {
        let row = self.book.get(held.record.list, held.record.guest).ok()??;
        Some(self.book.suppression_hash(channel, address_on(&row.guest, channel)?))
    }
}

/// The channel by which a provider last had a message; `None` where another one has had it since, maybe by another way.
fn channel_of(provider: &str, held: &HeldMessage) -> Option<Channel> {
    let under_way = held.intent.as_ref().map(|intent| (&intent.provider, intent.channel));
    let last = held.record.attempts.last().map(|attempt| (&attempt.provider, held.record.channel));
    under_way.or(last).filter(|(by, _)| *by == provider).map(|(_, channel)| channel)
}

fn by() -> By {
    By { actor: "usherd".to_owned(), reason: "a provider's report".to_owned(), request_id: String::new() }
}

fn nobody() -> OrphanRecord {
    OrphanRecord {
        provider: String::new(),
        message: None,
        provider_id: String::new(),
        kind: String::new(),
        code: String::new(),
        detail: String::new(),
        suppressed: false,
    }
}

/// Names an event among all providers'.
fn event(provider: &str, event: &str) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(b"event\0").update(provider.as_bytes()).update(&[0]).update(event.as_bytes());
    let mut short = [0; 16];
    hash.finalize_xof().fill(&mut short);
    short
}

fn suppress(write: &mut ReceiptWrite, hash: [u8; 16], reason: Reason, provider: &str, code: &str, since: Timestamp) {
    if !write.suppress.iter().any(|(known, _)| *known == hash) {
        let evidence = format!("reported by {provider} ({code})");
        let record = SuppressionRecord { reason: reason.as_str().to_owned(), since, evidence };
        write.suppress.push((hash, record));
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
pub(super) mod tests;
