//! Looking for messages in doubt in their provider's own list. One that is there was accepted; one that is not was not taken,
//! where that is proved.
//!
//! A list that does not carry our ids shows equal messages to one recipient as alike. So what is listed counts as ours only if it
//! is no other message's of ours, and only if as many are listed as are looked for or under way with the same words to the same
//! recipient: else nobody can say whose it is, and its report is waited for.

use std::collections::HashMap;

use usher_common::model::{MessageId, OutcomeClass};

use super::account::Account;
use super::courier;
use super::next::{Situation, next};
use super::shared::Shared;
use crate::providers::{Answer, Found, Outgoing};
use crate::store::{ALIKE, Error, Next, OpenIntent, OutcomeWrite};

/// Look-ups at once.
const AT_ONCE: usize = 8;

/// Looks for messages that a provider may have taken: what that settles.
pub(super) async fn look_up(
    shared: &Shared,
    account: &Account,
    members: &[OpenIntent],
    proves: bool,
) -> Result<Vec<OutcomeWrite>, Error> {
    let mut writes: Vec<OutcomeWrite> = Vec::new();
    for part in members.chunks(AT_ONCE) {
        let sought: Vec<(&OpenIntent, Outgoing)> =
            part.iter().filter_map(|open| Some((open, letter(shared, open)?))).collect();
        let asked = sought.iter().map(|(open, letter)| account.provider.find(letter, open.intent.started));
        let found = futures_util::future::join_all(asked).await;
        // What became of others is read after the lists: what is listed is under way by then, or known to be theirs.
        let alike = Alike::read(shared, account)?;
        for ((open, letter), found) in sought.iter().zip(found) {
            writes.extend(judge(shared, account, (open, letter), found, &alike, proves)?);
        }
    }
    Ok(writes)
}

/// Messages that are under way or in doubt at a provider, by recipient and words.
struct Alike(HashMap<(String, String), Vec<Open>>);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    id: MessageId,
    in_doubt: bool,
}

impl Alike {
    fn read(shared: &Shared, account: &Account) -> Result<Self, Error> {
        let mut alike: HashMap<(String, String), Vec<Open>> = HashMap::new();
        for open in shared.store().open_intents()? {
            if open.intent.provider == account.provider.name()
                && let Some(letter) = letter(shared, &open)
            {
                alike
                    .entry((letter.to, letter.text))
                    .or_default()
                    .push(Open { id: open.message.id, in_doubt: open.in_doubt });
            }
        }
        Ok(Self(alike))
    }

    /// Those like this one, in order; itself among them.
    fn to(&self, letter: &Outgoing) -> &[Open] {
        self.0.get(&(letter.to.clone(), letter.text.clone())).map_or(&[], Vec::as_slice)
    }
}

/// What a message's attempt was; `None` where it cannot be made again.
fn letter(shared: &Shared, open: &OpenIntent) -> Option<Outgoing> {
    let (record, id) = (&open.message.record, open.message.id);
    let kit = shared.kit(open.message.campaign).ok()?;
    let (letter, _) = courier::composed_letter(shared, &kit, record.list, record.guest, record.channel, id).ok()?;
    Some(courier::outgoing(&kit, letter, id, open.intent.attempt))
}

fn judge(
    shared: &Shared,
    account: &Account,
    (open, letter): (&OpenIntent, &Outgoing),
    found: Found,
    alike: &Alike,
    proves: bool,
) -> Result<Option<OutcomeWrite>, Error> {
    let (fits, others, complete) = match found {
        Found::Listed { fits, others, complete } => (fits, others, complete),
        Found::NotOffered => return Ok(None),
        Found::Failed(why) => {
            tracing::debug!(provider = account.provider.name(), why, "a message in doubt could not be looked for");
            return Ok(None);
        }
    };
    let (free, given) = nobodys(shared, account, fits, open.message.id)?;
    let alike = alike.to(letter);
    match whose(&free, alike, open.message.id) {
        Whose::Ours(id) => {
            let code = if alike.len() > 1 || given { ALIKE } else { "found" };
            let mut attempt = open.came_to(OutcomeClass::Accepted, code, "found in the provider's list".to_owned());
            attempt.provider_id = id;
            Ok(Some(open.outcome(attempt, Next::Accepted, true)))
        }
        // Whatever else is listed must be known to be another's.
        Whose::Nobodys if complete && proves && nobodys(shared, account, others, open.message.id)?.0.is_empty() => {
            Ok(Some(absent(shared, account, open)))
        }
        Whose::Nobodys | Whose::Unclear => Ok(None),
    }
}

