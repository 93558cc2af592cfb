//! Requests and answers against the vendors' own specifications, where those are at hand.
//! Promises: says loudly when they are not; the validator itself is shown to refuse.

use crate::support::{SID, answer, callback, client, email, get_twilio, post_batch, post_email, post_sms, sms, start};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// The specification, if its folder stands beside the workspace.
fn spec(name: &str) -> Option<Value> {
    // Beside the workspace, or beside the folder of its work trees.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let found = workspace
        .ancestors()
        .skip(1)
        .take(2)
        .find_map(|above| std::fs::read_to_string(above.join("shared/facts/providers/specs").join(name)).ok());
    if found.is_none() {
        // Straight to standard error: what the test harness captures of a passing test, nobody sees.
        let line = format!("SKIPPED: {name} is not at hand, so nothing was checked against it\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    found.map(|text| serde_json::from_str(&text).unwrap())
}

/// A JSON Schema validator of just what these two files use. Unknown keywords with a meaning end the test.
fn check(spec: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = spec.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        return check(spec, target, value, at);
    }
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    for (keyword, rule) in schema.as_object().unwrap() {
        let fine = match keyword.as_str() {
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                other => panic!("type {other}"),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, property) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        check(spec, property, inner, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(spec, rule, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object();
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if !known.is_some_and(|known| known.contains_key(name)) {
                        check(spec, rule, inner, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "oneOf" => rule.as_array().unwrap().iter().filter(|one| check(spec, one, value, at).is_ok()).count() == 1,
            "allOf" => {
                for one in rule.as_array().unwrap() {
                    check(spec, one, value, at)?;
                }
                true
            }
            "minItems" => value.as_array().is_none_or(|all| all.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= rule.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| is_sid(rule.as_str().unwrap(), text)),
            "description" | "example" | "format" | "nullable" | "title" | "x-twilio" | "examples" => true,
            other => panic!("the validator does not know `{other}`"),
        };
        if !fine {
            return Err(format!("{at}: `{keyword}` {rule} does not hold for {value}"));
        }
    }
    Ok(())
}

/// The only patterns there: `^(SM|MM)[0-9a-fA-F]{32}$` and its like.
fn is_sid(pattern: &str, text: &str) -> bool {
    let head = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix("[0-9a-fA-F]{32}$"));
    let head = head.unwrap_or_else(|| panic!("the validator does not know the pattern {pattern}"));
    let digits = head.trim_matches(['(', ')']).split('|').find_map(|prefix| text.strip_prefix(prefix));
    digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn answer_schema<'a>(spec: &'a Value, path: &str, method: &str, status: &str) -> &'a Value {
    &spec["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
}

/// Valid, and with no property that the schema of an object does not list.
fn check_exact(spec: &Value, schema: &Value, value: &Value) {
    check(spec, schema, value, "$").unwrap();
    let schema = schema["$ref"].as_str().map_or(schema, |reference| spec.pointer(&reference[1..]).unwrap());
    for name in value.as_object().unwrap().keys() {
        assert!(schema["properties"].get(name).is_some(), "the specification has no `{name}`");
    }
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

#[test]
fn the_validator_refuses() {
    let spec = json!({ "a": { "type": "string", "pattern": "^(SM|MM)[0-9a-fA-F]{32}$" } });
    let schema = json!({ "type": "object", "required": ["x"], "properties": {
        "x": { "$ref": "#/a" }, "y": { "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "maxItems": 1 }] },
    }});
    let sid = format!("MM{}", "0".repeat(32));
    check(&spec, &schema, &json!({ "x": sid, "y": ["a"] }), "$").unwrap();
    for wrong in [
        json!([]),
        json!({}),
        json!({ "x": 1 }),
        json!({ "x": "XX" }),
        json!({ "x": sid, "y": ["a", "b"] }),
        json!({ "x": sid, "y": [1] }),
    ] {
        check(&spec, &schema, &wrong, "$").unwrap_err();
    }
}
