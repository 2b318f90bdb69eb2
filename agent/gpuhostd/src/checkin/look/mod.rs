//! Looks at each manager once, for the doctor: how far the way goes, how long its certificate holds, and what its clock reports.

use crate::checkin::fault::{innermost, tls_fault};
use crate::checkin::http::USER_AGENT;
use crate::checkin::identity::{Credential, Identity, Trust};
use crate::checkin::store::{IdentityError, IdentityStore};
use crate::checkin::tls::{TOTAL, curious_client};
use crate::checkin::trust::trust;
use host::front::StoreError;
use model::absence::{Absence, Reading};
use model::checkin::{ManagerAddress, skew};
use model::doctor::doctor_facts::{ManagerSeen, Reach, TlsError};
use model::doctor::validity;
use model::settings::ManagerSettings;
use model::time::UnixMillis;
use model::time::whole_millis;
use reqwest::tls::TlsInfo;
use reqwest::{Client, Response};
use std::path::Path;
use std::time::Instant;
use wire::manager::reply::http_date;

/// No more managers are looked at.
const MANAGERS_MAX: usize = 4;

/// What was seen of all managers, and until when the credential is good.
#[derive(Debug)]
pub struct Looked {
    /// Each manager that is configured or kept.
    pub managers: Vec<ManagerSeen>,
    /// The end of the newest credential.
    pub credential_until: Reading<UnixMillis>,
}

/// Looks at those that are configured, and at those of the identity as far as the caller may read it. Nothing secret is sent.
pub async fn look(settings: &ManagerSettings, state: &Path) -> Looked {
    let kept = IdentityStore::below(state).identity().await;
    let identity = kept.as_ref().ok().and_then(Option::as_ref);
    let trust_known = !matches!(&kept, Err(fault) if is_denied(fault));
    let credential_until = match &kept {
        Err(fault) if is_denied(fault) => Reading::Absent(Absence::NoPermission),
        Err(fault) => Reading::Absent(Absence::Unreadable(fault.to_string())),
        Ok(_) => until(identity).map_or(Reading::Absent(Absence::None), Reading::Known),
    };
    let given = identity.map(|identity| identity.trust.clone()).unwrap_or_default();
    let credential = identity.and_then(|identity| identity.credentials.last());
    let mut managers = Vec::new();
    for manager in all(settings, identity).into_iter().take(MANAGERS_MAX) {
        let seen = one(&manager, settings, &given, credential).await;
        managers.push(ManagerSeen { trust_known, ..seen });
    }
    Looked { managers, credential_until }
}

fn is_denied(fault: &IdentityError) -> bool {
    let IdentityError::Store(StoreError::Host { source, .. }) = fault else { return false };
    source.kind() == std::io::ErrorKind::PermissionDenied
}

fn until(identity: Option<&Identity>) -> Option<UnixMillis> {
    Some(identity?.credentials.last()?.life()?.1)
}

/// The same place once.
fn all(settings: &ManagerSettings, identity: Option<&Identity>) -> Vec<ManagerAddress> {
    let mut all: Vec<ManagerAddress> = Vec::new();
    let configured = settings.urls.iter().filter_map(|url| url.parse().ok());
    for manager in configured.chain(identity.into_iter().flat_map(|identity| identity.managers.iter().cloned())) {
        if !all.iter().any(|known| known.same_place(&manager)) {
            all.push(manager);
        }
    }
    all
}

async fn one(
    manager: &ManagerAddress,
    settings: &ManagerSettings,
    given: &Trust,
    credential: Option<&Credential>,
) -> ManagerSeen {
    let unseen = |reach| ManagerSeen {
        url: manager.base_url(),
        reach,
        trust_known: true,
        certificate_until: Reading::default(),
        skew_ms: Reading::default(),
    };
    let trust = match trust(settings, given).await {
        Ok(trust) => trust,
        Err(fault) => return unseen(Reach::Tls { fault: TlsError::Other, said: fault.said }),
    };
    let client = match curious_client(&trust, credential, USER_AGENT) {
        Ok(client) => client,
        Err(fault) => return unseen(Reach::Tls { fault: TlsError::Other, said: fault.to_string() }),
    };
    match ask(&client, &format!("{}{}", manager.base_url(), settings.paths.version)).await {
        Ok(answer) => ManagerSeen {
            certificate_until: answer.certificate_until.into(),
            skew_ms: answer.skew_ms.into(),
            ..unseen(Reach::Answered { status: answer.status })
        },
        Err(reach) => unseen(reach_of(manager, reach)),
    }
}

struct Answer {
    status: u16,
    certificate_until: Option<UnixMillis>,
    skew_ms: Option<i64>,
}

/// Only the head of the answer: its body is of no interest.
async fn ask(client: &Client, url: &str) -> Result<Answer, Option<reqwest::Error>> {
    let begun = Instant::now();
    let response = tokio::time::timeout(TOTAL, client.get(url).send()).await.map_err(|_| None)?.map_err(Some)?;
    let took = whole_millis(begun.elapsed());
    let received = UnixMillis(jiff::Timestamp::now().as_millisecond());
    let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
    Ok(Answer {
        status: response.status().as_u16(),
        certificate_until: certificate.and_then(validity::ends_at),
        skew_ms: date(&response).map(|server| skew::skew_ms(server, received, took)),
    })
}

/// The clock of the other side.
fn date(response: &Response) -> Option<UnixMillis> {
    http_date(response.headers().get(reqwest::header::DATE)?.to_str().ok()?)
}

fn reach_of(manager: &ManagerAddress, fault: Option<reqwest::Error>) -> Reach {
    let Some(fault) = fault.map(reqwest::Error::without_url) else {
        return Reach::NoAnswer { said: format!("no answer within {} s", TOTAL.as_secs()) };
    };
    let said = innermost(&fault);
    match tls_fault(&fault) {
        Some((fault, said)) => Reach::Tls { fault, said },
        None if fault.is_dns() => Reach::NoName { said },
        None if fault.is_connect() => Reach::NoConnection { address: manager.to_string(), said },
        None => Reach::NoAnswer { said },
    }
}

#[cfg(test)]
mod tests;
