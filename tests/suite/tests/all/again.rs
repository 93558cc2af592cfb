//! Afterwards: what failed is sent again, what is in doubt is settled by a word, and a person's story is told.

use usher_common::model::{CampaignId, CampaignState, Channel, MessageId, MessageState, Verdict};
use usher_common::protocol::{DoubtPage, Reply, Request};
use usher_demo::{Desk, Plan, Stage, guest_list};
use usher_sim::{Fault, FaultKind, Provider, Scope, When};

/// A stage on which a campaign of text messages to 60 guests has gone out while `fault` was there.
async fn gone_out(fault: Fault) -> (Stage, Desk, CampaignId) {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(60, 8).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let id = desk.draft("Invitations", list, &[Channel::Sms]).await.unwrap();
    stage.simulator.fault(Provider::Twilio, fault).await.unwrap();
    desk.release(id).await.unwrap();
    desk.until(id, |c| c.row.expanded && c.row.counts.open() == 0 && c.row.counts.total() == 60).await.unwrap();
    (stage, desk, id)
}

fn refused(times: u64) -> Fault {
    let status = FaultKind::Status { status: 400, accepted: false, code: Some("21211".to_owned()) };
    Fault::from(status).times(times).only(Scope::Sends)
}

async fn doubts(desk: &Desk, campaign: Option<CampaignId>) -> DoubtPage {
    match desk.ask(Request::Doubts { campaign, limit: 100 }).await.unwrap() {
        Reply::Doubts(page) => page,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_sent_again_and_nothing_else() {
    let (stage, desk, id) = gone_out(refused(7)).await;
    let before = desk.until(id, |c| c.row.state.is_ended()).await.unwrap();
    assert_eq!((before.row.state, before.row.counts.failed), (CampaignState::Partial, 7));
    let effect = desk.rehearse(Request::CampaignResend { id }).await.unwrap();
    assert_eq!(effect[0].what, "7 messages that failed");
    assert_eq!(desk.campaign(id).await.unwrap().row.counts, before.row.counts, "a rehearsal does nothing");
    // Six at once, as when somebody is impatient: they share the work, and each message goes once.
    let others: Vec<_> =
        (0..6).map(|_| async { stage.desk().await.unwrap().act(Request::CampaignResend { id }).await }).collect();
    for answer in futures_util::future::join_all(others).await {
        drop(answer);
    }
    let after = desk.until(id, |c| c.row.state.is_ended() && c.row.counts.failed == 0).await.unwrap();
    assert_eq!((after.row.state, after.row.counts.taken()), (CampaignState::Finished, 60));
    assert_eq!(after.reasons, [], "what failed once is not counted as failed any more");
    let record = stage.simulator.record();
    assert_eq!((record.total(), record.duplicates().len()), (60, 0));
    let tried_twice = desk.stories(id).await.unwrap().iter().filter(|story| story.attempts.len() == 2).count();
    assert_eq!(tried_twice, 7, "both attempts are told");
    let Reply::Done(line) =
        desk.act(Request::CampaignResend { id }).await.unwrap_or_else(|e| Reply::Done(e.to_string()))
    else {
        panic!("there is nothing more to send")
    };
    assert!(line.contains("cannot resend a campaign that is finished"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_doubt_are_what_the_operator_says() {
    let lost = Fault::from(FaultKind::Reset { when: When::AfterAccept }).times(5).only(Scope::Sends);
    let (mut stage, desk, id) = gone_out(lost).await;
    let page = doubts(&desk, Some(id)).await;
    assert_eq!((page.total, page.rows.len()), (5, 5));
    assert_eq!(page.rows[0].asked_until, None, "Twilio keeps no keys");
    stage.kill().await.unwrap();
    stage.start().await.unwrap();
    let desk = stage.desk().await.unwrap();
    assert_eq!(doubts(&desk, None).await, page, "a daemon that was killed knows them still");

    let ids: Vec<MessageId> = page.rows.iter().map(|doubt| doubt.message.id).collect();
    let settle = |messages: &[MessageId], verdict| {
        desk.act(Request::DoubtSettle { campaign: id, messages: messages.to_vec(), verdict })
    };
    let sure = desk.messages(id).await.unwrap().iter().find(|m| m.state == MessageState::Accepted).unwrap().id;
    let wrong = settle(&[ids[0], sure], Verdict::Failed).await.unwrap_err().to_string();
    assert!(wrong.contains(&format!("message {sure} of campaign {id} is not in doubt")), "{wrong}");
    assert_eq!(doubts(&desk, None).await.total, 5, "and nothing was settled");

    settle(&ids[..1], Verdict::Accepted).await.unwrap();
    settle(&ids[1..2], Verdict::Failed).await.unwrap();
    let counts = desk.campaign(id).await.unwrap().row.counts;
    assert_eq!((counts.unknown, counts.failed, counts.taken()), (3, 1, 56));
    settle(&[], Verdict::Resend).await.unwrap();
    let end = desk.until(id, |c| c.row.state.is_ended()).await.unwrap();
    assert_eq!((end.row.counts.unknown, end.row.counts.failed, end.row.counts.taken()), (0, 1, 59));
    assert_eq!(end.row.state, CampaignState::Partial, "one failed");
    // They had been accepted before the answer was lost: whoever says `resend` is told that, and it is so.
    let record = stage.simulator.record();
    assert_eq!((record.total(), record.duplicates().len()), (63, 3));
    let settled = desk.message(id, ids[0]).await.unwrap();
    assert_eq!((settled.attempts.len(), settled.attempts[0].code.as_str()), (1, "settled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_s_story_is_told_over_all_campaigns() {
    let (stage, desk, first) = gone_out(refused(1)).await;
    let list = desk.list("everyone").await.unwrap();
    let heard_first = stage.simulator.record().recipients();
    let second = desk.draft("Reminder", list, &[Channel::Sms]).await.unwrap();
    desk.release(second).await.unwrap();
    desk.until(second, |c| c.row.state.is_ended()).await.unwrap();
    // Whoever was refused first has two messages' worth of story: one that failed, one that did not. Names repeat on the
    // list; the number that only the second campaign reached is theirs alone.
    let stories = desk.stories(first).await.unwrap();
    assert_eq!(stories.iter().filter(|story| story.row.state == MessageState::Failed).count(), 1);
    let heard = stage.simulator.record().recipients();
    let number = heard.iter().find(|to| !heard_first.contains(*to)).unwrap();
    let told = stage.usher().args(["--output", "json", "guest", "trace", number]).output().await.unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let states: Vec<(&str, &str, usize)> = told["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let (row, attempts) = (&one["message"]["row"], &one["message"]["attempts"]);
            (one["campaign"].as_str().unwrap(), row["state"].as_str().unwrap(), attempts.as_array().unwrap().len())
        })
        .collect();
    assert_eq!(states, [("Invitations", "failed", 1), ("Reminder", "accepted", 1)]);
    assert_eq!(told["guests"].as_array().unwrap().len(), 1);
    let nobody = stage.usher().args(["guest", "trace", "nobody@nowhere.example"]).output().await.unwrap();
    assert_eq!(nobody.status.code(), Some(4), "{}", String::from_utf8_lossy(&nobody.stderr));
    let rubbish = stage.usher().args(["guest", "trace", "12"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&rubbish.stderr).into_owned();
    assert!(!rubbish.status.success() && said.contains("neither an e-mail address nor"), "{said}");
}
