//! What the machine shows by itself: state, managers, what prevents it.

use super::{CheckinMachine, Goal};
use crate::checkin::condition::Standing;
use crate::checkin::manager::ManagerAddress;
use crate::checkin::managers::Managers;
use crate::checkin::omit::Omit;
use crate::checkin::slot::Slot;
use crate::checkin::trouble::DeliveryFailure;
use crate::enrol::CheckinState;
use crate::time::{BootMillis, Now};

impl CheckinMachine {
    /// The state of the check-in.
    #[must_use]
    pub const fn state(&self) -> CheckinState {
        self.state
    }

    /// Enrol first, or beat.
    #[must_use]
    pub const fn goal(&self) -> Goal {
        self.goal
    }

    /// What prevents it, with what was reported.
    #[must_use]
    pub const fn trouble(&self) -> Option<&(DeliveryFailure, String)> {
        self.trouble.as_ref()
    }

    /// The last heartbeat was accepted.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self.state, CheckinState::Ok) && self.trouble.is_none()
    }

    /// The managers.
    #[must_use]
    pub const fn managers(&self) -> &Managers {
        &self.managers
    }

    /// The manager in use.
    #[must_use]
    pub const fn manager(&self) -> Option<&ManagerAddress> {
        self.managers.current()
    }

    /// Seconds between heartbeats now.
    #[must_use]
    pub const fn interval_s(&self) -> u64 {
        self.interval_s
    }

    /// Seconds between heartbeats as the manager reported; `None` where it has not reported anything.
    #[must_use]
    pub const fn asked_interval_s(&self) -> Option<u64> {
        self.asked_interval_s
    }

    /// Least seconds between early heartbeats now.
    #[must_use]
    pub const fn early_gap_s(&self) -> u64 {
        self.early_gap_s
    }

    /// The revision of the inventory that was accepted last.
    #[must_use]
    pub fn accepted_inventory(&self) -> Option<&str> {
        self.accepted_rev.as_deref()
    }

    /// The slot: its hash is the seed of whatever must differ between hosts.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// Until when a manager asked to be left alone; `None` where none did.
    #[must_use]
    pub fn asked_to_wait_until(&self, now: BootMillis) -> Option<BootMillis> {
        self.asked_to_wait.filter(|at| *at > now)
    }

    /// The present state, for conditions.
    #[must_use]
    pub fn standing(&self, now: Now) -> Vec<Standing> {
        let mut all = Vec::new();
        let is_lost = self.goal == Goal::Beat && self.keys.is_lost(now.wall);
        let said = self.trouble.as_ref().map(|(_, said)| said.as_str()).unwrap_or_default();
        if is_lost {
            let message = format!(
                "the credential of this host has expired before it could be renewed; the host requests a new one \
                 automatically, at most every 10 minutes; approve it at the manager{}{said}",
                if said.is_empty() { "" } else { ": " }
            );
            all.push(Standing { kind: "credential_expired", message });
        }
        let told_already = |trouble: DeliveryFailure| is_lost && trouble == DeliveryFailure::CredentialRefused;
        if let Some((trouble, said)) = self.trouble.as_ref().filter(|(trouble, _)| !told_already(*trouble)) {
            all.push(Standing { kind: trouble.condition(), message: format!("{said}; {}", trouble.remedy()) });
        }
        let left_out = self.omitting.level(now.boot);
        let said_already = all.iter().any(|standing| standing.kind == DeliveryFailure::RejectedReport.condition());
        if left_out > Omit::Nothing && !said_already {
            let message = format!("{} left out, because the manager {}", left_out.words(), self.omit_said);
            all.push(Standing { kind: DeliveryFailure::RejectedReport.condition(), message });
        }
        all
    }
}
