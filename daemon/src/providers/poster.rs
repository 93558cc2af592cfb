//! JSON to an address of somebody else's, with the same care as for a provider: TLS by the system's authorities, no redirects, no
//! proxies, a time limit. For alerts, which are not messages to guests.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use secrecy::SecretString;
use serde_json::Value;

use super::http::{Http, Silence, bearer};
use super::settings::{BuildError, ProviderConfig};

/// Posts to one address. Cheap to clone.
#[derive(Clone)]
pub struct Poster {
    http: Arc<Http>,
    token: Option<HeaderValue>,
}

/// What came of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It was answered.
    Answered {
        /// HTTP status.
        status: u16,
        /// The answer's beginning.
        body: Bytes,
    },
    /// It cannot have been taken.
    NotSent(String),
    /// It may have been taken.
    Doubt(String),
}

impl Poster {
    /// Posts to `address`, with a bearer token where one is given.
    pub fn new(config: &ProviderConfig, address: &str, token: Option<&SecretString>) -> Result<Self, BuildError> {
        let http = Arc::new(Http::at(config, "url", address)?);
        let token = token.map(|token| bearer(config, "token", token)).transpose()?;
        Ok(Self { http, token })
    }

    /// Posts once.
    pub async fn post(&self, body: &Value) -> Posted {
        let mut request = self.http.post_there().json(body);
        if let Some(token) = &self.token {
            request = request.header(reqwest::header::AUTHORIZATION, token.clone());
        }
        match self.http.exchange(request).await {
            Ok(reply) => Posted::Answered { status: reply.status, body: reply.body },
            Err(silence @ (Silence::NotSent(_) | Silence::Unwritable(_))) => {
                Posted::NotSent(silence.detail().to_owned())
            }
            Err(silence) => Posted::Doubt(silence.detail().to_owned()),
        }
    }
}
