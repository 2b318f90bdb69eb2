//! Enrolment: by the machine, unattended, or at once because a person asked for it.

use crate::checkin::identity::{Identity, Pending, SCHEMA, Trust};
use crate::checkin::life::Life;
use crate::checkin::renewal::credential_of;
use crate::checkin::request::local;
use crate::checkin::task::Task;
use crate::checkin::tls::normal_pin;
use model::checkin::{Answer, Beat, Fault, FaultKind, ManagerAddress, Meaning, Omit};
use model::enrol::{EnrolSpec, Secret};
use model::message::Message;
use model::ports::Clock;
use model::refusal::Refusal;
use wire::manager::enroll::EnrollResponse;

impl<C: Clock> Task<C> {
    /// The machine wants an identity from this manager.
    pub(super) async fn enrol_with(&mut self, manager: &ManagerAddress) {
        let answer = match self.pending_of_now().await {
            Ok(pending) => match self.ask_identity(manager, &pending).await {
                Ok(response) => match self.adopt(response, &pending).await {
                    Ok(()) => return,
                    Err(fault) => Answer::Failed(fault),
                },
                Err(answer) => answer,
            },
            Err(fault) => Answer::Failed(fault),
        };
        let why = format!("{manager}: {}", super::beat::words(&answer).unwrap_or_default());
        tracing::debug!(manager = %manager, why, "no identity");
        self.publisher.error(&why);
        let now = self.clock.boot_now();
        if let Some(machine) = &mut self.machine {
            machine.on_answer(now, answer);
        }
    }

    /// The enrolment under way; for a host whose manager has lost it, a new one with the token of the file.
    async fn pending_of_now(&mut self) -> Result<Pending, Fault> {
        let managers = match &self.life {
            Life::Enrolling(pending) => return Ok(*pending.clone()),
            Life::Enrolled(identity) => identity.managers.clone(),
            Life::Alone(_) => Vec::new(),
        };
        let trust = self.life.identity().map(|i| i.trust.clone()).unwrap_or_default();
        let file = self.settings.enrolment_token_file.clone().unwrap_or_default();
        let mut file = super::token_file::TokenFile::new(file);
        let token = match file.news().await {
            Some(token) => token,
            None => return Err(local(file.fault().unwrap_or_default())),
        };
        let pending = self.new_pending(managers, token, trust).await.map_err(local)?;
        self.store.keep_pending(&pending).await.map_err(local)?;
        Ok(pending)
    }

    /// Takes the identity that a manager gave: on disk first, then in use.
    async fn adopt(&mut self, response: EnrollResponse, pending: &Pending) -> Result<(), Fault> {
        let server_id = response.server_id.clone();
        let mut managers = response.managers.clone();
        managers
            .extend(pending.managers.iter().filter(|p| !response.managers.iter().any(|m| m.same_place(p))).cloned());
        self.enabled = response.enabled.unwrap_or(true);
        let credential = credential_of(response, pending.key_pem.clone(), self.clock.wall_now());
        let credentials = credential.into_iter().collect();
        let trust = pending.trust.clone();
        let identity = Identity { schema: SCHEMA, server_id, trust, managers, credentials, next_key_pem: None };
        self.store.keep(&identity).await.map_err(local)?;
        self.store.end_pending().await.map_err(local)?;
        tracing::info!(server_id = %identity.server_id, "enrolled as {}", identity.server_id);
        self.begin(identity).await;
        Ok(())
    }

    async fn begin(&mut self, identity: Identity) {
        self.publisher.anew();
        self.wipe_forgotten().await;
        self.go_on(identity).await;
        let now = self.clock.boot_now();
        self.machine = self.machine.take().map(|m| m.at_once(now));
    }

    /// A person asks for an enrolment now, with one try at each manager.
    pub(super) async fn enrol_now(&mut self, spec: EnrolSpec) -> Result<(), Refusal> {
        if let Some(identity) = self.life.identity() {
            let why = format!("this host is enrolled as {}; run `gpuhostctl leave` first", identity.server_id);
            return Err(Refusal::Conflict { why });
        }
        let (managers, trust) = checked(&spec)?;
        let trust = match (&trust.pin_sha256, &trust.ca_pem) {
            (None, None) => self.trust(&trust).await.map_err(|f| unavailable("the manager's trust", f.said))?,
            (Some(_), _) | (_, Some(_)) => trust,
        };
        if spec.shared {
            self.share_now(spec, managers, trust).await
        } else {
            self.ask_now(spec, managers, trust).await
        }
    }

    async fn ask_now(&mut self, spec: EnrolSpec, managers: Vec<ManagerAddress>, trust: Trust) -> Result<(), Refusal> {
        let host_fault = |said: String| Refusal::HostFault { attempted: "prepare the enrolment".into(), said };
        let pending = self.new_pending(managers.clone(), spec.token, trust).await.map_err(host_fault)?;
        // The key is on disk before it is sent: a retry after a lost answer must come with the same one.
        self.store.keep_pending(&pending).await.map_err(|fault| host_fault(fault.to_string()))?;
        let mut last = None;
        for manager in &managers {
            match self.ask_identity(manager, &pending).await {
                Ok(response) => return self.adopt(response, &pending).await.map_err(|fault| host_fault(fault.said)),
                Err(Answer::Refused(refused)) if refused.meaning() == Meaning::Pending => {
                    self.wait_for_approval(pending, Answer::Refused(refused), manager).await;
                    return Ok(());
                }
                Err(answer) => {
                    let next = goes_on(&answer);
                    let answer = with_fingerprint(manager, answer).await;
                    last = Some(no(manager, answer));
                    if !next {
                        self.end_pending().await;
                        return Err(no_more(last));
                    }
                }
            }
        }
        // The manager may have taken the request and lost the answer: the key stays for the next try, the token does not.
        let without_token = Pending { token: Secret::new(""), ..pending };
        self.keep_pending(&without_token).await;
        Err(no_more(last))
    }

