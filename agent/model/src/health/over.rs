//! Who may take a finding back: the one table of what ends which fault, with the place in the kernel or the driver that shows it.

use super::device_fault::GpuFaultKind;

/// Something that shows that a fault is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// The kernel enumerated the device: it is on the bus, and begins again.
    Enumerated,
    /// NVIDIA's driver was loaded again.
    DriverLoaded,
    /// NVIDIA's driver wants nothing done any more.
    NothingToRecover,
    /// NVIDIA's driver wants something else done.
    WantsSomethingElse,
    /// NVIDIA's driver has let the device go.
    RemovalWentOn,
    /// NVIDIA's driver took the NVSwitch over again.
    SwitchProbed,
    /// A reset under a VFIO driver ended, and the device had answered.
    ResetDone,
    /// The device answers again after a reset or a resume.
    Ready,
    /// The kernel recovered from a PCIe error.
    Recovered,
    /// The slot has its link again.
    LinkBack,
    /// The slot has a card again, with or without a link.
    CardPresent,
    /// amdgpu reset the GPU.
    GpuReset,
    /// A graphics driver of the kernel has started on the device again.
    DriverStarted,
    /// The driver gave measured values of the GPU when it was asked later.
    DriverAnswers,
    /// The configuration space was read later.
    BusAnswers,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct EndRow {
    /// What shows it.
    pub evidence: Evidence,
    /// Stable code of a record that ended something.
    pub code: &'static str,
    /// The words of the record, or what was looked at.
    pub says: &'static str,
    /// Where those words come from.
    pub source: &'static str,
    /// What it ends.
    pub ends: &'static [GpuFaultKind],
    /// Where it does not.
    pub unless: &'static str,
}

use GpuFaultKind as K;

