//! Asking one manager for an identity: what is sent, and what of the answer is kept.

use crate::checkin::answers::{accepted, garbled};
use crate::checkin::fault::local;
use crate::checkin::http::Post;
use crate::checkin::identity::{Credential, Identity, Pending, SCHEMA, Trust};
use crate::checkin::key;
use crate::checkin::store::IdentityStore;
use crate::checkin::token_file;
use crate::checkin::transport::Way;
use crate::checkin::tryon::try_on;
use crate::checkin::version::{self, BEFORE_ENROLMENT};
use crate::checkin::wake::{new_pending, this_machine};
use model::checkin::features::ManagerFeatures;
use model::checkin::{Answer, Code, EnrolFor, ManagerAddress, ManagerRefusal};
use model::enrol::Secret;
use model::observation::HostObservation;
use model::settings::ManagerSettings;
use model::time::UnixMillis;
use std::sync::Arc;
use wire::manager::agent::AgentInfo;
use wire::manager::enroll::{EnrollRequest, EnrollResponse};
use wire::manager::gpu;

/// What an enrolment needs to know of this host.
#[derive(Debug, Clone)]
pub(super) struct Applicant {
    /// Where the enrolment is kept.
    pub(super) store: IdentityStore,
    /// The settings.
    pub(super) settings: Arc<ManagerSettings>,
    /// The newest observation.
    pub(super) seen: Arc<HostObservation>,
    /// The clock as well as it is known.
    pub(super) wall: UnixMillis,
    /// The identity that this host has already.
    pub(super) identity: Option<Identity>,
}

