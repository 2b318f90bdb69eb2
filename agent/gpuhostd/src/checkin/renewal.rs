//! A new credential before the old one ends, and goodbye: the requests that an enrolled host makes beside heartbeats.

use crate::checkin::credentials;
use crate::checkin::http::Post;
use crate::checkin::identity::{Credential, Identity};
use crate::checkin::key;
use crate::checkin::request::{accepted, json, local};
use crate::checkin::task::Task;
use model::checkin::renewal::renew_at;
use model::checkin::{Answer, ManagerAddress, Meaning};
use model::enrol::{Farewell, Secret};
use model::message::Message;
use model::ports::Clock;
use wire::manager::enroll::{Deregister, EnrollResponse, Renewal};

/// A renewal that failed is tried again after so long, in milliseconds.
const AGAIN_AFTER_MS: u64 = 60_000;
/// A manager without the path is asked again after so long, in milliseconds.
const NO_PATH_MS: u64 = 3_600_000;

/// The credential that a response of enrolment or renewal gives.
pub(super) fn credential_of(
    response: EnrollResponse,
    key_pem: Secret,
    from: model::time::UnixMillis,
) -> Option<Credential> {
    let until = response.not_after;
    match (response.cert_chain_pem, response.secret) {
        (Some(chain_pem), _) => Some(Credential::Certificate { chain_pem, key_pem, from, until }),
        (None, Some(secret)) => Some(Credential::Secret { secret, from, until }),
        (None, None) => None,
    }
}

impl<C: Clock> Task<C> {
    /// Renews where two thirds of the credential's life are over, or where the manager asks for it.
    pub(super) async fn renew_if_due(&mut self, manager: &ManagerAddress, asked: bool) {
        let now = self.clock.boot_now();
        let wall = self.clock.wall_now();
        let Some(newest) = self.life.identity().and_then(|i| i.credentials.last()) else { return };
        let hash = self.machine.as_ref().map_or(0, model::checkin::Machine::hash);
        let due = newest.life().is_some_and(|(from, until)| wall >= renew_at(from, until, hash));
        if self.life.is_shared() || now < self.renew_not_before || !(due || asked) {
            return;
        }
        match self.renew(manager).await {
            Ok(()) => {
                tracing::info!(manager = %manager, "{manager} renewed the credential; the old one is kept until the new one has worked");
                self.renew_not_before = now.plus(AGAIN_AFTER_MS);
            }
            Err(answer) => {
                let no_path = matches!(&answer, Answer::Refused(r) if r.meaning() == Meaning::UnknownAgent);
                let why = crate::checkin::beat::words(&answer).unwrap_or_default();
                tracing::warn!(message_id = Message::CredentialNotRenewed.id(), manager = %manager, why, "{manager} did not renew the credential: {why}");
                self.renew_not_before = now.plus(if no_path { NO_PATH_MS } else { AGAIN_AFTER_MS });
            }
        }
    }

    async fn renew(&mut self, manager: &ManagerAddress) -> Result<(), Answer> {
        let fault = |said: String| Answer::Failed(local(said));
        let Some(identity) = self.life.identity_mut() else { return Ok(()) };
        let next_key = match &identity.next_key_pem {
            Some(key) => key.clone(),
            None => key::new_key().map_err(|said| fault(said.to_string()))?,
        };
        identity.next_key_pem = Some(next_key.clone());
        let identity = identity.clone();
        self.store.keep(&identity).await.map_err(|said| fault(said.to_string()))?;
        let response = self.ask_renewal(manager, &identity, &next_key).await?;
        let credential = credential_of(response, next_key, self.clock.wall_now());
        let Some(identity) = self.life.identity_mut() else { return Ok(()) };
        let Some(credential) = credential else { return Ok(()) };
        identity.next_key_pem = None;
        let index = credentials::add(identity, credential);
        let count = identity.credentials.len();
        self.keep_identity().await;
        self.credentials_changed(count, Some(index));
        Ok(())
    }

    async fn ask_renewal(
        &mut self,
        manager: &ManagerAddress,
        identity: &Identity,
        next_key: &Secret,
    ) -> Result<EnrollResponse, Answer> {
        let csr_pem = key::request(next_key, &identity.server_id).map_err(|f| Answer::Failed(local(f)))?;
        let body = json(&Renewal { server_id: identity.server_id.clone(), csr_pem }).map_err(Answer::Failed)?;
        let path = self.settings.paths.credentials.clone();
        let id = uuid::Uuid::new_v4().to_string();
        let post = Post { manager, path: &path, body, gzip: false, bearer: None, idempotency_key: Some(&id) };
        let trust = self.trust(&identity.trust).await.map_err(Answer::Failed)?;
        let exchange = self.wire.post(&trust, identity.credentials.last(), post).await.map_err(Answer::Failed)?;
        let body = accepted(manager, exchange)?;
        EnrollResponse::read(&body).map_err(|f| Answer::Failed(local(format!("{manager}: {f}"))))
    }

    /// Tells the manager that this host leaves. One try: the wipe does not wait for a manager.
    pub(super) async fn say_goodbye(&mut self) -> Farewell {
        let Some(identity) = self.life.identity().cloned() else { return Farewell::NotEnrolled };
        let in_use = self.machine.as_ref().and_then(|m| m.manager().cloned());
        let Some(manager) = in_use.or_else(|| identity.managers.first().cloned()) else { return Farewell::NotEnrolled };
        let Err(answer) = self.deregister(&manager, &identity).await else {
            return Farewell::Told { manager: manager.to_string() };
        };
        let why = crate::checkin::beat::words(&answer).unwrap_or_default();
        tracing::warn!(message_id = Message::GoodbyeNotHeard.id(), manager = %manager, server_id = %identity.server_id, why, "the manager {manager} could not be told that this host ({}) leaves: {why}", identity.server_id);
        Farewell::NotTold { manager: manager.to_string(), why }
    }

    async fn deregister(&mut self, manager: &ManagerAddress, identity: &Identity) -> Result<(), Answer> {
        let goodbye = Deregister { server_id: identity.server_id.clone(), reason: "the host leaves".to_owned() };
        let body = json(&goodbye).map_err(Answer::Failed)?;
        let trust = self.trust(&identity.trust).await.map_err(Answer::Failed)?;
        let credential = identity.credentials.get(self.machine.as_ref().map_or(0, |m| m.credential()));
        let path = self.settings.paths.deregister.clone();
        let post = Post { manager, path: &path, body, gzip: false, bearer: None, idempotency_key: None };
        let exchange = self.wire.post(&trust, credential, post).await.map_err(Answer::Failed)?;
        accepted(manager, exchange).map(|_| ())
    }
}
