//! A validator of other people's making reads the same contract, and comes to the same verdicts.

use crate::agent::{Agent, TOKEN, example, start_default};
use crate::contract::{DEEP, EXAMPLES, mutations};
use manager::contract::{component, mismatches};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Asks Debian's python3-jsonschema about many bodies at once: which of them are valid.
fn verdicts(cases: &[(String, Value)]) -> Vec<bool> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/second_opinion.py");
    let mut child = Command::new("/usr/bin/python3")
        .args(["-W", "ignore", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("no /usr/bin/python3: apt-get install python3-jsonschema python3-yaml");
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = cases.iter().map(|(pointer, body)| format!("{}\n", json!([pointer, body]))).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    assert!(output.status.success(), "{script}: {} (is python3-jsonschema installed?)", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["valid"].as_bool().unwrap()).collect()
}

#[track_caller]
fn assert_agreement(cases: &[(String, Value)]) -> (usize, usize) {
    let theirs = verdicts(cases);
    assert_eq!(theirs.len(), cases.len());
    let mut good = 0;
    for ((pointer, body), valid) in cases.iter().zip(theirs) {
        let found = mismatches(pointer, body).unwrap();
        assert_eq!(found.is_empty(), valid, "{pointer}: we say {found:?} of {body:#}");
        good += usize::from(valid);
    }
    (good, cases.len() - good)
}

#[test]
fn two_validators_agree_on_good_and_on_bad_bodies() {
    let mut cases = Vec::new();
    for (file, schema) in EXAMPLES {
        cases.push((component(schema), example(file)));
        cases.extend(mutations(schema, &example(file)).into_iter().map(|(_, body)| (component(schema), body)));
    }
    for (pointer, value) in DEEP {
        let mut body = example("heartbeat.json");
        *body.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
        cases.push((component("Heartbeat"), body));
    }
    for time in [
        "2026-03-31T13:13:13Z",
        "2026-03-31t13:13:13.123456789z",
        "2026-03-31T13:13:13+02:00",
        "2026-03-31T13:13:13",
        "2026-02-30T13:13:13Z",
        "2026-03-31T24:00:00Z",
        "2026-03-31 13:13:13Z",
        "2026-03-31T13:13Z",
        "",
    ] {
        let mut body = example("heartbeat.json");
        body["time"] = json!(time);
        cases.push((component("Heartbeat"), body));
    }
    for id in ["5F2AE64E-FDB7-40C7-A94E-2DA71AE54DC7", "5f2ae64efdb740c7a94e2da71ae54dc7", "{5f2ae64e}", ""] {
        let mut body = example("heartbeat.json");
        body["server_id"] = json!(id);
        cases.push((component("Heartbeat"), body));
    }
    for body in [json!(null), json!([]), json!("x"), json!(1), json!({})] {
        cases.push((component("Heartbeat"), body));
    }
    let (good, bad) = assert_agreement(&cases);
    assert!(good >= 8 && bad > 90, "{good} good and {bad} bad bodies are no corpus");
}

/// JSON pointers to every value inside a body.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, child)| (name.clone(), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, child) in children {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        pointers(child, &pointer, found);
        found.push(pointer);
    }
}

#[test]
fn two_validators_agree_wherever_one_value_is_replaced() {
    let mut cases = Vec::new();
    for (file, schema) in EXAMPLES {
        let good = example(file);
        let mut places = Vec::new();
        pointers(&good, "", &mut places);
        for place in places {
            for other in [json!(null), json!(true), json!(0), json!(2.0), json!(-1.5), json!("x"), json!([]), json!({})]
            {
                let mut body = good.clone();
                *body.pointer_mut(&place).unwrap() = other;
                cases.push((component(schema), body));
            }
        }
    }
    let (good, bad) = assert_agreement(&cases);
    assert!(good > 200 && bad > 800, "{good} good and {bad} bad bodies are no corpus");
}

#[tokio::test]
async fn two_validators_agree_on_what_goes_over_the_wire() {
    let manager = start_default().await;
    let agent = Agent::enrolled(&manager, TOKEN).await;
    agent.send_beat(1).await;
    let mut bad = agent.beat(2);
    bad["seq"] = json!("2");
    agent.send(manager::Endpoint::Heartbeat, &bad).await;
    let requests = manager.requests();
    let cases: Vec<_> =
        requests.iter().map(|r| (r.endpoint.unwrap().request_schema().unwrap(), r.body.clone())).collect();
    assert_eq!(assert_agreement(&cases), (2, 1));
}
