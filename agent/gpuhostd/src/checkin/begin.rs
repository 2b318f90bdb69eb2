//! How the check-in begins: with an identity, by asking for one, alone, or as a host that a manager has deleted.

use crate::checkin::byhand::ByHandOut;
use crate::checkin::enrolment::Applicant;
use crate::checkin::goodbye::{self, Addressee};
use crate::checkin::identity::{Forgotten, Identity, LastReply, Pending};
use crate::checkin::keeper::Write;
use crate::checkin::lanes::{Back, Lane};
use crate::checkin::life::{Enrolled, Life};
use crate::checkin::port::Ask;
use crate::checkin::store::IdentityError;
use crate::checkin::task::Task;
use crate::checkin::token_file::TokenFile;
use crate::checkin::wake::WakeBack;
use crate::checkin::{byhand, wake};
use model::checkin::{CheckinConfig, CheckinMachine, Goal, Key, KnownManagers, ManagerAddress};
use model::enrol::{CheckinState, EnrolSpec, Farewell};
use model::message::Message;
use model::ports::Clock;
use model::refusal::Refusal;
use model::settings::ManagerSettings;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The keeper of the documents is waited for so long at a start, in milliseconds.
const KEEPER_MS: u64 = 1000;
/// The credentials of a deleted host are wiped after so long, in milliseconds.
const FORGOTTEN_FOR_MS: i64 = 7 * 86_400_000;

impl<C: Clock> Task<C> {
    /// Finds out what this host is. The keeper of the documents knows it first: the first heartbeat can be due at once, and reports
    /// what is in force.
    pub(super) fn wake(&mut self) {
        let (store, wishes, clock) = (self.store.clone(), self.wishes.port.clone(), Arc::clone(&self.clock));
        self.lanes.start(Lane::Wake, async move {
            let woken = wake::wake(store).await;
            if let WakeBack::Enrolled(identity, _) = &woken {
                tokio::select! {
                    () = wishes.is_about_to_be(&identity.server_id) => {}
                    // A keeper whose disk hangs holds no heartbeat up.
                    () = clock.sleep_until(clock.boot_now().plus(KEEPER_MS)) => {}
                }
            }
            Back::Wake(Box::new(woken))
        });
    }

    /// Watches the token file of the settings, where managers are configured to use it with.
    pub(super) fn watch_token_file(&mut self) {
        let settings = &self.session.settings;
        let file = settings.shared_token_file.clone().or_else(|| settings.enrolment_token_file.clone());
        self.session.token_file = file.filter(|_| !settings.urls.is_empty()).map(TokenFile::new);
    }

    /// The identity folder cannot be used; it is looked at again until it can.
    pub(super) fn unusable(&mut self, fault: &IdentityError) {
        let said = fault.to_string();
        if self.session.broken.as_ref() != Some(&said) {
            tracing::error!(
                message_id = Message::IdentityNotKept.id(),
                "the identity directory cannot be used; this host does not check in until it can: {said}"
            );
            self.publisher.error(&said);
        }
        self.session.token_file = None;
        self.session.broken = Some(said);
    }

    /// Beats with this identity from now on; `at_once` where it has just been won.
    pub(super) fn go_on(&mut self, identity: Identity, last: Option<LastReply>, at_once: bool) {
        let (now, wall) = (self.clock.boot_now(), self.clock.wall_now());
        let enrolled = Enrolled::new(identity);
        let keys = enrolled.keys();
        let identity = enrolled.identity();
        let known = KnownManagers {
            listed: identity.managers.clone(),
            offered: last.as_ref().map(|last| last.offered.clone()).unwrap_or_default(),
            configured: self.session.configured(),
            enrolled_with: identity.enrolled_with.clone(),
            last_accepted: last.as_ref().and_then(|last| last.accepted_by.clone()),
        };
        let config = self.machine_config(identity.server_id.clone(), Goal::Beat, known, keys);
        let config = CheckinConfig { asked_interval_s: last.as_ref().and_then(|last| last.interval_s), ..config };
        // An inventory that was accepted in this boot, from this version, need not go again.
        let accepted = last.as_ref().and_then(|last| last.inventory.as_ref());
        let same = accepted
            .filter(|sent| self.sight.boot_id() == Some(&sent.boot_id) && sent.version == env!("CARGO_PKG_VERSION"));
        let machine = CheckinMachine::new(config, now, wall).with_accepted_inventory(same.map(|sent| sent.rev.clone()));
        self.cadence.begin(if at_once { machine.at_once(now) } else { machine });
        self.session.enabled = last.as_ref().is_none_or(|last| last.enabled);
        self.publisher.skew(last.as_ref().and_then(|last| last.clock_skew_ms));
        self.session.last_reply = last;
        if let Some(file) = &mut self.session.token_file {
            file.knows(identity.token_file_sha256.clone());
        }
        self.session.broken = None;
        self.session.unannounced = false;
        self.session.life = Life::Enrolled(Box::new(enrolled));
    }

