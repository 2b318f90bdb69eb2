//! An enrolment that a person asks for: one try at each manager, and an answer that shows what to do.

use crate::checkin::beat::{self, BeatOut};
use crate::checkin::enrolment::{Applicant, Won, one};
use crate::checkin::identity::{Identity, Pending, Trust};
use crate::checkin::report::Report;
use crate::checkin::tls;
use crate::checkin::transport::Transport;
use crate::checkin::trust::trust;
use crate::checkin::wake::{new_pending, shared_identity};
use model::checkin::{
    Answer, Beat, CheckinError, EnrolFor, FaultKind, KeyId, ManagerAddress, ManagerRefusal, Meaning, Omit,
};
use model::enrol::{EnrolSpec, Secret};
use model::message::Message;
use model::ports::Clock;
use model::refusal::Refusal;
use model::settings::HostNaming;
use model::time::whole_millis;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a person asks for.
#[derive(Debug)]
pub(super) struct ByHandOut {
    /// The wish.
    pub(super) spec: EnrolSpec,
    /// This host.
    pub(super) applicant: Applicant,
    /// What its first heartbeat reports, where a shared token is tried with one.
    pub(super) report: Report,
    /// The number of the last heartbeat.
    pub(super) last_seq: u64,
    /// Who waits for it.
    pub(super) reply: oneshot::Sender<Result<(), Refusal>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An identity, which is on disk, and the manager that gave it.
    Won(Box<Won>, ManagerAddress),
    /// An administrator must approve this host; the enrolment is on disk and goes on.
    Waits(Box<Pending>, ManagerRefusal),
    /// Nothing.
    Refused(Refusal),
}

/// What came of it, and who waits for it.
#[derive(Debug)]
pub(super) struct ByHandBack {
    /// What came of it.
    pub(super) outcome: Outcome,
    /// The number of the last heartbeat.
    pub(super) last_seq: u64,
    /// Who waits for it.
    pub(super) reply: oneshot::Sender<Result<(), Refusal>>,
}

/// Enrols.
pub(super) async fn enrol<C: Clock>(out: ByHandOut, clock: Arc<C>) -> ByHandBack {
    let ByHandOut { spec, applicant, report, mut last_seq, reply } = out;
    let settings = Arc::new(applicant.settings.named(&spec.named));
    let applicant = Applicant { settings: Arc::clone(&settings), ..applicant };
    let report = Report { settings, ..report };
    let outcome = match ready(&spec, &applicant).await {
        Err(refusal) => Err(refusal),
        Ok((managers, given)) if spec.shared => {
            share(&spec, managers, given, &applicant, (report, &mut last_seq), clock).await
        }
        Ok((managers, given)) => ask((spec.token, &spec.named), managers, given, &applicant).await,
    };
    ByHandBack { outcome: outcome.unwrap_or_else(Outcome::Refused), last_seq, reply }
}

/// What is asked for, where nothing is left of an enrolment before, whose wipe would take this one with it.
async fn ready(spec: &EnrolSpec, applicant: &Applicant) -> Result<(Vec<ManagerAddress>, Trust), Refusal> {
    let asked = checked(spec)?;
    applicant.store.finish_leaving().await.map_err(|fault| Refusal::HostFault {
        attempted: "wipe what is left of the enrolment that this host left, before it enrols again".to_owned(),
        said: fault.to_string(),
    })?;
    Ok(asked)
}

async fn trusted(applicant: &Applicant, given: Trust) -> Result<Trust, Refusal> {
    if !given.pins.is_empty() || given.ca_pem.is_some() {
        return Ok(given);
    }
    trust(&applicant.settings, &given).await.map_err(|fault| unavailable("the manager's trust", fault.said))
}

async fn ask(
    (token, named): (Secret, &HostNaming),
    managers: Vec<ManagerAddress>,
    given: Trust,
    applicant: &Applicant,
) -> Result<Outcome, Refusal> {
    let host_fault = |said: String| Refusal::HostFault { attempted: "prepare the enrolment".into(), said };
    let trust = trusted(applicant, given).await?;
    let pending = new_pending(&applicant.store, (None, named), managers.clone(), token, trust.clone()).await;
    let mut pending = pending.map_err(host_fault)?;
    let transport = Transport::default();
    let mut last = None;
    for manager in &managers {
        let mut way = transport.way(&applicant.settings, &trust, None);
        let mut learned = None;
        match one(&mut way, manager, applicant, &mut pending, EnrolFor::First, (None, &mut learned)).await {
            Ok(won) => return Ok(Outcome::Won(Box::new(won), manager.clone())),
            Err(Answer::Refused(refused)) if refused.meaning() == Meaning::Pending => {
                pending.waiting = true;
                applicant.store.keep_pending(&pending).await.map_err(|fault| host_fault(fault.to_string()))?;
                tracing::info!(manager = %manager, "an administrator of the manager must approve this host; it retries until then");
                return Ok(Outcome::Waits(Box::new(pending), refused));
            }
            Err(answer) => {
                let next = answer.may_differ_elsewhere();
                last = Some(no(manager, with_fingerprint(manager, answer).await));
                if !next {
                    if let Err(fault) = applicant.store.end_pending().await {
                        tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the refused enrolment could not be removed: {fault}");
                    }
                    return Err(no_more(last));
                }
            }
        }
    }
    // The manager may have taken the request and lost the answer: the key stays for the next try, the token does not.
    let without_token = Pending { token: Secret::new(""), ..pending };
    if let Err(fault) = applicant.store.keep_pending(&without_token).await {
        tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the enrolment could not be kept: {fault}");
    }
    Err(no_more(last))
}

