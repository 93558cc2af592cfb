//! The post: takes what providers report to the daemon, until it is acknowledged. What was not is told again.

use std::sync::Arc;
use std::time::Duration;

use usherd::receipts::{Kind, Report};

use super::books::Mail;
use super::life::Daemon;
use super::world::World;

/// Reports in one call.
const MOST: usize = 4;
/// How often the post looks for more, at least.
const LOOK: i64 = 2_000;
/// After how long a report that was not taken is told again.
const AGAIN: i64 = 5_000;

/// Delivers for as long as the daemon lives.
pub(super) async fn work(world: Arc<World>, daemon: Arc<Daemon>) {
    loop {
        let (mail, next) = world.now().due_mail(MOST);
        if !mail.is_empty() {
            tokio::spawn(deliver(Arc::clone(&world), Arc::clone(&daemon), mail));
            continue;
        }
        // What a provider takes late it reports without a word to us.
        let wait = world.until(next.unwrap_or(i64::MAX).min(world.now().at() + LOOK));
        tokio::select! {
            biased;
            () = world.post.notified() => {}
            () = wait => {}
        }
    }
}

async fn deliver(world: Arc<World>, daemon: Arc<Daemon>, mail: Vec<Mail>) {
    let Some(company) = mail.first().map(|mail| mail.company) else { return };
    let name = world.plan.providers[company].name.clone();
    let number = {
        let mut guard = world.now();
        for one in &mail {
            guard.tell(format_args!("{name} reports m{} {}", one.message, one.report.kind.as_str()));
            if matches!(one.report.kind, Kind::SoftBounce | Kind::HardBounce)
                && let Some(campaign) = guard.campaign_of(one.message)
            {
                guard.may_fail(campaign, one.message);
            }
        }
        guard.hand_over(mail.clone())
    };
    let reports: Vec<Report> = mail.iter().map(|mail| mail.report.clone()).collect();
    // A webhook takes a moment.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let filed = daemon.desk.file(&name, &reports).await;
    let mut guard = world.now();
    guard.handed_over(number);
    match filed {
        Ok(filed) => {
            guard.tell(format_args!("the daemon has filed {} reports of {name}: {} moved", reports.len(), filed.moved));
            let now = guard.at();
            for one in &mail {
                guard.books.acknowledged(one);
                if one.report.kind.suppresses().is_some() {
                    guard.office.suppressed.entry(one.to.clone()).or_insert(now);
                }
            }
            drop(guard);
            for campaign in filed.campaigns {
                daemon.shared.look(campaign);
            }
        }
        Err(error) => {
            guard.tell(format_args!("reports of {name} were not filed: {error}"));
            guard.post_again(mail, AGAIN);
        }
    }
}
