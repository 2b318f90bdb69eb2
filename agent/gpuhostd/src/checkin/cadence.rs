//! When each kind of request is due: the pure machines of heartbeat, desired state, renewal and features, side by side.

use model::checkin::features::{FeatureMemory, ManagerFeatures};
use model::checkin::renewal::RenewalSchedule;
use model::checkin::{CheckinAction, CheckinMachine, DeliveryMachine, KeyId, ManagerAddress, PollMachine};
use model::time::{BootMillis, Now, UnixMillis};

/// The machines. Only the session task queries and feeds them.
#[derive(Debug, Default)]
pub(super) struct Cadence {
    /// Heartbeats and enrolments; `None` while nobody is asked.
    machine: Option<CheckinMachine>,
    poll: PollMachine,
    delivery: DeliveryMachine,
    renewal: RenewalSchedule,
    features: FeatureMemory,
    /// A manager that is to be asked for its features behind the heartbeat.
    curious_of: Option<ManagerAddress>,
    /// The number of the last heartbeat: it rises over machines and identities.
    last_seq: u64,
}

impl Cadence {
    /// Goes on with this machine, after all heartbeats so far.
    pub(super) fn begin(&mut self, machine: CheckinMachine) {
        self.machine = Some(machine.after_seq(self.last_seq));
        self.poll = PollMachine::default();
        self.delivery.forget();
        self.renewal = RenewalSchedule::default();
        self.curious_of = None;
    }

    /// Nobody is asked any more.
    pub(super) fn stop(&mut self) {
        self.machine = None;
        self.poll = PollMachine::default();
        self.delivery.forget();
        self.curious_of = None;
    }

    /// What is known of managers is forgotten: the settings have changed.
    pub(super) fn forget(&mut self) {
        self.stop();
        self.features = FeatureMemory::default();
    }

    /// The machine of heartbeats.
    #[must_use]
    pub(super) const fn machine(&self) -> Option<&CheckinMachine> {
        self.machine.as_ref()
    }

    /// The machine of heartbeats, to feed an event into it.
    pub(super) const fn machine_mut(&mut self) -> Option<&mut CheckinMachine> {
        self.machine.as_mut()
    }

    /// What to send now.
    pub(super) fn next(&mut self, now: Now, rev: &str) -> CheckinAction {
        let Some(machine) = &mut self.machine else { return CheckinAction::Wait(None) };
        let action = machine.next(now, rev);
        if let CheckinAction::Beat(beat) = &action {
            self.last_seq = beat.seq;
        }
        action
    }

    /// The number of the last heartbeat.
    #[must_use]
    pub(super) const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// A heartbeat went with this number.
    pub(super) fn sent(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
        if let Some(machine) = &mut self.machine {
            machine.on_resent(seq);
        }
    }

    /// An answer; gives the credentials that are of no use any more.
    pub(super) fn answered(&mut self, now: Now, answer: model::checkin::Answer) -> Vec<KeyId> {
        self.machine.as_mut().map(|machine| machine.on_answer(now, answer)).unwrap_or_default()
    }

    /// The machine of desired state.
    pub(super) const fn poll(&mut self) -> &mut PollMachine {
        &mut self.poll
    }

    /// The machine of the delivery of events.
    pub(super) const fn delivery(&mut self) -> &mut DeliveryMachine {
        &mut self.delivery
    }

    /// The machine of desired state, to read it.
    pub(super) const fn polled(&self) -> &PollMachine {
        &self.poll
    }

    /// What that manager can do, where it has been asked.
    #[must_use]
    pub(super) fn known_features(&self, manager: &ManagerAddress, now: BootMillis) -> Option<ManagerFeatures> {
        self.features.of(manager, now)
    }

    /// Memory of what managers can do.
    pub(super) const fn features(&mut self) -> &mut FeatureMemory {
        &mut self.features
    }

    /// The manager takes gzip; `None` where it has to be asked.
    #[must_use]
    pub(super) fn gzip(&self, manager: &ManagerAddress, now: BootMillis) -> Option<bool> {
        self.known_features(manager, now).map(|features| features.gzip)
    }

    /// That manager is to be asked for its features.
    pub(super) fn is_curious_of(&mut self, manager: ManagerAddress) {
        self.curious_of = Some(manager);
    }

    /// The manager to ask for its features now.
    pub(super) fn take_curiosity(&mut self) -> Option<ManagerAddress> {
        self.curious_of.take()
    }

    /// The machine of renewals, and what it needs of the other one: the slot and the interval.
    pub(super) const fn renewal(&mut self) -> &mut RenewalSchedule {
        &mut self.renewal
    }

    /// Whom to ask for a new credential: the manager in use, or another known one where it was of no use in this round.
    #[must_use]
    pub(super) fn renewal_manager(&self) -> Option<ManagerAddress> {
        self.renewal.whom(&self.machine.as_ref()?.managers().known()).cloned()
    }

    /// That manager gave no credential, and another one may: true where one is asked at once.
    pub(super) fn renewal_goes_on(&mut self, manager: &ManagerAddress) -> bool {
        let known = self.machine.as_ref().map(|machine| machine.managers().known()).unwrap_or_default();
        self.renewal.goes_on(manager, &known)
    }

    /// When the credential with this life is to be renewed; `None` = not now. It is asked for only where heartbeats are accepted.
    #[must_use]
    pub(super) fn renewal_due(&self, now: Now, life: Option<(UnixMillis, UnixMillis)>) -> Option<BootMillis> {
        let machine = self.machine.as_ref().filter(|machine| machine.is_accepted())?;
        self.renewal.due(now, life, machine.slot().hash())
    }
}
