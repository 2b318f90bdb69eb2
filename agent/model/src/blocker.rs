//! What prevents a change of a GPU: a closed list, each with its own stable code, its numbers and a remedy.

use crate::absence::Absence;
use crate::holders::{Holder, UnreadableProcess};
use crate::ids::{DriverName, IommuGroupId, PciAddress};
use crate::machine_kind::Machine;
use crate::mig::{Instance, MigMaster};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An endpoint of another card in the same IOMMU group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Where it is.
    pub address: PciAddress,
    /// PCI class in hexadecimal; `None` where it could not be read.
    pub class: Option<String>,
    /// Its driver.
    pub driver: Option<DriverName>,
}

/// A setting by which a driver takes a function at every boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The setting and where it is: `vfio_pci.ids= in /proc/cmdline`.
    pub by: String,
    /// What a person can do about it.
    pub to_do: String,
}

/// What makes a GPU unfit to be given away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ill {
    /// Stable code, as its health has it: `xid_79`, `gpu_lost`, …
    pub reason: String,
    /// What was seen, in a sentence.
    pub message: String,
    /// What a person can do about it.
    pub to_do: String,
}

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.reason)
    }
}

/// One thing that is in the way of a change. The code (the tag in JSON) is stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::VariantNames, strum::IntoStaticStr)]
#[serde(tag = "code", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Blocker {
    /// The machine has no IOMMU group at all.
    IommuOff {
        /// Whose firmware it is.
        machine: Machine,
    },
    /// The GPU is in no IOMMU group.
    NoIommuGroup,
    /// Which group it is in could not be read, or changed between two looks.
    IommuGroupUnknown {
        /// What was seen.
        why: String,
    },
    /// VFIO would work without an IOMMU: the guest could write to all memory of the host.
    NoIommuMode {
        /// Whose firmware it is.
        machine: Machine,
    },
    /// Endpoints of other cards are in the group.
    GroupNotIsolated {
        /// Number of the group.
        group: IommuGroupId,
        /// The other endpoints.
        foreign: Vec<Foreign>,
    },
    /// The driver serves virtual GPUs (`Host VGPU`, `Host VSGA`).
    VgpuHost {
        /// The driver's word for it.
        mode: String,
    },
    /// This host is itself a guest with a virtual GPU.
    VgpuGuest,
    /// Mediated devices exist on it.
    MediatedDevices {
        /// On which function.
        address: PciAddress,
        /// How many.
        count: u32,
    },
    /// SR-IOV virtual functions are switched on.
    SriovVfsActive {
        /// How many.
        count: u32,
    },
    /// It is a virtual function of a card that the host manages.
    VirtualFunction {
        /// The physical function, where it is on this host.
        physical: PciAddress,
    },
    /// MIG mode is on, or will be after the next reset.
    MigEnabled {
        /// MIG devices that exist.
        devices: u32,
    },
    /// MIG mode is off, or will be after the next reset.
    MigOff,
    /// The driver does not report MIG on it, and why.
    MigUnknown {
        /// What was seen.
        why: String,
    },
    /// MIG instances that gpuhostd did not create would be destroyed or changed.
    MigForeign {
        /// Which.
        instances: Vec<Instance>,
    },
    /// MIG mode of it changes with a reset only.
    MigNeedsReset,
    /// Another program of this host sets MIG layouts by itself.
    MigSecondMaster {
        /// Which.
        masters: Vec<MigMaster>,
    },
    /// It is given to a virtual machine.
    GivenAway,
    /// The firmware used it as the console.
    BootVga,
    /// The kernel's console or a frame buffer is on it.
    ConsoleInUse {
        /// On which function.
        address: PciAddress,
        /// What.
        what: String,
    },
    /// Somebody uses it.
    InUse {
        /// Who.
        holders: Vec<Holder>,
    },
    /// A process could not be looked into, and may use it.
    UnknownHolder {
        /// Which.
        processes: Vec<UnreadableProcess>,
    },
    /// The guest's memory is locked in the host's, and there is not enough of it.
    GuestMemory {
        /// For the guest, in MiB.
        wanted_mib: u64,
        /// Available on the host, in MiB; `None` where it could not be read.
        available_mib: Option<u64>,
        /// Kept for the host by policy, in MiB.
        reserve_mib: u64,
    },
    /// The local policy does not allow it.
    DeniedByPolicy {
        /// The key that shows it.
        rule: String,
        /// What it answers.
        why: String,
    },
    /// An earlier change of it could not be undone.
    Quarantined {
        /// What happened.
        why: String,
    },
    /// Its health is failed, or it does not answer: its driver may hang when it is to let go, and a guest would get a broken card.
    GpuUnhealthy {
        /// What speaks against it, the gravest first.
        ills: Vec<Ill>,
    },
    /// Persistence mode is on: NVIDIA's driver holds the GPU itself, and waits for ever when it is to let go.
    PersistenceMode {
        /// Of which GPU.
        address: PciAddress,
        /// Why it is not known whether it is on; `None` = it is on.
        why_unknown: Option<Absence>,
    },
    /// The record of an earlier change of it cannot be read.
    ChangeJournalUnreadable {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
        /// What a person can do about it.
        to_do: String,
    },
    /// It is on a vfio driver, and no record of ours gives the reason.
    BoundByOthers {
        /// Which function.
        address: PciAddress,
        /// Its driver.
        driver: DriverName,
        /// The setting that gives it to that driver at every boot, where one is known, and what to do about it.
        claimed: Option<Claimed>,
    },
    /// An attribute that would have to be restored cannot be read.
    MemberUnreadable {
        /// Which function.
        address: PciAddress,
        /// Which attribute.
        what: String,
        /// What was found.
        said: String,
    },
    /// The running kernel has no such vfio driver.
    VfioMissing {
        /// Which driver.
        driver: DriverName,
    },
    /// Too many changes of this GPU in a short time.
    RateLimited {
        /// Changes allowed in a minute.
        per_minute: u32,
        /// Milliseconds until the next is.
        retry_after_ms: u64,
    },
    /// An administrator has frozen all changes from remote.
    RemoteLocked,
}

