//! What long lists leave behind, through the real daemon: imports that nobody goes on with, and campaigns that are over.

use std::time::{Duration, Instant};

use usher_common::model::{CampaignId, Channel, MessageDetail, MessageRow};
use usher_common::protocol::{Reply, Request};
use usher_demo::{Desk, PATIENCE, Plan, Stage, guest_list};

/// Imports that a daemon has open at once.
const IMPORTS: usize = 8;

async fn until<T>(what: &str, mut there: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = there().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_whose_session_has_ended_takes_no_place() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let here = stage.desk().await.unwrap();
    let mut staying = here.upload("staying").await.unwrap();
    let left = stage.desk().await.unwrap();
    for n in 1..IMPORTS {
        left.upload(&format!("left {n}")).await.unwrap();
    }
    let full = here.upload("one more").await.unwrap_err();
    assert!(full.to_string().contains("8 imports are open already"), "{full}");
    drop(left);
    until("the places are free", async || here.upload("one more").await.ok()).await;
    staying.push(b"email\nada@example.com\n").await.unwrap();
    assert_eq!(staying.finish().await.unwrap().added, 1, "whose session is there goes on");
}

/// Everything that is told of a campaign's messages.
async fn told(desk: &Desk, id: CampaignId) -> Vec<(MessageRow, MessageDetail)> {
    let mut all = Vec::new();
    for row in desk.messages(id).await.unwrap() {
        let Reply::Message(detail) = desk.ask(Request::Message { campaign: id, id: row.id }).await.unwrap() else {
            panic!("{} is not there", row.id)
        };
        all.push((row, *detail));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_is_over_takes_less_room_and_says_the_same() {
    let extra = "[store]\ncompact_after_hours = 0\n".to_owned();
    let mut stage = Stage::set(Plan { extra, ..Plan::default() }).await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(600, 8).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let id = desk.send(list, &[Channel::Email, Channel::Sms]).await.unwrap();
    let counts = desk.until(id, |seen| seen.row.state.is_ended()).await.unwrap().row.counts;
    let before = told(&desk, id).await;
    assert_eq!(before.len() as u64, counts.total());
    until("its messages are put together", async || {
        stage.log().contains("the messages of a campaign that is over are put together").then_some(())
    })
    .await;
    assert_eq!(told(&desk, id).await, before);
    drop(desk);
    stage.kill().await.unwrap();
    stage.start().await.unwrap();
    let desk = stage.desk().await.unwrap();
    assert_eq!(told(&desk, id).await, before);
    assert_eq!(desk.campaign(id).await.unwrap().row.counts, counts);
}
