//! Facts about the health of a GPU that stand until somebody resets, repairs or replaces it, and which source is asked for each.

use crate::absence::{Absence, Reading};
use crate::driver_source::DriverSource;
use serde::{Deserialize, Serialize};

/// What a driver reports about the health of its GPU. None of it is measured: it stays as it is while the GPU sleeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthFacts {
    /// Memory rows that were remapped for correctable errors (Ampere and newer).
    pub rows_remapped_correctable: Reading<u32>,
    /// Memory rows that were remapped for uncorrectable errors.
    pub rows_remapped_uncorrectable: Reading<u32>,
    /// A memory row is to be remapped at the next reset.
    pub row_remap_pending: Reading<bool>,
    /// A memory row could not be remapped: no spare row is left.
    pub row_remap_failed: Reading<bool>,
    /// Memory pages that were retired for repeated single-bit errors (boards before Ampere).
    pub pages_retired_single_bit: Reading<u32>,
    /// Memory pages that were retired for an uncorrectable error.
    pub pages_retired_double_bit: Reading<u32>,
    /// A memory page is to be retired at the next reset.
    pub retirement_pending: Reading<bool>,
    /// The driver wants the GPU reset (drivers before `recovery_action`).
    pub reset_required: Reading<bool>,
    /// The driver wants the GPU drained and then reset (drivers before `recovery_action`).
    pub drain_and_reset_recommended: Reading<bool>,
    /// What the driver wants done, in its words: `None`, `Reset`, `Reboot`, `Drain P2P`, `PF FLR`, …
    pub recovery_action: Reading<String>,
    /// A memory channel is to be repaired at the next reset.
    pub channel_repair_pending: Reading<bool>,
    /// A texture processing cluster is to be repaired at the next reset.
    pub tpc_repair_pending: Reading<bool>,
    /// More uncorrectable errors of the SRAM than NVIDIA's field diagnostics lets pass.
    pub sram_threshold_exceeded: Reading<bool>,
    /// There is memory that cannot be repaired.
    pub unrepairable_memory: Reading<bool>,
    /// State of the NVLink fabric: `Completed`, `In Progress`, `Not Started`.
    pub fabric_state: Reading<String>,
    /// How the registration with the fabric ended: `Success`, or what went wrong.
    pub fabric_status: Reading<String>,
    /// Health of the fabric as this GPU sees it: `Healthy`, `Unhealthy`, `Limited Capacity`.
    pub fabric_health: Reading<String>,
    /// What is wrong with the fabric, snake_case and sorted (`degraded_bandwidth`, `route_unhealthy`, …).
    pub fabric_faults: Reading<Vec<String>>,
}

impl HealthFacts {
    /// Nothing is known, for this reason.
    #[must_use]
    pub fn absent(why: &Absence) -> Self {
        fn none<T>(why: &Absence) -> Reading<T> {
            Reading::Absent(why.clone())
        }
        Self {
            rows_remapped_correctable: none(why),
            rows_remapped_uncorrectable: none(why),
            row_remap_pending: none(why),
            row_remap_failed: none(why),
            pages_retired_single_bit: none(why),
            pages_retired_double_bit: none(why),
            retirement_pending: none(why),
            reset_required: none(why),
            drain_and_reset_recommended: none(why),
            recovery_action: none(why),
            channel_repair_pending: none(why),
            tpc_repair_pending: none(why),
            sram_threshold_exceeded: none(why),
            unrepairable_memory: none(why),
            fabric_state: none(why),
            fabric_status: none(why),
            fabric_health: none(why),
            fabric_faults: none(why),
        }
    }
}

