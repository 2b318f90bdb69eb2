//! What everybody is shown of NVIDIA's two containers.

use super::nvidia_phase::{NvidiaHold, NvidiaPhase};
use super::nvidia_role::NvidiaRole;
use crate::ids::ContainerId;
use crate::image_ref::{ImageDigest, ImageRef};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Both containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvidiaState {
    /// The driver container.
    pub driver: NvidiaStatus,
    /// The toolkit container.
    pub toolkit: NvidiaStatus,
}

impl NvidiaState {
    /// Before anything was looked at.
    #[must_use]
    pub fn not_looked() -> Self {
        Self {
            driver: NvidiaStatus::not_looked(NvidiaRole::Driver),
            toolkit: NvidiaStatus::not_looked(NvidiaRole::Toolkit),
        }
    }

    /// The one of a role.
    #[must_use]
    pub const fn of(&self, role: NvidiaRole) -> &NvidiaStatus {
        match role {
            NvidiaRole::Driver => &self.driver,
            NvidiaRole::Toolkit => &self.toolkit,
        }
    }

    /// The driver is being replaced, started or removed: no workspace that needs a GPU can start now (`driver_changing`).
    #[must_use]
    pub const fn is_driver_changing(&self) -> bool {
        matches!(
            self.driver.phase,
            NvidiaPhase::Starting { .. }
                | NvidiaPhase::Upgrading { .. }
                | NvidiaPhase::RollingBack { .. }
                | NvidiaPhase::Stopping { .. }
        )
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvidiaStatus {
    /// Which one.
    pub role: NvidiaRole,
    /// It is wished.
    pub wished: bool,
    /// How far it is.
    pub phase: NvidiaPhase,
    /// Since when it has been in a phase of this code.
    pub since: Option<UnixMillis>,
    /// What keeps it from being as it is wished.
    pub hold: Option<NvidiaHold>,
    /// The image that is wished, with the operating system in its tag where it had none.
    pub image_wanted: Option<ImageRef>,
    /// Its digest, once it is known.
    pub digest_wanted: Option<ImageDigest>,
    /// The digest of the container that is there.
    pub digest_running: Option<ImageDigest>,
    /// The container that is there.
    pub container: Option<ContainerId>,
    /// Its name.
    pub container_name: Option<String>,
    /// It runs.
    pub is_running: bool,
    /// When it was last started.
    pub started_at: Option<UnixMillis>,
    /// Bytes of the image that are here and of all of it, while one is being pulled.
    pub pull_progress: Option<(u64, u64)>,
    /// Who uses the driver, where that matters.
    pub holders: Vec<String>,
    /// The last lines of the container that failed last, oldest first, printable and without secrets.
    pub log_tail: Vec<String>,
    /// What is being done at this moment.
    pub deed: Option<String>,
}

impl NvidiaStatus {
    /// Before anything was looked at.
    #[must_use]
    pub fn not_looked(role: NvidiaRole) -> Self {
        Self {
            role,
            wished: false,
            phase: NvidiaPhase::Unknown { why: "Docker has not been asked yet".to_owned() },
            since: None,
            hold: None,
            image_wanted: None,
            digest_wanted: None,
            digest_running: None,
            container: None,
            container_name: None,
            is_running: false,
            started_at: None,
            pull_progress: None,
            holders: Vec::new(),
            log_tail: Vec::new(),
            deed: None,
        }
    }
}
