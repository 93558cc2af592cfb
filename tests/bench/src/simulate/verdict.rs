//! The verdict: when all is quiet, what the daemon says is held against the providers' books and its operators' memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use usher_common::model::{CampaignId, CampaignState, Channel, MessageState, OutcomeClass, Verdict};
use usherd::store::{CampaignRow, OpenIntent, Store, StoredMessage};

use super::books::{Heard, Taken};
use super::life::Daemon;
use super::world::{Inner, Known, Progress, World};

/// How often it is looked whether all is over.
const LOOK: Duration = Duration::from_secs(5);
/// By then everything has come to its end, once nothing breaks any more, in milliseconds.
const WEDGED_AFTER: i64 = 5 * 3_600_000;
/// How long nothing more has to happen: reports that came too early are looked at again within two seconds.
const QUIET: i64 = 5_000;
/// So long an attempt in doubt is asked about where keys are kept; the daemon trusts them for less than that.
const ASKED_FOR: i64 = 23 * 3_600_000;
/// How long after everything else the last of these may take.
const ASKING: i64 = 15 * 60_000;

/// Waits until everything is over, and judges it.
pub(super) async fn when_done(world: &World, daemon: &Daemon) -> anyhow::Result<()> {
    let mut quiet_since = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = world.now().at();
        if world.broken() {
            return Ok(());
        }
        let open = open(world, daemon)?;
        if now > world.plan.calm_at && open.is_empty() {
            let since = *quiet_since.get_or_insert(now);
            let mut late = asked(world, daemon)?;
            let rows = daemon.shared.provider_rows();
            let busy = rows.iter().filter(|row| row.in_flight > 0);
            late.extend(busy.map(|row| format!("{} has {} requests under way", row.name, row.in_flight)));
            if late.is_empty() && now - since >= QUIET {
                return judge(world, daemon);
            }
            if now - since > ASKING {
                world.now().wrong(format!("still not done when all else is: {}", late.join(", ")));
                return Ok(());
            }
        } else {
            quiet_since = None;
        }
        if now > world.plan.calm_at + WEDGED_AFTER {
            world.now().wrong(format!("nothing moves any more: {}", open.join("; ")));
            return Ok(());
        }
    }
}

impl World {
    fn broken(&self) -> bool {
        !self.now().books.wrong.is_empty()
    }
}

/// What is not yet over, in words.
fn open(world: &World, daemon: &Daemon) -> anyhow::Result<Vec<String>> {
    let guard = world.now();
    let mut open = Vec::new();
    if !guard.office.acts.is_empty() || !guard.office.begun.is_empty() {
        open.push("operators have something to do".to_owned());
    }
    if guard.has_mail() {
        open.push("reports are on their way".to_owned());
    }
    let store = daemon.campaigns.book().store();
    for (n, known) in guard.office.campaigns.iter().enumerate() {
        match known.progress {
            Progress::Refused => continue,
            Progress::Sent => {}
            before => {
                open.push(format!("c{n} is {before:?}"));
                continue;
            }
        }
        let Some(id) = known.id else { continue };
        let state = store.campaign(id)?.record.state;
        let counts = store.campaign_counts(id)?.total();
        if !state.is_ended() || counts.open() > 0 {
            open.push(format!("c{n} is {state}: {counts:?}"));
        }
    }
    Ok(open)
}

/// Messages in doubt about which their provider can be asked, and must be.
fn asked(world: &World, daemon: &Daemon) -> anyhow::Result<Vec<String>> {
    let guard = world.now();
    let now = daemon.clock.now();
    let mut requests: BTreeMap<String, Vec<OpenIntent>> = BTreeMap::new();
    for intent in daemon.campaigns.book().store().open_intents()? {
        requests.entry(intent.intent.key.clone()).or_default().push(intent);
    }
    let mut asked = Vec::new();
    for members in requests.into_values() {
        let first = &members[0].intent;
        let by = |company: &usize| world.plan.providers[*company].name == first.provider;
        let Some(n) = (0..world.plan.providers.len()).find(by) else { continue };
        let company = &world.plan.providers[n];
        let complete = members.len() == first.of as usize;
        let in_time = now.millis_since(first.started) < ASKED_FOR;
        let allowed = members.iter().all(|member| {
            let record = &member.message.record;
            let guest = daemon.campaigns.book().get(record.list, record.guest).ok().flatten();
            let address =
                guest.and_then(|row| usherd::guests::address_on(&row.guest, record.channel).map(str::to_owned));
            address.is_some_and(|address| !guard.office.suppressed.contains_key(&address))
        });
        // One that is refused now says nothing of what was taken then; and what another one took, before an operator had it sent
        // again, this one may refuse for ever.
        let campaign = daemon.campaigns.book().store().campaign(members[0].message.campaign)?.record;
        let over = campaign.state == CampaignState::Cancelled || campaign.expires.is_some_and(|expires| now >= expires);
        let took = |member: &OpenIntent| guard.books.of(member.message.id.0).iter().any(|taken| taken.company == n);
        let takes = !over && members.iter().all(took);
        if company.keeps_keys && complete && in_time && allowed && takes {
            let doubt =
                |member: &OpenIntent| format!("{} in doubt, though {} keeps keys", member.message.id, company.name);
            asked.extend(members.iter().map(doubt));
        }
    }
    Ok(asked)
}

