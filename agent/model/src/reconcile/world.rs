//! All that the items of a desired state are computed from: documents, the host, what was set, and who may what.

use super::item::{Deed, Item, ItemPath, ItemState, Why, WishSource};
use crate::desired::DesiredState;
use crate::enrol::CheckinState;
use crate::nvidia_container::NvidiaState;
use crate::observation::HostObservation;
use crate::policy::{Policy, Requester};
use crate::proxy_cert::ProxyState;
use crate::roster::Known;
use crate::settings::{Settings, SettingsOverlay};
use crate::time::UnixMillis;
use crate::workspace_life::WorkspacesState;

/// The latest of everything.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// What is wished, and by whom.
    pub desired: &'a DesiredState,
    /// The host as everybody sees it.
    pub host: &'a HostObservation,
    /// The GPUs that this host has had, with what was known of those that no driver serves now.
    pub known: &'a [Known],
    /// The settings in force. What was set over the files is in them.
    pub settings: &'a Settings,
    /// The local policy.
    pub policy: &'a Policy,
    /// An administrator has frozen what a manager asks for.
    pub is_locked: bool,
    /// The state of the check-in with the manager.
    pub checkin: CheckinState,
    /// How far NVIDIA's two containers are.
    pub nvidia: &'a NvidiaState,
    /// How far workspaces are.
    pub workspaces: &'a WorkspacesState,
    /// How far the certificate of the workspace proxy is.
    pub proxy: &'a ProxyState,
    /// The wall clock, corrected by the last skew that is known.
    pub wall: UnixMillis,
}

impl World<'_> {
    /// What was set over the files.
    pub(super) const fn overlay(&self) -> &SettingsOverlay {
        &self.settings.desired
    }

    /// An item that is to be done, if its source may have it done.
    pub(super) fn state_of_deed(&self, source: WishSource, deed: Deed) -> ItemState {
        match self.gate(source, &deed) {
            Some(state) => state,
            None => ItemState::ToDo(deed),
        }
    }

    /// What keeps a source from a deed. Only what is not met comes here: what is already met needs no permission.
    fn gate(&self, source: WishSource, deed: &Deed) -> Option<ItemState> {
        let requester = match source {
            WishSource::Local => Requester::Local,
            WishSource::Manager => Requester::Manager,
        };
        if source == WishSource::Manager
            && let Some(why) = manager_held(self.checkin, self.is_locked)
        {
            return Some(ItemState::Held(why));
        }
        let said = match deed {
            Deed::Set(setting) => self.policy.explain_setting(setting.act(), requester),
            Deed::Change(change) => self.policy.explain(change.act(), requester, change.subject().gpu()),
        };
        (!said.allowed).then(|| {
            let message = format!("the local policy does not allow it: {} ({} in policy.toml)", said.why, said.rule);
            ItemState::Refused(Why::new("denied_by_local_policy", message))
        })
    }
}

/// Why nothing of a manager's document is done at all.
#[must_use]
pub fn manager_held(checkin: CheckinState, is_locked: bool) -> Option<Why> {
    let locked = || {
        let message =
            "an administrator has frozen every change that a manager requests; `gpuhostctl unlock` allows them again";
        Why::new("remote_locked", message)
    };
    stopped(checkin).or_else(|| is_locked.then(locked))
}

/// Why nothing of a manager's document is done, as its answers have it. An outage is no reason: what is in force stays in force.
fn stopped(checkin: CheckinState) -> Option<Why> {
    let (code, message) = match checkin {
        CheckinState::DuplicateIdentity => {
            ("duplicate_identity", "the manager knows another host under this identity: a person has to decide")
        }
        CheckinState::UpgradeRequired => ("upgrade_required", "the manager requires a newer version of gpuhostd"),
        CheckinState::Forgotten => ("forgotten", "the manager has deleted this host"),
        CheckinState::NotEnrolled
        | CheckinState::PendingApproval
        | CheckinState::Connecting
        | CheckinState::Ok
        | CheckinState::Unreachable
        | CheckinState::Unauthenticated => return None,
    };
    Some(Why::new(code, format!("{message}; until then nothing of its desired state is done, and nothing is undone")))
}

/// A refused item, and nothing else.
pub(super) fn refused(path: ItemPath, source: WishSource, why: Why) -> Item {
    Item { path, source, state: ItemState::Refused(why), blockers: String::new() }
}
