//! A small agent of the tests: key, signing request, headers, and nothing that it would do by itself.

use flate2::Compression;
use flate2::write::GzEncoder;
use manager::{Endpoint, EnrolToken, Manager, Options};
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, Client, Identity, RequestBuilder, Response};
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// 2026-03-31T13:13:13Z.
pub(crate) const START_MS: i64 = 1_774_962_793_000;
pub(crate) const TOKEN: &str = "one-use";

/// A clock that stands until a test moves it.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START_MS)))
    }

    pub(crate) fn step(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn options(&self) -> Options {
        let clock = self.clone();
        Options {
            clock: Some(Arc::new(move || clock.0.load(Ordering::SeqCst))),
            enrol_tokens: vec![EnrolToken::new(TOKEN)],
            ..Options::default()
        }
    }
}

/// A port that is asked for again may be in another connection's hands for a moment.
pub(crate) async fn start(options: Options) -> Manager {
    let begin = std::time::Instant::now();
    loop {
        match Manager::start(options.clone()).await {
            Ok(manager) => return manager,
            Err(fault) => assert!(begin.elapsed() < Duration::from_secs(60), "{fault:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn start_default() -> Manager {
    start(TestClock::new().options()).await
}

pub(crate) fn builder() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(Duration::from_secs(60)).no_proxy().user_agent("gpuhostd/0.1.0")
}

pub(crate) struct Agent {
    pub(crate) url: String,
    pub(crate) key: KeyPair,
    pub(crate) client: Client,
    pub(crate) ca_pem: String,
    pub(crate) server_id: String,
    pub(crate) bearer: Option<String>,
}

/// Status and JSON body; null where the body is none.
pub(crate) type Reply = (u16, Value);

pub(crate) async fn reply(response: Response) -> Reply {
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

impl Agent {
    /// Trusts the manager's authority and has a key, and nothing else yet.
    pub(crate) fn new(manager: &Manager) -> Self {
        let ca_pem = manager.ca_pem();
        let client = builder().tls_certs_only([Certificate::from_pem(ca_pem.as_bytes()).unwrap()]).build().unwrap();
        let key = KeyPair::generate().unwrap();
        Self { url: manager.url(), key, client, ca_pem, server_id: String::new(), bearer: None }
    }

    /// Enrols with this token and takes what it gets.
    pub(crate) async fn enrolled(manager: &Manager, token: &str) -> Self {
        let mut agent = Self::new(manager);
        let (status, body) = agent.enroll(token, None).await;
        assert_eq!(status, 200, "{body}");
        agent.adopt(&body);
        agent
    }

    /// Takes the credential of an answer to enrolment or renewal.
    pub(crate) fn adopt(&mut self, reply: &Value) {
        self.server_id = reply["server_id"].as_str().unwrap().to_owned();
        self.bearer = reply["secret"].as_str().map(str::to_owned);
        if let Some(chain) = reply["cert_chain_pem"].as_str() {
            let pem = format!("{chain}{}", self.key.serialize_pem());
            self.client = builder()
                .tls_certs_only([Certificate::from_pem(self.ca_pem.as_bytes()).unwrap()])
                .identity(Identity::from_pem(pem.as_bytes()).unwrap())
                .build()
                .unwrap();
        }
    }

    pub(crate) fn csr(&self) -> String {
        CertificateParams::default().serialize_request(&self.key).unwrap().pem().unwrap()
    }

    pub(crate) fn enrolment(&self, server_id: Option<&str>) -> Value {
        json!({
            "server_id": server_id,
            "csr_pem": self.csr(),
            "hostname": "gpu-01",
            "machine_id_hash": "ab".repeat(32),
            "agent": {"version": "0.1.0", "protocol": "1.0"},
            "inventory": {"gpus": []},
        })
    }

    pub(crate) async fn enroll(&self, token: &str, server_id: Option<&str>) -> Reply {
        let request = self.post(Endpoint::Enroll, &self.enrolment(server_id)).bearer_auth(token);
        reply(request.send().await.unwrap()).await
    }

    /// A heartbeat of boot `a`, as good as it can be.
    pub(crate) fn beat(&self, seq: u64) -> Value {
        let mut beat = example("heartbeat.json");
        beat["server_id"] = json!(self.server_id);
        beat["boot_id"] = json!("a");
        beat["seq"] = json!(seq);
        beat
    }

    pub(crate) async fn send_beat(&self, seq: u64) -> Reply {
        self.send(Endpoint::Heartbeat, &self.beat(seq)).await
    }

    pub(crate) async fn send(&self, endpoint: Endpoint, body: &Value) -> Reply {
        reply(self.post(endpoint, body).send().await.unwrap()).await
    }

    /// A POST with all headers that the contract wants.
    pub(crate) fn post(&self, endpoint: Endpoint, body: &Value) -> RequestBuilder {
        let request = self
            .with_headers(self.client.post(format!("{}{}", self.url, endpoint.path())))
            .header("content-type", "application/json")
            .body(body.to_string());
        if endpoint.wants_idempotency_key() {
            request.header("idempotency-key", Uuid::new_v4().to_string())
        } else {
            request
        }
    }

    /// A GET with all headers that the contract wants.
    pub(crate) fn get(&self, endpoint: Endpoint, query: &str) -> RequestBuilder {
        self.with_headers(self.client.get(format!("{}{}{query}", self.url, endpoint.path())))
    }

    fn with_headers(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header("x-gpuhostd-protocol", "1.0").header("x-request-id", Uuid::new_v4().to_string());
        match &self.bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// A body of the contract's examples.
pub(crate) fn example(name: &str) -> Value {
    let path = format!("{}/../../docs/manager-api/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))).unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The body is an error of the contract with this code.
#[track_caller]
pub(crate) fn assert_refused((status, body): &Reply, want_status: u16, code: &str) {
    assert_eq!((*status, body["code"].as_str()), (want_status, Some(code)), "{body}");
    let wrong = manager::contract::mismatches(&manager::contract::component("Error"), body).unwrap();
    assert_eq!(wrong, [], "an error that is not the contract's: {body}");
}

/// The body is what the contract says that this endpoint answers.
#[track_caller]
pub(crate) fn assert_answer(endpoint: Endpoint, (status, body): &Reply) {
    let wrong = manager::contract::mismatches(&endpoint.reply_schema(*status), body).unwrap();
    assert_eq!(wrong, [], "{endpoint:?} answered {body}");
}

/// Waits for what happens on the other side of a connection.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never came: {what}"));
}
