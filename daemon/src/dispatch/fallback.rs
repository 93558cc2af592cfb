//! Another channel, where a message's own does not reach its guest. Only in campaigns that use one channel a guest, only onto
//! channels that the organisation names (`fallback_to`), and only where the gate would let the message through there.
//!
//! It happens in two cases: a provider says that it cannot reach this recipient, and then at once; or for `fallback_after_minutes`
//! no provider of the channel takes anything. Who is held stays. A message goes down its guest's order of channels, never back
//! up, and never where an attempt of it may have been taken: then it would be told twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::model::{CampaignState, Channel, MessageId, OutcomeClass, Reach, Timestamp};
use usher_common::protocol::Level;

use super::courier;
use super::shared::Shared;
use crate::campaigns::compose::Kit;
use crate::campaigns::ways;
use crate::failpoint;
use crate::receipts::Elsewhere;
use crate::store::{AuditEntry, Claim, ClaimId, Error, HeldMessage, Lane, MessageRecord, Next};

/// Channels are looked at this often.
const LOOK: Duration = Duration::from_secs(5);
/// The same, and how long a channel is silent before, where the daemon was told to hurry.
const HURRY: Duration = Duration::from_millis(200);
/// A lane of which nothing could change is looked at again after this.
const REST: Duration = Duration::from_mins(1);
/// Messages that change in one commit.
const PART: usize = 200;
/// How long their claims last.
const LEASE: Duration = Duration::from_mins(1);

/// Lets waiting messages change their channel, until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut silent: BTreeMap<(Channel, u64), Duration> = BTreeMap::new();
    let mut rests: BTreeMap<Lane, Duration> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(failpoint::hurried(LOOK, HURRY)) => {}
        }
        let now = shared.clock.mono();
        rests.retain(|_, until| now < *until);
        let lanes = shared.lanes();
        silent.retain(|(channel, organisation), _| !shared.takes(*channel, *organisation));
        for (lane, state) in lanes {
            let whose = (lane.channel, state.organisation);
            if shared.takes(whose.0, whose.1) {
                continue;
            }
            let since = silent.entry(whose).or_insert(now);
            let over = now.saturating_sub(*since);
            if rests.contains_key(&lane) || shared.held(lane, state.organisation).is_some() || stop.is_cancelled() {
                continue;
            }
            match move_on(&shared, (lane, state.organisation), over).await {
                Ok(Moved::None) => drop(rests.insert(lane, now + REST)),
                Ok(Moved::Some | Moved::NoneThere) => {}
                Err(error) => return shared.fail(format!("messages could not change their channel: {error}")),
            }
        }
    }
}

/// What a look at a lane came to.
enum Moved {
    /// Some messages changed their channel.
    Some,
    /// None could.
    None,
    /// It was not their time, or none was there.
    NoneThere,
}

/// Moves what waits in a lane whose channel has been silent for so long.
async fn move_on(shared: &Shared, (lane, organisation): (Lane, u64), silent: Duration) -> Result<Moved, Error> {
    let Ok(kit) = shared.kit(lane.campaign) else { return Ok(Moved::NoneThere) };
    let after = failpoint::hurried(kit.organisation.fallback_after, HURRY);
    if kit.organisation.fallback_to.is_empty() || silent < after {
        return Ok(Moved::NoneThere);
    }
    let why = format!("no provider takes {} for {} minutes", lane.channel, silent.as_secs() / 60);
    let mut moved: BTreeMap<Channel, usize> = BTreeMap::new();
    let mut stay: Vec<ClaimId> = Vec::new();
    let done = loop {
        // Those too that wait for a later try.
        let ever = Timestamp(i64::MAX);
        let claims = match shared.store().claim(lane, (PART, PART), "fallback", ever, shared.clock.mono(), LEASE) {
            Ok(claims) if claims.is_empty() => break Ok(()),
            Ok(claims) => claims,
            Err(error) => break Err(error),
        };
        let mut changes: Vec<(Claim, Next)> = Vec::new();
        for claim in claims {
            match shared.way_down(&kit, claim.id.message, &claim.record).filter(|to| shared.takes(*to, organisation)) {
                Some(to) => changes.push((claim, Next::Switch { to, why: format!("{why}: goes by {to}") })),
                None => stay.push(claim.id),
            }
        }
        for (_, next) in &changes {
            *moved.entry(next.lane(lane).channel).or_default() += 1;
        }
        if !changes.is_empty() {
            courier::refuse(shared, lane, &changes, audit(lane, &changes, &why)).await;
        }
    };
    shared.let_go(lane, &stay);
    shared.wake.notify_one();
    for (to, n) in &moved {
        let text = format!("{why}: {n} messages go by {to} instead");
        shared.board.tell(shared.clock.now(), Level::Warning, format!("campaign {}", lane.campaign), text);
    }
    done.map(|()| match (moved.is_empty(), stay.is_empty()) {
        (false, _) => Moved::Some,
        (true, false) => Moved::None,
        (true, true) => Moved::NoneThere,
    })
}

