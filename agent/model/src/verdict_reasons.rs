//! The codes of the verdicts: why no workspace may be given a GPU, and why no virtual machine could be.

use crate::absence::Absence;
use crate::driver::DriverGpu;
use crate::health::recovery::RecoveryAction;
use serde::{Deserialize, Serialize};

/// An enum whose variants have a stable code each.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$what])* #[serde(rename = $code)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is spelled in JSON, in heartbeats and on D-Bus.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The one of that code.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.code() == code)
            }
        }
    };
}

codes! {
    /// What the driver reports is wrong with the GPU itself.
    Ailment {
        /// It fell off the bus.
        GpuLost = "gpu_lost",
        /// It does nothing before it is reset.
        ResetRequired = "reset_required",
    }
}

codes! {
    /// Why no workspace may be given a GPU.
    Unschedulable {
        /// It is on a vfio driver.
        Passthrough = "passthrough",
        /// Its MIG devices are what can be given.
        MigEnabled = "mig_enabled",
        /// A change is under way.
        Transitioning = "transitioning",
        /// A change could not be undone.
        Quarantined = "quarantined",
        /// The desired state puts it aside.
        SwitchedOff = "switched_off",
        /// It fell off the bus.
        GpuLost = "gpu_lost",
        /// It does nothing before it is reset.
        ResetRequired = "reset_required",
        /// The kernel driver that serves it is not bound.
        KernelDriverMissing = "kernel_driver_missing",
        /// NVIDIA's driver does not answer for it.
        DriverNotAnswering = "driver_not_answering",
        /// Docker cannot inject it.
        RuntimeUnavailable = "runtime_unavailable",
        /// No CDI device names it.
        CdiMissing = "cdi_missing",
        /// Local policy keeps it back.
        DeniedByPolicy = "denied_by_policy",
        /// Which kernel driver is bound could not be read.
        KernelDriverUnknown = "kernel_driver_unknown",
        /// It sleeps, and was never seen awake.
        GpuAsleep = "gpu_asleep",
        /// The driver has not been asked yet.
        NotProbed = "not_probed",
        /// No CUDA that is still maintained runs on it.
        ComputeCapabilityTooLow = "compute_capability_too_low",
        /// Nothing of the above, and yet the container runtime cannot inject it.
        NotVisibleToRuntime = "not_visible_to_runtime",
        /// Its health is failed.
        HealthFailed = "health_failed",
    }
}

codes! {
    /// What keeps a GPU from being given to a virtual machine, as far as an observation shows it. A plan looks closer and names
    /// the same facts by the codes of [`Blocker`](crate::blocker::Blocker).
    Obstacle {
        /// The kernel runs without an IOMMU.
        IommuOff = "iommu_off",
        /// It is in no IOMMU group.
        NoIommuGroup = "no_iommu_group",
        /// Its IOMMU group could not be read.
        IommuGroupUnknown = "iommu_group_unknown",
        /// Other devices share its IOMMU group.
        GroupNotIsolated = "group_not_isolated",
        /// It is the firmware's console.
        BootVga = "boot_vga",
        /// It has SR-IOV virtual functions.
        SriovVfsActive = "sriov_vfs_active",
        /// It is itself a virtual function.
        VirtualFunction = "virtual_function",
        /// It has mediated devices: the same fact, and the same code, as [`Blocker::MediatedDevices`](crate::blocker::Blocker).
        MediatedDevices = "mediated_devices",
        /// MIG mode is on, or will be.
        MigEnabled = "mig_enabled",
        /// This host gives slices of it to guests.
        VgpuHost = "vgpu_host",
        /// It is itself a slice.
        VgpuGuest = "vgpu_guest",
        /// Its health is failed, or it does not answer on the bus.
        GpuUnhealthy = "gpu_unhealthy",
        /// A change is under way.
        Transitioning = "transitioning",
        /// A change could not be undone.
        Quarantined = "quarantined",
    }
}

impl Unschedulable {
    /// What it means and what to do; `None` for those that a broken link of the chain explains.
    #[must_use]
    pub const fn explanation(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::MigEnabled => (
                "MIG mode is on: the card as a whole is not available, only its MIG devices are",
                "to use the whole card again, destroy its instances and disable MIG mode: `gpuhostctl mig disable ADDRESS`",
            ),
            Self::ResetRequired => (
                "the driver requires a reset of the GPU before it does anything else",
                "stop what uses the GPU, then `nvidia-smi -r -i ADDRESS`; where that is refused, reboot",
            ),
            Self::SwitchedOff => (
                "the desired state puts it aside (use: off)",
                "`gpuhostctl desired show` names who wishes it: change it at the manager or in /etc/gpuhostd/desired.d",
            ),
            Self::HealthFailed => (
                "its health is failed: what it computes cannot be relied on",
                "`gpuhostctl gpu show ADDRESS` names each reason and what to do about it",
            ),
            Self::ComputeCapabilityTooLow => (
                "its CUDA compute capability is below 3.0: no maintained CUDA version supports it",
                "use it for display only, or replace the card",
            ),
            Self::NotProbed => ("the driver has not been queried yet", "wait a moment: the daemon has just started"),
            Self::GpuAsleep => (
                "it is asleep and has not been awake since this daemon started",
                "wake it once so that its UUID becomes known: `nvidia-smi -L`",
            ),
            Self::KernelDriverUnknown => (
                "which kernel driver is bound could not be read",
                "check the link: `ls -l /sys/bus/pci/devices/ADDRESS/driver`",
            ),
            Self::Transitioning => ("a change of the GPU is under way", "wait for its job: `gpuhostctl jobs`"),
            Self::Quarantined => {
                ("a change of the GPU could not be undone", "read `journalctl -u gpuhostd`, then reboot")
            }
            Self::Passthrough
            | Self::GpuLost
            | Self::KernelDriverMissing
            | Self::DriverNotAnswering
            | Self::RuntimeUnavailable
            | Self::CdiMissing
            | Self::DeniedByPolicy
            | Self::NotVisibleToRuntime => return None,
        })
    }
}

/// What is wrong with the GPU itself, as far as the driver reports.
#[must_use]
pub fn ailments(driver: &DriverGpu) -> Vec<Ailment> {
    let wants_reset = RecoveryAction::of_facts(&driver.health_facts).wants_reset();
    let is_lost = says(driver, &Absence::GpuLost);
    let reset = wants_reset || says(driver, &Absence::ResetRequired);
    let both = [is_lost.then_some(Ailment::GpuLost), reset.then_some(Ailment::ResetRequired)];
    both.into_iter().flatten().collect()
}

/// The driver gives this reason in place of a value that every living GPU has.
fn says(driver: &DriverGpu, why: &Absence) -> bool {
    let numbers = [&driver.metrics.temperature_c, &driver.metrics.utilization_pct, &driver.metrics.power_w];
    let memory = [&driver.memory.total, &driver.memory.used];
    numbers.into_iter().any(|reading| reading.absence() == Some(why))
        || memory.into_iter().any(|reading| reading.absence() == Some(why))
        || driver.uuid.absence() == Some(why)
}
