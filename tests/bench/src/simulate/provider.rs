//! A simulated provider as the daemon's dispatch sees it: the adapter's side of [`super::books`].

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use usher_common::model::{Channel, OutcomeClass, ProviderKind};
use usherd::providers::{Answer, Outgoing, PrepareError, Prepared, Probe, Provider, Traits};

use super::books::{KEYS_KEPT, Letter, answer};
use super::plan::{Company, Fault};
use super::world::World;

/// Stands before a campaign's number in what it says.
pub(super) const MARK: &str = "Ada and Ben no";

/// One provider.
pub(super) struct Simulated {
    world: Arc<World>,
    n: usize,
}

impl Simulated {
    pub(super) fn new(world: Arc<World>, n: usize) -> Self {
        Self { world, n }
    }

    fn company(&self) -> &Company {
        &self.world.plan.providers[self.n]
    }
}

impl Provider for Simulated {
    fn name(&self) -> &str {
        &self.company().name
    }

    fn kind(&self) -> ProviderKind {
        self.company().kind
    }

    fn channel(&self) -> Channel {
        self.company().channel
    }

    fn traits(&self) -> Traits {
        Traits {
            batch_max: self.company().batch,
            keeps_keys: self.company().keeps_keys.then_some(Duration::from_millis(KEYS_KEPT.unsigned_abs())),
            smtp_utf8: true,
            lookup: false,
        }
    }

    fn echoes(&self) -> bool {
        self.company().echoes
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        let mut body = String::new();
        for one in messages {
            let (n, attempt, to) = (one.message.0, one.attempt.0, &one.to);
            let said =
                [&one.subject, &one.text, &one.rfc_message_id, &one.from.address].map(|part| part.replace('\n', " "));
            let _ = writeln!(body, "{n}\t{attempt}\t{}\t{to}\t{}", campaign(one), said.join("\u{b7}"));
        }
        Ok(Prepared::new(messages.len(), body.into(), key))
    }

    fn send<'a>(&'a self, request: &'a Prepared) -> BoxFuture<'a, Vec<Answer>> {
        async move {
            let letters = letters(&request.bytes);
            let count = letters.len();
            let Some(arrival) = self.world.now().arrive(self.n, request, letters) else {
                return std::future::pending().await;
            };
            tokio::time::sleep(Duration::from_millis(arrival.after.unsigned_abs())).await;
            self.world.post.notify_one();
            let answers =
                arrival.answers.unwrap_or_else(|| vec![answer(OutcomeClass::Unknown, None, "timeout"); count]);
            let mut guard = self.world.now();
            let said: Vec<&str> = answers.iter().map(|answer| answer.class.as_str()).collect();
            guard.tell(format_args!("{} answers {}: {}", self.company().name, request.key, said.join(", ")));
            answers
        }
        .boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Probe> {
        async move {
            let fault = {
                let now = self.world.now().at();
                let troubles = &self.company().troubles;
                troubles.iter().find(|t| t.from <= now && now < t.until && t.share >= 1.0).map(|t| t.fault)
            };
            let ms = Duration::from_millis;
            match fault {
                Some(Fault::Refuses | Fault::ErrsBefore | Fault::ErrsAfter) => Probe::Down("refused".to_owned()),
                Some(Fault::ResetsBefore | Fault::ResetsAfter) => Probe::Down("reset".to_owned()),
                Some(Fault::Locked) => Probe::Unusable("401".to_owned()),
                Some(Fault::Hangs | Fault::Slow) => {
                    tokio::time::sleep(ms(60_000)).await;
                    Probe::Down("no answer".to_owned())
                }
                Some(Fault::Throttles) | None => {
                    tokio::time::sleep(ms(self.company().latency)).await;
                    Probe::Up("well".to_owned())
                }
            }
        }
        .boxed()
    }
}

/// The number of the campaign that a letter is of, as it says itself.
fn campaign(letter: &Outgoing) -> usize {
    let texts = [&letter.text, &letter.subject];
    let after = texts.iter().find_map(|text| Some(text.split_once(MARK)?.1)).unwrap_or_default();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("every letter names its campaign, since its words do")
}

/// What a request carries.
fn letters(body: &[u8]) -> Vec<Letter> {
    let text = std::str::from_utf8(body).expect("it was written as text");
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let mut next = || fields.next().expect("a line has five fields");
        Letter {
            message: next().parse().expect("a number"),
            attempt: next().parse().expect("a number"),
            campaign: next().parse().expect("a number"),
            to: next().to_owned(),
        }
    };
    text.lines().map(line).collect()
}
