//! The operators: one who writes the campaigns and sends them, and others who pause, resume, cancel, send again and settle.
//!
//! Who gets no answer asks again under the same key. What the daemon has answered "yes" to is remembered, and held against it.

use std::sync::Arc;
use std::time::Duration;

use usher_common::model::{
    Audience, CampaignClass, CampaignId, CampaignSpec, CampaignState, MessageId, Schedule, TemplateBody, Timestamp,
    Verdict,
};
use usher_common::protocol::{self, Problem, Reply, Request};
use usherd::guests::{Intake, Source};
use usherd::store::By;

use super::life::Daemon;
use super::luck::Luck;
use super::plan::Act;
use super::provider::MARK;
use super::world::{Progress, World};

/// The list that everybody stands on.
pub(super) const LIST: &str = "everyone";
/// The words of every letter: few, since every life reads them anew.
const TEMPLATE: &str = "note";
/// How long somebody waits who was told to come again.
const LATER: Duration = Duration::from_millis(900);
/// How often it is looked for campaigns that somebody has forgotten.
const TIDY: Duration = Duration::from_secs(20);

/// Works for as long as the daemon lives.
pub(super) async fn work(world: Arc<World>, daemon: Arc<Daemon>) {
    while !world.now().office.imported {
        match import(&world, &daemon).await {
            Ok(()) => world.now().office.imported = true,
            Err(error) => {
                world.now().tell(format_args!("the import fails: {error}"));
                tokio::time::sleep(LATER).await;
            }
        }
    }
    for campaign in 0..world.plan.campaigns.len() {
        tokio::spawn(write(Arc::clone(&world), Arc::clone(&daemon), campaign));
    }
    loop {
        let next = world.now().office.acts.iter().map(|(number, (at, _))| (*at, *number)).min();
        let Some((at, number)) = next else { return tidy(&world, &daemon).await };
        world.until(at).await;
        let begun = {
            let office = &mut world.now().office;
            let act = office.acts.remove(&number);
            act.inspect(|act| {
                office.begun.insert(number, *act);
            })
        };
        if let Some((_, act)) = begun {
            tokio::spawn(perform(Arc::clone(&world), Arc::clone(&daemon), number, act));
        }
    }
}

/// Lets go on what is still paused when nobody else has anything to do.
async fn tidy(world: &World, daemon: &Daemon) {
    world.until(world.plan.calm_at).await;
    loop {
        for n in 0..world.plan.campaigns.len() {
            let (known, busy) = {
                let office = &world.now().office;
                (office.campaigns[n].clone(), !office.begun.is_empty())
            };
            let Some(id) = known.id.filter(|_| !busy) else { continue };
            let state = daemon.campaigns.row(id, None).map(|row| row.record.state);
            if matches!(state, Ok(CampaignState::Paused)) {
                goes_on(world, n);
                let _ = ask(world, daemon, &format!("tidy {n}"), Request::CampaignResume { id }).await;
            }
        }
        tokio::time::sleep(TIDY).await;
    }
}

async fn import(world: &World, daemon: &Daemon) -> anyhow::Result<()> {
    let mut rows = "name,email,phone\n".to_owned();
    for (n, guest) in world.plan.guests.iter().enumerate() {
        let field = |field: &Option<String>| field.clone().unwrap_or_default();
        rows += &format!("Guest {n},{},{}\n", field(&guest.email), field(&guest.phone));
    }
    let body = TemplateBody {
        subject: "{{ couple_names }}".to_owned(),
        text: "Dear {{ guest_name }}, come! {{ couple_names }}".to_owned(),
        html: String::new(),
        short: String::new(),
    };
    let save = Request::TemplateSave { name: TEMPLATE.to_owned(), body };
    if let Err(problem) = ask(world, daemon, "template", save).await {
        anyhow::bail!("the template is refused: {}", problem.message);
    }
    let source = Source { file: "guests.csv", vouched_by: "Ada", country: "" };
    let by = By { actor: "ada".to_owned(), reason: String::new(), request_id: String::new() };
    let mut intake = Intake::begin(daemon.campaigns.book().clone(), by, LIST, source, false)?;
    let now = daemon.clock.now();
    intake.push(rows.as_bytes(), now).await?;
    let done = intake.finish(now).await?;
    world.now().tell(format_args!("{} guests are imported, {} were there", done.added, done.unchanged));
    anyhow::ensure!(done.rejected == 0, "{} guests were rejected", done.rejected);
    Ok(())
}

