//! One campaign by all four channels at the size of a real list, through every provider there is, while some of them
//! fail: the daemon's account of each message is held against each provider's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use usher_common::model::{
    CampaignId, Channel, GuestId, ListId, MessageDetail, MessageRow, MessageState, OutcomeClass, WhatsAppParameter,
    WhatsAppTemplate,
};
use usher_common::protocol::{Reply, Request};
use usher_demo::{Desk, PATIENCE, Plan, Stage};
use usher_sim::{Accepted, Fault, FaultKind, Provider, Record, Scope};

use crate::lists;

/// Messages that each fault lets through before it begins, or that show that another provider has taken over.
const SOME: u64 = 500;
/// Answers with which Slack and WhatsApp ask to be left alone.
const THROTTLED: u64 = 3;

/// A stage with every provider. Slack's and WhatsApp's shipped rates (5 and 80 a second) are theirs, not ours: at those a
/// list of this size takes the better part of an hour.
fn everybody() -> Plan {
    let mut plan = Plan {
        providers: ["sendgrid", "resend", "smtp", "twilio", "whatsapp", "slack"].map(str::to_owned).to_vec(),
        ..Plan::default()
    };
    for name in ["whatsapp", "slack"] {
        plan.settings.insert(name.to_owned(), "rate_per_second = 2000\nburst = 200\n".to_owned());
    }
    plan.simulator.keep_bodies = 0;
    plan
}

/// The list with a column that it has not: a Slack id for every guest, each an invented one.
fn with_slack_ids(csv: &[u8]) -> String {
    let csv = std::str::from_utf8(csv).unwrap();
    let with = |(n, line): (usize, &str)| if n == 0 { format!("{line},slack\n") } else { format!("{line},U{n:09}\n") };
    csv.lines().enumerate().map(with).collect()
}

/// What a column of the list holds, as it is written there, sorted and without the empty cells.
fn column(csv: &str, name: &str) -> Vec<String> {
    let mut lines = csv.lines();
    let at = cells(lines.next().unwrap()).iter().position(|column| column == name).unwrap();
    let mut column: Vec<_> = lines.map(|line| cells(line).swap_remove(at)).collect();
    column.retain(|cell| !cell.is_empty());
    column.sort();
    column
}

/// The cells of a line of this list, which has quotes around some but none, and no line break, within.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    for sign in line.chars() {
        match (sign, cells.last_mut()) {
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => cells.push(String::new()),
            (sign, Some(cell)) => cell.push(sign),
            (_, None) => unreachable!("there is a first cell"),
        }
    }
    cells
}

