//! The providers' other half: reports of what became of a message, signed as each of them signs, to the daemon's port for them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher_sim::Accepted;

use crate::{Plan, free_port};

/// Resend's webhook secret on the stage, as Resend shows it without its `whsec_`: base64 of 24 bytes.
pub const SVIX: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// The daemon's port for reports.
#[derive(Debug, Clone)]
pub struct Reports {
    address: String,
}

impl Reports {
    /// Lets the providers of a plan report.
    pub fn plan(plan: &mut Plan) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        plan.extra +=
            &format!("[webhooks]\nlisten = \"{address}\"\npublic_url = \"https://hooks.ada-and-ben.example\"\n");
        *plan.settings.entry("resend".to_owned()).or_default() += &format!("webhook_secret = \"whsec_{SVIX}\"\n");
        Ok(Self { address })
    }

    /// Posts, and says how it was answered.
    pub async fn post(&self, path: &str, headers: &[(&str, String)], body: &str) -> anyhow::Result<u16> {
        let mut stream = TcpStream::connect(&self.address).await.context("connecting to the port for reports")?;
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.context("writing a report")?;
        let mut answer = Vec::new();
        // A body that is too long is answered before it is read; the connection then ends as it may.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.ok_or_else(|| anyhow!("no answer to a report at {path}: {answer}"))
    }

    /// An event of Resend's, signed as Svix does under this secret.
    pub async fn resend(&self, secret: &str, event: &str, body: &Value) -> anyhow::Result<u16> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret)?);
        let tag = hmac::sign(&key, format!("{event}.{now}.{body}").as_bytes());
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("svix-id", event.to_owned()),
            ("svix-timestamp", now),
            ("svix-signature", format!("v1,{}", STANDARD.encode(tag))),
        ];
        self.post("/hooks/resend", &headers, &body).await
    }

    /// A status of Twilio's, signed for the address that the stage's configuration gives it.
    pub async fn twilio(&self, of: &Accepted, status: &str, error: &str) -> anyhow::Result<u16> {
        let query = format!("usher_message={}", of.message.as_deref().context("a message without our id")?);
        let to = of.recipient.replace('+', "%2B");
        let mut fields = vec![("MessageSid", of.provider_id.clone()), ("MessageStatus", status.to_owned()), ("To", to)];
        if !error.is_empty() {
            fields.push(("ErrorCode", error.to_owned()));
        }
        fields.sort();
        let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let mut signed = format!("https://hooks.ada-and-ben.example/twilio?{query}");
        for (name, value) in &fields {
            signed += name;
            signed += &value.replace("%2B", "+");
        }
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"simulator");
        let headers = [
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("x-twilio-signature", STANDARD.encode(hmac::sign(&key, signed.as_bytes()))),
        ];
        self.post(&format!("/hooks/twilio?{query}"), &headers, &body).await
    }
}

/// What Resend says of a message, with `more` beside what it always says.
pub fn resend_event(kind: &str, of: &Accepted, more: Value) -> Value {
    let mut data = json!({
        "email_id": of.provider_id,
        "to": [of.recipient],
        "tags": {"usher_message": of.message},
    });
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    json!({"type": kind, "created_at": "2026-11-22T10:00:00.000Z", "data": data})
}

/// What Resend says of an address that does not exist.
pub fn resend_bounce(of: &Accepted) -> Value {
    let bounce = json!({"type": "Permanent", "subType": "NoEmail", "message": "no such user"});
    resend_event("email.bounced", of, json!({"bounce": bounce}))
}
