//! The single requests, each with the rule of the contract that it tries.

use crate::findings::Finding;
use crate::line::{Ask, Line, Reply};
use crate::stay::Kept;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Duration;

/// A host does not wait longer for what is optional.
const OPTIONAL: Duration = Duration::from_secs(3);
/// A heartbeat of the contract, to be made one of this host.
const HEARTBEAT: &str = include_str!("../../../docs/manager-api/examples/heartbeat.json");

type Findings = Vec<Finding>;

/// What the manager offers.
pub(crate) async fn version(line: &Line, findings: &mut Findings) -> Vec<String> {
    const WHAT: &str = "GET version: what is optional is named";
    let reply = match line.ask(Method::GET, "/version", Ask::default()).await {
        Ok(reply) if reply.status == 200 => reply,
        Ok(reply) => {
            findings
                .push(Finding::absent(WHAT, format!("{}; nothing is compressed, nothing is polled", reply.words())));
            return Vec::new();
        }
        Err(fault) => {
            findings.push(Finding::wrong(WHAT, format!("{fault}; answer 404 where there is none")));
            return Vec::new();
        }
    };
    let mut faults = reply.against("Version");
    if reply.took > OPTIONAL {
        faults.push(format!("it took {} ms; an enrolment waits 3 s for it", reply.took.as_millis()));
    }
    findings.push(Finding::of(WHAT, &faults));
    let features = reply.json().and_then(|body| body.get("features").cloned()).unwrap_or_default();
    features.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A heartbeat of this host, so many milliseconds after the last one of the check-in.
fn heartbeat(kept: &Kept, later: u64) -> Value {
    let mut body: Value = serde_json::from_str(HEARTBEAT).unwrap_or_default();
    for (name, value) in [
        ("server_id", json!(kept.server_id)),
        ("boot_id", json!(kept.boot_id)),
        ("seq", json!(kept.seq + later)),
        ("time", json!(jiff::Timestamp::now().to_string())),
    ] {
        if let Some(fields) = body.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
    }
    body
}

/// A 200 of the contract.
fn accepted(reply: Result<Reply, String>) -> Vec<String> {
    match reply {
        Err(fault) => vec![fault],
        Ok(reply) if reply.status != 200 => vec![format!("{}, 200 was expected", reply.words())],
        Ok(reply) if reply.json().is_some_and(|body| body.get("error_message").is_some_and(|why| !why.is_null())) => {
            vec!["an error_message is in a 200: a host takes it for a failure".to_owned()]
        }
        Ok(reply) => reply.against("HeartbeatReply"),
    }
}

/// A refusal of the contract: one of these statuses, with one of these codes.
fn refused(reply: Result<Reply, String>, statuses: &[u16], codes: &[&str]) -> Vec<String> {
    let reply = match reply {
        Err(fault) => return vec![fault],
        Ok(reply) => reply,
    };
    if !statuses.contains(&reply.status) {
        let wanted: Vec<_> = statuses.iter().map(u16::to_string).collect();
        let place = reply.location.as_ref().map(|to| format!(" to {to}, which no host follows")).unwrap_or_default();
        return vec![format!("{}{place}, {} was expected", reply.words(), wanted.join(" or "))];
    }
    let mut faults = reply.against("Error");
    let code = reply.code();
    if !code.as_deref().is_some_and(|code| codes.contains(&code)) {
        let named = code.unwrap_or_else(|| "none".to_owned());
        faults.push(format!(
            "HTTP {} has the code {named}, and one of {} is what counts",
            reply.status,
            codes.join(", ")
        ));
    }
    faults
}

/// Heartbeats that a manager has to take, and one that it must not.
pub(crate) async fn heartbeats(line: &Line, kept: &Kept, findings: &mut Findings) {
    let reply = line.post("/heartbeat", &heartbeat(kept, 0)).await;
    findings.push(Finding::of("POST heartbeat: the reply has the form of the contract", &accepted(reply)));
    let reply = line.post("/heartbeat", &heartbeat(kept, 0)).await;
    let what = "POST heartbeat: a seq that does not rise is another host";
    findings.push(Finding::of(what, &refused(reply, &[409], &["duplicate_agent"])));
    let mut unknown = heartbeat(kept, 1);
    if let Some(fields) = unknown.as_object_mut() {
        fields.insert("field_of_a_later_version".to_owned(), json!({"x": [1]}));
    }
    let faults = accepted(line.post("/heartbeat", &unknown).await);
    findings.push(Finding::of("POST heartbeat: unknown fields are ignored", &faults));
    let mut bare = heartbeat(kept, 2);
    if let Some(fields) = bare.as_object_mut() {
        for name in ["inventory", "agent", "gpu_metrics", "workspaces", "conditions", "effective"] {
            fields.remove(name);
        }
        fields.insert("cpu_pct".to_owned(), Value::Null);
    }
    let faults = accepted(line.post("/heartbeat", &bare).await);
    findings.push(Finding::of("POST heartbeat: what is optional may be missing, and what is unknown is null", &faults));
}

/// What a manager has to refuse, each with its code: without one a host takes the answer for a proxy's.
pub(crate) async fn refusals(line: &Line, stranger: &Line, kept: &Kept, findings: &mut Findings) {
    let unauthenticated = ["invalid_token", "token_expired"];
    let reply = stranger.post("/heartbeat", &heartbeat(kept, 3)).await;
    // A front that requires a client certificate ends TLS before anything is sent.
    let faults = if reply.is_err() { Vec::new() } else { refused(reply, &[401], &unauthenticated) };
    findings.push(Finding::of("POST heartbeat: without a credential nothing is taken", &faults));
    let ask = Ask {
        bearer: Some("not-a-secret-of-this-host"),
        body: Some(heartbeat(kept, 3).to_string().into_bytes()),
        ..Ask::default()
    };
    let reply = stranger.ask(Method::POST, "/heartbeat", ask).await;
    let faults = if reply.is_err() { Vec::new() } else { refused(reply, &[401], &unauthenticated) };
    findings.push(Finding::of("POST heartbeat: a secret that is not known is refused", &faults));
    let mut foreign = heartbeat(kept, 3);
    if let Some(fields) = foreign.as_object_mut() {
        fields.insert("server_id".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    }
    let reply = line.post("/heartbeat", &foreign).await;
    let codes = ["invalid_token", "unknown_agent", "conflict"];
    findings.push(Finding::of(
        "POST heartbeat: one host does not report for another",
        &refused(reply, &[401, 404, 409], &codes),
    ));
    let broken = Ask { body: Some(b"{\"server_id\": ".to_vec()), ..Ask::default() };
    let reply = line.ask(Method::POST, "/heartbeat", broken).await;
    findings.push(Finding::of(
        "POST heartbeat: a body that cannot be read is refused with its code",
        &refused(reply, &[400, 401, 500], &["bad_request", "invalid_token", "internal"]),
    ));
    enrolments(stranger, findings).await;
}

async fn enrolments(stranger: &Line, findings: &mut Findings) {
    const WHAT: &str = "POST enroll: a token that is not known is refused";
    let csr = match certificate_request() {
        Ok(csr) => csr,
        Err(fault) => return findings.push(Finding::absent(WHAT, format!("no request could be made here: {fault}"))),
    };
    let body = json!({
        "csr_pem": csr, "hostname": "stranger", "machine_id_hash": "0".repeat(32),
        "agent": {"version": "0.0.0", "protocol": "1.0"}, "inventory": {"gpus": []},
    });
    let ask = Ask {
        bearer: Some("not-a-token"),
        headers: vec![("Idempotency-Key", uuid::Uuid::new_v4().to_string())],
        body: Some(body.to_string().into_bytes()),
        ..Ask::default()
    };
    let reply = stranger.ask(Method::POST, "/enroll", ask).await;
    findings.push(Finding::of(WHAT, &refused(reply, &[401, 403], &["invalid_token", "token_expired", "not_approved"])));
}

fn certificate_request() -> Result<String, rcgen::Error> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    rcgen::CertificateParams::new(vec!["stranger".to_owned()])?.serialize_request(&key)?.pem()
}

/// Large bodies, and compressed ones.
pub(crate) async fn sizes(line: &Line, kept: &Kept, features: &[String], findings: &mut Findings) {
    let what = "POST heartbeat: one that is too large is refused with 413, and the connection stays of use";
    let mut large = heartbeat(kept, 4);
    if let Some(fields) = large.as_object_mut() {
        fields.insert("message".to_owned(), json!("x".repeat(1_500_000)));
    }
    let faults = match line.post("/heartbeat", &large).await {
        Ok(reply) if matches!(reply.status, 200 | 413) => Vec::new(),
        Ok(reply) => vec![format!("{}, 413 was expected", reply.words())],
        Err(fault) => vec![format!("{fault}; answer 413, so that the host leaves something out")],
    };
    findings.push(Finding::of(what, &faults));
    let what = "POST heartbeat: gzip is taken where it is listed";
    if !features.iter().any(|feature| feature == "gzip") {
        return findings.push(Finding::absent(what, "gzip is not listed; a heartbeat of a large host has 17 kB"));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(heartbeat(kept, 5).to_string().as_bytes()).and_then(|()| encoder.finish());
    let ask = Ask { headers: vec![("Content-Encoding", "gzip".to_owned())], body: packed.ok(), ..Ask::default() };
    findings.push(Finding::of(what, &accepted(line.ask(Method::POST, "/heartbeat", ask).await)));
}

/// Desired state, where the manager has that path.
pub(crate) async fn desired(line: &Line, kept: &Kept, features: &[String], findings: &mut Findings) {
    const WHAT: &str = "GET desired_state: a document, or 304";
    let ask = |wait: u64, held: Option<&String>| Ask {
        query: vec![("server_id", kept.server_id.clone()), ("wait", wait.to_string())],
        headers: held.map(|held| ("If-None-Match", held.clone())).into_iter().collect(),
        ..Ask::default()
    };
    let reply = match line.ask(Method::GET, "/desired_state", ask(0, None)).await {
        Ok(reply) if reply.status == 404 => {
            let why = "404 came; documents may be embedded in replies, and hosts ask again after an hour";
            return findings.push(Finding::absent(WHAT, why));
        }
        Ok(reply) => reply,
        Err(fault) => return findings.push(Finding::wrong(WHAT, fault)),
    };
    let held = match reply.status {
        304 => {
            findings.push(Finding::right(WHAT));
            None
        }
        200 => {
            let mut faults = reply.against("DesiredState");
            let text = |name: &str| reply.json().and_then(|body| Some(body.get(name)?.to_string().replace('"', "")));
            let wanted = text("epoch").zip(text("revision")).map(|(epoch, revision)| format!("\"{epoch}.{revision}\""));
            if reply.etag != wanted {
                faults.push(format!("the ETag is {:?}, {wanted:?} was expected", reply.etag));
            }
            findings.push(Finding::of(WHAT, &faults));
            wanted
        }
        _ => return findings.push(Finding::wrong(WHAT, format!("{}, 200 or 304 was expected", reply.words()))),
    };
    let wait = if features.iter().any(|feature| feature == "long_poll") { 2 } else { 0 };
    let what = "GET desired_state: what is held already is answered 304, after the wait where long_poll is listed";
    let faults = match line.ask(Method::GET, "/desired_state", ask(wait, held.as_ref())).await {
        Err(fault) => vec![fault],
        Ok(reply) if reply.status != 304 => vec![format!("{}, 304 was expected", reply.words())],
        Ok(reply) if wait > 0 && reply.took < Duration::from_secs(1) => {
            vec![format!("it came after {} ms: two of them and no host polls for an hour", reply.took.as_millis())]
        }
        Ok(_) => Vec::new(),
    };
    findings.push(Finding::of(what, &faults));
}

/// The host leaves, and is not known any more.
pub(crate) async fn goodbye(line: &Line, kept: &Kept, findings: &mut Findings) {
    const WHAT: &str = "POST deregister: a host that leaves is forgotten";
    let body = json!({"server_id": kept.server_id, "reason": "the trial is over"});
    findings.push(match line.post("/deregister", &body).await {
        Ok(reply) if reply.status == 200 => Finding::right(WHAT),
        Ok(reply) if reply.status == 404 => Finding::absent(WHAT, "404 came; remove the host of this trial by hand"),
        Ok(reply) => Finding::wrong(WHAT, format!("{}, 200 was expected", reply.words())),
        Err(fault) => Finding::wrong(WHAT, fault),
    });
}
