//! What can befall a device as far as the kernel log reports it: how much each fault weighs, for how long, and its words.

use super::HealthState;
use super::xid;

/// A fault of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// NVIDIA's driver reported this Xid.
    Xid(u32),
    /// NVIDIA's driver reported this Xid, and the record itself calls it fatal (NVLink 5: 144 to 150).
    XidFatal(u32),
    /// NVIDIA's driver reported this Xid, and the record itself calls it not fatal.
    XidNonFatal(u32),
    /// NVIDIA's driver wants this done (Xid 154).
    Recovery(Recovery),
    /// NVIDIA's driver lost the GPU while it was at work.
    FallenOffTheBus,
    /// The driver read nothing but ones while it probed the GPU.
    FallenOffAtProbe,
    /// NVIDIA's driver could not initialise the GPU.
    InitFailed,
    /// A graphics driver of the kernel (amdgpu, i915, nouveau) could not start on the GPU.
    StartFailed,
    /// The device was taken from NVIDIA's driver while somebody used it; the removal waits for them.
    RemovedInUse,
    /// An NVSwitch reported this SXid, as fatal.
    SxidFatal(u32),
    /// An NVSwitch reported this SXid, as not fatal.
    SxidNonFatal(u32),
    /// PCIe: an error that was not corrected, and the link is not reliable.
    PcieFatal,
    /// PCIe: an error that was not corrected; the link holds.
    PcieNonFatal,
    /// pciehp: the link of the slot below this port went down.
    SlotLinkDown,
    /// pciehp: no card is in the slot below this port any more, or none answers there.
    SlotEmpty,
    /// pciehp: the power of the slot below this port failed.
    SlotPower,
    /// DPC: the port cut off everything below it after an error.
    Contained,
    /// The kernel cannot wake the device: its configuration space cannot be reached.
    Inaccessible,
    /// The device did not answer after a reset or a resume, and the kernel gave up.
    NotReady,
    /// The IOMMU refused an access of the device.
    IommuFault,
    /// The device did not answer the IOMMU.
    IommuTimeout,
    /// A command queue did not end in time (amdgpu), or the GPU hung (i915, xe, nouveau).
    Hang,
    /// The driver could not reset the GPU, or has given it up.
    ResetFailed,
    /// Uncorrectable memory errors (amdgpu's RAS).
    RasUncorrectable,
    /// Damaged memory that nobody has read yet (amdgpu's RAS).
    RasDeferred,
    /// More bad memory pages than the GPU may have (amdgpu's RAS).
    BadPages,
}

/// What NVIDIA's driver wants done with a GPU (`_gpuRecoveryActionName` in the driver's gpu.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recovery {
    /// A reset of the GPU, of one function or of the bus.
    Reset,
    /// A reboot of the machine.
    Reboot,
    /// No further peer-to-peer work.
    Drain,
    /// The IMEX domain of the rack has to be recovered; the GPU itself is well.
    Imex,
}

/// Faults that end in the same way. The table in [`super::over`] speaks of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::VariantArray)]
pub enum GpuFaultKind {
    /// An Xid that a reset ends.
    Xid,
    /// An Xid that no reset ends: spare memory has run out.
    XidLasting,
    /// The driver wants a reset, a drain, or the IMEX domain recovered.
    Recovery,
    /// The driver wants a reboot.
    Reboot,
    /// [`Fault::FallenOffTheBus`], or the driver itself reports that the GPU is lost.
    FallenOff,
    /// [`Fault::FallenOffAtProbe`].
    FallenOffAtProbe,
    /// [`Fault::InitFailed`].
    InitFailed,
    /// [`Fault::StartFailed`].
    StartFailed,
    /// [`Fault::RemovedInUse`].
    RemovedInUse,
    /// An SXid.
    Sxid,
    /// [`Fault::PcieFatal`].
    PcieFatal,
    /// [`Fault::PcieNonFatal`].
    PcieNonFatal,
    /// [`Fault::SlotLinkDown`].
    SlotLinkDown,
    /// [`Fault::SlotEmpty`].
    SlotEmpty,
    /// [`Fault::SlotPower`].
    SlotPower,
    /// [`Fault::Contained`].
    Contained,
    /// [`Fault::Inaccessible`].
    Inaccessible,
    /// [`Fault::NotReady`].
    NotReady,
    /// [`Fault::IommuFault`].
    IommuFault,
    /// [`Fault::IommuTimeout`].
    IommuTimeout,
    /// [`Fault::Hang`].
    Hang,
    /// [`Fault::ResetFailed`].
    ResetFailed,
    /// [`Fault::RasUncorrectable`].
    RasUncorrectable,
    /// [`Fault::RasDeferred`].
    RasDeferred,
    /// [`Fault::BadPages`].
    BadPages,
    /// Memory that waits for a reset, or uncorrected errors, as the driver counts them.
    DriverMemory,
    /// Memory that cannot be repaired any more, as the driver reports.
    DriverMemoryLasting,
}