fn audit(lane: Lane, changes: &[(Claim, Next)], why: &str) -> Vec<AuditEntry> {
    let ids: Vec<String> = changes.iter().map(|(claim, _)| claim.id.message.to_string()).collect();
    let object = format!("{} {}", lane.campaign, lane.channel);
    vec![AuditEntry::Act { act: "message.fallback".to_owned(), object, detail: format!("{why}: {}", ids.join(" ")) }]
}

impl Shared {
    /// Whether a provider of a channel takes messages of an organisation now.
    fn takes(&self, channel: Channel, organisation: u64) -> bool {
        self.accounts().iter().any(|account| {
            account.channel() == channel && self.carries(account) && account.refuses_until(organisation).is_none()
        })
    }

    /// What becomes of a lane's messages when no provider of its channel takes them, for whoever asks why they wait.
    pub(super) fn another_way(&self, lane: Lane) -> Option<String> {
        let kit = self.kit(lane.campaign).ok()?;
        let after = kit.channels.iter().skip_while(|channel| **channel != lane.channel).skip(1);
        let ways: Vec<&str> =
            after.filter(|to| kit.organisation.fallback_to.contains(to)).map(|to| to.as_str()).collect();
        let minutes = kit.organisation.fallback_after.as_secs() / 60;
        (kit.reach == Reach::Preferred && !ways.is_empty())
            .then(|| format!(" (after {minutes} minutes they go by {}, where it reaches the guest)", ways.join(" or ")))
    }

    /// What becomes of a message after an answer by which it failed: it goes by the next channel of its guest, where it may.
    pub(super) fn or_down(&self, next: Next, class: OutcomeClass, kit: &Kit, claim: &Claim) -> Next {
        let unreachable = matches!(class, OutcomeClass::Recipient | OutcomeClass::Unusable);
        let Next::Failed { why } = &next else { return next };
        if !unreachable {
            return next;
        }
        match self.way_down(kit, claim.id.message, &claim.record) {
            Some(to) => Next::Switch { to, why: format!("{}: {why}; goes by {to}", claim.record.channel) },
            None => next,
        }
    }

    /// The channel that comes after a message's own, if it may go there.
    fn way_down(&self, kit: &Kit, id: MessageId, record: &MessageRecord) -> Option<Channel> {
        let allowed = &kit.organisation.fallback_to;
        let told = record.attempts.iter().any(|attempt| attempt.class == OutcomeClass::Unknown);
        if allowed.is_empty() || kit.reach != Reach::Preferred || told {
            return None;
        }
        let row = self.campaigns.book().get(record.list, record.guest).ok()??;
        let ways = ways(&kit.channels, &row.guest);
        let after = ways.into_iter().skip_while(|channel| *channel != record.channel).skip(1);
        let mut open = after.filter(|to| allowed.contains(to) && may_take(kit, *to));
        open.find(|to| {
            let letter = courier::composed_letter(self, kit, record.list, record.guest, *to, id);
            let passes = letter.is_ok_and(|(letter, suppressed)| kit.gate(&letter, suppressed.as_deref()).is_ok());
            passes && self.accounts().iter().any(|account| account.channel() == *to)
        })
    }
}

impl Elsewhere for Shared {
    fn elsewhere(&self, held: &HeldMessage, provider: &str) -> Option<Channel> {
        let kit = self.kit(held.campaign).ok()?;
        let mut record = held.record.clone();
        // What was in doubt is so no longer: its provider says that it will not arrive.
        record.attempts.retain(|attempt| attempt.provider != provider);
        let row = self.store().campaign(held.campaign).ok()?.record;
        let over = row.deleted.is_some()
            || row.state == CampaignState::Cancelled
            || row.expires.is_some_and(|expires| self.clock.now() >= expires);
        if over { None } else { self.way_down(&kit, held.id, &record) }
    }
}

/// Words of our own reach a guest on WhatsApp only after the guest has written.
fn may_take(kit: &Kit, channel: Channel) -> bool {
    channel != Channel::WhatsApp || kit.approved.is_some()
}
