//! Failpoints: named places at which a debug build dies as in a crash, when its environment tells it to.
//!
//! `USHERD_FAILPOINT=store.log.before-sync:3` kills the process when it passes that place for the third time: by SIGKILL, so
//! that nothing unwinds and nothing is flushed. `USHERD_HURRY=1` makes what takes an hour happen in a moment, so that a place
//! that is seldom passed is passed. A release build has neither: there these functions are empty and read nothing.
//!
//! `usher-bench crash` walks [`TABLE`] (`docs/crash.md`); a test of the suite holds it against the code.

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(debug_assertions)]
use std::time::Duration;

/// The variable that arms a failpoint: its name, a colon, and the passing at which to die, from 1.
pub const ARM: &str = "USHERD_FAILPOINT";
/// The variable that makes the daemon hurry.
pub const HURRY: &str = "USHERD_HURRY";

/// Every failpoint, with what has happened when it is passed.
pub const TABLE: &[(&str, &str)] = &[
    ("store.log.before-write", "a frame is judged and encoded, nothing of it is in the log"),
    ("store.log.torn-write", "half of the frame is in the log"),
    ("store.log.before-sync", "the frame is written and not synced"),
    ("store.log.power-cut", "the same, and the disk has lost what was not synced"),
    ("store.log.after-sync", "the frame is durable, and nobody knows"),
    ("store.index.before-apply", "the log says that the frame is durable, the index does not show it"),
    ("store.index.after-apply", "the index shows it, nobody was answered"),
    ("store.commit.answered", "everyone who waited for the frame was answered"),
    ("store.index.before-flush", "the index is about to be flushed"),
    ("store.index.after-flush", "the index was flushed"),
    ("store.segment.before-create", "the segment is full, the next one does not exist"),
    ("store.segment.before-publish", "the next segment has its header and no name"),
    ("store.segment.after-publish", "the next segment has its name, nothing is in it"),
    ("store.segment.turned", "the next segment is the one that is written to"),
    ("store.segment.before-replace", "a closed segment is compressed beside itself"),
    ("store.segment.after-replace", "the same, and the uncompressed one is still there"),
    ("store.file.before-rename", "a file is whole on the disk under its temporary name"),
    ("store.file.before-dir-sync", "it has its final name, which is not durable"),
    ("store.file.after-dir-sync", "its name is durable"),
    ("store.checkpoint.before-publish", "a checkpoint is written and proved, and has no name"),
    ("store.checkpoint.after-publish", "it has its name, the ones it replaces are still there"),
    ("store.recovery.before-cut", "a start has read the log and changed nothing"),
    ("store.recovery.after-replay", "a start has brought the index to where the log ends"),
    ("vault.keys.before-write", "new guests have keys in memory"),
    ("vault.keys.before-sync", "the keys are written and not synced"),
    ("vault.keys.after-sync", "the keys are durable, their guests are not"),
    ("dispatch.recovery.before-doubt", "a start has found requests without an outcome"),
    ("dispatch.recovery.after-doubt", "some of them are recorded as unknown"),
    ("dispatch.expansion.before-part", "guests are read, their messages do not exist"),
    ("dispatch.expansion.after-part", "a part of a campaign's guests has messages, the next has none"),
    ("dispatch.intent.before-commit", "a request is prepared, its intent is in memory"),
    ("dispatch.intent.after-commit", "the intent is durable"),
    ("dispatch.request.before-send", "the provider is about to be asked"),
    ("providers.http.body-written", "a request was written to an HTTP provider, which has not answered"),
    ("providers.smtp.body-written", "the final dot was written to a mail server, which has not answered"),
    ("dispatch.request.answered", "the provider has answered, nobody was told"),
    ("dispatch.outcome.before-commit", "outcomes wait in memory"),
    ("dispatch.outcome.after-commit", "outcomes are durable, their permits are not given back"),
    ("dispatch.settler.before-repeat", "a request in doubt is about to be repeated under its key"),
    ("dispatch.settler.after-repeat", "its provider has answered"),
    ("dispatch.settler.after-commit", "what was in doubt is settled"),
    ("receipts.before-commit", "a report is verified and judged, nothing of it is kept"),
    ("receipts.after-commit", "what it says is durable, its provider was not answered"),
    ("dispatch.campaign.before-end", "the equation of a campaign closes"),
    ("dispatch.campaign.after-end", "its end is durable"),
    ("dispatch.compactor.before-commit", "messages of a campaign that is over are about to be put together"),
    ("dispatch.compactor.after-commit", "some of them are"),
];

/// How long an answer has to be out before its request counts as written: loopback takes microseconds.
#[cfg(debug_assertions)]
const SILENCE: Duration = Duration::from_millis(20);

/// Passes the failpoint of that name.
#[cfg(debug_assertions)]
pub fn hit(name: &'static str) {
    hit_after(name, || {});
}

/// The same, and dies only after `last`, which leaves behind what the crash would.
#[cfg(debug_assertions)]
pub fn hit_after(name: &'static str, last: impl FnOnce()) {
    let Some(armed) = armed(name) else { return };
    if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        last();
        die();
    }
}

/// Waits for an answer, and passes the failpoint if it is not there yet when its request must have been written.
#[cfg(debug_assertions)]
pub async fn waiting<F: Future>(name: &'static str, answer: F) -> F::Output {
    if armed(name).is_none() {
        return answer.await;
    }
    let mut answer = std::pin::pin!(answer);
    if let Ok(early) = tokio::time::timeout(SILENCE, &mut answer).await {
        return early;
    }
    hit(name);
    answer.await
}

/// What the daemon uses of a size or time: the usual one, unless it was told to hurry.
#[cfg(debug_assertions)]
pub fn hurried<T>(usual: T, hurry: T) -> T {
    static TOLD: OnceLock<bool> = OnceLock::new();
    if *TOLD.get_or_init(|| std::env::var_os(HURRY).is_some()) { hurry } else { usual }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub fn hit(_: &'static str) {}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub fn hit_after(_: &'static str, _: impl FnOnce()) {}

/// The answer itself.
#[cfg(not(debug_assertions))]
#[inline]
pub fn waiting<F: Future>(_: &'static str, answer: F) -> F {
    answer
}

/// The usual one.
#[cfg(not(debug_assertions))]
#[inline]
pub fn hurried<T>(usual: T, _: T) -> T {
    usual
}

/// The failpoint at which this process dies.
#[cfg(debug_assertions)]
struct Armed {
    name: String,
    left: AtomicU64,
}

#[cfg(debug_assertions)]
fn armed(name: &'static str) -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let told = || {
        let told = std::env::var(ARM).ok()?;
        let (name, nth) = told.split_once(':').unwrap_or((&told, "1"));
        Some(Armed { name: name.to_owned(), left: AtomicU64::new(nth.parse().unwrap_or(1)) })
    };
    ARMED.get_or_init(told).as_ref().filter(|armed| armed.name == name)
}

#[cfg(debug_assertions)]
fn die() -> ! {
    let own = rustix::process::getpid();
    let killed = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    // The signal is on its way to every thread; this one does nothing more.
    killed.expect("a process may always kill itself");
    loop {
        std::thread::park();
    }
}