/// What lets one program alone set MIG.
fn stopping(masters: &[MigMaster]) -> String {
    let mut each: Vec<String> = masters.iter().map(MigMaster::remedy).collect();
    each.dedup();
    format!(
        "let one of the two manage MIG: {}, or take gpus[].mig out of the desired state (mode: unmanaged)",
        each.join("; ")
    )
}

/// Who else sets MIG.
fn beside(masters: &[MigMaster]) -> String {
    let named: Vec<String> = masters.iter().map(ToString::to_string).collect();
    format!("another program of this host sets MIG layouts by itself: {}", named.join("; "))
}

impl Blocker {
    /// Every code, in the order of the enum.
    pub const CODES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }

    /// What prevents a change that nobody has asked for by hand, where these programs set MIG as well.
    #[must_use]
    pub fn mig_master(masters: &[MigMaster]) -> Option<Self> {
        (!masters.is_empty()).then(|| Self::MigSecondMaster { masters: masters.to_vec() })
    }

    /// The same with the address of the GPU, so that a command can be copied.
    #[must_use]
    pub fn remedy_for(&self, gpu: PciAddress) -> String {
        self.remedy().replace("ADDRESS", &gpu.to_string())
    }

    /// What a person can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let fixed = match self {
            Self::IommuOff { machine } => machine.iommu_advice(),
            Self::NoIommuMode { machine } => {
                return format!("leave vfio's enable_unsafe_noiommu_mode off, and {}", machine.iommu_advice());
            }
            Self::NoIommuGroup => {
                "put the card into a slot behind the IOMMU; the firmware's DMAR or IVRS table leaves this one out"
            }
            Self::IommuGroupUnknown { .. } => "check the link iommu_group of the function, and try again",
            Self::GroupNotIsolated { .. } => {
                "move the card to a slot below a root port of its own (with ACS), or take the other cards out"
            }
            Self::VgpuHost { .. } | Self::VgpuGuest => "use the GPU without vGPU: install the plain data center driver",
            Self::MediatedDevices { .. } => {
                "remove the mediated devices: write 1 to remove in /sys/bus/mdev/devices/UUID"
            }
            Self::SriovVfsActive { .. } => "disable the virtual functions: write 0 to sriov_numvfs",
            Self::VirtualFunction { .. } => "use the physical function, or assign this one with the vGPU manager",
            Self::MigEnabled { .. } => "disable MIG mode: gpuhostctl mig disable ADDRESS",
            Self::MigOff => "enable MIG mode: gpuhostctl mig enable ADDRESS",
            Self::MigUnknown { .. } => "ask the driver: nvidia-smi mig -lgip",
            Self::MigForeign { .. } => {
                "leave them in the layout, or repeat gpuhostctl mig apply with --replace-foreign; to remove all of them: gpuhostctl mig \
                 apply --gpu ADDRESS --layout - --replace-foreign"
            }
            Self::MigNeedsReset => {
                "switch it while nothing uses the GPU: nvidia-smi -i ADDRESS -mig 1 (0 to disable it), then nvidia-smi -i ADDRESS \
                 --gpu-reset"
            }
            Self::MigSecondMaster { masters } => return stopping(masters),
            Self::GivenAway => "take it back first: gpuhostctl passthrough release ADDRESS",
            Self::BootVga => {
                "let the firmware use another display, or allow it in policy.toml with boot_vga = true in [host.passthrough]"
            }
            Self::ConsoleInUse { .. } => {
                "boot with another display as the primary one, or without a console on it: initcall_blacklist=sysfb_init on the \
                 kernel command line for the firmware's frame buffer (efifb, simpledrm), nvidia-drm.fbdev=0 for NVIDIA's; or allow \
                 it in policy.toml with boot_vga = true in [host.passthrough]"
            }
            Self::UnknownHolder { .. } => "check these processes by hand; if they are harmless, stop them or try again",
            Self::GuestMemory { .. } => "stop other guests, or make this one smaller",
            Self::DeniedByPolicy { .. } => "an administrator can allow it in /etc/gpuhostd/policy.toml",
            Self::Quarantined { .. } => "read journalctl -u gpuhostd, then reboot",
            Self::ChangeJournalUnreadable { to_do, .. } => to_do.as_str(),
            Self::BoundByOthers { claimed: Some(Claimed { to_do, .. }), .. } => to_do.as_str(),
            Self::MemberUnreadable { .. } => "check the attribute by hand: what cannot be read cannot be restored",
            Self::VfioMissing { .. } => {
                "install the kernel's extra modules (linux-modules-extra on Ubuntu), then try again"
            }
            Self::RateLimited { .. } => {
                "wait and repeat it, or allow more: changes_per_minute in /etc/gpuhostd/policy.toml"
            }
            Self::RemoteLocked => "an administrator of this host can allow them again: gpuhostctl unlock",
            Self::InUse { holders } => {
                let mut ways: Vec<String> = holders.iter().map(Holder::freed_by).collect();
                ways.sort();
                ways.dedup();
                return ways.join("; ");
            }
            Self::BoundByOthers { address, driver, claimed: None } => {
                return format!(
                    "release it with the program that bound it (`driverctl unset-override {address}`, libvirt, or the id in \
                     `ids=` of {driver}: \
                     kernel command line, /etc/modprobe.d, `/sys/bus/pci/drivers/{driver}/remove_id`)"
                );
            }
            Self::PersistenceMode { address, why_unknown } => return persistence_off(*address, why_unknown.is_some()),
            Self::GpuUnhealthy { ills } => {
                let mut ways: Vec<&str> = ills.iter().map(|ill| ill.to_do.as_str()).collect();
                ways.dedup();
                return ways.join("; ");
            }
        };
        fixed.to_owned()
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IommuOff { .. } => f.write_str("the IOMMU is off: the machine has no IOMMU group"),
            Self::NoIommuGroup => f.write_str("the GPU is in no IOMMU group"),
            Self::IommuGroupUnknown { why } => write!(f, "its IOMMU group is not known: {why}"),
            Self::NoIommuMode { .. } => {
                f.write_str("VFIO is in no-IOMMU mode, in which a guest can write to all memory")
            }
            Self::GroupNotIsolated { group, foreign } => {
                let named: Vec<String> = foreign.iter().map(ToString::to_string).collect();
                write!(f, "IOMMU group {group} holds {} more: {}", foreign.len(), named.join(", "))
            }
            Self::VgpuHost { mode } => write!(f, "the driver serves virtual GPUs ({mode})"),
            Self::VgpuGuest => f.write_str("this host is itself a guest with a virtual GPU"),
            Self::MediatedDevices { address, count } => write!(f, "{address} has {count} mediated devices"),
            Self::SriovVfsActive { count } => write!(f, "{count} SR-IOV virtual functions are enabled"),
            Self::VirtualFunction { physical } => write!(f, "it is a virtual function of {physical}"),
            Self::MigEnabled { devices } => write!(f, "MIG mode is on, with {devices} MIG devices"),
            Self::MigOff => f.write_str("MIG mode is off"),
            Self::MigUnknown { why } => write!(f, "MIG on it is not known: {why}"),
            Self::MigForeign { instances } => {
                let named: Vec<String> = instances.iter().map(ToString::to_string).collect();
                write!(f, "MIG instances that gpuhostd did not create would be changed: {}", named.join(", "))
            }
            Self::MigNeedsReset => f.write_str("the driver switches MIG mode of this GPU with a reset only"),
            Self::MigSecondMaster { masters } => f.write_str(&beside(masters)),
            Self::GivenAway => f.write_str("it is given to a virtual machine"),
            Self::BootVga => f.write_str("the firmware used it as the console (boot_vga, boot_display)"),
            Self::ConsoleInUse { address, what } => write!(f, "{address} shows the host's console: {what}"),
            Self::InUse { holders } => {
                let named: Vec<String> = holders.iter().map(ToString::to_string).collect();
                write!(f, "it is in use: {}", named.join("; "))
            }
            Self::UnknownHolder { processes } => {
                let named: Vec<String> = processes.iter().map(ToString::to_string).collect();
                write!(f, "whether it is in use is not known: {}", named.join("; "))
            }
            Self::GuestMemory { wanted_mib, available_mib, reserve_mib } => {
                let available = available_mib.map_or_else(|| "an unknown part".to_owned(), |mib| format!("{mib} MiB"));
                write!(
                    f,
                    "the guest wants {wanted_mib} MiB; {available} is available, of which the host keeps {reserve_mib} MiB"
                )
            }
            Self::DeniedByPolicy { rule, why } => write!(f, "policy.toml does not allow it ({rule}): {why}"),
            Self::Quarantined { why } => write!(f, "it is quarantined: {why}"),
            Self::GpuUnhealthy { ills } => {
                let each: Vec<String> = ills.iter().map(ToString::to_string).collect();
                write!(f, "the GPU is not healthy: {}", each.join("; "))
            }
            Self::PersistenceMode { address, why_unknown: None } => {
                write!(f, "persistence mode of {address} is on: the driver holds the GPU, and an unbind would hang")
            }
            Self::PersistenceMode { address, why_unknown: Some(why) } => write!(
                f,
                "whether persistence mode of {address} is on is not known, because the driver does not report it ({}); if it \
                 is, an unbind would hang",
                why.code()
            ),
            Self::ChangeJournalUnreadable { file, why, .. } => {
                write!(f, "the record of an earlier change of it cannot be read and is kept: {file}: {why}")
            }
            Self::BoundByOthers { address, driver, claimed: None } => {
                write!(f, "{address} is bound to {driver}, and not by gpuhostd: it is not touched")
            }
            Self::BoundByOthers { address, driver, claimed: Some(Claimed { by, .. }) } => write!(
                f,
                "{address} is bound to {driver}, and not by gpuhostd but by {by}, which binds it to {driver} at every boot: \
                 it is not touched"
            ),
            Self::MemberUnreadable { address, what, said } => write!(f, "{what} of {address} cannot be read: {said}"),
            Self::VfioMissing { driver } => write!(f, "the running kernel has no driver {driver}"),
            Self::RateLimited { per_minute, retry_after_ms } => {
                let allowed = if *per_minute == 1 { "change a minute is" } else { "changes a minute are" };
                let left_s = retry_after_ms.div_ceil(1000);
                write!(f, "{per_minute} {allowed} allowed for one GPU; the next is possible in {left_s} s")
            }
            Self::RemoteLocked => f.write_str("an administrator of this host has frozen all remote changes"),
        }
    }
}

