//! One HTTPS exchange, and exact knowledge of how far it got.
//!
//! Promises to tell "proved not sent" from "may have been sent". Only what fails while the connection is being made
//! (name, TCP, TLS) is proof: hyper hands over a request no sooner. Everything later, a reset, a time-out, an answer cut
//! short, is doubt. hyper itself takes back a request that a dead idle connection never began to write, and tries a
//! fresh one; it does so only then, so one exchange is at most one request on the wire.
//! Redirects are not followed, no proxy of the environment is used, and bodies are read up to a cap.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, RequestBuilder, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use usher_common::model::OutcomeClass;

use super::settings::{BuildError, ProviderConfig};
use super::{Answer, Look, Scope, trust};
use crate::failpoint;

/// As much of an answer as is read, in bytes. The longest honest one is a look-up's list.
const BODY_CAP: usize = 2 << 20;

/// Idle connections are given up after this long, before most servers do so from their side.
const IDLE: Duration = Duration::from_secs(20);

/// A client for one provider's API. Not printable: an address can be a secret.
pub(super) struct Http {
    client: Client,
    base: Url,
    tls: rustls::ClientConfig,
    patience: Duration,
}

/// What the provider answered.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// HTTP status.
    pub(super) status: u16,
    /// Headers.
    pub(super) headers: HeaderMap,
    /// Body, up to the cap.
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    /// No byte of the request left: it cannot have been taken.
    NotSent(String),
    /// It may have been taken.
    Doubt {
        /// Whether our patience ended it.
        timeout: bool,
        /// What happened.
        detail: String,
    },
    /// The request could not be written at all, and never will be.
    Unwritable(String),
}

impl Http {
    /// A client for `config`, whose API is at `vendor` unless it says otherwise.
    pub(super) fn new(config: &ProviderConfig, vendor: &str) -> Result<Self, BuildError> {
        Self::at(config, "base_url", config.base_url.as_deref().unwrap_or(vendor))
    }

    /// A client for one address, which `key` of the configuration sets.
    pub(super) fn at(config: &ProviderConfig, key: &'static str, address: &str) -> Result<Self, BuildError> {
        let base = Url::parse(address).map_err(|error| BuildError::Value {
            provider: config.name.clone(),
            key,
            why: error.to_string(),
        })?;
        if base.scheme() != "https" && !(base.scheme() == "http" && base.host_str().is_some_and(is_loopback)) {
            return Err(BuildError::Unprotected { provider: config.name.clone(), key });
        }
        let tls = trust::client_tls(config)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .user_agent(concat!("usherd/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout())
            .timeout(config.request_timeout())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(config.max_in_flight as usize)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|source| BuildError::Http { provider: config.name.clone(), source })?;
        Ok(Self { client, base, tls, patience: config.connect_timeout() })
    }

    /// Looks at the server over a connection of its own: the clients that carry messages do not keep certificates.
    pub(super) async fn look(&self) -> Look {
        let seen = async {
            let client = Client::builder()
                .tls_backend_preconfigured(self.tls.clone())
                .tls_info(true)
                .user_agent(concat!("usherd/", env!("CARGO_PKG_VERSION")))
                .timeout(self.patience)
                .redirect(redirect::Policy::none())
                .no_proxy()
                .build()?;
            let mut root = self.base.clone();
            root.set_path("/");
            client.head(root).send().await
        };
        let answer = match seen.await {
            Ok(answer) => answer,
            Err(error) => return Look { fault: chain(&error.without_url()), ..Look::default() },
        };
        let tls = answer.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = tls.and_then(|tls| tls.peer_certificate()).and_then(trust::good_until);
        let date =
            answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok()).and_then(super::rfc2822);
        Look { certificate, date, fault: String::new() }
    }

    /// A POST to `path`, which begins with `/`.
    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// A GET of `path`, which begins with `/`.
    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// A POST to the address itself.
    pub(super) fn post_there(&self) -> RequestBuilder {
        self.client.post(self.base.clone())
    }