impl GpuFaultKind {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The codes of its reasons, as health shows them.
    #[must_use]
    pub const fn codes(self) -> &'static str {
        match self {
            Self::Xid => "xid_N",
            Self::XidLasting => "xid_64",
            Self::Recovery => "reset_required, drain_required, imex_recovery_required",
            Self::Reboot => "reboot_required",
            Self::FallenOff => "fallen_off_bus, gpu_lost",
            Self::FallenOffAtProbe => "fallen_off_bus (while the driver probed)",
            Self::InitFailed => "init_failed (NVIDIA)",
            Self::StartFailed => "init_failed (other drivers)",
            Self::RemovedInUse => "removed_in_use",
            Self::Sxid => "sxid_N",
            Self::PcieFatal => "pcie_fatal",
            Self::PcieNonFatal => "pcie_uncorrected",
            Self::SlotLinkDown => "slot_link_down",
            Self::SlotEmpty => "slot_empty",
            Self::SlotPower => "slot_power_fault",
            Self::Contained => "dpc_contained",
            Self::Inaccessible => "device_inaccessible",
            Self::NotReady => "device_not_ready",
            Self::IommuFault => "iommu_fault",
            Self::IommuTimeout => "iommu_timeout",
            Self::Hang => "gpu_hang",
            Self::ResetFailed => "reset_failed",
            Self::RasUncorrectable => "ras_uncorrectable",
            Self::RasDeferred => "ras_deferred",
            Self::BadPages => "bad_pages",
            Self::DriverMemory => {
                "ecc_uncorrected, row_remap_pending, retirement_pending, channel_repair_pending, tpc_repair_pending"
            }
            Self::DriverMemoryLasting => "row_remap_failed, sram_threshold_exceeded, unrepairable_memory",
        }
    }

    /// Reported about a port, it holds for every device below that port.
    #[must_use]
    pub const fn reaches_below(self) -> bool {
        match self {
            Self::PcieFatal
            | Self::SlotLinkDown
            | Self::SlotEmpty
            | Self::SlotPower
            | Self::Contained
            | Self::Inaccessible
            | Self::NotReady => true,
            Self::Xid
            | Self::XidLasting
            | Self::Recovery
            | Self::Reboot
            | Self::FallenOff
            | Self::FallenOffAtProbe
            | Self::InitFailed
            | Self::StartFailed
            | Self::RemovedInUse
            | Self::Sxid
            | Self::PcieNonFatal
            | Self::IommuFault
            | Self::IommuTimeout
            | Self::Hang
            | Self::ResetFailed
            | Self::RasUncorrectable
            | Self::RasDeferred
            | Self::BadPages
            | Self::DriverMemory
            | Self::DriverMemoryLasting => false,
        }
    }

    /// It is one of the function alone, and reports nothing of the rest of its card: companion functions that are not wired
    /// answer no power management.
    #[must_use]
    pub(crate) const fn is_of_one_function(self) -> bool {
        matches!(self, Self::Inaccessible | Self::NotReady | Self::IommuFault | Self::IommuTimeout)
    }

    /// A driver can find it before it reports that it has started.
    #[must_use]
    pub(crate) const fn belongs_to_a_probe(self) -> bool {
        matches!(self, Self::FallenOffAtProbe | Self::InitFailed | Self::StartFailed)
    }
}

