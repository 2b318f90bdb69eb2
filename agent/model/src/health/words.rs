//! The words of each reason: its stable code, what was seen in a sentence, and what to do; ADDRESS stands for the GPU's.

use super::fault::{Fault, Recovery};

/// Code, sentence and remedy.
pub(crate) type Words = (&'static str, &'static str, &'static str);

/// The driver wants a reset.
pub(crate) const RESET: Words = (
    "reset_required",
    "the driver wants the GPU reset",
    "stop what uses the GPU, then `nvidia-smi -r -i ADDRESS`; where that is refused, reboot",
);
/// The driver wants a reboot.
pub(crate) const REBOOT: Words =
    ("reboot_required", "the driver wants the machine rebooted", "reboot the machine when it is free");
/// The driver wants no further work.
pub(crate) const DRAIN: Words = (
    "drain_required",
    "the driver wants no further work on the GPU, and then a reset",
    "let what runs end and give it nothing new, then `nvidia-smi -r -i ADDRESS`",
);
/// The driver says that the GPU is lost.
pub(crate) const LOST: Words = (
    "gpu_lost",
    "the driver cannot reach the GPU any more",
    "look for the cause with `dmesg | grep -iE 'NVRM|Xid'`; it comes back only with a reboot or a power cycle",
);
/// The driver wants its IMEX domain to recover.
pub(crate) const IMEX: Words = (
    "imex_recovery_required",
    "the driver wants the IMEX domain of the rack recovered; the GPU itself is well",
    "see NVIDIA's IMEX guide: no job that spans nodes until the domain is recovered",
);
const FALLEN: Words = (
    "fallen_off_bus",
    "the kernel log says that the GPU has fallen off the bus",
    "look above it in `dmesg` for PCIe and power errors; power the machine off and on",
);

const INIT: Words = (
    "init_failed",
    "the driver could not initialise the GPU",
    "`dmesg | grep -E 'NVRM|ADDRESS'` says at which step; power the machine off and on; if it comes back, have the card looked at",
);
const REMOVED: Words = (
    "removed_in_use",
    "the GPU was taken from its driver while it was in use, and the kernel waits for its users",
    "end what has it open (`fuser -v /dev/nvidia*`); until then its driver cannot let go",
);
const PCIE_FATAL: Words = (
    "pcie_fatal",
    "PCIe reported an uncorrected fatal error of the GPU",
    "reset the GPU (`nvidia-smi -r -i ADDRESS`) or reboot; if it comes back, reseat the card and look at slot and riser",
);
const PCIE_UNCORRECTED: Words = (
    "pcie_uncorrected",
    "PCIe reported an uncorrected error of the GPU in the last hour",
    "if it comes back, reseat the card and look at slot, riser and power (`dmesg | grep AER`)",
);
const LINK_DOWN: Words = (
    "slot_link_down",
    "the PCIe link of its slot went down",
    "reseat the card; look at its power cables, at slot and riser; then rescan the bus or reboot",
);
const SLOT_EMPTY: Words = (
    "slot_empty",
    "its slot says that no card is in it",
    "reseat the card; look at its power cables, at slot and riser; then rescan the bus or reboot",
);
const SLOT_POWER: Words = (
    "slot_power_fault",
    "the power of its slot failed",
    "look at the power supplies and at the card's power cables; then power the machine off and on",
);
const CONTAINED: Words = (
    "dpc_contained",
    "the PCIe port above cut it off after an error (DPC)",
    "`dmesg | grep -E 'DPC|AER'` shows the error; reboot; if it comes back, reseat the card and look at slot and riser",
);
const INACCESSIBLE: Words = (
    "device_inaccessible",
    "the kernel cannot wake it: its configuration space cannot be reached",
    "power the machine off and on; if it follows sleep, keep it awake: `echo on > /sys/bus/pci/devices/ADDRESS/power/control`",
);
const NOT_READY: Words = (
    "device_not_ready",
    "it did not answer after a reset or a resume, and the kernel gave up",
    "power the machine off and on; if it comes back, the card cannot be reset here: do not give it to virtual machines",
);
const IOMMU_FAULT: Words = (
    "iommu_fault",
    "the IOMMU refused an access of the GPU in the last hour",
    "`dmesg | grep -E 'DMAR|AMD-Vi'` shows the addresses; update driver and firmware if it goes on",
);
const IOMMU_TIMEOUT: Words = (
    "iommu_timeout",
    "it does not answer the IOMMU any more (invalidation timed out)",
    "power the machine off and on; if a virtual machine had it, no reset ends the state in which it was left",
);
const HANG: Words = (
    "gpu_hang",
    "the driver found the GPU hanging in the last hour and reset it",
    "`dmesg | grep ADDRESS` names the process; if many do it, update driver and firmware",
);
const RESET_FAILED: Words = (
    "reset_failed",
    "the driver could not reset the GPU and has given it up",
    "reboot; if it comes back, power the machine off and on, then have the card looked at",
);
const RAS_UNCORRECTABLE: Words = (
    "ras_uncorrectable",
    "the driver reported uncorrectable memory errors",
    "stop what uses the GPU and reset it (`amd-smi reset --gpureset`) or reboot; if it comes back, replace the card",
);
const RAS_DEFERRED: Words = (
    "ras_deferred",
    "the driver found damaged memory in the last hour that nobody has read yet",
    "reset the GPU when it is free (`amd-smi reset --gpureset`); if it comes back, replace the card",
);
const BAD_PAGES: Words = (
    "bad_pages",
    "the GPU has more bad memory pages than it may have",
    "have the card replaced; `amd-smi bad-pages` lists them",
);

impl Fault {
    /// Code, sentence and remedy of a fault without a number.
    pub(crate) const fn words(self) -> Words {
        match self {
            Self::Recovery(Recovery::Reset) => RESET,
            Self::Recovery(Recovery::Reboot) => REBOOT,
            Self::Recovery(Recovery::Drain) => DRAIN,
            Self::Recovery(Recovery::Imex) => IMEX,
            Self::FallenOffTheBus | Self::FallenOffAtProbe => FALLEN,
            Self::InitFailed | Self::StartFailed => INIT,
            Self::RemovedInUse => REMOVED,
            Self::PcieFatal => PCIE_FATAL,
            Self::PcieNonFatal => PCIE_UNCORRECTED,
            Self::SlotLinkDown => LINK_DOWN,
            Self::SlotEmpty => SLOT_EMPTY,
            Self::SlotPower => SLOT_POWER,
            Self::Contained => CONTAINED,
            Self::Inaccessible => INACCESSIBLE,
            Self::NotReady => NOT_READY,
            Self::IommuFault => IOMMU_FAULT,
            Self::IommuTimeout => IOMMU_TIMEOUT,
            Self::Hang => HANG,
            Self::ResetFailed => RESET_FAILED,
            Self::RasUncorrectable => RAS_UNCORRECTABLE,
            Self::RasDeferred => RAS_DEFERRED,
            Self::BadPages => BAD_PAGES,
            Self::Xid(_) | Self::XidFatal(_) | Self::XidNonFatal(_) | Self::SxidFatal(_) | Self::SxidNonFatal(_) => {
                ("", "", "")
            }
        }
    }
}
