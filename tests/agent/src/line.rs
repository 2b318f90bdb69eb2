//! Single requests to a manager, outside of the check-in, and what came back.

use crate::Trial;
use crate::stay::Kept;
use anyhow::Context as _;
use manager::contract;
use reqwest::{Certificate, Client, Identity, Method, redirect};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A request is awaited as long as a host awaits it.
const TOTAL: Duration = Duration::from_secs(15);
const PREFIX: &str = "/manager_api/api/v1";

/// The way to the manager, with the credential of the host or without one.
pub(crate) struct Line {
    client: Client,
    base: String,
    bearer: Option<String>,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) took: Duration,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The contract's code of a refusal.
    pub(crate) fn code(&self) -> Option<String> {
        Some(self.json()?.get("code")?.as_str()?.to_owned())
    }

    /// What came, in a few words.
    pub(crate) fn words(&self) -> String {
        let code = self.code().map(|code| format!(" with the code {code}")).unwrap_or_default();
        format!("HTTP {}{code} came", self.status)
    }

    /// What breaks the schema of that name.
    pub(crate) fn against(&self, schema: &str) -> Vec<String> {
        let Some(body) = self.json() else { return vec![format!("the body of HTTP {} is not JSON", self.status)] };
        match contract::mismatches(&contract::component(schema), &body) {
            Ok(found) => found.iter().map(|fault| format!("{schema}{fault}")).collect(),
            Err(fault) => vec![format!("{fault:#}")],
        }
    }
}

/// One request.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) query: Vec<(&'a str, String)>,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// In place of the credential.
    pub(crate) bearer: Option<&'a str>,
}

impl Line {
    /// To the manager of a trial.
    pub(crate) fn new(trial: &Trial, kept: Option<&Kept>) -> anyhow::Result<Self> {
        // A second installation is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().timeout(TOTAL).redirect(redirect::Policy::none()).https_only(true);
        if let Some(pem) = &trial.ca_pem {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem.as_bytes()).context("the authority")?);
        }
        if let Some(pem) = kept.and_then(|kept| kept.certificate.as_ref()) {
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).context("the credential of the host")?);
        }
        let client = builder.build().context("TLS cannot be set up")?;
        let base = trial.url.trim_end_matches('/').to_owned();
        Ok(Self { client, base, bearer: kept.and_then(|kept| kept.secret.clone()) })
    }

    /// Asks.
    pub(crate) async fn ask(&self, method: Method, path: &str, ask: Ask<'_>) -> Result<Reply, String> {
        let began = Instant::now();
        let mut url =
            reqwest::Url::parse(&format!("{}{PREFIX}{path}", self.base)).map_err(|fault| fault.to_string())?;
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut request = self.client.request(method, url);
        request = request.header("X-Gpuhostd-Protocol", "1.0").header("User-Agent", "gpuhostd/0.0.0");
        request = request.header("X-Request-Id", uuid::Uuid::new_v4().to_string());
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        if let Some(bearer) = ask.bearer.or(self.bearer.as_deref()) {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = ask.body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let response = request.send().await.map_err(|fault| in_words(&fault))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (etag, location, status) = (header("etag"), header("location"), response.status().as_u16());
        let body = response.bytes().await.map_err(|fault| in_words(&fault))?.to_vec();
        Ok(Reply { status, etag, location, body, took: began.elapsed() })
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Reply, String> {
        let body = Some(body.to_string().into_bytes());
        self.ask(Method::POST, path, Ask { body, ..Ask::default() }).await
    }
}

/// The innermost cause: the others are names of parts of a library.
fn in_words(fault: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = fault;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("no answer: {cause}")
}