impl Fault {
    /// How it ends.
    #[must_use]
    pub const fn kind(self) -> GpuFaultKind {
        match self {
            Self::Xid(64) | Self::XidFatal(64) | Self::XidNonFatal(64) => GpuFaultKind::XidLasting,
            Self::Xid(_) | Self::XidFatal(_) | Self::XidNonFatal(_) => GpuFaultKind::Xid,
            Self::Recovery(Recovery::Reboot) => GpuFaultKind::Reboot,
            Self::Recovery(Recovery::Reset | Recovery::Drain | Recovery::Imex) => GpuFaultKind::Recovery,
            Self::FallenOffTheBus => GpuFaultKind::FallenOff,
            Self::FallenOffAtProbe => GpuFaultKind::FallenOffAtProbe,
            Self::InitFailed => GpuFaultKind::InitFailed,
            Self::StartFailed => GpuFaultKind::StartFailed,
            Self::RemovedInUse => GpuFaultKind::RemovedInUse,
            Self::SxidFatal(_) | Self::SxidNonFatal(_) => GpuFaultKind::Sxid,
            Self::PcieFatal => GpuFaultKind::PcieFatal,
            Self::PcieNonFatal => GpuFaultKind::PcieNonFatal,
            Self::SlotLinkDown => GpuFaultKind::SlotLinkDown,
            Self::SlotEmpty => GpuFaultKind::SlotEmpty,
            Self::SlotPower => GpuFaultKind::SlotPower,
            Self::Contained => GpuFaultKind::Contained,
            Self::Inaccessible => GpuFaultKind::Inaccessible,
            Self::NotReady => GpuFaultKind::NotReady,
            Self::IommuFault => GpuFaultKind::IommuFault,
            Self::IommuTimeout => GpuFaultKind::IommuTimeout,
            Self::Hang => GpuFaultKind::Hang,
            Self::ResetFailed => GpuFaultKind::ResetFailed,
            Self::RasUncorrectable => GpuFaultKind::RasUncorrectable,
            Self::RasDeferred => GpuFaultKind::RasDeferred,
            Self::BadPages => GpuFaultKind::BadPages,
        }
    }

    /// What it makes of its device; `Ok` where it reports nothing against it.
    #[must_use]
    pub fn weight(self) -> HealthState {
        match self {
            Self::Xid(number) => xid::look_up(number).state(),
            Self::XidFatal(_)
            | Self::Recovery(Recovery::Reset | Recovery::Reboot)
            | Self::FallenOffTheBus
            | Self::FallenOffAtProbe
            | Self::InitFailed
            | Self::StartFailed
            | Self::RemovedInUse
            | Self::SxidFatal(_)
            | Self::PcieFatal
            | Self::SlotLinkDown
            | Self::SlotEmpty
            | Self::SlotPower
            | Self::Contained
            | Self::Inaccessible
            | Self::NotReady
            | Self::IommuTimeout
            | Self::ResetFailed
            | Self::RasUncorrectable
            | Self::BadPages => HealthState::Failed,
            Self::XidNonFatal(_)
            | Self::Recovery(Recovery::Drain | Recovery::Imex)
            | Self::SxidNonFatal(_)
            | Self::PcieNonFatal
            | Self::IommuFault
            | Self::Hang
            | Self::RasDeferred => HealthState::Degraded,
        }
    }

    /// It is until an event ends it, however long that takes; all else ends by itself after an hour.
    #[must_use]
    pub fn stands(self) -> bool {
        self.weight() == HealthState::Failed || matches!(self, Self::Recovery(_))
    }

    /// The stable code of its reason.
    #[must_use]
    pub fn code(self) -> String {
        match self {
            Self::Xid(number) | Self::XidFatal(number) | Self::XidNonFatal(number) => format!("xid_{number}"),
            Self::SxidFatal(number) | Self::SxidNonFatal(number) => format!("sxid_{number}"),
            Self::Recovery(_)
            | Self::FallenOffTheBus
            | Self::FallenOffAtProbe
            | Self::InitFailed
            | Self::StartFailed
            | Self::RemovedInUse
            | Self::PcieFatal
            | Self::PcieNonFatal
            | Self::SlotLinkDown
            | Self::SlotEmpty
            | Self::SlotPower
            | Self::Contained
            | Self::Inaccessible
            | Self::NotReady
            | Self::IommuFault
            | Self::IommuTimeout
            | Self::Hang
            | Self::ResetFailed
            | Self::RasUncorrectable
            | Self::RasDeferred
            | Self::BadPages => self.words().0.to_owned(),
        }
    }

    /// The number of the Xid, where it is one.
    #[must_use]
    pub const fn xid(self) -> Option<u32> {
        if let Self::Xid(number) | Self::XidFatal(number) | Self::XidNonFatal(number) = self {
            Some(number)
        } else {
            None
        }
    }
}
