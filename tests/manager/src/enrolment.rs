//! Enrolment and renewal: a key goes in, a credential comes out.

use crate::agents::{Ask, Credential, Enrolled};
use crate::answer::{Answer, Code, Refused};
use crate::authority::SigningRequest;
use crate::call::Call;
use crate::desk::{Desk, rfc3339};
use crate::handlers::save;
use crate::options::Mode;
use crate::record::Auth;
use serde_json::{Value, json};
use uuid::Uuid;

/// Seconds after which an agent that waits for an administrator asks again.
const ASK_AGAIN_S: &str = "5";

/// One-use token and signing request in; server id and credential out.
pub(crate) async fn enroll(desk: &Desk, call: &Call) -> Result<Answer, Refused> {
    if matches!(desk.mode, Mode::SharedToken(_)) {
        let message = "this manager knows one shared token; nobody enrols here";
        return Err(Refused::new(Code::NotApproved, message));
    }
    let request = signing_request(call)?;
    let token = match &call.auth {
        Auth::Bearer(token) => Some(token.as_str()),
        Auth::Certificate { .. } | Auth::Nothing => None,
    };
    let ask = Ask {
        token,
        recovers_by_key: desk.recovers_by_key,
        key_sha256: request.key_sha256(),
        server_id: call.text("/server_id").map(str::to_owned),
        hostname: call.text("/hostname").unwrap_or_default(),
    };
    let answer = match desk.fleet.agents(|agents| agents.enrol(&ask))? {
        Enrolled::Pending(server_id) => {
            let body = json!({ "message": "waiting for an administrator", "server_id": server_id });
            Answer::json(202, &body).with("retry-after", ASK_AGAIN_S)
        }
        Enrolled::As(server_id) => Answer::json(200, &issue(desk, call, &server_id, &request)?),
    };
    save(desk).await?;
    Ok(answer)
}

/// A new credential for an agent that shows its present one.
pub(crate) async fn renew(desk: &Desk, call: &Call) -> Result<Answer, Refused> {
    if matches!(desk.mode, Mode::SharedToken(_)) {
        return Err(Refused::new(Code::BadRequest, "this manager knows one shared token; there is nothing to renew"));
    }
    desk.authenticate(call)?;
    let reply = issue(desk, call, call.server_id(), &signing_request(call)?)?;
    save(desk).await?;
    Ok(Answer::json(200, &reply))
}

fn signing_request(call: &Call) -> Result<SigningRequest, Refused> {
    SigningRequest::parse(call.text("/csr_pem").unwrap_or_default())
        .map_err(|error| Refused::new(Code::BadRequest, format!("/csr_pem: {error:#}")))
}

/// The credential of a wish: a request that comes again with its `Idempotency-Key` gets the same one again.
fn issue(desk: &Desk, call: &Call, server_id: &str, request: &SigningRequest) -> Result<Value, Refused> {
    let wish = format!("{server_id} {} {}", call.header("idempotency-key").unwrap_or_default(), request.key_sha256());
    let mut reply = match desk.issued(&wish) {
        Some(before) => before,
        None => {
            let fresh = new_credential(desk, server_id, request)?;
            desk.remember_issued(wish, fresh.clone());
            fresh
        }
    };
    desk.change_issue(&mut reply);
    Ok(reply)
}

fn new_credential(desk: &Desk, server_id: &str, request: &SigningRequest) -> Result<Value, Refused> {
    let now = (desk.clock)();
    let until = now.saturating_add(i64::try_from(desk.credential_life.as_millis()).unwrap_or(i64::MAX));
    let mut reply = json!({
        "server_id": server_id,
        "not_after": rfc3339(until),
        "enabled": true,
        "cert_chain_pem": null,
        "ca_bundle_pem": desk.fleet.ca_pem(),
        "secret": null,
    });
    let (field, value, credential) = if desk.mode == Mode::Certificates {
        let issued = desk
            .fleet
            .sign(request, server_id, now, until)
            .map_err(|error| Refused::new(Code::Internal, format!("the certificate could not be signed: {error:#}")))?;
        ("cert_chain_pem", issued.pem, Credential::Certificate { fingerprint: issued.fingerprint })
    } else {
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        ("secret", secret.clone(), Credential::Secret(secret))
    };
    desk.fleet.agents(|agents| agents.issued(server_id, &request.key_sha256(), &credential));
    if let Some(slot) = reply.get_mut(field) {
        *slot = value.into();
    }
    Ok(reply)
}
