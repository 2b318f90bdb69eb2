//! Who this host is to its managers, and what of it is kept: owned by the session task alone.

use crate::checkin::identity::{AcceptedInventory, LastReply, SCHEMA, SKEW_STEP_MS, Trust};
use crate::checkin::life::Life;
use crate::checkin::probe::EditReply;
use crate::checkin::token_file::TokenFile;
use crate::checkin::trust_edit::shown;
use model::checkin::condition::Standing;
use model::checkin::{CheckinMachine, ManagerAddress, ManagerRefusal};
use model::enrol::CheckinState;
use model::manager_trust::TrustedBy;
use model::message::Message;
use model::settings::ManagerSettings;
use model::time::{BootMillis, UnixMillis};
use std::sync::Arc;

/// What this host is, what the manager has set, and what is wrong with its files.
#[derive(Debug)]
pub(super) struct Session {
    /// The settings in force.
    pub(super) settings: Arc<ManagerSettings>,
    /// Alone, asking, or enrolled.
    pub(super) life: Life,
    /// The files of the identity have been read: a host that is alone is so.
    pub(super) is_read: bool,
    /// The token file that is watched.
    pub(super) token_file: Option<TokenFile>,
    /// The manager has switched this host on.
    pub(super) enabled: bool,
    /// What the last accepted reply reported, as it is on disk or on its way there.
    pub(super) last_reply: Option<LastReply>,
    /// How the last enrolment of an enrolled host was refused.
    pub(super) enrol_refused: Option<ManagerRefusal>,
    /// A new credential waits to be on disk before it is used.
    pub(super) unannounced: bool,
    /// Who waits until a change of the enrolment is on disk.
    pub(super) edited: Option<EditReply>,
    /// When the credentials of a deleted identity are wiped.
    pub(super) wipe_at: Option<BootMillis>,
    /// The identity folder cannot be used.
    pub(super) broken: Option<String>,
    /// When it is looked at again.
    pub(super) look_again_at: Option<BootMillis>,
    /// The trust that was shown last, as it is shown.
    trusted: Option<(Trust, Vec<TrustedBy>)>,
    /// Addresses of the configuration that cannot be used.
    misconfigured: Vec<Standing>,
    /// The manager's clock.
    pub(super) manager_clock: ManagerClock,
}

/// The manager's clock minus CLOCK_BOOTTIME, in milliseconds, where it has been reported: a step of the wall clock does not touch it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ManagerClock(Option<i64>);

impl ManagerClock {
    /// What it shows at that instant of ours; `None` = unknown.
    #[must_use]
    pub(super) fn now(self, boot: BootMillis) -> Option<UnixMillis> {
        let boot = i64::try_from(boot.0).unwrap_or(i64::MAX);
        self.0.map(|minus| UnixMillis(boot.saturating_add(minus)))
    }
}

