//! Messages through the whole daemon beside a bare client that posts the same requests: one each, in batches, a thousand
//! at once; and long letters beside short ones.

use std::time::Duration;

use usher_common::model::{CampaignId, Channel, MessageState, TemplateBody};
use usher_common::protocol::Request;
use usher_demo::Desk;

use crate::bare::{self, Bare};
use crate::process::Sink;
use crate::run::{self, Run, USUAL};
use crate::table::{self, Line};

/// Requests under way at once where each carries one message, for the daemon and the bare client alike.
pub(crate) const SINGLE: usize = 100;
/// The same where each carries many.
const BATCHED: usize = 16;
/// A thousand at once.
pub(crate) const CROWD: usize = 1_000;
/// How long a provider thinks about a message of a crowd.
pub(crate) const LATENCY: Duration = Duration::from_millis(20);
/// Fewer letters than this are not judged: processor time is told in hundredths of a second.
const JUDGED: usize = 1_000;
/// Size of a long letter, in bytes.
const LONG: usize = 20_000;

/// SMS, one request each.
pub(crate) async fn single(count: usize) -> anyhow::Result<Vec<Line>> {
    let sink = Sink::start().await?;
    let stage = run::stage(run::texts(sink.url(), SINGLE)).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    let run = run::measure(&stage, &desk, &sink, (list, count), (Channel::Sms, USUAL)).await?;
    let bare = bare::post(&sink, count, SINGLE).await?;
    Ok(beside_bare(&format!("{} SMS, a request each", table::count(count)), &run, &bare))
}

/// E-mail in batches of a hundred.
pub(crate) async fn batches(count: usize) -> anyhow::Result<Vec<Line>> {
    let sink = Sink::start().await?;
    let stage = run::stage(run::mails(sink.url(), BATCHED)).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    let run = run::measure(&stage, &desk, &sink, (list, count), (Channel::Email, USUAL)).await?;
    let bare = bare::post(&sink, count, BATCHED).await?;
    Ok(beside_bare(&format!("{} e-mails in batches", table::count(count)), &run, &bare))
}

/// SMS with a thousand under way, to a provider that takes its time.
pub(crate) async fn crowd(count: usize) -> anyhow::Result<Vec<Line>> {
    let sink = Sink::slow(LATENCY).await?;
    let stage = run::stage(run::texts(sink.url(), CROWD)).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    let run = run::measure(&stage, &desk, &sink, (list, count), (Channel::Sms, USUAL)).await?;
    let at_first = at_first(&desk, run.campaign).await?;
    let bare = bare::post(&sink, count, CROWD).await?;
    let mut lines = beside_bare(&format!("{} SMS, {CROWD} at once", table::count(count)), &run, &bare);
    let share = format!("{:.2} %", at_first as f64 * 100.0 / count as f64);
    lines.push(
        Line::new("  of these accepted at the first attempt", share)
            .beside("95 % wanted")
            .remark(format!("at most {} were under way at the sink", run.tally.most_at_once))
            .wrong((at_first * 100 < count * 95).then(|| format!("only {at_first} of {count}"))),
    );
    Ok(lines)
}

/// How many of a campaign's messages were accepted at the first attempt.
pub(crate) async fn at_first(desk: &Desk, campaign: CampaignId) -> anyhow::Result<usize> {
    let taken = |state| matches!(state, MessageState::Accepted | MessageState::Delivered);
    Ok(desk.messages(campaign).await?.iter().filter(|row| row.attempts == 1 && taken(row.state)).count())
}

fn beside_bare(what: &str, run: &Run, bare: &Bare) -> Vec<Line> {
    let ratio = run.rate() / bare.rate();
    let fault = run.fault().or_else(|| bare.fault.clone());
    vec![
        Line::new(what, table::rate(run.count, run.seconds))
            .beside(format!("bare client {}: {ratio:.2} of it", table::rate(bare.messages, bare.seconds)))
            .remark(format!("{:.0} a request; sink {:.1} us each", run.a_request(), run.sink_us))
            .wrong(fault),
        Line::new("  processor time of the daemon, each", format!("{:.0} us", run.daemon_us))
            .beside(format!("bare client {:.0} us", bare.own_us))
            .remark(run.threads.clone()),
    ]
}

/// A letter of a line, and one of 20 KB.
pub(crate) async fn templates(count: usize) -> anyhow::Result<Vec<Line>> {
    let sink = Sink::start().await?;
    let stage = run::stage(run::mails(sink.url(), BATCHED)).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    let subject = "{{ guest_name }}, will you come?".to_owned();
    let text = "Dear {{ guest_name }}, please join us on {{ wedding_date }} at {{ venue_name }}. {{ couple_names }}";
    save(&desk, "line", TemplateBody { subject: subject.clone(), text: text.to_owned(), ..TemplateBody::default() })
        .await?;
    save(&desk, "letter", TemplateBody { subject, text: text.to_owned(), html: letter(), ..TemplateBody::default() })
        .await?;
    // The first campaign finds everything cold.
    run::measure(&stage, &desk, &sink, (list, count), (Channel::Email, "line")).await?;
    let short = run::measure(&stage, &desk, &sink, (list, count), (Channel::Email, "line")).await?;
    let long = run::measure(&stage, &desk, &sink, (list, count), (Channel::Email, "letter")).await?;
    let ratio = long.daemon_us / short.daemon_us;
    let bytes = sink.sample().await?.body.len();
    Ok(vec![
        Line::new(format!("{} letters of a line", table::count(count)), table::rate(count, short.seconds))
            .beside(format!("daemon {:.0} us each", short.daemon_us))
            .wrong(short.fault()),
        Line::new(format!("{} letters of 20 KB", table::count(count)), table::rate(count, long.seconds))
            .beside(format!("daemon {:.0} us each: {ratio:.1} times a line", long.daemon_us))
            .remark(format!("under 10 times wanted; {} bytes the largest request", table::count(bytes)))
            .wrong(
                long.fault().or_else(|| (count >= JUDGED && ratio >= 10.0).then(|| format!("{ratio:.1} times a line"))),
            ),
    ])
}

async fn save(desk: &Desk, name: &str, body: TemplateBody) -> anyhow::Result<()> {
    desk.act(Request::TemplateSave { name: name.to_owned(), body }).await?;
    Ok(())
}

/// Paragraphs with tokens in each, until there are enough of them.
fn letter() -> String {
    let mut html = String::from("<!doctype html><html><body>");
    while html.len() < LONG {
        html += "<p style=\"margin:0 0 16px\">Dear {{ guest_name }}, we marry on <b>{{ wedding_date }}</b> at \
                 {{ venue_name }}, at {{ ceremony_time }}, and afterwards there is a feast at {{ reception_venue }}. \
                 The way there leads over the old bridge and past the mill pond, and whoever comes by train is met at \
                 the station. Please answer by {{ rsvp_deadline }} at <a href=\"{{ rsvp_link }}\">our page</a>.</p>\n";
    }
    html + "</body></html>"
}