async fn ask(world: &World, daemon: &Daemon, key: &str, request: Request) -> Result<Reply, Problem> {
    world.now().tell(format_args!("an operator asks: {key}"));
    let act = protocol::Act { key: key.to_owned(), reason: "so it was planned".to_owned(), seen: None, preview: false };
    let answer = daemon.api.ask("olga", request, Some(act)).await;
    let said = match &answer {
        Ok(Reply::Done(text)) => text.clone(),
        Ok(_) => "yes".to_owned(),
        Err(problem) => format!("no: {}", problem.message),
    };
    world.now().tell(format_args!("the daemon answers {key}: {said}"));
    answer
}

/// Writes one campaign, has it approved and sends it.
async fn write(world: Arc<World>, daemon: Arc<Daemon>, n: usize) {
    world.until(world.plan.campaigns[n].at).await;
    loop {
        let known = world.now().office.campaigns[n].clone();
        let next = match (known.progress, known.id) {
            (Progress::ToCreate, _) => create(&world, &daemon, n).await,
            (Progress::ToApprove, Some(id)) => {
                match ask(&world, &daemon, &format!("approve {n}"), Request::CampaignApprove { id }).await {
                    // Nobody is left to be written to.
                    Err(problem) if ["no recipients", "SUPPRESSED"].iter().any(|why| problem.message.contains(why)) => {
                        Some(Progress::Refused)
                    }
                    _ => after(&daemon, id, Progress::ToApprove),
                }
            }
            (Progress::ToSend, Some(id)) => {
                let schedule = world.plan.campaigns[n].due_in.map(|ms| Schedule::At {
                    at: Timestamp(daemon.clock.now().0 + ms),
                    zone: "Europe/London".to_owned(),
                });
                let _ = ask(&world, &daemon, &format!("send {n}"), Request::CampaignSend { id, schedule }).await;
                after(&daemon, id, Progress::ToSend)
            }
            _ => return,
        };
        match next {
            Some(progress) => world.now().office.campaigns[n].progress = progress,
            None => tokio::time::sleep(LATER).await,
        }
    }
}

/// How far a campaign is by its own word; `None` where it has not moved.
fn after(daemon: &Daemon, id: CampaignId, before: Progress) -> Option<Progress> {
    let state = daemon.campaigns.row(id, None).ok()?.record.state;
    let now = match state {
        CampaignState::Draft => Progress::ToApprove,
        CampaignState::Approved => Progress::ToSend,
        CampaignState::Cancelled => Progress::Refused,
        _ => Progress::Sent,
    };
    (now > before).then_some(now)
}

async fn create(world: &World, daemon: &Daemon, n: usize) -> Option<Progress> {
    let planned = &world.plan.campaigns[n];
    let list = daemon.campaigns.book().store().list_named(LIST).ok()??;
    let name = format!("campaign {n}");
    let spec = CampaignSpec {
        name: name.clone(),
        description: String::new(),
        organisation: "ada-and-ben".to_owned(),
        class: CampaignClass::Personal,
        channels: planned.channels.clone(),
        reach: planned.reach,
        audience: Audience::List(list),
        template: TEMPLATE.to_owned(),
        values: [("couple_names".to_owned(), format!("{MARK}{n}"))].into(),
        schedule: Schedule::Now,
        expires_after_hours: planned.expires_after_hours,
        whatsapp: None,
    };
    let id = match ask(world, daemon, &format!("create {n}"), Request::CampaignCreate { spec }).await {
        Ok(Reply::Campaign(detail)) => detail.row.id,
        _ => return None,
    };
    world.now().office.campaigns[n].id = Some(id);
    Some(Progress::ToApprove)
}

