//! The words of each reason: its stable code, what was seen in a sentence, and what to do; ADDRESS stands for the GPU's.

use super::device_fault::{Fault, Recovery};

/// Code, sentence and remedy.
pub(crate) type Words = (&'static str, &'static str, &'static str);

/// The driver wants a reset.
pub(crate) const RESET: Words = (
    "reset_required",
    "the driver requests a reset of the GPU",
    "stop what uses the GPU, then `nvidia-smi -r -i ADDRESS`; where that is refused, reboot",
);
/// The driver wants a reboot.
pub(crate) const REBOOT: Words =
    ("reboot_required", "the driver requests a reboot of the machine", "reboot the machine when it is free");
/// The driver wants no further work.
pub(crate) const DRAIN: Words = (
    "drain_required",
    "the driver requests that the GPU is drained and then reset",
    "let running work finish and start nothing new, then `nvidia-smi -r -i ADDRESS`",
);
/// The driver reports that the GPU is lost.
pub(crate) const LOST: Words = (
    "gpu_lost",
    "the driver cannot reach the GPU any more",
    "look for the cause with `dmesg | grep -iE 'NVRM|Xid'`; only a reboot or a power cycle brings it back",
);
/// The driver wants its IMEX domain to recover.
pub(crate) const IMEX: Words = (
    "imex_recovery_required",
    "the driver requests a recovery of the rack's IMEX domain; the GPU itself is healthy",
    "see NVIDIA's IMEX guide: run no job that spans nodes until the domain is recovered",
);
const FALLEN: Words = (
    "fallen_off_bus",
    "the kernel log reports that the GPU has fallen off the bus",
    "look for PCIe and power errors before it in `dmesg`; power the machine off and on",
);

const INIT: Words = (
    "init_failed",
    "the driver could not initialise the GPU",
    "`dmesg | grep -E 'NVRM|ADDRESS'` shows at which step; power the machine off and on; if it happens again, have the card \
     checked",
);
const REMOVED: Words = (
    "removed_in_use",
    "the GPU was removed from its driver while in use, and the kernel waits for its users",
    "stop what has it open (`fuser -v /dev/nvidia*`); until then its driver cannot release it",
);
const PCIE_FATAL: Words = (
    "pcie_fatal",
    "PCIe reported an uncorrected fatal error of the GPU",
    "reset the GPU (`nvidia-smi -r -i ADDRESS`) or reboot; if it happens again, reseat the card and check slot and riser",
);
const PCIE_UNCORRECTED: Words = (
    "pcie_uncorrected",
    "PCIe reported an uncorrected error of the GPU in the last hour",
    "if it happens again, reseat the card and check slot, riser and power (`dmesg | grep AER`)",
);
const LINK_DOWN: Words = (
    "slot_link_down",
    "the PCIe link of its slot went down",
    "reseat the card; check its power cables, slot and riser; then rescan the bus or reboot",
);
const SLOT_EMPTY: Words = (
    "slot_empty",
    "its slot reports that it is empty",
    "reseat the card; check its power cables, slot and riser; then rescan the bus or reboot",
);
const SLOT_POWER: Words = (
    "slot_power_fault",
    "the power of its slot failed",
    "check the power supplies and the card's power cables; then power the machine off and on",
);
const CONTAINED: Words = (
    "dpc_contained",
    "the PCIe port above disabled the link after an error (DPC)",
    "`dmesg | grep -E 'DPC|AER'` shows the error; reboot; if it happens again, reseat the card and check slot and riser",
);
const INACCESSIBLE: Words = (
    "device_inaccessible",
    "the kernel cannot wake it: its configuration space is not accessible",
    "power the machine off and on; if it happens after sleep, keep it awake: `echo on > \
     /sys/bus/pci/devices/ADDRESS/power/control`",
);
const NOT_READY: Words = (
    "device_not_ready",
    "it did not answer after a reset or a resume, and the kernel gave up",
    "power the machine off and on; if it happens again, the card cannot be reset on this host: do not give it to virtual machines",
);
const IOMMU_FAULT: Words = (
    "iommu_fault",
    "the IOMMU refused an access of the GPU in the last hour",
    "`dmesg | grep -E 'DMAR|AMD-Vi'` shows the addresses; if it continues, update driver and firmware",
);
const IOMMU_TIMEOUT: Words = (
    "iommu_timeout",
    "it does not answer the IOMMU any more (invalidation timed out)",
    "power the machine off and on; if a virtual machine used it, no reset repairs the state in which it was left",
);
const HANG: Words = (
    "gpu_hang",
    "the GPU hung in the last hour and the driver reset it",
    "`dmesg | grep ADDRESS` names the process; if there are many, update driver and firmware",
);
const RESET_FAILED: Words = (
    "reset_failed",
    "the driver could not reset the GPU and stopped using it",
    "reboot; if it happens again, power the machine off and on, then have the card checked",
);
const RAS_UNCORRECTABLE: Words = (
    "ras_uncorrectable",
    "the driver reported uncorrectable memory errors",
    "stop what uses the GPU and reset it (`amd-smi reset --gpureset`) or reboot; if it happens again, replace the card",
);
const RAS_DEFERRED: Words = (
    "ras_deferred",
    "the driver found damaged memory in the last hour that was not read yet",
    "reset the GPU when it is free (`amd-smi reset --gpureset`); if it happens again, replace the card",
);
const BAD_PAGES: Words = (
    "bad_pages",
    "the GPU has more bad memory pages than its limit",
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