/// One campaign at its end.
struct Case<'a> {
    n: usize,
    id: CampaignId,
    row: CampaignRow,
    known: &'a Known,
    messages: Vec<StoredMessage>,
}

/// Judges everything.
fn judge(world: &World, daemon: &Daemon) -> anyhow::Result<()> {
    let store = daemon.campaigns.book().store().clone();
    let mut guard = world.now();
    let inner = &mut *guard;
    let mut wrong = Vec::new();
    let mut known_messages = BTreeSet::new();
    let mut taken_by_counts = 0;
    let campaigns = inner.office.campaigns.clone();
    for (n, known) in campaigns.iter().enumerate() {
        let Some(id) = known.id else { continue };
        if known.progress == Progress::Refused && store.campaign(id)?.record.state == CampaignState::Draft {
            continue;
        }
        let messages = all_messages(&store, id)?;
        known_messages.extend(messages.iter().map(|message| message.id.0));
        let case = Case { n, id, row: store.campaign(id)?, known, messages };
        equation(&store, &case, &mut wrong)?;
        taken_by_counts += recount(&store, inner, &case, &mut wrong)?;
        audience(world, daemon, &case, &mut wrong)?;
        for message in &case.messages {
            truth(world, inner, &case, message, &mut wrong);
            let providers: Vec<&str> = message.record.attempts.iter().map(|a| a.provider.as_str()).collect();
            inner.tell(format_args!("c{n} {} {} {providers:?} {}", message.id, message.state(), message.record.why));
        }
        inner.tell(format_args!("c{n} is {}", case.row.record.state));
    }
    for (message, taken) in inner.books.all() {
        if !known_messages.contains(&message) {
            wrong.push(format!("m{message} was sent {} times, and the daemon does not know it", taken.len()));
        }
    }
    let doubt: BTreeSet<u64> = store.open_intents()?.iter().map(|open| open.message.id.0).collect();
    let unknown = store.campaigns()?.iter().map(|row| store.campaign_counts(row.id)).collect::<Result<Vec<_>, _>>()?;
    let unknown: u64 = unknown.iter().map(|counts| counts.total().unknown).sum();
    if unknown != doubt.len() as u64 {
        wrong.push(format!("{unknown} messages are in doubt and {} intents are open", doubt.len()));
    }
    let day = daemon.clock.day();
    let by_day = (day - 3..=day + 3).map(|day| store.accepted_on(day)).sum::<Result<u64, _>>()?;
    if by_day != taken_by_counts {
        wrong.push(format!("{by_day} were accepted by the days and {taken_by_counts} by the providers"));
    }
    for one in wrong {
        inner.wrong(one);
    }
    Ok(())
}

fn all_messages(store: &Store, id: CampaignId) -> anyhow::Result<Vec<StoredMessage>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.messages(id, None, after, 500).context("reading messages")?;
        all.extend(page.messages);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Every guest is accounted for, by state, and the sum agrees.
fn equation(store: &Store, case: &Case<'_>, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let n = case.n;
    let counts = store.campaign_counts(case.id)?.total();
    let record = &case.row.record;
    if record.messages != counts.total() || record.messages != case.messages.len() as u64 {
        let rows = case.messages.len();
        wrong.push(format!("c{n} has {} messages, {} by state, {rows} rows", record.messages, counts.total()));
    }
    let ended = record.state;
    let bad = counts.failed + counts.expired + counts.unknown;
    let right = match ended {
        CampaignState::Finished => bad == 0,
        CampaignState::Cancelled => case.known.cancel_tried,
        // One that a report has mended afterwards may stay partial until the next look.
        CampaignState::Partial => true,
        _ => false,
    };
    if !right {
        wrong.push(format!("c{n} is {ended} with {counts:?}"));
    }
    if case.known.cancelled && ended != CampaignState::Cancelled {
        wrong.push(format!("c{n} was cancelled by the daemon's word, and is {ended}"));
    }
    Ok(())
}

