//! The files that an administrator gives the check-in: authorities and tokens, and what follows from an edit.

use crate::checkin::credentials;
use crate::checkin::identity::{Credential, Trust};
use crate::checkin::life::Life;
use crate::checkin::task::Task;
use crate::checkin::tls::normal_pin;
use host::front::read_bounded;
use model::checkin::{Fault, FaultKind, Trouble};
use model::enrol::Secret;
use model::message::Message;
use model::ports::Clock;
use model::settings::ManagerSettings;
use std::path::PathBuf;

const CA_MAX_BYTES: usize = 1024 * 1024;

impl<C: Clock> Task<C> {
    /// See [`trust`].
    pub(super) async fn trust(&self, given: &Trust) -> Result<Trust, Fault> {
        trust(&self.settings, given).await
    }

    /// The token file matters now, so that an edit of it is to be tried within a second. Never while all is well.
    pub(super) fn watches_file(&self) -> bool {
        let trouble = self.machine.as_ref().and_then(|m| m.trouble()).map(|(trouble, _)| *trouble);
        let stopped = matches!(trouble, Some(Trouble::Unauthenticated | Trouble::DuplicateIdentity));
        self.token_file.is_some()
            && match &self.life {
                Life::Alone(_) => true,
                Life::Enrolling(_) => stopped,
                Life::Enrolled(_) => self.life.is_shared() && trouble == Some(Trouble::Unauthenticated),
            }
    }

    /// Looks into the token file; an edit is tried at once.
    pub(super) async fn check_file(&mut self) {
        let Some(file) = &mut self.token_file else { return };
        let Some(token) = file.news().await else { return };
        match &mut self.life {
            Life::Alone(_) => self.begin_with_token(token).await,
            Life::Enrolling(pending) => {
                pending.token = token;
                pending.request_id = uuid::Uuid::new_v4().to_string();
                let pending = pending.clone();
                self.keep_pending(&pending).await;
                self.credentials_changed(1, Some(0));
            }
            Life::Enrolled(_) => self.adopt_shared(token).await,
        }
    }

    /// A shared token from the file or from the manager that is to be used now.
    pub(super) async fn adopt_shared(&mut self, token: Secret) {
        let Some(identity) = self.life.identity_mut() else { return };
        let index = credentials::add(identity, Credential::SharedToken { token });
        let count = identity.credentials.len();
        tracing::info!(server_id = %identity.server_id, "the shared token file has another token, which {} tries now", identity.server_id);
        self.keep_identity().await;
        self.credentials_changed(count, Some(index));
    }

    pub(super) fn credentials_changed(&mut self, count: usize, use_now: Option<usize>) {
        let now = self.clock.boot_now();
        if let Some(machine) = &mut self.machine {
            machine.on_credentials(now, count, use_now);
        }
    }

    /// Keeps the identity as it is now; a host that refuses is told about and tried again with the next change.
    pub(super) async fn keep_identity(&mut self) {
        let Some(identity) = self.life.identity() else { return };
        if let Err(fault) = self.store.keep(identity).await {
            tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the identity could not be kept: {fault}");
            self.publisher.error(&fault.to_string());
        }
    }

    /// Keeps the enrolment under way. True where it is on disk.
    pub(super) async fn keep_pending(&mut self, pending: &crate::checkin::identity::Pending) -> bool {
        let kept = self.store.keep_pending(pending).await;
        if let Err(fault) = &kept {
            tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the enrolment could not be kept: {fault}");
            self.publisher.error(&fault.to_string());
        }
        kept.is_ok()
    }
}

/// How managers are judged: what was given at enrolment, else what is configured, else the system's roots. What is
/// configured and cannot be used is a fault, never a reason to trust more.
pub(super) async fn trust(settings: &ManagerSettings, given: &Trust) -> Result<Trust, Fault> {
    let insecure = settings.insecure_skip_verify;
    let local = |said: String| Fault { kind: FaultKind::Local, said };
    if given.pin_sha256.is_some() || given.ca_pem.is_some() {
        return Ok(Trust { insecure, ..given.clone() });
    }
    if let Some(pin) = &settings.pin_sha256 {
        let pin = normal_pin(pin).map_err(|fault| local(format!("manager.{fault}")))?;
        return Ok(Trust { pin_sha256: Some(pin), ca_pem: None, insecure });
    }
    let Some(path) = settings.ca_file.clone() else { return Ok(Trust { insecure, ..Trust::default() }) };
    let read = tokio::task::spawn_blocking(move || read_ca(&path)).await;
    let ca_pem = read.unwrap_or_else(|_| Err("reading was cut short".to_owned()));
    let ca_pem = ca_pem.map_err(|said| local(format!("manager.ca_file: {said}")))?;
    Ok(Trust { ca_pem: Some(ca_pem), pin_sha256: None, insecure })
}

fn read_ca(path: &str) -> Result<String, String> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let bytes = read_bounded(&real, CA_MAX_BYTES).map_err(|fault| fault.to_string())?;
    String::from_utf8(bytes).map_err(|_| format!("{path} is not PEM"))
}
