//! A new credential before the old one ends: asked for beside the heartbeats, tried on, and handed to the session task.

use crate::checkin::answers::{accepted, garbled};
use crate::checkin::fault::local;
use crate::checkin::http::Post;
use crate::checkin::identity::{Credential, Request, Trust};
use crate::checkin::key;
use crate::checkin::transport::Way;
use crate::checkin::tryon::try_on;
use model::checkin::{Answer, FaultKind, ManagerAddress};
use model::enrol::Secret;
use model::time::UnixMillis;
use wire::manager::enroll::{EnrollResponse, RenewalReply};

/// A renewal that is to be asked for. Its key and its request are on disk already.
#[derive(Debug)]
pub(super) struct RenewalOut {
    /// The way to the manager.
    pub(super) way: Way,
    /// Who is asked.
    pub(super) manager: ManagerAddress,
    /// This host's id.
    pub(super) server_id: String,
    /// The key that the certificate is for.
    pub(super) key_pem: Secret,
    /// The request.
    pub(super) request: Request,
    /// The clock as well as it is known.
    pub(super) wall: UnixMillis,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct RenewalBack {
    /// The way.
    pub(super) way: Way,
    /// Who was asked.
    pub(super) manager: ManagerAddress,
    /// The new credential, with the authorities that the manager adds.
    pub(super) answer: Result<(Credential, Option<AddedBundle>), Answer>,
}

/// Authorities that came with a new credential.
#[derive(Debug)]
pub(super) struct AddedBundle {
    /// PEM.
    pub(super) pem: String,
    /// The bundle comes without authorities that this host was given, and the manager is trusted by it alone: they can go.
    pub(super) is_enough: bool,
}

/// A new key, and the request that goes with it, to be kept before it is sent.
///
/// # Errors
/// The system gives no random numbers.
pub(super) fn prepare(server_id: &str) -> Result<(Secret, Request), key::KeyError> {
    let key_pem = key::new_key()?;
    let csr_pem = key::request(&key_pem, server_id)?;
    Ok((key_pem, Request { id: uuid::Uuid::new_v4().to_string(), csr_pem }))
}

/// Asks for it.
pub(super) async fn ask(out: RenewalOut) -> RenewalBack {
    let RenewalOut { mut way, manager, server_id, key_pem, request, wall } = out;
    let answer = answer(&mut way, &manager, &server_id, &key_pem, &request, wall).await;
    let answer = match answer {
        Ok((credential, Some(pem))) => {
            let is_enough = way.given().lacks_given_of(&pem) && is_trusted_by(&pem, &way, &manager).await;
            Ok((credential, Some(AddedBundle { pem, is_enough })))
        }
        Ok((credential, None)) => Ok((credential, None)),
        Err(answer) => Err(answer),
    };
    RenewalBack { way, manager, answer }
}

/// A new connection to the manager comes about where nothing but that bundle is trusted.
async fn is_trusted_by(pem: &str, way: &Way, manager: &ManagerAddress) -> bool {
    let mut alone = way.with_trust(Trust::default().by_bundle_alone(pem));
    let path = alone.settings().paths.version.clone();
    match alone.get(manager, &path).await {
        Ok(_) => true,
        // Its certificate was trusted, and then it wanted one of ours.
        Err(lost) => matches!(lost.fault.kind, FaultKind::Credential(_)),
    }
}

async fn answer(
    way: &mut Way,
    manager: &ManagerAddress,
    server_id: &str,
    key_pem: &Secret,
    request: &Request,
    wall: UnixMillis,
) -> Result<(Credential, Option<String>), Answer> {
    let body = RenewalReply { server_id: server_id.to_owned(), csr_pem: request.csr_pem.clone() };
    let body = serde_json::to_vec(&body).map_err(|fault| Answer::Failed(local(fault)))?;
    let path = way.settings().paths.credentials.clone();
    let post = Post { path: &path, body: &body, gzip: false, bearer: None, idempotency_key: Some(&request.id) };
    let exchange = way.post(manager, post).await.map_err(|lost| Answer::Failed(lost.fault))?;
    let body = accepted(manager, exchange, wall)?;
    let misfit = |why: String| {
        Answer::Failed(garbled(format!("{manager} answered the renewal without a valid credential: {why}")))
    };
    let response = EnrollResponse::read(body).map_err(|why| misfit(why.to_string()))?;
    let credential = try_on(&response, key_pem, Some(server_id), wall).map_err(|why| misfit(why.to_string()))?;
    Ok((credential, response.ca_bundle_pem))
}