impl Session {
    /// A host of which nothing is known yet.
    #[must_use]
    pub(super) fn new(settings: ManagerSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            life: Life::Alone(CheckinState::NotEnrolled),
            is_read: false,
            token_file: None,
            enabled: true,
            last_reply: None,
            enrol_refused: None,
            unannounced: false,
            edited: None,
            wipe_at: None,
            broken: None,
            look_again_at: None,
            trusted: None,
            misconfigured: Vec::new(),
            manager_clock: ManagerClock::default(),
        }
    }

    /// Nothing is known again, with these settings.
    pub(super) fn begin_anew(&mut self, settings: ManagerSettings) {
        *self = Self { manager_clock: self.manager_clock, ..Self::new(settings) };
    }

    /// This host is alone.
    pub(super) fn be_alone(&mut self, state: CheckinState) {
        self.life = Life::Alone(state);
        self.token_file = None;
        self.last_reply = None;
        self.enrol_refused = None;
        self.unannounced = false;
        self.edited = None;
    }

    /// The clock as well as it is known: the manager's, which judges credentials, if it has reported it.
    #[must_use]
    pub(super) fn wall(&self, boot: BootMillis, own: UnixMillis) -> UnixMillis {
        self.manager_clock.now(boot).unwrap_or(own)
    }

    /// The manager's clock showed this, at that instant of ours.
    pub(super) fn manager_clock(&mut self, server: UnixMillis, boot: BootMillis) {
        let boot = i64::try_from(boot.0).unwrap_or(i64::MAX);
        self.manager_clock = ManagerClock(Some(server.0.saturating_sub(boot)));
    }

    /// The managers of the configuration; an invalid address is reported once.
    pub(super) fn configured(&mut self) -> Vec<ManagerAddress> {
        let mut good = Vec::new();
        for url in &self.settings.urls {
            match url.parse::<ManagerAddress>() {
                Ok(manager) => good.push(manager),
                Err(fault) => {
                    let message = format!("manager.urls: {fault}");
                    if !self.misconfigured.iter().any(|standing| standing.message == message) {
                        tracing::error!(
                            message_id = Message::ManagerUrlUnusable.id(),
                            %fault,
                            "a manager URL of the configuration cannot be used: {fault}"
                        );
                        self.misconfigured.push(Standing { kind: "manager_url_invalid", message });
                    }
                }
            }
        }
        good
    }

    /// Conditions of the files and the configuration.
    #[must_use]
    pub(super) fn standing(&self) -> Vec<Standing> {
        let mut standing = self.misconfigured.clone();
        if let Some(fault) = &self.broken {
            standing.push(Standing { kind: "credential_unreadable", message: fault.clone() });
        }
        if self.settings.insecure_skip_verify {
            let message =
                "manager.insecure_skip_verify is set: any manager is trusted; remove it and give ca_file or pin_sha256";
            standing.push(Standing { kind: "insecure_tls", message: message.to_owned() });
        }
        if let Some(message) = self.token_file.as_ref().and_then(TokenFile::fault) {
            standing.push(Standing { kind: "credential_unreadable", message });
        }
        standing
    }

    /// What a certificate of a manager is judged by. It is read again only where it is another one.
    pub(super) fn shown_trust(&mut self) -> Vec<TrustedBy> {
        let trust = match &self.life {
            Life::Enrolled(enrolled) => &enrolled.identity().trust,
            Life::Enrolling(pending) => &pending.trust,
            Life::Alone(_) => &Trust::default(),
        };
        match &self.trusted {
            Some((known, shown)) if known == trust => shown.clone(),
            Some(_) | None => {
                let shown = shown(trust, &self.settings);
                self.trusted = Some((trust.clone(), shown.clone()));
                shown
            }
        }
    }

    /// Takes over what the machine learned from a reply. Gives what is to be on disk, where it is another one than before.
    pub(super) fn reply_to_keep(
        &mut self,
        machine: &CheckinMachine,
        boot_id: Option<&str>,
        skew_ms: Option<i64>,
    ) -> Option<LastReply> {
        let server_id = self.life.enrolled()?.identity().server_id.clone();
        let inventory = boot_id.zip(machine.accepted_inventory()).map(|(boot_id, rev)| AcceptedInventory {
            boot_id: boot_id.to_owned(),
            rev: rev.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        let kept_skew = self.last_reply.as_ref().and_then(|last| last.clock_skew_ms);
        let is_near = |kept: i64| skew_ms.is_some_and(|now| now.abs_diff(kept) < SKEW_STEP_MS);
        let reply = LastReply {
            clock_skew_ms: kept_skew.filter(|kept| is_near(*kept)).or(skew_ms),
            schema: SCHEMA,
            server_id,
            interval_s: machine.asked_interval_s(),
            enabled: self.enabled,
            offered: machine.managers().offered().to_vec(),
            accepted_by: machine.managers().last_accepted().cloned(),
            inventory,
        };
        if self.last_reply.as_ref() == Some(&reply) {
            return None;
        }
        let offered = |reply: &LastReply| listed_names(&reply.offered);
        let before = self.last_reply.as_ref().map(offered).unwrap_or_default();
        if !reply.offered.is_empty() && offered(&reply) != before {
            tracing::info!(
                managers = offered(&reply),
                "the manager names other managers: {}; they are used once one of them has accepted a heartbeat",
                offered(&reply)
            );
        }
        self.last_reply = Some(reply.clone());
        Some(reply)
    }

    /// The list of managers that counts, where it is another one than before. True where it is to be on disk.
    pub(super) fn takes_list(&mut self, machine: &CheckinMachine) -> bool {
        let Some(enrolled) = self.life.enrolled_mut() else { return false };
        let (identity, listed) = (enrolled.identity_mut(), machine.managers().listed());
        if identity.managers == listed {
            return false;
        }
        identity.managers = listed.to_vec();
        let managers = listed_names(listed);
        tracing::info!(managers, "the managers of this host are {managers}");
        true
    }
}

/// Managers as a person reads them.
fn listed_names(managers: &[ManagerAddress]) -> String {
    managers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