/// The table.
pub const ROWS: [EndRow; 15] = [
    EndRow {
        evidence: Evidence::Enumerated,
        code: "cleared_by_enumeration",
        says: "`pci ADDRESS: [VVVV:DDDD] type 00 class …`",
        source: "kernel, drivers/pci/probe.c, pci_setup_device",
        ends: K::ALL,
        unless: "it names another function; of the ports above it ends only what the row of `Link Up` ends",
    },
    EndRow {
        evidence: Evidence::DriverLoaded,
        code: "cleared_by_driver_load",
        says: "`NVRM: loading NVIDIA UNIX …`",
        source: "NVIDIA, kernel-open/nvidia/nv.c, nvidia_init_module: logged after every GPU was probed",
        ends: &[
            K::Xid,
            K::XidLasting,
            K::Recovery,
            K::Reboot,
            K::FallenOff,
            K::FallenOffAtProbe,
            K::InitFailed,
            K::RemovedInUse,
            K::DriverMemory,
        ],
        unless: "the fault belongs to the same load: it came after `nvidia-nvlink: Nvlink Core is being initialized` or `Unregistered \
                 Nvlink Core`; where neither is in the log, it is one of a probe, or less than a second older. Or a VFIO driver has the GPU",
    },
    EndRow {
        evidence: Evidence::NothingToRecover,
        code: "cleared_by_recovery",
        says: "`NVRM: Xid (PCI:…): 154, GPU recovery action changed from … to 0x0 (None)`",
        source: "NVIDIA, src/nvidia/src/kernel/gpu/gpu.c, _gpuRefreshRecoveryActionInLock",
        ends: &[K::Xid, K::Recovery, K::Reboot, K::FallenOff, K::InitFailed],
        unless: "",
    },
    EndRow {
        evidence: Evidence::WantsSomethingElse,
        code: "cleared_by_other_action",
        says: "`NVRM: Xid (PCI:…): 154, GPU recovery action changed from … to …`: the action before it",
        source: "NVIDIA, src/nvidia/src/kernel/gpu/gpu.c, _gpuRefreshRecoveryActionInLock",
        ends: &[K::Recovery, K::Reboot],
        unless: "it is the action that is wanted now",
    },
    EndRow {
        evidence: Evidence::RemovalWentOn,
        code: "cleared_by_removal",
        says: "`NVRM: Continuing with GPU removal for device ADDRESS`",
        source: "NVIDIA, kernel-open/nvidia/nv-pci.c, nv_pci_remove_helper",
        ends: &[K::RemovedInUse],
        unless: "",
    },
    EndRow {
        evidence: Evidence::SwitchProbed,
        code: "cleared_by_switch_probe",
        says: "`nvidia-nvswitch: Probing device ADDRESS, …`",
        source: "NVIDIA, kernel-open/nvidia/linux_nvswitch.c, nvswitch_probe",
        ends: &[K::Sxid],
        unless: "",
    },
    EndRow {
        evidence: Evidence::ResetDone,
        code: "cleared_by_reset",
        says: "`vfio-pci ADDRESS: reset done`",
        source: "kernel, drivers/pci/pci.c, pci_dev_restore; drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_enable",
        ends: &[
            K::Xid,
            K::Recovery,
            K::FallenOff,
            K::FallenOffAtProbe,
            K::InitFailed,
            K::StartFailed,
            K::PcieFatal,
            K::Inaccessible,
            K::NotReady,
            K::IommuTimeout,
            K::ResetFailed,
            K::RasUncorrectable,
            K::DriverMemory,
        ],
        unless: "since `resetting` the kernel gave up waiting for the device: `reset done` is logged all the same. Under a \
                 driver that was not notified of the reset it ends only what the row of `ready` ends",
    },
    EndRow {
        evidence: Evidence::Ready,
        code: "cleared_by_answer",
        says: "`… ADDRESS: ready Nms after FLR` (or another reset, or a resume)",
        source: "kernel, drivers/pci/pci.c, pci_dev_wait",
        ends: &[K::Inaccessible, K::NotReady],
        unless: "",
    },
    EndRow {
        evidence: Evidence::Recovered,
        code: "cleared_by_pcie_recovery",
        says: "`pcieport PORT: AER: device recovery successful`",
        source: "kernel, drivers/pci/pcie/err.c, pcie_do_recovery",
        ends: &[K::PcieFatal, K::Contained],
        unless: "the device is not below that port and took no part in the recovery; pcie_uncorrected holds for an hour instead",
    },
    EndRow {
        evidence: Evidence::LinkBack,
        code: "cleared_by_link",
        says: "`pcieport PORT: pciehp: Slot(N): Link Up`, `Link Down/Up ignored …`",
        source: "kernel, drivers/pci/hotplug/pciehp_ctrl.c, pciehp_handle_presence_or_link_change; pciehp_hpc.c",
        ends: &[K::SlotLinkDown, K::SlotEmpty, K::SlotPower, K::Contained],
        unless: "it names another port; `Cannot train link` or `No device found` may follow and are faults again",
    },
    EndRow {
        evidence: Evidence::CardPresent,
        code: "cleared_by_card",
        says: "`pcieport PORT: pciehp: Slot(N): Card present`",
        source: "kernel, drivers/pci/hotplug/pciehp_ctrl.c, pciehp_handle_presence_or_link_change",
        ends: &[K::SlotEmpty],
        unless: "it names another port",
    },
    EndRow {
        evidence: Evidence::GpuReset,
        code: "cleared_by_gpu_reset",
        says: "`amdgpu ADDRESS: amdgpu: GPU reset(N) succeeded!`",
        source: "kernel, drivers/gpu/drm/amd/amdgpu/amdgpu_device.c, amdgpu_device_gpu_recover",
        ends: &[K::ResetFailed, K::RasUncorrectable, K::RasDeferred],
        unless: "",
    },
    EndRow {
        evidence: Evidence::DriverStarted,
        code: "cleared_by_driver_start",
        says: "`[drm] Initialized amdgpu … for ADDRESS on minor N` (also i915, nouveau, radeon, xe)",
        source: "kernel, drivers/gpu/drm/drm_drv.c, drm_dev_register; drivers/gpu/drm/xe/xe_device.c: only a rebind clears a wedge",
        ends: &[K::StartFailed, K::Hang, K::ResetFailed],
        unless: "the fault belongs to the same start: it is less than a second older, or a failed start less than a minute \
                 older (i915 logs both)",
    },
    EndRow {
        evidence: Evidence::DriverAnswers,
        code: "cleared_by_driver",
        says: "NVML, nvidia-smi or the driver's sensors give measured values of the GPU",
        source: "nvml.h: a handle needs an initialised adapter (RmInitAdapter); the kernel's hwmon files",
        ends: &[K::FallenOffAtProbe, K::InitFailed, K::StartFailed, K::Inaccessible, K::NotReady, K::IommuTimeout],
        unless: "it was asked before the fault was last reported",
    },
    EndRow {
        evidence: Evidence::BusAnswers,
        code: "cleared_by_bus",
        says: "the first bytes of `/sys/bus/pci/devices/ADDRESS/config` are not all ones",
        source: "kernel, Documentation/ABI/testing/sysfs-bus-pci",
        ends: &[K::Inaccessible, K::NotReady],
        unless: "it was read before the fault was last reported",
    },
];

impl Evidence {
    /// Its row.
    #[must_use]
    pub fn row(self) -> Option<&'static EndRow> {
        ROWS.iter().find(|row| row.evidence == self)
    }

    /// Whether it ends faults of this kind.
    #[must_use]
    pub fn ends(self, kind: GpuFaultKind) -> bool {
        self.row().is_some_and(|row| row.ends.contains(&kind))
    }

    /// The stable code of a record that ended something.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().map_or("", |row| row.code)
    }
}
