//! How far one of NVIDIA's containers is, and what keeps it from being as it is wished: closed lists of codes.

use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames, strum::IntoStaticStr)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NvidiaPhase {
    /// It is not wished, and nothing of it is on this host.
    Disabled,
    /// Docker cannot be asked. What runs goes on.
    Unknown {
        /// What Docker or the hand answered.
        why: String,
    },
    /// It is wished and does not run yet.
    Absent {
        /// What is waited for.
        why: String,
    },
    /// Its image is being pulled, and no container of it runs.
    Pulling {
        /// Bytes of its layers that are here.
        done_bytes: u64,
        /// Bytes of its layers, as far as they are known yet.
        total_bytes: u64,
    },
    /// It runs and is not ready yet.
    Starting {
        /// What it lacks.
        lacks: String,
    },
    /// It runs, and what it is for can be used.
    Ready,
    /// Another image or other options are wished, and the change is under way.
    Upgrading {
        /// What is done now, or what is waited for.
        step: String,
    },
    /// The new one failed, and the one before it is being started again.
    RollingBack {
        /// What is done now, or what is waited for.
        step: String,
    },
    /// It is not wished any more, and is being stopped and removed.
    Stopping {
        /// What is done now, or what is waited for.
        step: String,
    },
    /// It does not work.
    Failed {
        /// Why.
        fault: NvidiaFault,
        /// For people: what was tried and what the host answered.
        reason: String,
        /// When it is tried again; `None` = not before the wish changes or somebody asks for it.
        retry_at: Option<UnixMillis>,
    },
    /// A container that is not ours has our label, and none of ours runs.
    Foreign {
        /// Its name.
        name: String,
        /// Why it is not ours.
        why: super::WhyForeign,
    },
    /// It is not deployed on this host.
    Refused {
        /// The stable code of the reason.
        code: String,
        /// For people: which rule or state refuses, and what would change that.
        why: String,
    },
}

impl NvidiaPhase {
    /// Every code, in the order of the enum.
    pub const CODES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

/// Why one of NVIDIA's containers does not work.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames, strum::IntoStaticStr, strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NvidiaFault {
    /// Its image could not be pulled.
    PullFailed,
    /// Docker did not create it.
    CreateFailed,
    /// Docker did not start it.
    StartFailed,
    /// It has exited.
    Exited,
    /// It runs, and was not ready in its time.
    NotReadyInTime,
    /// It was removed by another program again and again.
    Removed,
    /// It could not be stopped or removed.
    StopFailed,
    /// Another program has paused it.
    Paused,
    /// Docker did not take the runtime that was added to its configuration; it was removed again.
    RuntimeNotTaken,
    /// Docker's configuration could not be read, written or reloaded.
    DockerConfig,
    /// A container that asks for a GPU starts and has no device node: libraries without a device.
    NoDevice,
    /// A container that asks for a GPU does not start.
    ProbeRefused,
    /// A step on the host itself failed, such as a mount.
    HostStep,
    /// What has to be remembered could not be written, so that nothing is done.
    RecordNotSaved,
}

