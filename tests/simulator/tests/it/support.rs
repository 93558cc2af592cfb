//! What the tests share: a simulator, plain HTTP clients, and requests that are right, to be made wrong one at a time.

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use usher_sim::{Config, Simulator};

pub(crate) const SID: &str = "AC00000000000000000000000000000001";

pub(crate) async fn start() -> Simulator {
    Simulator::start(Config::default()).await.unwrap()
}

/// A client with the mandatory User-Agent.
pub(crate) fn client() -> Client {
    builder().user_agent("usher-test/1").build().unwrap()
}

pub(crate) fn builder() -> reqwest::ClientBuilder {
    // The second test to install it finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}

/// An e-mail that Resend takes.
pub(crate) fn email(message: &str, to: &str) -> Value {
    json!({
        "from": "Ann & Bob <wedding@example.com>", "to": to, "subject": "Save the date", "text": "Do come!",
        "tags": [{ "name": "usher_message", "value": message }],
    })
}

/// `POST /emails` with a good key.
pub(crate) fn post_email(client: &Client, simulator: &Simulator, body: &Value) -> RequestBuilder {
    client.post(format!("{}/emails", simulator.resend_url())).bearer_auth("re_simulator").json(body)
}

pub(crate) fn post_batch(client: &Client, simulator: &Simulator, body: &Value) -> RequestBuilder {
    client.post(format!("{}/emails/batch", simulator.resend_url())).bearer_auth("re_simulator").json(body)
}

/// A form that Twilio takes.
pub(crate) fn sms<'a>(to: &'a str, callback: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("To", to), ("From", "+15005550006"), ("Body", "Do come!"), ("StatusCallback", callback)]
}

pub(crate) fn callback(message: &str) -> String {
    format!("https://usher.example.com/hooks/twilio?usher_message={message}")
}

/// `POST …/Messages.json` with good credentials.
pub(crate) fn post_sms(client: &Client, simulator: &Simulator, form: &[(&str, &str)]) -> RequestBuilder {
    let url = format!("{}/2010-04-01/Accounts/{SID}/Messages.json", simulator.twilio_url());
    let encode = |text: &str| text.bytes().map(|byte| ["%", &hex::encode([byte])].concat()).collect::<String>();
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let request = client.post(url).basic_auth(SID, Some("simulator"));
    request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"))
}

pub(crate) fn get_twilio(client: &Client, simulator: &Simulator, path: &str) -> RequestBuilder {
    client.get(format!("{}/2010-04-01/Accounts/{path}", simulator.twilio_url())).basic_auth(SID, Some("simulator"))
}

/// A mail that SendGrid takes.
pub(crate) fn mail(message: &str, to: &str) -> Value {
    json!({
        "personalizations": [{ "to": [{ "email": to }], "custom_args": { "usher_message": message } }],
        "from": { "email": "wedding@example.com", "name": "Ann & Bob" }, "subject": "Save the date",
        "content": [{ "type": "text/plain", "value": "Do come!" }, { "type": "text/html", "value": "<p>Do come!</p>" }],
    })
}

/// `POST /v3/mail/send` with a good key.
pub(crate) fn post_mail(client: &Client, simulator: &Simulator, body: &Value) -> RequestBuilder {
    client.post(format!("{}/v3/mail/send", simulator.sendgrid_url())).bearer_auth("SG.simulator").json(body)
}

/// A message that Slack takes.
pub(crate) fn note(message: &str, channel: &str) -> Value {
    let metadata = json!({ "event_type": "usher", "event_payload": { "usher_message": message } });
    json!({ "channel": channel, "text": "Do come!", "metadata": metadata })
}

/// A method of the Web API, called with a good token and a charset.
pub(crate) fn call_slack(client: &Client, simulator: &Simulator, method: &str, body: &Value) -> RequestBuilder {
    let request = client.post(format!("{}/api/{method}", simulator.slack_url())).bearer_auth("xoxb-simulator");
    request.header("content-type", "application/json; charset=utf-8").body(body.to_string())
}

/// A template message that WhatsApp takes.
pub(crate) fn chat(message: &str, to: &str) -> Value {
    let parameters = json!([{ "type": "text", "text": "Ann" }]);
    json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "template",
        "template": {
            "name": "invitation", "language": { "policy": "deterministic", "code": "en_US" },
            "components": [{ "type": "body", "parameters": parameters }],
        },
        "biz_opaque_callback_data": message,
    })
}

/// `POST /v23.0/{phone-number-id}/messages` with a good token.
pub(crate) fn post_chat(client: &Client, simulator: &Simulator, body: &Value) -> RequestBuilder {
    let url = format!("{}/v23.0/100000000000001/messages", simulator.whatsapp_url());
    client.post(url).bearer_auth("EAAsimulator").json(body)
}

/// Status and JSON body of an answer.
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    read(request.send().await.unwrap()).await
}

pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
