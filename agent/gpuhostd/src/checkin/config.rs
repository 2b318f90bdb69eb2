//! How the check-in begins: from what is kept, else from what is configured.

use crate::checkin::identity::{Credential, Forgotten, Identity, IdentityFault, Pending, SCHEMA, Trust};
use crate::checkin::life::Life;
use crate::checkin::task::Task;
use crate::checkin::token_file::TokenFile;
use crate::checkin::{key, machine_id};
use model::checkin::condition::Standing;
use model::checkin::{Config, Goal, Machine, ManagerAddress};
use model::enrol::{CheckinState, Secret};
use model::message::Message;
use model::ports::Clock;

/// The credentials of a deleted host are wiped after so long, in milliseconds.
const FORGOTTEN_FOR_MS: i64 = 7 * 86_400_000;

impl<C: Clock> Task<C> {
    /// Finds out what this host is, and begins.
    pub(super) async fn wake(&mut self) {
        let settings = &self.settings;
        let file = settings.shared_token_file.clone().or_else(|| settings.enrolment_token_file.clone());
        self.token_file = file.filter(|_| !settings.urls.is_empty()).map(TokenFile::new);
        match self.store.identity().await {
            Ok(Some(identity)) => return self.go_on(identity).await,
            Ok(None) => {}
            Err(fault) => return self.unusable(&fault),
        }
        match self.store.pending().await {
            Ok(Some(pending)) if pending.waiting => return self.ask_for_identity(pending),
            Ok(_) => {}
            Err(fault) => return self.unusable(&fault),
        }
        match self.store.forgotten().await {
            Ok(Some(forgotten)) => self.still_forgotten(&forgotten).await,
            Ok(None) => self.check_file().await,
            Err(fault) => self.unusable(&fault),
        }
    }

    fn unusable(&mut self, fault: &IdentityFault) {
        tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the identity folder cannot be used, and this host stays alone: {fault}");
        self.publisher.error(&fault.to_string());
        self.token_file = None;
        self.standing.push(Standing { kind: "credential_unreadable", message: fault.to_string() });
    }

    async fn still_forgotten(&mut self, forgotten: &Forgotten) {
        self.life = Life::Alone(CheckinState::Forgotten);
        self.machine = None;
        self.token_file = None;
        let left = forgotten.at.0.saturating_add(FORGOTTEN_FOR_MS).saturating_sub(self.clock.wall_now().0);
        match u64::try_from(left) {
            Ok(left) if left > 0 => self.wipe_at = Some(self.clock.boot_now().plus(left)),
            Ok(_) | Err(_) => self.wipe_forgotten().await,
        }
    }

    /// The week is over.
    pub(super) async fn wipe_forgotten(&mut self) {
        self.wipe_at = None;
        match self.store.wipe_forgotten().await {
            Ok(()) => tracing::debug!("no credentials of a deleted identity are kept"),
            Err(fault) => {
                tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the credentials of the deleted identity could not be wiped: {fault}")
            }
        }
    }

    /// The manager has deleted this host: the identity goes aside.
    pub(super) async fn go_forgotten(&mut self) {
        let Some(identity) = self.life.identity().cloned() else { return };
        let forgotten = Forgotten { at: self.clock.wall_now(), identity };
        if let Err(fault) = self.store.forget(&forgotten).await {
            tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the identity of this deleted host could not be moved aside: {fault}");
        }
        self.still_forgotten(&forgotten).await;
    }

    /// The managers of the configuration; a URL that is none is told about.
    pub(super) fn configured(&mut self) -> Vec<ManagerAddress> {
        let mut good = Vec::new();
        for url in &self.settings.urls {
            match url.parse::<ManagerAddress>() {
                Ok(manager) => good.push(manager),
                Err(fault) => {
                    let message = format!("manager.urls: {fault}");
                    let known = self.standing.iter().any(|s| s.message == message);
                    if !known {
                        tracing::error!(message_id = Message::ManagerUrlUnusable.id(), %fault, "a manager URL of the configuration cannot be used: {fault}");
                        self.standing.push(Standing { kind: "manager_url_invalid", message });
                    }
                }
            }
        }
        good
    }