/// Does one act, and remembers what was said to it.
async fn perform(world: Arc<World>, daemon: Arc<Daemon>, number: usize, act: Act) {
    let key = format!("act {number} {act:?}");
    match act {
        Act::Checkpoint => {
            let done = daemon.campaigns.book().store().engine().checkpoint().await;
            let said = done.map_or_else(|error| error.to_string(), |report| format!("up to {}", report.to_lsn));
            world.now().tell(format_args!("a checkpoint is taken: {said}"));
        }
        Act::Pause(n) | Act::Resume(n) | Act::Cancel(n) | Act::Resend(n) | Act::Settle(n, ..) => {
            let known = world.now().office.campaigns[n].clone();
            if let Some(id) = known.id {
                on_campaign(&world, &daemon, &key, act, (n, id)).await;
            }
        }
    }
    world.now().office.begun.remove(&number);
}

async fn on_campaign(world: &World, daemon: &Daemon, key: &str, act: Act, (n, id): (usize, CampaignId)) {
    match act {
        Act::Pause(_) => {
            let turn = world.now().office.campaigns[n].turn;
            let done = ask(world, daemon, key, Request::CampaignPause { id }).await;
            let mut guard = world.now();
            let now = guard.at();
            let known = &mut guard.office.campaigns[n];
            if done.is_ok() && known.turn == turn {
                known.stopped = Some(now);
            }
        }
        Act::Resume(_) => {
            goes_on(world, n);
            let _ = ask(world, daemon, key, Request::CampaignResume { id }).await;
        }
        Act::Cancel(_) => {
            world.now().office.campaigns[n].cancel_tried = true;
            let done = ask(world, daemon, key, Request::CampaignCancel { id }).await;
            let mut guard = world.now();
            let now = guard.at();
            let known = &mut guard.office.campaigns[n];
            if done.is_ok() {
                known.stopped = Some(now);
                known.cancelled = true;
            }
        }
        Act::Resend(_) => {
            goes_on(world, n);
            world.now().resends(n);
            let _ = ask(world, daemon, key, Request::CampaignResend { id }).await;
            world.now().office.campaigns[n].resending -= 1;
        }
        Act::Settle(_, verdict, share) => settle(world, daemon, key, (n, id), (verdict, share)).await,
        Act::Checkpoint => {}
    }
}

/// From here on a campaign may send again.
fn goes_on(world: &World, n: usize) {
    let known = &mut world.now().office.campaigns[n];
    known.turn += 1;
    known.stopped = None;
}

async fn settle(
    world: &World,
    daemon: &Daemon,
    key: &str,
    (n, id): (usize, CampaignId),
    (verdict, share): (Verdict, u64),
) {
    let doubts = daemon.api.ask("olga", Request::Doubts { campaign: Some(id), limit: 1000 }, None).await;
    let Ok(Reply::Doubts(page)) = doubts else { return };
    let mut luck = Luck::of(world.plan.seed, key);
    let messages: Vec<MessageId> =
        page.rows.iter().map(|doubt| doubt.message.id).filter(|_| luck.within(0, 99) < share).collect();
    if messages.is_empty() {
        return;
    }
    if verdict == Verdict::Resend {
        goes_on(world, n);
    }
    {
        let mut guard = world.now();
        for message in &messages {
            guard.office.said.entry(message.0).or_default().push(verdict);
            match verdict {
                Verdict::Resend => *guard.books.again.entry(message.0).or_default() += 1,
                Verdict::Failed => guard.may_fail(n, message.0),
                _ => {}
            }
        }
    }
    let _ = ask(world, daemon, key, Request::DoubtSettle { campaign: id, messages, verdict }).await;
}