/// An enrolment that the check-in asks for by itself.
#[derive(Debug)]
pub(super) struct EnrolOut {
    /// The way to the manager.
    pub(super) way: Way,
    /// Who is asked.
    pub(super) manager: ManagerAddress,
    /// Why.
    pub(super) why: EnrolFor,
    /// This host.
    pub(super) applicant: Applicant,
    /// The enrolment under way; `None` = it is made from the identity.
    pub(super) pending: Option<Pending>,
    /// The manager takes gzip; `None` where it has not been asked yet.
    pub(super) gzip: Option<bool>,
    /// How the last try ended.
    pub(super) last: Option<ManagerRefusal>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct EnrolBack {
    /// The way.
    pub(super) way: Way,
    /// Who was asked.
    pub(super) manager: ManagerAddress,
    /// The enrolment as it was sent.
    pub(super) pending: Option<Pending>,
    /// What the manager reported about its features on the way; `None` = it was not asked.
    pub(super) learned: Option<Option<ManagerFeatures>>,
    /// The identity, which is on disk.
    pub(super) answer: Result<Won, Answer>,
}

/// An identity that a manager gave. It is on disk.
#[derive(Debug)]
pub(super) struct Won {
    /// The identity.
    pub(super) identity: Identity,
    /// The manager has switched this host on.
    pub(super) enabled: Option<bool>,
}

/// Asks.
pub(super) async fn ask(out: EnrolOut) -> EnrolBack {
    let EnrolOut { mut way, manager, why, applicant, pending, gzip, last } = out;
    let pending = match pending {
        Some(pending) => Ok(pending),
        None => from_identity(&applicant, why, last.as_ref()).await,
    };
    let mut pending = match pending {
        Ok(pending) => pending,
        Err(said) => {
            return EnrolBack { way, manager, pending: None, learned: None, answer: Err(Answer::Failed(local(said))) };
        }
    };
    let mut learned = None;
    let answer = one(&mut way, &manager, &applicant, &mut pending, why, (gzip, &mut learned)).await;
    EnrolBack { way, manager, pending: Some(pending), learned, answer }
}

/// The enrolment of a host that has an identity: with its own key and the token of the file.
async fn from_identity(applicant: &Applicant, why: EnrolFor, last: Option<&ManagerRefusal>) -> Result<Pending, String> {
    let identity = applicant.identity.as_ref().ok_or("there is no identity")?;
    let token = match (&applicant.settings.enrolment_token_file, why) {
        (Some(path), EnrolFor::First | EnrolFor::Lost) => token_file::read(path).await?.token,
        // The host may be known again by its key alone: a token helps only where it is good. One that was refused is left out once.
        (Some(path), EnrolFor::Ended) if !was_refused(last) => {
            token_file::read(path).await.map(|read| read.token).unwrap_or(Secret::new(""))
        }
        (Some(_) | None, EnrolFor::Ended) => Secret::new(""),
        (None, EnrolFor::First | EnrolFor::Lost) => return Err("no enrolment token file is configured".to_owned()),
    };
    let own = match (why, last.and_then(|last| last.code)) {
        // A renewal whose answer was lost may have made its key the one that the manager knows.
        (EnrolFor::Ended, Some(Code::Conflict)) if identity.next_key_pem.is_some() => identity.next_key_pem.clone(),
        _ => own_key(identity),
    };
    let managers = if identity.enrolled_with.is_empty() { &identity.managers } else { &identity.enrolled_with };
    new_pending(&applicant.store, (own, &identity.named), managers.clone(), token, identity.trust.clone()).await
}

fn was_refused(last: Option<&ManagerRefusal>) -> bool {
    last.is_some_and(|last| last.status == 401 || last.code == Some(Code::EnrolUsed))
}

/// The key by which a manager knows this host.
fn own_key(identity: &Identity) -> Option<Secret> {
    let of_certificate = identity.credentials.iter().rev().find_map(|credential| match credential {
        Credential::Certificate { key_pem, .. } => Some(key_pem.clone()),
        Credential::Secret { .. } | Credential::SharedToken { .. } => None,
    });
    of_certificate.or_else(|| identity.key_pem.clone())
}

/// Asks one manager, and keeps the identity that it gives.
pub(super) async fn one(
    way: &mut Way,
    manager: &ManagerAddress,
    applicant: &Applicant,
    pending: &mut Pending,
    why: EnrolFor,
    (gzip, learned): (Option<bool>, &mut Option<Option<ManagerFeatures>>),
) -> Result<Won, Answer> {
    let failed = |said: String| Answer::Failed(local(said));
    let ours = applicant.identity.as_ref().map(|identity| identity.server_id.as_str());
    let asked_id = ours.or(applicant.settings.server_id.as_deref());
    let body = body(applicant, pending, asked_id).await.map_err(failed)?;
    // Key and request are on disk before they are sent: a retry after a lost answer must come with the same ones.
    applicant.store.keep_pending(pending).await.map_err(|fault| failed(fault.to_string()))?;
    let gzip = match gzip {
        Some(known) => known,
        None => {
            let said = tokio::time::timeout(BEFORE_ENROLMENT, version::features(way, manager)).await.unwrap_or(None);
            *learned = Some(said);
            said.is_some_and(|features| features.gzip)
        }
    };
    let path = way.settings().paths.enroll.clone();
    let bearer = Some(&pending.token).filter(|token| !token.is_empty());
    let post = Post { path: &path, body: &body, gzip, bearer, idempotency_key: Some(&pending.request_id) };
    let exchange = way.post(manager, post).await.map_err(|lost| Answer::Failed(lost.fault))?;
    let body = accepted(manager, exchange, applicant.wall)?;
    let misfit = |said: String| {
        Answer::Failed(garbled(format!("{manager} answered the enrolment without a valid identity: {said}")))
    };
    let response = EnrollResponse::read(body).map_err(|fault| misfit(fault.to_string()))?;
    let same = ours.filter(|_| why == EnrolFor::Ended);
    let credential =
        try_on(&response, &pending.key_pem, same, applicant.wall).map_err(|fault| misfit(fault.to_string()))?;
    let won = won(applicant, pending, response, credential, way.verified_by());
    applicant.store.keep(&won.identity).await.map_err(|fault| failed(fault.to_string()))?;
    applicant.store.end_pending().await.map_err(|fault| failed(fault.to_string()))?;
    Ok(won)
}

/// The identity that a manager gave.
fn won(
    applicant: &Applicant,
    pending: &Pending,
    response: EnrollResponse,
    credential: Credential,
    verified_by: Option<&Trust>,
) -> Won {
    let mut managers = response.managers;
    managers.extend(
        pending.managers.iter().filter(|p| !managers.iter().any(|m| m.same_place(p))).cloned().collect::<Vec<_>>(),
    );
    let trust = Trust { insecure: false, ..pending.trust.clone() };
    let trust = trust.with_bundle(response.ca_bundle_pem.as_deref(), verified_by);
    let before = applicant.identity.as_ref();
    Won {
        identity: Identity {
            schema: SCHEMA,
            server_id: response.server_id,
            trust,
            managers: before.map_or(managers, |identity| identity.managers.clone()),
            enrolled_with: pending.managers.clone(),
            named: pending.named.clone(),
            key_pem: matches!(credential, Credential::Secret { .. }).then(|| pending.key_pem.clone()),
            credentials: vec![credential],
            next_key_pem: None,
            next_request: None,
            token_file_sha256: before.and_then(|identity| identity.token_file_sha256.clone()),
        },
        enabled: response.enabled,
    }
}

/// The body of the request; the certificate request is made once and kept with the enrolment.
async fn body(applicant: &Applicant, pending: &mut Pending, server_id: Option<&str>) -> Result<Vec<u8>, String> {
    let (seen, settings) = (&applicant.seen, &applicant.settings);
    let hostname = seen.host.hostname.known().ok_or("the host has no name yet, and a manager needs one")?;
    let csr_pem = match &pending.csr_pem {
        Some(csr_pem) => csr_pem.clone(),
        None => key::request(&pending.key_pem, server_id.unwrap_or(hostname)).map_err(|fault| fault.to_string())?,
    };
    pending.csr_pem = Some(csr_pem.clone());
    let request = EnrollRequest {
        server_id: server_id.map(str::to_owned),
        provider: settings.provider.clone(),
        public_hostname: settings.public_hostname.clone(),
        public_port: settings.public_port,
        zone: settings.zone.clone(),
        csr_pem,
        hostname: hostname.clone(),
        machine_id_hash: this_machine().await?.simple().to_string(),
        dmi: seen.host.dmi.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
        agent: AgentInfo::of(seen, env!("CARGO_PKG_VERSION")),
        inventory: gpu::inventory(seen),
    };
    serde_json::to_vec(&request).map_err(|fault| fault.to_string())
}