    /// A GET of the address itself.
    pub(super) fn get_there(&self) -> RequestBuilder {
        self.client.get(self.base.clone())
    }

    /// The address with `path`, which may have a query, behind its own. Scheme and host are not parsed again: requests are
    /// many.
    fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    /// Makes the exchange, once.
    pub(super) async fn exchange(&self, request: RequestBuilder) -> Result<Reply, Silence> {
        let answer = failpoint::waiting("providers.http.body-written", request.send());
        let mut response = answer.await.map_err(|error| silence(&error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        // An answer that breaks off is doubt even after a good status: the class hangs on the body.
        while let Some(chunk) = response.chunk().await.map_err(|error| silence(&error))? {
            let room = BODY_CAP - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == BODY_CAP {
                break;
            }
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }
}

impl Silence {
    /// The answer for each message of the request.
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::NotSent(detail) => Answer::new(OutcomeClass::NotSent, None, "connect", detail),
            Self::Doubt { timeout: true, detail } => Answer::new(OutcomeClass::Unknown, None, "timeout", detail),
            Self::Doubt { timeout: false, detail } => {
                Answer::new(OutcomeClass::Unknown, None, "connection_lost", detail)
            }
            Self::Unwritable(detail) => Answer::new(OutcomeClass::Refused, None, "unwritable", detail),
        }
    }

    /// The same for a probe or a look-up, where only the text matters.
    pub(super) fn detail(&self) -> &str {
        match self {
            Self::NotSent(detail) | Self::Doubt { detail, .. } | Self::Unwritable(detail) => detail,
        }
    }
}

impl Reply {
    /// The text of header `name`; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The seconds in header `name`, where it holds a whole number of them.
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        self.text(name).trim().parse().ok().map(Duration::from_secs)
    }
}

/// The value of `Authorization` for a secret that `key` of the configuration sets.
pub(super) fn bearer(
    config: &ProviderConfig,
    key: &'static str,
    secret: &SecretString,
) -> Result<HeaderValue, BuildError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()));
    let why = |error: InvalidHeaderValue| error.to_string();
    let mut value = value.map_err(|error| BuildError::Value { provider: config.name.clone(), key, why: why(error) })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a bare status means where the provider's own code says nothing: the most that it proves and no more.
pub(super) fn by_status(status: u16) -> (OutcomeClass, Option<Scope>) {
    match status {
        429 => (OutcomeClass::Throttled, Some(Scope::Account)),
        // A redirect is a wrong `base_url` or a captive portal: nothing will get through until a person looks.
        300..=399 | 401..=403 | 407 => (OutcomeClass::Unusable, Some(Scope::Account)),
        // "Request timeout", "conflict" and "too early" do not say that nothing was done.
        408 | 409 | 425 => (OutcomeClass::Unknown, None),
        400..=499 => (OutcomeClass::Refused, None),
        _ => (OutcomeClass::Unknown, None),
    }
}

/// Whether `host` can only be this machine. Names other than `localhost` are not looked up: an answer can change.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn silence(error: &reqwest::Error) -> Silence {
    let detail = chain(error);
    if error.is_builder() {
        Silence::Unwritable(detail)
    } else if error.is_connect() {
        Silence::NotSent(detail)
    } else {
        Silence::Doubt { timeout: error.is_timeout(), detail }
    }
}

/// The causes of an error, outermost first; without the URL, which can name a recipient.
fn chain(error: &reqwest::Error) -> String {
    let mut text = match () {
        () if error.is_connect() => "could not connect".to_owned(),
        () if error.is_timeout() => "no answer in time".to_owned(),
        () => "the connection was lost".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    let mut last = None;
    while let Some(inner) = cause {
        last = Some(inner.to_string());
        cause = inner.source();
    }
    if let Some(last) = last {
        text.push_str(": ");
        text.push_str(&last);
    }
    text
}