/// Counters are what a count over rows gives; how many were taken by them.
fn recount(store: &Store, inner: &Inner, case: &Case<'_>, wrong: &mut Vec<String>) -> anyhow::Result<u64> {
    let n = case.n;
    let counts = store.campaign_counts(case.id)?;
    let mut states: BTreeMap<(Channel, MessageState), u64> = BTreeMap::new();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let mut providers: BTreeMap<(Channel, String), u64> = BTreeMap::new();
    let mut plain = true;
    for message in &case.messages {
        let record = &message.record;
        *states.entry((record.channel, message.state())).or_default() += 1;
        if matches!(record.state, MessageState::Failed | MessageState::Suppressed | MessageState::Expired) {
            let cut: String = record.why.chars().take(80).collect();
            *reasons.entry(cut).or_default() += 1;
        }
        let by = record.attempts.iter().filter(|attempt| attempt.class == OutcomeClass::Accepted);
        for attempt in by {
            *providers.entry((record.channel, attempt.provider.clone())).or_default() += 1;
        }
        plain &= !inner.office.said.contains_key(&message.id.0) && !inner.books.again.contains_key(&message.id.0);
    }
    for (channel, by_state) in &counts.states {
        for state in MessageState::ALL {
            let rows = states.get(&(*channel, state)).copied().unwrap_or(0);
            if by_state.get(state) != rows {
                wrong.push(format!("c{n} counts {} {channel} {state}, and has {rows} rows", by_state.get(state)));
            }
        }
    }
    if counts.reasons != reasons {
        wrong.push(format!("c{n} counts reasons {:?}, and its rows have {reasons:?}", counts.reasons));
    }
    if plain && counts.providers != providers {
        wrong.push(format!("c{n} counts {:?} taken, and its rows have {providers:?}", counts.providers));
    }
    Ok(counts.providers.values().sum())
}

/// Everybody who was invited has one message by each way, and nobody else has any.
fn audience(world: &World, daemon: &Daemon, case: &Case<'_>, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let planned = &world.plan.campaigns[case.n];
    let mut expected: BTreeMap<(String, Channel), u64> = BTreeMap::new();
    for guest in &world.plan.guests {
        for channel in planned.expected(guest) {
            let address = guest.on(channel).unwrap_or_default().to_owned();
            *expected.entry((address, channel)).or_default() += 1;
        }
    }
    let mut found: BTreeMap<(String, Channel), u64> = BTreeMap::new();
    for message in &case.messages {
        let record = &message.record;
        let row = daemon.campaigns.book().get(record.list, record.guest)?;
        let address = row.as_ref().and_then(|row| usherd::guests::address_on(&row.guest, record.channel));
        *found.entry((address.unwrap_or_default().to_owned(), record.channel)).or_default() += 1;
    }
    let never_began = case.row.record.state == CampaignState::Cancelled && case.messages.is_empty();
    if found != expected && !never_began {
        wrong.push(format!("c{} was to reach {expected:?}, and has messages to {found:?}", case.n));
    }
    Ok(())
}

/// What the daemon says of a message is what its providers know.
fn truth(world: &World, inner: &Inner, case: &Case<'_>, message: &StoredMessage, wrong: &mut Vec<String>) {
    use MessageState as S;
    let id = message.id.0;
    let taken = inner.books.of(id);
    let state = message.state();
    let said = inner.office.said.get(&id).map_or(&[][..], Vec::as_slice);
    let heard = inner.books.heard.get(&id).copied().unwrap_or_default();
    if matches!(state, S::Held | S::Queued | S::Sending) {
        wrong.push(format!("m{id} of c{} is {state} at the end", case.n));
    }
    if matches!(state, S::Accepted | S::Delivered) && taken.is_empty() && !said.contains(&Verdict::Accepted) {
        wrong.push(format!("m{id} is {state}, and nobody has taken it"));
    }
    let free = !said.is_empty() || inner.books.again.contains_key(&id);
    if free || taken.is_empty() {
        return;
    }
    let right = match (heard, state) {
        (Heard { lost: true, .. }, S::Failed) => true,
        (Heard { lost: true, .. }, _) => false,
        (Heard { arrived: true, .. }, S::Delivered) => true,
        (Heard { arrived: true, .. }, _) => false,
        (Heard { taken: true, .. }, S::Accepted) => true,
        (Heard { taken: true, .. }, _) => false,
        // Nobody has reported of it, or not so that its message was found.
        (_, S::Accepted | S::Unknown) => true,
        (_, S::Delivered | S::Failed) => silent(world, taken),
        _ => false,
    };
    if !right {
        let by: Vec<&str> = taken.iter().map(|t| world.plan.providers[t.company].name.as_str()).collect();
        wrong.push(format!("m{id} is {state} ({}), was taken by {by:?}, and reported {heard:?}", message.record.why));
    }
}

/// Whether a provider's reports do not carry our ids, so that it is not known here which message they have moved.
fn silent(world: &World, taken: &[Taken]) -> bool {
    taken.iter().any(|taken| !world.plan.providers[taken.company].echoes)
}
