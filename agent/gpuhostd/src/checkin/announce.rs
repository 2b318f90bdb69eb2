//! The readiness call over the one HTTP client: once, with the trust that the manager has, and what its answer means.

use crate::checkin::fault::local;
use crate::checkin::http::{Line, RawExchange, USER_AGENT};
use crate::checkin::identity::Trust;
use crate::checkin::store::IdentityStore;
use crate::checkin::tls::{self, Connections};
use crate::checkin::trust::trust;
use model::checkin::{CheckinError, ManagerAddress};
use model::enrol::Secret;
use model::printable::printable;
use model::readiness::{CallOutcome, jwt_expiry, without_jwt};
use model::settings::{ManagerSettings, ReadinessSettings};
use model::time::UnixMillis;
use serde_json::Value;
use std::path::Path;
use wire::manager::readiness::READY_BODY;
use wire::manager::reply::ComeBack;

/// So many characters of what the other side answered are repeated.
const SHOWN_MOST_CHARS: usize = 200;

/// One readiness call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announcement<'a> {
    /// Where it goes, and by what it is trusted.
    pub(crate) settings: &'a ReadinessSettings,
    /// How the manager is trusted, where the call has no authorities of its own.
    pub(crate) manager: &'a ManagerSettings,
    /// The folder of durable state, which has what was trusted at enrolment.
    pub(crate) state: &'a Path,
    /// The token.
    pub(crate) token: &'a Secret,
    /// The wall clock.
    pub(crate) wall: UnixMillis,
}

/// Makes the call. What is returned never has the token in it, also where the other side repeats it.
pub(crate) async fn announce(call: Announcement<'_>) -> CallOutcome {
    let clean = |text: String| without_jwt(&text, call.token.expose());
    match sent(call).await {
        Ok(exchange) => match judged(call, &exchange) {
            CallOutcome::Accepted => CallOutcome::Accepted,
            CallOutcome::Refused(why) => CallOutcome::Refused(clean(why)),
            CallOutcome::Failed { why, not_before_ms } => CallOutcome::Failed { why: clean(why), not_before_ms },
        },
        Err(fault) => CallOutcome::Failed { why: clean(fault.said), not_before_ms: None },
    }
}

async fn sent(call: Announcement<'_>) -> Result<RawExchange, CheckinError> {
    let upstream = call.settings.upstream.as_deref().unwrap_or_default();
    let to: ManagerAddress = upstream.parse().map_err(|fault| local(format!("readiness.upstream: {fault}")))?;
    let client = tls::client(&trusted(call).await?, None, USER_AGENT, &Connections::default()).map_err(local)?;
    let line = Line { client: &client, certificate: false, base_url: &to.base_url() };
    line.announce(&call.settings.path, call.token, READY_BODY).await.map_err(|lost| lost.fault)
}

/// By its own authorities, else by what was given at enrolment, else by what is configured for the manager.
async fn trusted(call: Announcement<'_>) -> Result<Trust, CheckinError> {
    if call.settings.ca_file.is_some() {
        let own = ManagerSettings { ca_file: call.settings.ca_file.clone(), ..ManagerSettings::default() };
        let renamed = |fault: CheckinError| CheckinError {
            said: fault.said.replace("manager.ca_file", "readiness.ca_file"),
            ..fault
        };
        return trust(&own, &Trust::default()).await.map_err(renamed);
    }
    let identity = IdentityStore::below(call.state).identity().await.map_err(|fault| local(fault.to_string()))?;
    trust(call.manager, &identity.map(|identity| identity.trust).unwrap_or_default()).await
}

/// What an answer means: a page that some front answers with 200 is not an acceptance.
fn judged(call: Announcement<'_>, exchange: &RawExchange) -> CallOutcome {
    let RawExchange { status, body, retry_after, date, .. } = exchange;
    let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    let error = json.as_ref().and_then(|body| body.get("error_message")).filter(|error| !error.is_null());
    let error = error.map(|error| error.as_str().map_or_else(|| error.to_string(), str::to_owned));
    let error = error.filter(|error| !error.is_empty()).map(|error| printable(&error, SHOWN_MOST_CHARS));
    let upstream = call.settings.upstream.as_deref().unwrap_or_default();
    let answered = match &error {
        Some(error) => format!("{upstream} answered the readiness call with HTTP {status}: {error}"),
        None => format!("{upstream} answered the readiness call with HTTP {status}"),
    };
    if matches!(status, 200..=299) {
        return match (error, json.is_some() || body.trim_ascii().is_empty()) {
            (None, true) => CallOutcome::Accepted,
            (None, false) => {
                let why = format!("{answered} and something that is not JSON; is another server in front of it?");
                CallOutcome::Failed { why, not_before_ms: None }
            }
            (Some(_), _) => CallOutcome::Failed { why: answered, not_before_ms: None },
        };
    }
    if matches!(status, 401 | 403 | 404) {
        return CallOutcome::Refused(format!("{answered}; {}", remedy(call, *status)));
    }
    let come_back = ComeBack { retry_after: retry_after.as_deref(), date: date.as_deref(), received: call.wall };
    let not_before_ms =
        wire::manager::reply::refusal(*status, come_back, json.as_ref()).and_then(|refused| refused.retry_after_ms());
    CallOutcome::Failed { why: answered, not_before_ms }
}

/// What to do about a call that was refused for good. The token is not verified here; its `exp` only explains.
fn remedy(call: Announcement<'_>, status: u16) -> String {
    if status == 404 {
        return format!("check readiness.upstream and readiness.path ({})", call.settings.path);
    }
    let over_s = jwt_expiry(call.token.expose()).map(|exp| call.wall.0 / 1000 - exp).filter(|over_s| *over_s >= 0);
    let expired =
        over_s.map(|over_s| format!("the token expired {over_s} s ago by this host's clock; ")).unwrap_or_default();
    format!("{expired}put a new token into the file, which is tried within a minute")
}