    /// An identity has just been won: nothing of the one before is true of it.
    pub(super) fn begin_with(&mut self, identity: Identity, last: LastReply) {
        tracing::info!(server_id = %identity.server_id, "enrolled as {}", identity.server_id);
        self.stop_requests();
        self.keeper.forget_all();
        self.keeper.want(Write::WipeForgotten);
        self.keeper.want(Write::LastReply(Box::new(last.clone())));
        self.session.wipe_at = None;
        self.session.enrol_refused = None;
        self.publisher.anew();
        if self.session.token_file.is_none() {
            self.watch_token_file();
        }
        self.go_on(identity, Some(last), true);
    }

    /// Asks for an identity from now on; `at_once` where a person waits.
    pub(super) fn ask_for_identity(&mut self, pending: Pending, at_once: bool) {
        let (now, wall) = (self.clock.boot_now(), self.clock.wall_now());
        let key = uuid::Uuid::try_parse(&pending.request_id).unwrap_or_default().to_string();
        let known = KnownManagers { listed: pending.managers.clone(), ..KnownManagers::default() };
        let machine = CheckinMachine::new(self.machine_config(key, Goal::Enrol, known, Vec::new()), now, wall);
        self.cadence.begin(if at_once { machine.at_once(now) } else { machine });
        if let Some(file) = &mut self.session.token_file {
            file.knows(Some(crate::checkin::digest::sha256_hex(pending.token.expose().as_bytes())));
        }
        self.session.broken = None;
        self.session.life = Life::Enrolling(Box::new(pending));
    }

    fn machine_config(&self, key: String, goal: Goal, managers: KnownManagers, keys: Vec<Key>) -> CheckinConfig {
        let settings = &self.session.settings;
        CheckinConfig {
            key,
            goal,
            interval_s: self.own_interval_s(),
            asked_interval_s: None,
            zone: self.zone(),
            managers,
            keys,
            may_enrol_again: settings.enrolment_token_file.is_some(),
            began: self.began,
        }
    }

    /// A manager has deleted this host, now or before.
    pub(super) fn still_forgotten(&mut self, forgotten: &Forgotten) {
        self.cadence.stop();
        self.session.be_alone(CheckinState::Forgotten);
        let left = forgotten.at.0.saturating_add(FORGOTTEN_FOR_MS).saturating_sub(self.clock.wall_now().0);
        match u64::try_from(left) {
            Ok(left) if left > 0 => self.session.wipe_at = Some(self.clock.boot_now().plus(left)),
            Ok(_) | Err(_) => self.keeper.want(Write::WipeForgotten),
        }
    }

    /// The manager has deleted this host: the identity goes aside.
    pub(super) fn go_forgotten(&mut self) {
        let Some(enrolled) = self.session.life.enrolled() else { return };
        let forgotten = Forgotten { at: self.clock.wall_now(), identity: enrolled.identity().clone() };
        self.stop_requests();
        self.keeper.want(Write::Forget(Box::new(forgotten.clone())));
        self.still_forgotten(&forgotten);
    }