/// One of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::VariantArray, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum HealthFact {
    /// [`HealthFacts::rows_remapped_correctable`].
    RowsRemappedCorrectable,
    /// [`HealthFacts::rows_remapped_uncorrectable`].
    RowsRemappedUncorrectable,
    /// [`HealthFacts::row_remap_pending`].
    RowRemapPending,
    /// [`HealthFacts::row_remap_failed`].
    RowRemapFailed,
    /// [`HealthFacts::pages_retired_single_bit`].
    PagesRetiredSingleBit,
    /// [`HealthFacts::pages_retired_double_bit`].
    PagesRetiredDoubleBit,
    /// [`HealthFacts::retirement_pending`].
    RetirementPending,
    /// [`HealthFacts::reset_required`].
    ResetRequired,
    /// [`HealthFacts::drain_and_reset_recommended`].
    DrainAndResetRecommended,
    /// [`HealthFacts::recovery_action`].
    RecoveryAction,
    /// [`HealthFacts::channel_repair_pending`].
    ChannelRepairPending,
    /// [`HealthFacts::tpc_repair_pending`].
    TpcRepairPending,
    /// [`HealthFacts::sram_threshold_exceeded`].
    SramThresholdExceeded,
    /// [`HealthFacts::unrepairable_memory`].
    UnrepairableMemory,
    /// [`HealthFacts::fabric_state`].
    FabricState,
    /// [`HealthFacts::fabric_status`].
    FabricStatus,
    /// [`HealthFacts::fabric_health`].
    FabricHealth,
    /// [`HealthFacts::fabric_faults`].
    FabricFaults,
}