/// Waits until a provider has accepted so many messages.
async fn accepted(record: &Record, provider: Provider, least: u64) {
    let enough = async {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        while record.count(provider) < least {
            again.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, enough).await;
    assert!(waited.is_ok(), "{provider} has accepted {} of {least}", record.count(provider));
}

/// Waits until nobody is in doubt but at SendGrid, which keeps no keys: what Resend had in hand when it went away is asked
/// about under its key once it is back.
async fn settled(desk: &Desk, campaign: CampaignId) {
    let elsewhere = |row: &MessageRow| row.state == MessageState::Unknown && row.provider != Provider::SendGrid.name();
    let enough = async {
        let mut again = tokio::time::interval(Duration::from_millis(200));
        while desk.messages(campaign).await.unwrap().iter().any(elsewhere) {
            again.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, enough).await.expect("what is in doubt at Resend is settled");
}

/// Where each guest is reached on each channel, as the daemon has it.
async fn addresses(desk: &Desk, list: ListId) -> BTreeMap<(GuestId, Channel), String> {
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let ask = Request::Guests { list, segment: String::new(), after, limit: 1_000 };
        let Reply::Guests(page) = desk.ask(ask).await.unwrap() else { panic!("asked for guests") };
        for row in page.rows {
            let guest = row.guest;
            let ways = [
                (Channel::Email, guest.email),
                (Channel::Sms, guest.phone.clone()),
                (Channel::WhatsApp, guest.phone),
                (Channel::Slack, guest.slack),
            ];
            all.extend(ways.into_iter().filter_map(|(channel, to)| Some(((row.id, channel), to?))));
        }
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// One message as accepted: the provider, the message's own id, the recipient, and the provider's id.
type Line = (String, String, String, String);

/// What the daemon says was accepted. That of a message which was accepted twice would stand here twice.
fn ours(stories: &[MessageDetail], addresses: &BTreeMap<(GuestId, Channel), String>) -> Vec<Line> {
    let mut lines = Vec::new();
    for MessageDetail { row, attempts } in stories {
        let to = &addresses[&(row.guest, row.channel)];
        for attempt in attempts.iter().filter(|attempt| attempt.class == Some(OutcomeClass::Accepted)) {
            let id = match row.channel {
                // The conversation, which Slack names as it likes, and the `ts` in it.
                Channel::Slack => attempt.provider_id.split_once('/').expect("conversation and time").1.to_owned(),
                _ => attempt.provider_id.clone(),
            };
            lines.push((attempt.provider.clone(), row.id.to_string(), to.clone(), id));
        }
    }
    lines.sort();
    lines
}

/// What the providers recorded.
fn theirs(record: &Record) -> Vec<Line> {
    let entries = record.entries(0, usize::MAX);
    let mut lines: Vec<_> = entries.into_iter().map(line).collect();
    lines.sort();
    lines
}

fn line(entry: Accepted) -> Line {
    let id = match entry.provider {
        // A server says no id of its own; ours comes back to it in bounces.
        Provider::Smtp => entry.message_id.expect("each mail has a Message-ID"),
        _ => entry.provider_id,
    };
    (entry.provider.to_string(), entry.message.expect("each message says which it is"), entry.recipient, id)
}

/// Some of the lines that only one of the two has, to be read by a person.
fn differences(ours: &[Line], theirs: &[Line]) -> Vec<(&'static str, Line)> {
    let (mine, other): (BTreeSet<_>, BTreeSet<_>) = (ours.iter().collect(), theirs.iter().collect());
    let only_ours = mine.difference(&other).take(5).map(|line| ("only ours", (**line).clone()));
    let only_theirs = other.difference(&mine).take(5).map(|line| ("only theirs", (**line).clone()));
    only_ours.chain(only_theirs).collect()
}

/// Attempts at a provider that ended so.
fn attempts(stories: &[MessageDetail], provider: Provider, class: OutcomeClass) -> u64 {
    let all = stories.iter().flat_map(|story| &story.attempts);
    all.filter(|attempt| attempt.provider == provider.name() && attempt.class == Some(class)).count() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_providers_record_agrees_with_ours_on_all_four_channels() {
    let stage = Stage::set(everybody()).await.unwrap();
    let (desk, simulator, record) = (stage.desk().await.unwrap(), &stage.simulator, stage.simulator.record());
    let csv = with_slack_ids(&lists::ten_thousand());
    let imported = desk.import("everyone", csv.as_bytes()).await.unwrap();
    assert_eq!((imported.added, imported.warned, imported.rejected), (lists::GUESTS, 0, 0), "{:?}", imported.problems);
    let list = desk.list("everyone").await.unwrap();
    let mut spec = Desk::invitation("By every way", list, &Channel::ALL);
    // Nobody has written to this number, so words of one's own would reach nobody.
    let place = WhatsAppParameter { name: String::new(), text: "{{ guest_name }}".to_owned() };
    spec.whatsapp =
        Some(WhatsAppTemplate { name: "save_the_date".into(), language: "en_GB".into(), parameters: vec![place] });
    let campaign = desk.write(spec).await.unwrap();

    // Slack says no in a success, WhatsApp says "too many" in a 400: both must only slow down.
    let limited = FaultKind::Status { status: 200, accepted: false, code: Some("ratelimited".to_owned()) };
    simulator.fault(Provider::Slack, Fault::from(limited).times(THROTTLED).only(Scope::Sends)).await.unwrap();
    let throttled = Fault::from(FaultKind::Throttle { retry_after: None }).times(THROTTLED).only(Scope::Sends);
    simulator.fault(Provider::WhatsApp, throttled).await.unwrap();
    desk.release(campaign).await.unwrap();
    // SendGrid breaks in a way that leaves in doubt what it was asked, then Resend in a way that leaves nothing in doubt.
    accepted(&record, Provider::SendGrid, SOME).await;
    let broken = FaultKind::Status { status: 500, accepted: false, code: None };
    simulator.fault(Provider::SendGrid, broken).await.unwrap();
    accepted(&record, Provider::Resend, SOME).await;
    simulator.fault(Provider::Resend, FaultKind::Refuse).await.unwrap();
    accepted(&record, Provider::Smtp, SOME).await;
    simulator.clear(Provider::SendGrid).await.unwrap();
    simulator.clear(Provider::Resend).await.unwrap();
    desk.sent(campaign).await.unwrap();
    settled(&desk, campaign).await;
    let detail = desk.sent(campaign).await.unwrap();

    let stories = desk.stories(campaign).await.unwrap();
    let addresses = addresses(&desk, list).await;
    let (ours, theirs) = (ours(&stories, &addresses), theirs(&record));
    assert_eq!(differences(&ours, &theirs), []);
    assert_eq!(ours.len(), theirs.len(), "somebody was reached twice");
    assert_eq!((record.duplicates(), record.unattributed()), (vec![], 0));

    // Everyone on the list is accounted for, at the address that the list has.
    let doubtful = stories.iter().filter(|story| story.row.state == MessageState::Unknown).count() as u64;
    let expected = [
        (Channel::Email, lists::MAILS, doubtful, "email"),
        (Channel::Sms, lists::TEXTS, 0, "phone"),
        (Channel::WhatsApp, lists::TEXTS, 0, "phone"),
        (Channel::Slack, lists::GUESTS, 0, "slack"),
    ];
    assert_eq!((detail.row.guests, detail.row.unreachable), (lists::GUESTS, 0));
    assert_eq!(detail.channels.len(), expected.len());
    for (channel, all, unknown, name) in expected {
        let progress = detail.channels.iter().find(|progress| progress.channel == channel).unwrap();
        let counts = &progress.counts;
        assert_eq!((counts.total(), counts.taken(), counts.unknown), (all, all - unknown, unknown), "{channel}");
        let rows = stories.iter().filter(|story| story.row.channel == channel);
        let mut reached: Vec<_> = rows.map(|story| addresses[&(story.row.guest, channel)].clone()).collect();
        reached.sort();
        assert!(reached == column(&csv, name), "{channel}: the addresses are not those of the list");
        for (provider, taken) in &progress.providers {
            let provider = Provider::from_name(provider).unwrap();
            assert_eq!(*taken, record.count(provider), "{provider}");
        }
    }
    assert_eq!(record.total(), lists::MAILS - doubtful + 2 * lists::TEXTS + lists::GUESTS);

    // What went wrong shows in the stories as what it was.
    assert!(doubtful > 0, "SendGrid left nobody in doubt");
    assert_eq!(doubtful, attempts(&stories, Provider::SendGrid, OutcomeClass::Unknown));
    assert!(attempts(&stories, Provider::Resend, OutcomeClass::NotSent) > 0);
    assert!(record.count(Provider::Smtp) >= SOME);
    for provider in [Provider::Slack, Provider::WhatsApp] {
        assert_eq!(attempts(&stories, provider, OutcomeClass::Throttled), THROTTLED, "{provider}");
        assert_eq!(attempts(&stories, provider, OutcomeClass::Unknown), 0, "{provider}");
    }
}