async fn share<C: Clock>(
    spec: &EnrolSpec,
    managers: Vec<ManagerAddress>,
    given: Trust,
    applicant: &Applicant,
    (report, last_seq): (Report, &mut u64),
    clock: Arc<C>,
) -> Result<Outcome, Refusal> {
    let host_fault = |said: String| Refusal::HostFault { attempted: "keep the shared token".into(), said };
    let trust = trusted(applicant, given).await?;
    let identity = shared_identity(&applicant.settings, managers.clone(), spec.token.clone(), trust).await;
    let identity = Identity { named: spec.named.clone(), ..identity.map_err(host_fault)? };
    let transport = Transport::default();
    let mut last = None;
    for manager in &managers {
        let seq = clock.boot_now().0.max(last_seq.saturating_add(1));
        let beat = Beat { manager: manager.clone(), key: KeyId::default(), inventory: true, omit: Omit::Nothing, seq };
        let way = transport.way(&applicant.settings, &identity.trust, identity.credentials.first());
        let out =
            BeatOut { way, beat, server_id: identity.server_id.clone(), report: report.clone(), gzip: Some(false) };
        let back = beat::send(out, Arc::clone(&clock)).await;
        *last_seq = back.beat.seq;
        match back.answer {
            Ok(reply) => {
                applicant.store.keep(&identity).await.map_err(|fault| host_fault(fault.to_string()))?;
                return Ok(Outcome::Won(Box::new(Won { identity, enabled: reply.enabled }), manager.clone()));
            }
            Err(answer) => {
                let next = answer.may_differ_elsewhere();
                last = Some(no(manager, with_fingerprint(manager, answer).await));
                if !next {
                    break;
                }
            }
        }
    }
    Err(no_more(last))
}

fn checked(spec: &EnrolSpec) -> Result<(Vec<ManagerAddress>, Trust), Refusal> {
    let invalid = |argument: &str, why: String| Refusal::InvalidArgument { argument: argument.to_owned(), why };
    let managers = spec.urls.iter().map(|url| url.parse()).collect::<Result<Vec<ManagerAddress>, _>>();
    let managers = managers.map_err(|fault| invalid("urls", fault.to_string()))?;
    if managers.is_empty() {
        return Err(invalid("urls", "at least one manager is required, https://HOST:PORT".to_owned()));
    }
    let printable = spec.token.expose().bytes().all(|b| b.is_ascii_graphic());
    if spec.token.is_empty() || !printable {
        return Err(invalid("token", "it is empty or has more than one line of printable ASCII".to_owned()));
    }
    let pins = spec.pins.normal().map_err(|fault| invalid("pin-sha256", fault.to_string()))?;
    Ok((managers, Trust { ca_pem: spec.ca_pem.clone(), pins, ..Trust::default() }))
}

/// A certificate that is not trusted is shown, so that a person can compare it and pin it.
async fn with_fingerprint(manager: &ManagerAddress, answer: Answer) -> Answer {
    match answer {
        Answer::Failed(CheckinError { kind: kind @ FaultKind::Tls(_), said }) => {
            let said = match tls::fingerprint(&manager.base_url()).await {
                Some(shown) if !said.contains(&shown) => format!("{said}; its certificate has the SHA-256 {shown}"),
                Some(_) | None => said,
            };
            Answer::Failed(CheckinError { kind, said })
        }
        Answer::Failed(_) | Answer::Refused(_) | Answer::Accepted(_) => answer,
    }
}

fn no_more(last: Option<Refusal>) -> Refusal {
    last.unwrap_or_else(|| unavailable("the manager", "none was named".to_owned()))
}

fn unavailable(what: &str, why: String) -> Refusal {
    Refusal::Unavailable { what: what.to_owned(), why }
}

fn no(manager: &ManagerAddress, answer: Answer) -> Refusal {
    match answer {
        Answer::Failed(CheckinError { kind: FaultKind::Timeout, .. }) => {
            let after_ms = whole_millis(tls::TOTAL);
            Refusal::Timeout { what: format!("the manager {manager}"), after_ms }
        }
        Answer::Failed(CheckinError { kind: FaultKind::Local, said }) => {
            Refusal::HostFault { attempted: format!("enrol with {manager}"), said }
        }
        Answer::Failed(fault) => unavailable(&format!("the manager {manager}"), fault.said),
        Answer::Refused(refused) if refused.meaning() == Meaning::OutOfOrder => {
            unavailable(&format!("the manager {manager}"), refused.words())
        }
        Answer::Refused(refused) => {
            let why = format!("the manager {manager} {}; {}", refused.words(), remedy(refused.meaning()));
            if refused.meaning() == Meaning::Unauthenticated {
                return Refusal::InvalidArgument { argument: "token".to_owned(), why };
            }
            Refusal::Conflict { why }
        }
        Answer::Accepted(_) => unavailable(&format!("the manager {manager}"), "it returned no identity".to_owned()),
    }
}

const fn remedy(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Unauthenticated => "ask the manager's administrator for a new token",
        Meaning::Duplicate => "the token was used, or another host has this identity; ask the manager's administrator",
        Meaning::UpgradeRequired => "install the version of gpuhostd that the manager asks for",
        Meaning::RateLimited => "try again later",
        Meaning::UnknownAgent | Meaning::Deleted => "check the manager's address and paths",
        Meaning::Pending | Meaning::BadReport | Meaning::TooLarge | Meaning::OutOfOrder => "see the manager's log",
    }
}