    async fn end_pending(&mut self) {
        if let Err(fault) = self.store.end_pending().await {
            tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the refused enrolment could not be removed: {fault}");
        }
    }

    async fn wait_for_approval(&mut self, pending: Pending, answer: Answer, manager: &ManagerAddress) {
        let pending = Pending { waiting: true, ..pending };
        self.keep_pending(&pending).await;
        self.publisher.anew();
        tracing::info!(manager = %manager, "an administrator of the manager must approve this host; it keeps asking");
        self.ask_for_identity(pending);
        let now = self.clock.boot_now();
        if let Some(machine) = self.machine.take() {
            let mut machine = machine.at_once(now);
            // The machine is told of the answer that is already here, as if it had asked itself.
            let _ = machine.next(now, "");
            machine.on_answer(now, answer);
            self.machine = Some(machine);
        }
    }

    async fn share_now(&mut self, spec: EnrolSpec, managers: Vec<ManagerAddress>, trust: Trust) -> Result<(), Refusal> {
        let host_fault = |said: String| Refusal::HostFault { attempted: "keep the shared token".into(), said };
        let identity = self.shared_identity(managers.clone(), spec.token, trust).await.map_err(host_fault)?;
        let mut last = None;
        for manager in &managers {
            let seq = self.clock.boot_now().0.max(self.last_seq + 1);
            self.last_seq = seq;
            let beat = Beat { manager: manager.clone(), credential: 0, inventory: true, omit: Omit::Nothing, seq };
            match self.send_beat(&identity, &beat).await {
                Ok(_) => {
                    self.store.keep(&identity).await.map_err(|fault| host_fault(fault.to_string()))?;
                    self.begin(identity).await;
                    return Ok(());
                }
                Err(answer) => {
                    let next = goes_on(&answer);
                    let answer = with_fingerprint(manager, answer).await;
                    last = Some(no(manager, answer));
                    if !next {
                        break;
                    }
                }
            }
        }
        Err(no_more(last))
    }
}

fn checked(spec: &EnrolSpec) -> Result<(Vec<ManagerAddress>, Trust), Refusal> {
    let invalid = |argument: &str, why: String| Refusal::InvalidArgument { argument: argument.to_owned(), why };
    let managers = spec.urls.iter().map(|url| url.parse()).collect::<Result<Vec<ManagerAddress>, _>>();
    let managers = managers.map_err(|fault| invalid("urls", fault.to_string()))?;
    if managers.is_empty() {
        return Err(invalid("urls", "give at least one manager, https://HOST:PORT".to_owned()));
    }
    let printable = spec.token.expose().bytes().all(|b| b.is_ascii_graphic());
    if spec.token.is_empty() || !printable {
        return Err(invalid("token", "it is empty or holds more than one line of printable ASCII".to_owned()));
    }
    let pin_sha256 = spec.pin_sha256.as_deref().map(normal_pin).transpose();
    let pin_sha256 = pin_sha256.map_err(|fault| invalid("pin-sha256", fault.to_string()))?;
    Ok((managers, Trust { ca_pem: spec.ca_pem.clone(), pin_sha256, insecure: false }))
}

/// A certificate that is not trusted is shown, so that a person can compare it and pin it.
async fn with_fingerprint(manager: &ManagerAddress, answer: Answer) -> Answer {
    match answer {
        Answer::Failed(Fault { kind: FaultKind::Tls, said }) => {
            let said = match super::tls::fingerprint(&manager.base_url()).await {
                Some(shown) if !said.contains(&shown) => format!("{said}; it shows a certificate with SHA-256 {shown}"),
                Some(_) | None => said,
            };
            Answer::Failed(Fault { kind: FaultKind::Tls, said })
        }
        Answer::Failed(_) | Answer::Refused(_) | Answer::Accepted(_) => answer,
    }
}

/// After this answer the next manager may still say yes.
fn goes_on(answer: &Answer) -> bool {
    match answer {
        Answer::Failed(_) => true,
        Answer::Refused(refused) => refused.meaning() == Meaning::OutOfOrder,
        Answer::Accepted(_) => false,
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
        Answer::Failed(Fault { kind: FaultKind::Timeout, .. }) => {
            let after_ms = u64::try_from(super::tls::TOTAL.as_millis()).unwrap_or(u64::MAX);
            Refusal::Timeout { what: format!("the manager {manager}"), after_ms }
        }
        Answer::Failed(Fault { kind: FaultKind::Local, said }) => {
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
        Answer::Accepted(_) => unavailable(&format!("the manager {manager}"), "it gave no identity".to_owned()),
    }
}

fn remedy(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Unauthenticated => "ask the manager's administrator for a new token",
        Meaning::Duplicate => "the token was used, or another host has this identity; ask the manager's administrator",
        Meaning::UpgradeRequired => "install the version of gpuhostd that the manager asks for",
        Meaning::RateLimited => "try again later",
        Meaning::UnknownAgent | Meaning::Deleted => "check the manager's address and paths",
        Meaning::Pending | Meaning::BadReport | Meaning::TooLarge | Meaning::OutOfOrder => "see the manager's log",
    }
}
