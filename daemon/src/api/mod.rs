//! HTTP and WebSocket: console sessions, health, metrics, status routes.
//!
//! Who calls is told by the road: the kernel names the user behind the Unix socket, a token stands for the caller on TCP.
//! Nothing here decides anything about campaigns or guests; it translates.

mod acts;
mod again;
mod alerts;
mod caller;
mod guests;
mod hooks;
mod listen;
mod mail;
mod problem;
mod progress;
mod routes;
mod session;
mod steering;
mod trace;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use usher_common::model::Verdict;
use usher_common::protocol::{Act, Answer, Problem, ProblemCode, Reply, Request, Topic};

pub use caller::Caller;
pub use hooks::{HOOKS, HookCaller, Hooks};
pub use listen::{Doors, ListenError, unix};
pub use mail::{MAIL_PATH, MailDoor, MailPost};
use progress::Progress;
pub use routes::router;

use crate::aside::aside;
use crate::checks::Surroundings;
use crate::clock::Clock;
use crate::dispatch::Dispatcher;
use crate::guests::{Intake, Source};
use crate::monitor::{Board, Metrics};
use crate::store::By;

/// Imports that one daemon has open at once.
const IMPORTS: usize = 8;

/// An import that is open.
struct Import {
    intake: Arc<Mutex<Intake>>,
    /// Whose it is: one whose session has ended is open no longer.
    owner: Weak<Caller>,
}

pub use alerts::Alarm;

/// Everything that the doors lead to.
pub struct Api {
    alarm: Option<Alarm>,
    environment: String,
    clock: Clock,
    board: Board,
    metrics: Arc<Metrics>,
    dispatcher: Dispatcher,
    checks: Option<Surroundings>,
    token: Option<SecretString>,
    imports: Mutex<HashMap<u64, Import>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Api {
    /// An interface to a dispatcher that works, to whoever watches over it, and to the checks of its surroundings.
    /// `token` is what callers on TCP present. Sessions end when `stop` is
    /// cancelled, each of them in `tasks`.
    pub fn new(
        environment: &str,
        clock: Clock,
        (board, metrics): (Board, Arc<Metrics>),
        (dispatcher, alarm, checks): (Dispatcher, Option<Alarm>, Option<Surroundings>),
        token: Option<SecretString>,
        (stop, tasks): (CancellationToken, TaskTracker),
    ) -> Arc<Self> {
        Arc::new(Self {
            alarm,
            environment: environment.to_owned(),
            clock,
            board,
            metrics,
            dispatcher,
            checks,
            token,
            imports: Mutex::default(),
            stop,
            tasks,
        })
    }

    /// A client follows a topic that is only put together for followers.
    fn interest(&self, topic: Topic) {
        if let Topic::Campaign(id) = topic {
            self.dispatcher.look(id);
        }
    }

    /// A session has ended: its imports are given up.
    async fn forget_imports(&self, of: &Arc<Caller>) {
        let of = Arc::downgrade(of);
        self.imports.lock().await.retain(|_, import| !import.owner.ptr_eq(&of));
    }

    /// Does what somebody on this machine asks for, as if a session had brought it.
    pub async fn ask(self: &Arc<Self>, name: &str, request: Request, act: Option<Act>) -> Result<Reply, Problem> {
        let caller = Arc::new(Caller { name: name.to_owned(), local: true });
        Arc::clone(self).call(caller, request, act, Progress::untold(self.stop.clone())).await
    }

    /// Answers one request, which tells `progress` how far it is. What may take long does so on a thread of its own, so
    /// that it holds up nobody else.
    async fn call(
        self: Arc<Self>,
        caller: Arc<Caller>,
        request: Request,
        act: Option<Act>,
        progress: Progress,
    ) -> Result<Reply, Problem> {
        if !takes_long(&request) {
            return self.answer(&caller, request, act, &progress).await;
        }
        let work = async move { self.answer(&caller, request, act, &progress).await };
        aside(work).await.unwrap_or_else(|error| {
            Err(Problem::new(
                ProblemCode::Internal,
                format!("the call was broken off: {error}"),
                "see the daemon's log",
            ))
        })
    }

    async fn answer(
        &self,
        caller: &Arc<Caller>,
        request: Request,
        act: Option<Act>,
        progress: &Progress,
    ) -> Result<Reply, Problem> {
        if request.answer() == Answer::Acts && act.is_none() {
            return Err(Problem::new(
                ProblemCode::Invalid,
                "this request changes something and carries no act",
                "send an act with a key and, where there is one, a reason",
            ));
        }
        let act = act.unwrap_or_default();
        if takes_in(&request)
            && !act.preview
            && let Some(why) = self.dispatcher.shared().no_room()
        {
            return Err(Problem::new(
                ProblemCode::Unavailable,
                format!("nothing new is taken in: {why}"),
                "make room on the disk; what can be paused, cancelled or deleted still can be",
            ));
        }
        let by = By { actor: caller.name.clone(), reason: act.reason.clone(), request_id: act.key.clone() };
        if let Request::ImportOpen { list, file, vouched_by, country } = &request {
            let from = Source { file, vouched_by, country };
            return self.import_open(caller, &by, list, from, act.preview).await;
        }
        if let Request::Check { set } = &request {
            return match &self.checks {
                Some(surroundings) => Ok(Reply::Checks(surroundings.run(*set).await)),
                None => Err(Problem::new(
                    ProblemCode::Unavailable,
                    "this daemon makes no checks",
                    "ask one that is not simulated",
                )),
            };
        }
        if let Some(answer) = self.guest_request(&by, &act, &request, progress).await {
            return answer;
        }
        if let Some(answer) = self.alert_request(&by, &act, &request).await {
            return answer;
        }
        match self.steering_request(&by, &act, &request).await {
            Some(answer) => answer,
            None => self.campaign_request(&by, &act, request, progress).await,
        }
    }
}

/// Whether a request goes through many rows, or waits for a disk beside the store's own.
fn takes_long(request: &Request) -> bool {
    matches!(
        request,
        Request::Guests { .. }
            | Request::Export { .. }
            | Request::Messages { .. }
            | Request::GuestAdd { .. }
            | Request::GuestDelete { .. }
            | Request::GuestBulk { .. }
            | Request::ListDelete { .. }
            | Request::ImportChunk { .. }
            | Request::ImportFinish { .. }
            | Request::CampaignPreview { .. }
            | Request::CampaignEstimate { .. }
            | Request::CampaignTest { .. }
            | Request::CampaignApprove { .. }
            | Request::CampaignResend { .. }
            | Request::Doubts { .. }
            | Request::DoubtSettle { .. }
            | Request::GuestTrace { .. }
            | Request::Why { .. }
            | Request::ProviderSteer { .. }
            | Request::ProviderTest { .. }
            | Request::AlertTest { .. }
            | Request::Check { .. }
    )
}

/// Whether a request makes the store grow; what only stops or removes something never waits for room.
fn takes_in(request: &Request) -> bool {
    matches!(
        request,
        Request::GuestAdd { .. }
            | Request::GuestEdit { .. }
            | Request::GuestBulk { .. }
            | Request::ImportOpen { .. }
            | Request::ImportChunk { .. }
            | Request::TemplateSave { .. }
            | Request::CampaignCreate { .. }
            | Request::CampaignTest { .. }
            | Request::CampaignApprove { .. }
            | Request::CampaignSend { .. }
            | Request::CampaignResume { .. }
            | Request::CampaignResend { .. }
            | Request::DoubtSettle { verdict: Verdict::Resend, .. }
    )
}
