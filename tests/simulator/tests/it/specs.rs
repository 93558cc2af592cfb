//! Requests and answers against the vendors' own specifications, where those are at hand.
//! Promises: says loudly when they are not; what a specification is known to have wrong is left out by name.

use crate::schema::{check, check_exact, merged};
use crate::support::{
    SID, answer, call_slack, callback, chat, client, email, get_twilio, mail, note, post_batch, post_chat, post_email,
    post_mail, post_sms, sms, start,
};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use usher_sim::{Config, Simulator, WhatsAppConfig};

/// The specification, if its folder stands beside the workspace.
fn spec(name: &str) -> Option<Value> {
    text(name).map(|text| serde_json::from_str(&text).unwrap())
}

/// A specification in YAML, which the Python that `.ci/run` installs makes JSON of.
fn spec_of_yaml(name: &str) -> Option<Value> {
    let yaml = text(name)?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let python = workspace.join("target/ci-tools/vendor-clients/bin/python");
    if !python.exists() {
        skip(&format!("{name} is YAML, and what reads it is not installed (.ci/run does)"));
        return None;
    }
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin.buffer), sys.stdout, default=str)";
    let mut command = Command::new(python);
    command.args(["-I", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The reader takes all before it writes; dropped at the end of the statement, the pipe tells it that this is all.
    child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn skip(why: &str) {
    // Straight to standard error: what the test harness captures of a passing test, nobody sees.
    std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}

fn text(name: &str) -> Option<String> {
    // Beside the workspace, or beside the folder of its work trees.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let found = workspace
        .ancestors()
        .skip(1)
        .take(2)
        .find_map(|above| std::fs::read_to_string(above.join("shared/facts/providers/specs").join(name)).ok());
    if found.is_none() {
        skip(&format!("{name} is not at hand, so nothing was checked against it"));
    }
    found
}

fn answer_schema<'a>(spec: &'a Value, path: &str, method: &str, status: &str) -> &'a Value {
    &spec["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
}

#[tokio::test]
async fn resend_keeps_to_its_specification() {
    let Some(spec) = spec("resend.json") else { return };
    let simulator = start().await;
    let client = client();
    let request_schema = json!({ "$ref": "#/components/schemas/SendEmailRequest" });
    let mut full = email("m", "guest@example.com");
    full["cc"] = json!(["b@example.com"]);
    full["html"] = json!("<p>Do come!</p>");
    full["headers"] = json!({ "List-Unsubscribe-Post": "List-Unsubscribe=One-Click" });
    full["attachments"] = json!([{ "content": "YQ==", "filename": "a.txt", "content_type": "text/plain" }]);
    full["scheduled_at"] = json!("2099-01-01T00:00:00Z");
    let mut templated = email("m", "guest@example.com");
    templated.as_object_mut().unwrap().remove("text");
    templated["template"] = json!({ "id": "t", "variables": { "name": "Ann", "table": 7 } });
    let mut id = String::new();
    for request in [email("m", "guest@example.com"), full, templated] {
        check(&spec, &request_schema, &request, "$").unwrap();
        let (status, body) = answer(post_email(&client, &simulator, &request)).await;
        assert_eq!(status, 200, "the specification takes it: {request} -> {body}");
        check_exact(&spec, answer_schema(&spec, "/emails", "post", "200"), &body);
        id = body["id"].as_str().unwrap().to_owned();
    }
    // What the specification refuses, the simulator refuses.
    let many: Vec<String> = (0..51).map(|n| format!("g{n}@example.com")).collect();
    for (field, value) in
        [("to", json!(many)), ("to", json!([])), ("subject", json!(1)), ("tags", json!("x")), ("headers", json!([]))]
    {
        let mut request = email("m", "guest@example.com");
        request[field] = value;
        check(&spec, &request_schema, &request, "$").unwrap_err();
        assert_eq!(answer(post_email(&client, &simulator, &request)).await.0, 422, "{request}");
    }
    let batch = json!([email("a", "a@example.com"), email("b", "b@example.com")]);
    let (_, body) = answer(post_batch(&client, &simulator, &batch)).await;
    check_exact(&spec, answer_schema(&spec, "/emails/batch", "post", "200"), &body);
    let get = |path: &str| answer(client.get(format!("{}{path}", simulator.resend_url())).bearer_auth("re_simulator"));
    check_exact(
        &spec,
        answer_schema(&spec, "/emails/{email_id}", "get", "200"),
        &get(&format!("/emails/{id}")).await.1,
    );
    check_exact(&spec, answer_schema(&spec, "/domains", "get", "200"), &get("/domains").await.1);
    simulator.stop().await;
}

#[tokio::test]
async fn twilio_keeps_to_its_specification() {
    let Some(spec) = spec("twilio_messages_v2010.json") else { return };
    let simulator = start().await;
    let client = client();
    let messages = "/2010-04-01/Accounts/{AccountSid}/Messages.json";
    let form_schema =
        &spec["paths"][messages]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    let hook = callback("m");
    let service =
        [("To", "+447911123456"), ("MessagingServiceSid", "MG00000000000000000000000000000001"), ("Body", "x")];
    for form in [sms("+447911123456", &hook), service.to_vec()] {
        let request: Value = form
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        check(&spec, form_schema, &request, "$").unwrap();
        let (status, body) = answer(post_sms(&client, &simulator, &form)).await;
        assert_eq!(status, 201, "{body}");
        check_exact(&spec, answer_schema(&spec, messages, "post", "201"), &body);
    }
    let get = |path: String| answer(get_twilio(&client, &simulator, &path));
    let (_, list) = get(format!("{SID}/Messages.json?To=%2B447911123456&PageSize=1")).await;
    check_exact(&spec, answer_schema(&spec, messages, "get", "200"), &list);
    let one = "/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json";
    let sid = list["messages"][0]["sid"].as_str().unwrap();
    let (_, message) = get(format!("{SID}/Messages/{sid}.json")).await;
    check_exact(&spec, answer_schema(&spec, one, "get", "200"), &message);
    let (_, account) = get(format!("{SID}.json")).await;
    check_exact(&spec, answer_schema(&spec, "/2010-04-01/Accounts/{Sid}.json", "get", "200"), &account);
    let (_, balance) = get(format!("{SID}/Balance.json")).await;
    check_exact(&spec, answer_schema(&spec, "/2010-04-01/Accounts/{AccountSid}/Balance.json", "get", "200"), &balance);
    simulator.stop().await;
}

#[tokio::test]
async fn sendgrid_keeps_to_its_specification() {
    let (Some(spec), Some(scopes)) = (spec("sendgrid_mail_v3.json"), spec("sendgrid_scopes_v3.json")) else { return };
    let simulator = start().await;
    let client = client();
    let body = "/components/requestBodies/PostMailSend/content/application~1json/schema";
    let request_schema = spec.pointer(body).unwrap();
    let mut full = mail("m", "guest@example.com");
    full["reply_to"] = json!({ "email": "ann@example.com", "name": "Ann" });
    full["attachments"] = json!([{ "content": "YQ==", "filename": "a.txt", "disposition": "attachment" }]);
    full["headers"] = json!({ "List-Unsubscribe-Post": "List-Unsubscribe=One-Click" });
    full["categories"] = json!(["invitation"]);
    full["asm"] = json!({ "group_id": 1, "groups_to_display": [1, 2] });
    full["tracking_settings"] = json!({ "click_tracking": { "enable": false, "enable_text": false } });
    full["mail_settings"] = json!({ "footer": { "enable": false } });
    for request in [mail("m", "guest@example.com"), full] {
        check(&spec, request_schema, &request, "$").unwrap();
        let (status, said) = answer(post_mail(&client, &simulator, &request)).await;
        assert_eq!((status, said), (202, json!("")), "the specification takes it: {request}");
    }
    // What the specification refuses, the simulator refuses, in the shape that the specification has for it.
    let error_schema = spec.pointer("/components/schemas/ErrorResponse").unwrap();
    for (field, value) in [
        ("personalizations", json!([{}])),
        ("personalizations", json!({})),
        ("from", json!({ "name": "Ann" })),
        ("subject", json!("")),
        ("content", json!([{ "type": "text/plain" }])),
        ("attachments", json!([{ "filename": "a.txt" }])),
        ("categories", json!(["a", "a"])),
        ("asm", json!({})),
        ("ip_pool_name", json!("x")),
        ("send_at", json!("now")),
        ("headers", json!([])),
    ] {
        let mut request = mail("m", "guest@example.com");
        request[field] = value;
        check(&spec, request_schema, &request, "$").unwrap_err();
        let (status, mut refusal) = answer(post_mail(&client, &simulator, &request)).await;
        assert_eq!(status, 400, "{request}");
        // Typed as an object, while the vendor's own examples have null and texts.
        for error in refusal["errors"].as_array_mut().unwrap() {
            assert_eq!(error.as_object_mut().unwrap().remove("help"), Some(Value::Null));
        }
        check_exact(&spec, error_schema, &refusal);
    }
    let get = client.get(format!("{}/v3/scopes", simulator.sendgrid_url()));
    let listed = answer(get.try_clone().unwrap().bearer_auth("SG.simulator")).await.1;
    check_exact(&scopes, answer_schema(&scopes, "/v3/scopes", "get", "200"), &listed);
    let refused = answer(get).await.1;
    check(&scopes, answer_schema(&scopes, "/v3/scopes", "get", "401"), &refused, "$").unwrap();
    simulator.stop().await;
}

#[tokio::test]
async fn slack_keeps_to_its_specification() {
    let Some(spec) = spec("slack_web_v2.json") else { return };
    let simulator = start().await;
    let client = client();
    let said = |method: &'static str, body: Value| answer(call_slack(&client, &simulator, method, &body));
    let schema = |path: &str, answer: &str| {
        let method = if path == "/auth.test" { "get" } else { "post" };
        spec["paths"][path][method]["responses"][answer]["schema"].clone()
    };
    // Nothing is asked here that the specification has no argument for; `metadata` and their like are younger than it.
    let listed = spec["paths"]["/chat.postMessage"]["post"]["parameters"].as_array().unwrap();
    let mut plain = note("m", "C123ABC456");
    plain.as_object_mut().unwrap().remove("metadata");
    plain["username"] = json!("usher");
    for (name, value) in plain.as_object().unwrap() {
        let parameter = listed.iter().find(|one| one["name"] == **name && one["in"] == "formData").unwrap();
        check(&spec, &json!({ "type": parameter["type"] }), value, name).unwrap();
    }
    check_exact(&spec, &schema("/chat.postMessage", "200"), &said("chat.postMessage", plain).await.1);
    for (field, value) in [("channel", json!("C0MISSING1")), ("text", json!("")), ("channel", json!("CARCHIVED1"))] {
        let mut wrong = note("m", "C123ABC456");
        wrong[field] = value;
        check_exact(&spec, &schema("/chat.postMessage", "default"), &said("chat.postMessage", wrong).await.1);
    }
    check_exact(&spec, &schema("/auth.test", "200"), &said("auth.test", json!({})).await.1);
    let refused =
        answer(client.post(format!("{}/api/auth.test", simulator.slack_url())).bearer_auth("xoxb-wrong")).await;
    check_exact(&spec, &schema("/auth.test", "default"), &refused.1);
    simulator.stop().await;
}

#[tokio::test]
async fn whatsapp_keeps_to_its_specification() {
    let Some(spec) = spec_of_yaml("whatsapp_cloud_v23.yaml") else { return };
    let whatsapp = WhatsAppConfig { open_windows: vec!["+".into()], ..WhatsAppConfig::default() };
    let simulator = Simulator::start(Config { whatsapp, ..Config::default() }).await.unwrap();
    let client = client();
    let named = |name: &str| merged(&spec, &json!({ "$ref": format!("#/components/schemas/{name}") }));
    let text = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "+447911123456", "type": "text",
        "text": { "preview_url": false, "body": "Do come!" },
    });
    let send = "/{Version}/{Phone-Number-ID}/messages";
    for (request, kind) in [(text.clone(), "TextMessage"), (chat("m", "+447911123456"), "TemplateMessage")] {
        check(&spec, &named(kind), &request, "$").unwrap();
        let (status, said) = answer(post_chat(&client, &simulator, &request)).await;
        assert_eq!(status, 200, "the specification takes it: {request} -> {said}");
        check(&spec, answer_schema(&spec, send, "post", "200"), &said, "$").unwrap();
        check_exact(&spec, &named("MessageResponsePayload"), &said);
    }
    for (pointer, value) in [("/to", json!(7)), ("/text", json!({ "body": 7 })), ("/text/preview_url", json!("yes"))] {
        let mut request = text.clone();
        *request.pointer_mut(pointer).unwrap() = value;
        check(&spec, &named("TextMessage"), &request, "$").unwrap_err();
        let (status, refusal) = answer(post_chat(&client, &simulator, &request)).await;
        assert_eq!(status, 400, "{request}");
        check_exact(&spec, &named("GraphAPIError"), &refusal);
    }
    let url = format!("{}/v23.0/100000000000001", simulator.whatsapp_url());
    for query in
        ["", "?fields=id,display_phone_number,verified_name,quality_rating,name_status,code_verification_status"]
    {
        let shown = answer(client.get(format!("{url}{query}")).bearer_auth("EAAsimulator")).await.1;
        check_exact(&spec, &named("PhoneNumberInfo"), &shown);
    }
    simulator.stop().await;
}
