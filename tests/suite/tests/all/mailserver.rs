//! The job done through a real mail server: each mail arrives once, and a server that says no or not yet to one of them
//! does not keep the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use usher_common::model::{
    BreakerState, CampaignState, Channel, MessageDetail, MessageState, OutcomeClass, ProviderRow, TemplateBody,
};
use usher_common::protocol::{Reply, Request};
use usher_demo::{Desk, guest_list};

use crate::lists;
use crate::postfix::{PROVIDER, Postfix};

/// The guests of the long list who have an e-mail address.
const GUESTS: usize = lists::MAILS as usize;

/// The value of a header, where the mail has it.
fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let head = mail.split("\n\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// How often each message arrived, by its own id.
fn arrived(mails: &[String]) -> BTreeMap<String, usize> {
    let mut arrived = BTreeMap::new();
    for mail in mails {
        *arrived.entry(header(mail, "X-Usher-Message").expect("each mail says which it is").to_owned()).or_default() +=
            1;
    }
    arrived
}

/// What the daemon thinks of the server.
async fn opinion(desk: &Desk) -> ProviderRow {
    let Reply::Providers(rows) = desk.ask(Request::Providers).await.unwrap() else { panic!("asked for providers") };
    rows.into_iter().find(|row| row.name == PROVIDER).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_mail_server_delivers_each_mail_exactly_once() {
    let Some(server) = Postfix::start("a_real_mail_server_delivers_each_mail_exactly_once", "").await else { return };
    let stage = server.stage().await;
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", &lists::ten_thousand()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let campaign = desk.send(list, &[Channel::Email]).await.unwrap();
    let detail = desk.sent(campaign).await.unwrap();
    assert_eq!(detail.row.counts.taken(), GUESTS as u64, "{:?}\n{}", detail.reasons, server.said());

    let mails = server.delivered(GUESTS).await;
    let rows = desk.messages(campaign).await.unwrap();
    assert_eq!(arrived(&mails), rows.iter().map(|row| (row.id.to_string(), 1)).collect());
    assert_eq!(mails.len(), GUESTS);
    let guests: BTreeSet<_> = mails.iter().filter_map(|mail| header(mail, "X-Original-To")).collect();
    assert_eq!(guests.len(), GUESTS, "each guest got the one that is theirs");
    assert!(stage.simulator.record().total() == 0, "nothing went elsewhere");
}

/// Sends a letter to forty guests of whom one gets 32 kB, by a server that takes 20 kB, and returns that one's story.
async fn a_letter_too_long(server: &Postfix) -> MessageDetail {
    let stage = server.stage().await;
    let desk = stage.desk().await.unwrap();
    let story = "and then we danced ".repeat(200);
    let mut csv = String::from("email,name,story\n");
    for n in 0..40 {
        csv += &format!("guest{n}@example.com,Guest {n},{}\n", if n == 17 { story.trim() } else { "" });
    }
    assert_eq!(desk.import("everyone", csv.as_bytes()).await.unwrap().added, 40);
    let list = desk.list("everyone").await.unwrap();
    let text = format!("Dear {{{{ guest_name }}}},\n{}", "{{ story | default(\"\") }}\n".repeat(8));
    let body = TemplateBody { subject: "Our story".to_owned(), text, ..TemplateBody::default() };
    desk.act(Request::TemplateSave { name: "story".to_owned(), body }).await.unwrap();
    let mut spec = Desk::invitation("Our story", list, &[Channel::Email]);
    "story".clone_into(&mut spec.template);
    let campaign = desk.write(spec).await.unwrap();
    desk.release(campaign).await.unwrap();
    let detail = desk.until(campaign, |detail| detail.row.state.is_ended()).await.unwrap();
    assert_eq!(detail.row.state, CampaignState::Partial, "{:?}", detail.reasons);
    assert_eq!((detail.row.counts.taken(), detail.row.counts.failed), (39, 1));

    let (failed, sent): (Vec<_>, Vec<_>) =
        desk.stories(campaign).await.unwrap().into_iter().partition(|story| story.row.state == MessageState::Failed);
    let mails = server.delivered(39).await;
    assert_eq!(arrived(&mails), sent.iter().map(|story| (story.row.id.to_string(), 1)).collect());
    let opinion = opinion(&desk).await;
    assert_eq!((opinion.failures, opinion.breaker), (0, BreakerState::Closed), "{opinion:?}");
    let [failed] = failed.try_into().unwrap();
    assert_eq!(failed.row.guest_name, "Guest 17");
    assert_eq!(failed.attempts.len(), 1, "a message that is too long is not tried again: {failed:?}");
    assert_eq!(failed.attempts[0].class, Some(OutcomeClass::Refused));
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_over_the_announced_size_fails_alone_and_is_not_offered() {
    let test = "a_mail_over_the_announced_size_fails_alone_and_is_not_offered";
    let Some(server) = Postfix::start(test, "message_size_limit = 20000\n").await else { return };
    let failed = a_letter_too_long(&server).await;
    assert_eq!(failed.row.why, "the message was refused (too_large)");
    assert!(failed.attempts[0].detail.ends_with("and the server takes 19 KiB"), "{failed:?}");
    assert!(!server.said().contains("exceeds fixed limit"), "it was offered all the same:\n{}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_over_a_size_that_was_not_announced_fails_alone_too() {
    let test = "a_mail_over_a_size_that_was_not_announced_fails_alone_too";
    let settings = "message_size_limit = 20000\nsmtpd_discard_ehlo_keywords = size\n";
    let Some(server) = Postfix::start(test, settings).await else { return };
    let failed = a_letter_too_long(&server).await;
    assert_eq!(failed.row.why, "the message was refused (552 5.3.4 too_large)");
}

/// What greylisting asks a guest's mail to wait.
const GREYLISTED: Duration = Duration::from_secs(2);
/// Clocks are compared across processes, in whole milliseconds.
const SLACK: Duration = Duration::from_millis(100);

/// A policy service as Postfix asks one for each recipient: not at first sight, nor before the wait is over.
struct Greylist {
    port: u16,
    /// By recipient: when it was first asked about, and how often it was put off.
    seen: Arc<Mutex<BTreeMap<String, (Instant, usize)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Greylist {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let known = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(answer(stream, Arc::clone(&known)));
            }
        });
        Self { port, seen, task }
    }
}

impl Drop for Greylist {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers one of Postfix's processes: a request is lines of `name=value` up to an empty one.
async fn answer(stream: TcpStream, seen: Arc<Mutex<BTreeMap<String, (Instant, usize)>>>) -> Option<()> {
    let mut wire = BufReader::new(stream);
    let mut recipient = String::new();
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if let Some(value) = line.trim_end().strip_prefix("recipient=") {
            value.clone_into(&mut recipient);
        }
        if !line.trim_end().is_empty() {
            continue;
        }
        let put_off = {
            let mut seen = seen.lock().unwrap();
            let (first, times) = seen.entry(std::mem::take(&mut recipient)).or_insert((Instant::now(), 0));
            let early = *times == 0 || first.elapsed() < GREYLISTED.saturating_sub(SLACK);
            *times += usize::from(early);
            early
        };
        let action = if put_off {
            format!("450 4.7.1 Greylisted, try again in {} seconds", GREYLISTED.as_secs())
        } else {
            "DUNNO".to_owned()
        };
        wire.write_all(format!("action={action}\n\n").as_bytes()).await.ok()?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn greylisted_guests_get_their_mail_once_and_the_server_stays_in_favour() {
    let test = "greylisted_guests_get_their_mail_once_and_the_server_stays_in_favour";
    let greylist = Greylist::start().await;
    // More guests than Postfix takes errors on a connection before it hangs up, which must not count against it either;
    // the second that it waits before each error from the tenth on would only take time.
    let guests = 400;
    let settings = format!(
        "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{}, permit_sasl_authenticated, reject\n\
         smtpd_error_sleep_time = 0\n",
        greylist.port
    );
    let Some(server) = Postfix::start(test, &settings).await else { return };
    let stage = server.stage().await;
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(guests, 9).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let campaign = desk.send(list, &[Channel::Email]).await.unwrap();
    let detail = desk.sent(campaign).await.unwrap();
    assert_eq!(detail.row.counts.taken(), guests as u64, "{:?}\n{}", detail.reasons, server.said());

    let stories = desk.stories(campaign).await.unwrap();
    for story in &stories {
        let classes: Vec<_> = story.attempts.iter().filter_map(|attempt| attempt.class).collect();
        assert_eq!(classes, [OutcomeClass::Throttled, OutcomeClass::Accepted], "{story:?}");
        assert_eq!(story.attempts[0].code, "450 4.7.1");
    }
    let mails = server.delivered(guests).await;
    assert_eq!(arrived(&mails), stories.iter().map(|story| (story.row.id.to_string(), 1)).collect());
    assert_eq!(greylist.seen.lock().unwrap().values().map(|(_, times)| *times).collect::<Vec<_>>(), vec![1; guests]);
    assert!(server.said().contains("too many errors"), "no connection was hung up on");
    let opinion = opinion(&desk).await;
    assert_eq!((opinion.failures, opinion.breaker), (0, BreakerState::Closed), "{opinion:?}");
}