    /// A token from the file, and nothing kept: begins with the managers of the configuration.
    pub(super) async fn begin_with_token(&mut self, token: Secret) {
        let managers = self.configured();
        if managers.is_empty() {
            return;
        }
        if self.settings.shared_token_file.is_some() {
            match self.shared_identity(managers, token, Trust::default()).await {
                Ok(identity) => {
                    self.life = Life::Enrolled(Box::new(identity.clone()));
                    self.keep_identity().await;
                    self.go_on(identity).await;
                }
                Err(fault) => self.publisher.error(&fault),
            }
            return;
        }
        match self.new_pending(managers, token, Trust::default()).await {
            Ok(pending) => {
                let pending = Pending { waiting: true, ..pending };
                if self.keep_pending(&pending).await {
                    self.ask_for_identity(pending);
                }
            }
            Err(fault) => self.publisher.error(&fault),
        }
    }

    /// An identity that rests on a token that all hosts share: its id is the configured one, else the machine's.
    pub(super) async fn shared_identity(
        &self,
        managers: Vec<ManagerAddress>,
        token: Secret,
        trust: Trust,
    ) -> Result<Identity, String> {
        let server_id = match &self.settings.server_id {
            Some(id) => id.clone(),
            None => this_machine().await?.to_string(),
        };
        let credentials = vec![Credential::SharedToken { token }];
        Ok(Identity { schema: SCHEMA, server_id, trust, managers, credentials, next_key_pem: None })
    }

    /// An enrolment with a key that is kept from an earlier try, or a new one.
    pub(super) async fn new_pending(
        &self,
        managers: Vec<ManagerAddress>,
        token: Secret,
        trust: Trust,
    ) -> Result<Pending, String> {
        let kept = self.store.pending().await.ok().flatten();
        let own_key = self.life.identity().and_then(|i| i.credentials.last()).and_then(|c| match c {
            Credential::Certificate { key_pem, .. } => Some(key_pem.clone()),
            Credential::Secret { .. } | Credential::SharedToken { .. } => None,
        });
        let key_pem = match kept.as_ref().map(|k| k.key_pem.clone()).or(own_key) {
            Some(key) => key,
            None => key::new_key().map_err(|fault| fault.to_string())?,
        };
        let again = kept.filter(|k| k.token == token && k.managers == managers).map(|k| k.request_id);
        let request_id = again.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        Ok(Pending { schema: SCHEMA, waiting: false, request_id, key_pem, token, trust, managers })
    }

    /// Asks for an identity from now on.
    pub(super) fn ask_for_identity(&mut self, pending: Pending) {
        let key = uuid::Uuid::try_parse(&pending.request_id).unwrap_or_default().to_string();
        let config = self.machine_config(key, Goal::Enrol, pending.managers.clone(), 1);
        self.machine = Some(Machine::new(config, self.clock.boot_now(), self.clock.wall_now()));
        self.life = Life::Enrolling(Box::new(pending));
    }

    /// Beats with this identity from now on.
    pub(super) async fn go_on(&mut self, identity: Identity) {
        let configured = self.configured();
        let key = identity.server_id.clone();
        let count = identity.credentials.len();
        let config = self.machine_config(key, Goal::Beat, identity.managers.clone(), count);
        let config = Config { fallback: configured, ..config };
        let machine = Machine::new(config, self.clock.boot_now(), self.clock.wall_now());
        self.machine = Some(machine.after_seq(self.last_seq));
        self.life = Life::Enrolled(Box::new(identity));
        self.notice_token_file().await;
    }

    /// The token file may already hold what the identity has: that is no edit.
    async fn notice_token_file(&mut self) {
        let Some(file) = self.token_file.as_mut().filter(|_| self.life.is_shared()) else { return };
        if let Some(token) = file.news().await {
            let credential = Credential::SharedToken { token: token.clone() };
            let known = self.life.identity().is_some_and(|i| i.credentials.contains(&credential));
            if !known {
                self.adopt_shared(token).await;
            }
        }
    }

    fn machine_config(&self, key: String, goal: Goal, managers: Vec<ManagerAddress>, credentials: usize) -> Config {
        Config {
            key,
            goal,
            interval_s: self.settings.heartbeat_interval_s,
            zone: self.settings.zone.clone(),
            managers,
            fallback: Vec::new(),
            credentials,
            may_enrol_again: self.settings.enrolment_token_file.is_some(),
        }
    }
}

/// This machine's id for managers, read off the async threads.
pub(super) async fn this_machine() -> Result<uuid::Uuid, String> {
    let read = tokio::task::spawn_blocking(machine_id::of_this_machine).await;
    read.map_err(|_| "reading the machine id was cut short".to_owned())?.map_err(|fault| fault.to_string())
}