/// What switches persistence mode off, for as long as the driver is loaded; the same command reaches nvidia-persistenced.
fn persistence_off(address: PciAddress, first_ask: bool) -> String {
    let command = format!("nvidia-smi -i {address} -pm 0");
    let in_container = format!("if the driver runs in a container: chroot /run/nvidia/driver {command}");
    if first_ask {
        format!(
            "find out why the driver does not answer (`nvidia-smi -i {address}`, dmesg), then {command} ({in_container})"
        )
    } else {
        format!("{command} ({in_container})")
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        match (&self.class, &self.driver) {
            (Some(class), Some(driver)) => write!(f, " (class {class}, {driver})"),
            (Some(class), None) => write!(f, " (class {class})"),
            (None, Some(driver)) => write!(f, " ({driver})"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for UnreadableProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.command) {
            (Some(pid), Some(command)) => write!(f, "{command} (pid {pid}) cannot be inspected: {}", self.said),
            (Some(pid), None) => write!(f, "pid {pid} cannot be inspected: {}", self.said),
            (None, _) => write!(f, "the processes cannot be listed: {}", self.said),
        }
    }
}

/// A considered no to a change of one GPU: all that prevents it, the first of which gives the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The GPU.
    pub gpu: PciAddress,
    /// What prevents it first.
    #[serde(flatten)]
    pub first: Box<Blocker>,
    /// What else does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Blocker>,
}

impl Blocked {
    /// The refusal where there is at least one blocker.
    #[must_use]
    pub fn by(gpu: PciAddress, blockers: Vec<Blocker>) -> Option<Self> {
        let mut blockers = blockers.into_iter();
        let first = Box::new(blockers.next()?);
        Some(Self { gpu, first, also: blockers.collect() })
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Blocker> {
        std::iter::once(&*self.first).chain(&self.also)
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. To do: {}", self.gpu, self.first, self.first.remedy_for(self.gpu))?;
        for other in &self.also {
            write!(f, ". Also: {other}. To do: {}", other.remedy_for(self.gpu))?;
        }
        Ok(())
    }
}