impl NvidiaFault {
    /// Every code, in the order of the enum.
    pub const CODES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// What keeps it from being as it is wished, while it may well be ready.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, strum::VariantNames, strum::IntoStaticStr,
)]
#[serde(tag = "hold", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NvidiaHold {
    /// Processes or containers use the driver: it is neither upgraded nor removed under them.
    #[error("the driver is in use by {}: it is neither stopped nor replaced until they end", holders.join(", "))]
    DriverBusy {
        /// Their names.
        holders: Vec<String>,
    },
    /// Who uses the driver could not be found out, so that it counts as used.
    #[error("who uses the driver cannot be determined, so it is neither stopped nor replaced: {why}")]
    HoldersUnknown {
        /// Why.
        why: String,
    },
    /// The wished image failed and is not tried again before the wish changes; the one before it is wished instead.
    #[error("{image} failed and the container before it was started again: {reason}")]
    RolledBack {
        /// The image that failed.
        image: String,
        /// How it failed.
        reason: String,
    },
    /// The wished one cannot be had now; the one before it goes on.
    #[error("the change to what is wished does not go on ({fault}): {reason}")]
    UpgradeFailed {
        /// Why.
        fault: NvidiaFault,
        /// What was answered.
        reason: String,
    },
    /// The wished image is not deployed on this host; the one before it goes on.
    #[error("what is wished is refused ({code}): {why}")]
    UpgradeRefused {
        /// The stable code of the reason.
        code: String,
        /// For people.
        why: String,
    },
    /// A container that is not ours has our label.
    #[error(
        "the container {name} has the label of gpuhostd and was not created by it ({why:?}): nothing is done until it is removed or renamed"
    )]
    ForeignContainer {
        /// Its name.
        name: String,
        /// Why it is not ours.
        why: super::WhyForeign,
    },
    /// The policy does not let gpuhostd change Docker's configuration, and Docker has no such runtime.
    #[error(
        "Docker has no runtime `nvidia`, and `host.nvidia.docker_config` of the policy does not let gpuhostd add it; add it with \
         `nvidia-ctk runtime configure --runtime=docker && systemctl reload docker`, or allow it"
    )]
    DockerConfigDenied,
    /// CDI needs a restart of Docker, which is not done now; GPUs are given by the runtime meanwhile.
    #[error(
        "CDI is disabled in this Docker, which takes `features.cdi` up at a restart only, and it is not restarted now: {why}; GPUs are \
         given by the runtime `nvidia` meanwhile"
    )]
    DockerRestartWaits {
        /// What it waits for.
        why: String,
    },
    /// Docker did not take CDI up; GPUs are given by the runtime.
    #[error("CDI could not be enabled in this Docker: {reason}")]
    CdiNotTaken {
        /// What was tried and what was answered.
        reason: String,
    },
    /// The runtime stays in Docker's configuration, since a container uses it.
    #[error("the runtime stays in Docker's configuration, since it is in use by {}", users.join(", "))]
    RuntimeInUse {
        /// Their names, or what uses it.
        users: Vec<String>,
    },
    /// It is not wished, and nothing is remembered of its deployment: a lost file does not have it removed.
    #[error(
        "the container {name} is one of gpuhostd, and is neither wished nor known to be unwanted: it is left as it is; wish it and then disable it (`gpuhostctl \
         driver enable`, then `disable`; the same for toolkit), or remove it with docker"
    )]
    Unclaimed {
        /// Its name.
        name: String,
    },
    /// Its container is gone and its wish was lost: what it has set up on the host is not removed for that.
    #[error(
        "the wish for it was lost, which is no order to remove what it has set up on this host (the runtime in Docker's configuration, \
         mounts below /run/nvidia): that is left as it is; enable it and then disable it (`gpuhostctl toolkit enable`, then `disable`; \
         the same for driver)"
    )]
    UnclaimedOnHost,
    /// A container that is not needed any more, or what it has left on the host, could not be removed.
    #[error("what is not needed any more is still there: {reason}")]
    Leftover {
        /// What was answered.
        reason: String,
    },
    /// A step on the host around the container failed; the container itself works.
    #[error("it works, and a step on the host failed: {reason}")]
    HostStepFailed {
        /// What was tried and what the host answered.
        reason: String,
    },
}

impl NvidiaHold {
    /// What is wished works all the same, in another way.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        match self {
            Self::DockerRestartWaits { .. } | Self::CdiNotTaken { .. } => true,
            Self::DriverBusy { .. }
            | Self::HoldersUnknown { .. }
            | Self::RolledBack { .. }
            | Self::UpgradeFailed { .. }
            | Self::UpgradeRefused { .. }
            | Self::ForeignContainer { .. }
            | Self::DockerConfigDenied
            | Self::RuntimeInUse { .. }
            | Self::Unclaimed { .. }
            | Self::UnclaimedOnHost
            | Self::Leftover { .. }
            | Self::HostStepFailed { .. } => false,
        }
    }

    /// Every code, in the order of the enum.
    pub const CODES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}
