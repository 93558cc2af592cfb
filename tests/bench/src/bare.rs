//! The bare client: posts requests that a daemon made, with other ids, and keeps nothing. Whatever the daemon takes
//! beyond it is the price of durability, of the rules and of the books.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::process::{Sink, processor_seconds};
use crate::sink::{ACCOUNT, KEY, MAIL_MARK, SECRET, Sample, TEXT_MARK};

/// What came of it.
pub(crate) struct Bare {
    /// Messages posted: as many as asked for, or a few more, so that every batch is full.
    pub(crate) messages: usize,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Processor time of the client for each message, in microseconds.
    pub(crate) own_us: f64,
    /// What should not have happened.
    pub(crate) fault: Option<String>,
}

impl Bare {
    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.seconds
    }
}

/// A request in pieces, between which ids go.
struct Form {
    url: String,
    is_text: bool,
    pieces: Vec<String>,
}

impl Form {
    fn new(url: &str, sample: &Sample) -> anyhow::Result<Self> {
        let is_text = !sample.path.starts_with("/emails");
        let mark = if is_text { TEXT_MARK } else { MAIL_MARK };
        let mut pieces = Vec::new();
        let mut rest = sample.body.as_str();
        while let Some(at) = rest.find(mark) {
            let (piece, behind) = rest.split_at(at + mark.len() + 1);
            pieces.push(piece.to_owned());
            rest = behind.trim_start_matches(|letter: char| letter.is_ascii_digit());
        }
        if pieces.is_empty() || pieces.len() != sample.messages {
            bail!("in a request of {} messages {} ids were found", sample.messages, pieces.len());
        }
        pieces.push(rest.to_owned());
        Ok(Self { url: format!("{url}{}", sample.path), is_text, pieces })
    }

    fn ids(&self) -> usize {
        self.pieces.len() - 1
    }

    fn body(&self, first: usize) -> String {
        let mut body = String::with_capacity(self.pieces.iter().map(|piece| piece.len() + 8).sum());
        for (n, piece) in self.pieces.iter().enumerate() {
            if n > 0 {
                body += &(first + n).to_string();
            }
            body += piece;
        }
        body
    }
}

/// Posts `count` messages as in the last sample of the sink, so many requests at once.
pub(crate) async fn post(sink: &Sink, count: usize, in_flight: usize) -> anyhow::Result<Bare> {
    let form = Arc::new(Form::new(sink.url(), &sink.sample().await?)?);
    sink.take_tally().await?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(in_flight)
        .build()
        .context("making the bare client")?;
    let requests = count.div_ceil(form.ids());
    let next = Arc::new(AtomicUsize::new(0));
    let used = processor_seconds(std::process::id())?;
    let begun = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..in_flight {
        let (client, form, next) = (client.clone(), Arc::clone(&form), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= requests {
                    return anyhow::Ok(());
                }
                let request = client.post(&form.url).body(form.body(n * form.ids()));
                let request = if form.is_text {
                    let kind = "application/x-www-form-urlencoded";
                    request.basic_auth(ACCOUNT, Some(SECRET)).header("content-type", kind)
                } else {
                    request.bearer_auth(KEY).header("content-type", "application/json").header("idempotency-key", n)
                };
                let answer = request.send().await.context("posting to the sink")?;
                let status = answer.status();
                let text = answer.text().await.context("reading the sink's answer")?;
                if !status.is_success() {
                    bail!("the sink answered {status}: {text}");
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.context("a worker of the bare client panicked")??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let messages = requests * form.ids();
    let own_us = (processor_seconds(std::process::id())? - used) * 1e6 / messages as f64;
    let fault = sink.take_tally().await?.fault(messages).map(|fault| format!("bare client: {fault}"));
    Ok(Bare { messages, seconds, own_us, fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_written_again_with_other_ids() {
        let mail = |id: u32| format!("{{\"html\":\"\\\"value\\\":\\\"m5\",\"tags\":[{{\"value\":\"m{id}\"}}]}}");
        let body = format!("[{},{}]", mail(107), mail(8));
        let form = Form::new("http://sink", &Sample { path: "/emails/batch".to_owned(), body, messages: 2 }).unwrap();
        assert_eq!(form.body(40), format!("[{},{}]", mail(41), mail(42)));
    }
}