/// Those of a provider's ids that no other message of ours has; and whether one that has one was given it among its like.
fn nobodys(
    shared: &Shared,
    account: &Account,
    ids: Vec<String>,
    ours: MessageId,
) -> Result<(Vec<String>, bool), Error> {
    let (mut free, mut given) = (Vec::new(), false);
    for id in ids {
        let whose = shared.store().held_by(account.provider.name(), &id, shared.clock.day())?;
        match whose.filter(|held| held.id != ours) {
            None => free.push(id),
            Some(held) => given |= held.record.attempts.iter().any(|attempt| attempt.code == ALIKE),
        }
    }
    Ok((free, given))
}

/// Whose the messages are that a list has and that are nobody's yet.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// This one is ours.
    Ours(String),
    /// There are none.
    Nobodys,
    /// There are fewer of them than of ours, or some of ours are under way and will be answered with theirs.
    Unclear,
}

fn whose(free: &[String], alike: &[Open], ours: MessageId) -> Whose {
    if free.is_empty() {
        return Whose::Nobodys;
    }
    // Each of those that are alike has one, nobody knows which; told in the same order, each is given another.
    let place = alike.iter().position(|open| open.id == ours).unwrap_or(alike.len());
    let settled = free.len() >= alike.len() && alike.iter().all(|open| open.in_doubt);
    match free.get(place) {
        Some(id) if settled => Whose::Ours(id.clone()),
        _ => Whose::Unclear,
    }
}

fn absent(shared: &Shared, account: &Account, open: &OpenIntent) -> OutcomeWrite {
    let absent = Answer {
        class: OutcomeClass::NotSent,
        scope: None,
        code: "absent".to_owned(),
        detail: "not in the provider's own list of what it took".to_owned(),
        provider_id: String::new(),
        retry_after: None,
    };
    let attempt = open.came_to(absent.class, &absent.code, absent.detail.clone());
    let situation = Situation {
        now: shared.clock.now(),
        expires: None,
        backoff: account.backoff(attempt.no.0),
        elsewhere: true,
        alternative: true,
        in_batch: false,
    };
    open.outcome(attempt, next(&absent, &situation), false)
}

impl Shared {
    /// Whether a provider's list is looked into.
    pub(super) fn looks_into(&self, account: &Account) -> bool {
        !self.settings.absent_after.is_zero() && account.traits().lookup
    }

    /// Whether a message has to be found by its provider's id: for reports that come without ours, and for lists that do.
    pub(super) fn goes_by_its_id(&self, account: &Account) -> bool {
        !account.provider.echoes() || self.looks_into(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_a_message_that_may_be_another_s() {
        let ids = |n: usize| -> Vec<String> { (0..n).map(|n| format!("SM{n}")).collect() };
        let open = |n, in_doubt| Open { id: MessageId(n), in_doubt };
        let (a, b) = (MessageId(4), MessageId(7));
        let (one, two, under_way) = (open(4, true), open(7, true), open(7, false));
        assert_eq!(whose(&ids(0), &[one], a), Whose::Nobodys);
        assert_eq!(whose(&ids(1), &[one], a), Whose::Ours("SM0".into()));
        assert_eq!(whose(&ids(1), &[one, two], a), Whose::Unclear);
        assert_eq!(whose(&ids(1), &[one, two], b), Whose::Unclear);
        assert_eq!(whose(&ids(2), &[one, two], a), Whose::Ours("SM0".into()));
        assert_eq!(whose(&ids(2), &[one, two], b), Whose::Ours("SM1".into()));
        assert_eq!(whose(&ids(2), &[one, under_way], a), Whose::Unclear, "its answer comes with its own");
    }
}