/// Whether a source is asked for a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactSource {
    /// It is: the call, field, element or file that reports it.
    By(&'static str),
    /// It is not, and why.
    Not(&'static str),
}

/// Where one fact comes from.
struct Row {
    nvml: FactSource,
    smi: FactSource,
    sysfs: FactSource,
}

/// Nothing of NVIDIA's own driver is in sysfs, and other drivers have no such thing.
const ONLY_NVIDIA: FactSource =
    FactSource::Not("NVIDIA's driver shows nothing of it in sysfs, and other vendors' GPUs have no such thing");
const NO_WISH: FactSource =
    FactSource::Not("a driver shows in sysfs how a GPU can be reset, never that it needs it: the kernel log does");

impl HealthFact {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name of its field.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The fact is known there.
    #[must_use]
    pub const fn is_known(self, facts: &HealthFacts) -> bool {
        match self {
            Self::RowsRemappedCorrectable => facts.rows_remapped_correctable.known().is_some(),
            Self::RowsRemappedUncorrectable => facts.rows_remapped_uncorrectable.known().is_some(),
            Self::RowRemapPending => facts.row_remap_pending.known().is_some(),
            Self::RowRemapFailed => facts.row_remap_failed.known().is_some(),
            Self::PagesRetiredSingleBit => facts.pages_retired_single_bit.known().is_some(),
            Self::PagesRetiredDoubleBit => facts.pages_retired_double_bit.known().is_some(),
            Self::RetirementPending => facts.retirement_pending.known().is_some(),
            Self::ResetRequired => facts.reset_required.known().is_some(),
            Self::DrainAndResetRecommended => facts.drain_and_reset_recommended.known().is_some(),
            Self::RecoveryAction => facts.recovery_action.known().is_some(),
            Self::ChannelRepairPending => facts.channel_repair_pending.known().is_some(),
            Self::TpcRepairPending => facts.tpc_repair_pending.known().is_some(),
            Self::SramThresholdExceeded => facts.sram_threshold_exceeded.known().is_some(),
            Self::UnrepairableMemory => facts.unrepairable_memory.known().is_some(),
            Self::FabricState => facts.fabric_state.known().is_some(),
            Self::FabricStatus => facts.fabric_status.known().is_some(),
            Self::FabricHealth => facts.fabric_health.known().is_some(),
            Self::FabricFaults => facts.fabric_faults.known().is_some(),
        }
    }

    /// Whether this source is asked for it, by what, or why not.
    #[must_use]
    pub const fn asked(self, source: DriverSource) -> FactSource {
        let Row { nvml, smi, sysfs } = self.row();
        match source {
            DriverSource::Nvml => nvml,
            DriverSource::Smi | DriverSource::SmiInDriverContainer => smi,
            DriverSource::Sysfs => sysfs,
        }
    }

    const fn row(self) -> Row {
        use FactSource::{By, Not};
        match self {
            Self::RowsRemappedCorrectable => row("NVML_FI_DEV_REMAPPED_COR", "remapped_rows/remapped_row_corr"),
            Self::RowsRemappedUncorrectable => row("NVML_FI_DEV_REMAPPED_UNC", "remapped_rows/remapped_row_unc"),
            Self::RowRemapPending => row("NVML_FI_DEV_REMAPPED_PENDING", "remapped_rows/remapped_row_pending"),
            Self::RowRemapFailed => row("NVML_FI_DEV_REMAPPED_FAILURE", "remapped_rows/remapped_row_failure"),
            Self::PagesRetiredSingleBit => Row {
                sysfs: Not("amdgpu retires pages for uncorrectable errors only"),
                ..row("NVML_FI_DEV_RETIRED_SBE", "retired_pages/multiple_single_bit_retirement/retired_count")
            },
            Self::PagesRetiredDoubleBit => Row {
                sysfs: By("ras/gpu_vram_bad_pages of amdgpu, flag R"),
                ..row("NVML_FI_DEV_RETIRED_DBE", "retired_pages/double_bit_retirement/retired_count")
            },
            Self::RetirementPending => Row {
                sysfs: By("ras/gpu_vram_bad_pages of amdgpu, flags P and F"),
                ..row("nvmlDeviceGetRetiredPagesPendingStatus", "retired_pages/pending_blacklist, …/pending_retirement")
            },
            Self::ResetRequired => Row {
                sysfs: NO_WISH,
                ..row("NVML_FI_DEV_RESET_STATUS (560 to 565)", "gpu_reset_status/reset_required (535 to 575)")
            },
            Self::DrainAndResetRecommended => Row {
                sysfs: NO_WISH,
                ..row(
                    "NVML_FI_DEV_DRAIN_AND_RESET_STATUS (560 to 565)",
                    "gpu_reset_status/drain_and_reset_recommended (535 to 575)",
                )
            },
            Self::RecoveryAction => Row {
                sysfs: NO_WISH,
                ..row("NVML_FI_DEV_GET_GPU_RECOVERY_ACTION (565 and newer)", "gpu_recovery_action (570 and newer)")
            },
            Self::ChannelRepairPending => {
                row("nvmlDeviceGetRepairStatus (580 and newer)", "ecc_errors/channel_repair_pending (580 and newer)")
            }
            Self::TpcRepairPending => {
                row("nvmlDeviceGetRepairStatus (580 and newer)", "ecc_errors/tpc_repair_pending (580 and newer)")
            }
            Self::SramThresholdExceeded => row(
                "nvmlDeviceGetSramEccErrorStatus (535 and newer)",
                "ecc_errors/aggregate/sram_threshold_exceeded (535 and newer)",
            ),
            Self::UnrepairableMemory => Row {
                nvml: Not("the call was added in NVML 590, and the declarations used for the build end with 580"),
                smi: By("ecc_errors/unrepairable_memory (590 and newer)"),
                sysfs: ONLY_NVIDIA,
            },
            Self::FabricState => fabric("fabric/state (520 and newer)"),
            Self::FabricStatus => fabric("fabric/status (520 and newer)"),
            Self::FabricHealth => fabric("fabric/health/summary (580 and newer)"),
            Self::FabricFaults => fabric("fabric/health/* (550 and newer)"),
        }
    }
}

/// NVIDIA's two sources tell it, and sysfs knows nothing of it.
const fn row(nvml: &'static str, smi: &'static str) -> Row {
    Row { nvml: FactSource::By(nvml), smi: FactSource::By(smi), sysfs: ONLY_NVIDIA }
}

const fn fabric(smi: &'static str) -> Row {
    Row {
        nvml: FactSource::By("nvmlDeviceGetGpuFabricInfoV (550 and newer)"),
        smi: FactSource::By(smi),
        sysfs: FactSource::Not("NVLink's fabric is known to NVIDIA's driver alone, which shows nothing of it in sysfs"),
    }
}

/// The table of all facts and sources as Markdown, as `docs/HEALTH-FACTS.md` has it.
#[must_use]
pub fn table() -> String {
    let cell = |asked: FactSource| match asked {
        FactSource::By(what) => format!("`{what}`"),
        FactSource::Not(why) => format!("not asked: {why}"),
    };
    let mut text = "| fact | NVML | `nvidia-smi -q -x` | sysfs |\n|---|---|---|---|\n".to_owned();
    for fact in HealthFact::ALL.iter().copied() {
        let [nvml, smi, sysfs] =
            [DriverSource::Nvml, DriverSource::Smi, DriverSource::Sysfs].map(|source| cell(fact.asked(source)));
        text.push_str(&format!("| `{}` | {nvml} | {smi} | {sysfs} |\n", fact.name()));
    }
    text
}
