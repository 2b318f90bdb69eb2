//! Everything that a turn about NVIDIA's two containers knows.

use super::driver_host_seen::DriverHostSeen;
use super::nvidia_look::NvidiaLook;
use super::nvidia_record::NvidiaRecord;
use super::nvidia_role::NvidiaRole;
use super::nvidia_turn::NvidiaAct;
use super::nvidia_wish::NvidiaWish;
use super::toolkit_probe::ToolkitProbe;
use crate::cdi::{CdiHost, CdiLook, CdiReader};
use crate::docker::DockerFacts;
use crate::docker_config::DockerConfigLook;
use crate::image_ref::ImageRef;
use crate::policy::NvidiaPolicy;
use crate::settings::NvidiaOverlay;
use crate::time::Now;

/// What is known. A part that could not be had gives its reason as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaWorld {
    /// What is wished.
    pub wish: NvidiaWish,
    /// What of it was set over the files.
    pub over_files: NvidiaOverlay,
    /// The wished driver image as it is pulled, with the operating system in its tag; `None` where none is wished.
    pub driver_image: Option<Result<ImageRef, NvidiaRefused>>,
    /// The wished toolkit image.
    pub toolkit_image: Option<Result<ImageRef, NvidiaRefused>>,
    /// What the policy allows.
    pub policy: NvidiaPolicy,
    /// The driver containers, and the image that [`super::image_to_look_at`] names.
    pub driver: Result<NvidiaLook, String>,
    /// The toolkit containers, and their image.
    pub toolkit: Result<NvidiaLook, String>,
    /// What Docker reports about itself.
    pub docker: Result<DockerFacts, String>,
    /// The configuration file of Docker.
    pub docker_config: Result<DockerConfigLook, String>,
    /// The GPUs of the host and the loaded driver, as the latest observation has them: what a CDI specification has to fit.
    pub cdi_host: CdiHost,
    /// The host.
    pub host: NvidiaHostSeen,
    /// What is remembered.
    pub record: NvidiaRecord,
    /// How the last deed of this run of the daemon ended; `None` where none has yet.
    pub last: Option<NvidiaActEnd>,
    /// The boot that is under way.
    pub boot_id: String,
    /// Now.
    pub now: Now,
}

/// What of the host matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaHostSeen {
    /// What speaks against a driver container on this host, the most important first.
    pub preflight: Vec<NvidiaRefused>,
    /// The driver of the driver container can be used, or what it lacks.
    pub driver_ready: Result<(), String>,
    /// The installed runtime answers, or what was answered.
    pub runtime_answers: Result<(), String>,
    /// Who uses the driver: processes and containers by name.
    pub holders: Result<Vec<String>, String>,
    /// Containers that are created with the runtime.
    pub runtime_users: Result<Vec<String>, String>,
    /// CDI specifications, the program that generates one, and the links of device files.
    pub cdi: Result<CdiLook, String>,
    /// What is mounted at `/run/nvidia`, and the readiness files.
    pub driver_host: Result<DriverHostSeen, String>,
}

/// What the look at the host is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaHostAsked {
    /// What is wished.
    pub wish: NvidiaWish,
    /// The GPUs whose users matter.
    pub gpus: Vec<crate::PciAddress>,
    /// Which directories with CDI specifications Docker reads; `None` if it does not answer.
    pub cdi_reader: Option<CdiReader>,
    /// Docker's root folder: the free space of its file system is measured. `None` if Docker does not answer.
    pub docker_root: Option<String>,
    /// `DRIVER_CONFIG_DIGEST` of the wished driver container; `None` until its image is known by digest.
    pub driver_config: Option<String>,
    /// The image of the driver is on this host.
    pub is_driver_pulled: bool,
}

/// A refusal with its stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaRefused {
    /// The code.
    pub code: String,
    /// For people: which rule or state refuses, and what would change that.
    pub why: String,
}

/// How a deed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaActEnd {
    /// Which one.
    pub act: NvidiaAct,
    /// What was answered.
    pub result: Result<NvidiaActAnswer, String>,
}

/// What a deed answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NvidiaActAnswer {
    /// It was done.
    Done,
    /// A probe has shown this.
    Probed(ToolkitProbe),
}

impl NvidiaWorld {
    /// What was set over the files of whether a role is deployed.
    #[must_use]
    pub const fn deployed_over_files(&self, role: NvidiaRole) -> Option<bool> {
        match role {
            NvidiaRole::Driver => self.over_files.deploy_driver,
            NvidiaRole::Toolkit => self.over_files.deploy_toolkit,
        }
    }

    /// The wished image of a role.
    #[must_use]
    pub const fn image(&self, role: NvidiaRole) -> Option<&Result<ImageRef, NvidiaRefused>> {
        match role {
            NvidiaRole::Driver => self.driver_image.as_ref(),
            NvidiaRole::Toolkit => self.toolkit_image.as_ref(),
        }
    }

    /// The look at a role's containers.
    ///
    /// # Errors
    /// Why there is none.
    pub const fn look(&self, role: NvidiaRole) -> &Result<NvidiaLook, String> {
        match role {
            NvidiaRole::Driver => &self.driver,
            NvidiaRole::Toolkit => &self.toolkit,
        }
    }
}