    /// Somebody asks for something.
    pub(super) fn asked(&mut self, ask: Option<Ask>) {
        match ask {
            Some(Ask::Enrol(spec, reply)) => self.enrol_by_hand(*spec, reply),
            Some(Ask::Edit(edit, reply)) => self.edit(*edit, reply),
            Some(Ask::Leave(reply)) => self.leave(reply),
            None => {}
        }
    }

    fn enrol_by_hand(&mut self, spec: EnrolSpec, reply: oneshot::Sender<Result<(), Refusal>>) {
        if let Some(enrolled) = self.session.life.enrolled() {
            // Anyone who asked may have gone away.
            let _ = reply.send(unless_enrolled(&spec, enrolled.identity()));
            return;
        }
        if let Some(fault) = &self.session.broken {
            let said = format!("{fault}; `gpuhostctl leave` wipes what is there");
            let _ =
                reply.send(Err(Refusal::HostFault { attempted: "look whether this host is enrolled".into(), said }));
            return;
        }
        self.lanes.stop(&[Lane::Wake, Lane::Prepare, Lane::Enrolment]);
        let applicant = self.applicant();
        let report = self.report();
        let out = ByHandOut { spec, applicant, report, last_seq: self.cadence.last_seq(), reply };
        let clock = Arc::clone(&self.clock);
        self.lanes.start(Lane::ByHand, async move { Back::ByHand(Box::new(byhand::enrol(out, clock).await)) });
    }

    fn leave(&mut self, reply: oneshot::Sender<Result<Farewell, Refusal>>) {
        self.stop_requests();
        let machine = self.cadence.machine();
        let to = self.session.life.enrolled().and_then(|enrolled| {
            let identity = enrolled.identity();
            let in_use = machine.and_then(|machine| machine.manager().cloned());
            let last = || self.session.last_reply.as_ref().and_then(|last| last.accepted_by.clone());
            let manager = in_use.or_else(last).or_else(|| identity.managers.first().cloned())?;
            let way = self.transport.way(&self.session.settings, &identity.trust, identity.credentials.first());
            Some(Addressee { way, manager, server_id: identity.server_id.clone() })
        });
        self.cadence.stop();
        self.keeper.forget_all();
        let store = self.store.clone();
        self.lanes.start(Lane::Goodbye, async move { Back::Goodbye(goodbye::leave(to, store, reply).await) });
    }

    /// The settings, with what was given of this host at enrolment in its place.
    pub(super) fn named_settings(&self) -> Arc<ManagerSettings> {
        let named = match &self.session.life {
            Life::Enrolled(enrolled) => &enrolled.identity().named,
            Life::Enrolling(pending) => &pending.named,
            Life::Alone(_) => return Arc::clone(&self.session.settings),
        };
        if named.is_empty() { Arc::clone(&self.session.settings) } else { Arc::new(self.session.settings.named(named)) }
    }

    /// This host, as an enrolment needs to know it.
    pub(super) fn applicant(&self) -> Applicant {
        Applicant {
            store: self.store.clone(),
            settings: self.named_settings(),
            seen: Arc::clone(&self.sight.seen),
            wall: self.now().wall,
            identity: self.session.life.enrolled().map(|enrolled| enrolled.identity().clone()),
        }
    }
}

/// A host that is enrolled stays as it is: which is what an unattended line that runs again wants, and nobody else.
fn unless_enrolled(spec: &EnrolSpec, identity: &Identity) -> Result<(), Refusal> {
    let asked = spec.urls.iter().filter_map(|url| url.parse::<ManagerAddress>().ok());
    let known = || identity.managers.iter().chain(&identity.enrolled_with);
    let is_known = asked.into_iter().any(|asked| known().any(|manager| manager.same_place(&asked)));
    let is_same = spec.named.server_id.as_ref().is_none_or(|id| id.eq_ignore_ascii_case(&identity.server_id));
    if spec.unless_enrolled && is_known && is_same {
        return Ok(());
    }
    let other = if is_known { "" } else { " with another manager" };
    let why = format!("this host is enrolled as {}{other}; run `gpuhostctl leave` first", identity.server_id);
    Err(Refusal::Conflict { why })
}
