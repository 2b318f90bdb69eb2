//! One request to a manager: bounded in time and size, with the contract's headers; errors without URL secrets.

use crate::checkin::identity::{Credential, Trust};
use crate::checkin::tls::{self, TOTAL};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::checkin::{Fault, FaultKind, ManagerAddress};
use model::enrol::Secret;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use std::error::Error;
use std::io::Write;

/// Largest body that is taken from a manager: the largest document of the contract has 1 MiB.
pub(super) const BODY_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Request bodies above this are compressed where the manager takes it.
pub(super) const GZIP_ABOVE_BYTES: usize = 4096;
/// How this agent names itself.
pub(super) const USER_AGENT: &str = concat!("gpuhostd/", env!("CARGO_PKG_VERSION"));

/// A request to be posted.
#[derive(Debug)]
pub(super) struct Post<'a> {
    /// To whom.
    pub(super) manager: &'a ManagerAddress,
    /// Path of the API.
    pub(super) path: &'a str,
    /// JSON.
    pub(super) body: Vec<u8>,
    /// The manager takes gzip.
    pub(super) gzip: bool,
    /// `Authorization: Bearer`, where it is not the credential's.
    pub(super) bearer: Option<&'a Secret>,
    /// `Idempotency-Key`.
    pub(super) idempotency_key: Option<&'a str>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Exchange {
    /// HTTP status.
    pub(super) status: u16,
    /// `Retry-After`.
    pub(super) retry_after: Option<String>,
    /// The body, where it is JSON.
    pub(super) body: Option<Value>,
}

/// The client in use, and what it was made for. Remade when the certificate or the trust changes.
#[derive(Debug, Default)]
pub(super) struct Wire {
    made: Option<(Trust, Option<String>, Client)>,
}

impl Wire {
    fn client(&mut self, trust: &Trust, credential: Option<&Credential>) -> Result<Client, Fault> {
        let chain = match credential {
            Some(Credential::Certificate { chain_pem, .. }) => Some(chain_pem.clone()),
            Some(Credential::Secret { .. } | Credential::SharedToken { .. }) | None => None,
        };
        if let Some((for_trust, for_chain, client)) = &self.made
            && for_trust == trust
            && *for_chain == chain
        {
            return Ok(client.clone());
        }
        let local = |fault: tls::TlsFault| Fault { kind: FaultKind::Local, said: fault.to_string() };
        let client = tls::client(trust, credential, USER_AGENT).map_err(local)?;
        self.made = Some((trust.clone(), chain, client.clone()));
        Ok(client)
    }

    /// Posts, with the credential.
    ///
    /// # Errors
    /// Nobody answered, or nothing that can be taken.
    pub(super) async fn post(
        &mut self,
        trust: &Trust,
        credential: Option<&Credential>,
        post: Post<'_>,
    ) -> Result<Exchange, Fault> {
        let url = format!("{}{}", post.manager.base_url(), post.path);
        let mut request = self.client(trust, credential)?.post(&url).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = post.bearer.or_else(|| credential.and_then(Credential::bearer)) {
            request = request.bearer_auth(secret.expose());
        }
        if let Some(key) = post.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let request = if post.gzip && post.body.len() > GZIP_ABOVE_BYTES {
            request.header(CONTENT_ENCODING, "gzip").body(gzip(&post.body)?)
        } else {
            request.body(post.body)
        };
        exchange(request, &format!("POST {url}")).await
    }

    /// Gets, without a credential.
    ///
    /// # Errors
    /// Nobody answered, or nothing that can be taken.
    pub(super) async fn get(
        &mut self,
        trust: &Trust,
        credential: Option<&Credential>,
        manager: &ManagerAddress,
        path: &str,
    ) -> Result<Exchange, Fault> {
        let url = format!("{}{path}", manager.base_url());
        exchange(self.client(trust, credential)?.get(&url), &format!("GET {url}")).await
    }
}

fn gzip(body: &[u8]) -> Result<Vec<u8>, Fault> {
    let fault = |said: std::io::Error| Fault { kind: FaultKind::Local, said: format!("cannot compress: {said}") };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).map_err(fault)?;
    encoder.finish().map_err(fault)
}

async fn exchange(request: RequestBuilder, what: &str) -> Result<Exchange, Fault> {
    let request = request
        .header("X-Gpuhostd-Protocol", wire::manager::agent::PROTOCOL)
        .header("X-Request-Id", uuid::Uuid::new_v4().to_string());
    let whole = async {
        let response = request.send().await.map_err(|fault| from_reqwest(what, fault))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = bounded(response, what).await?;
        Ok(Exchange { status, retry_after, body: serde_json::from_slice(&body).ok() })
    };
    let late = |_| {
        let said = format!("{what}: no whole answer within {} s", TOTAL.as_secs());
        Err(Fault { kind: FaultKind::Timeout, said })
    };
    tokio::time::timeout(TOTAL, whole).await.unwrap_or_else(late)
}

async fn bounded(mut response: Response, what: &str) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|fault| from_reqwest(what, fault))? {
        if body.len().saturating_add(chunk.len()) > BODY_MAX_BYTES {
            let said = format!("{what}: the answer is larger than {} MiB", BODY_MAX_BYTES / 1024 / 1024);
            return Err(Fault { kind: FaultKind::Garbled, said });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn from_reqwest(what: &str, fault: reqwest::Error) -> Fault {
    let fault = fault.without_url();
    let mut words = Vec::new();
    let mut tls = false;
    let mut at: Option<&(dyn Error + 'static)> = fault.source();
    while let Some(cause) = at {
        tls |= is_tls(cause);
        let said = cause.to_string();
        if words.last() != Some(&said) {
            words.push(said);
        }
        at = cause.source();
    }
    if words.is_empty() {
        words.push(fault.to_string());
    }
    let kind = match (fault.is_timeout(), fault.is_dns(), tls) {
        (true, _, _) => FaultKind::Timeout,
        (_, true, _) => FaultKind::Dns,
        (_, _, true) => FaultKind::Tls,
        _ => FaultKind::Network,
    };
    Fault { kind, said: format!("{what}: {}{}", words.join(": "), advice(&words)) }
}

/// An `io::Error` hides what it wraps from `source`, and may wrap another one.
fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_tls(inner))
}

/// What a person can do about a certificate, from rustls' words.
fn advice(words: &[String]) -> &'static str {
    let has = |part: &str| words.iter().any(|w| w.contains(part));
    if has("UnknownIssuer") || has("CaUsedAsEndEntity") {
        "; give the manager's authority (ca_file, --ca) or, for a self-signed manager, pin its certificate (pin_sha256, --pin)"
    } else if has("xpired") || has("NotValidYet") {
        "; renew the manager's certificate, or set this host's clock if it is wrong"
    } else if has("NotValidForName") {
        "; use the name that the manager's certificate bears"
    } else {
        ""
    }
}
