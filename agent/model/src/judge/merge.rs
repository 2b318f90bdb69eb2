//! Merges what several sources say of one GPU, field by field: the first source that knows a value wins.

use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, DriverMig, DriverReport, MemoryMib, UnplacedMig};
use crate::health::facts::HealthFacts;
use crate::ids::PciAddress;

/// The facts of the GPU at `address` out of all reports, given in the order of trust, and the version of the driver that
/// knew it first.
pub(super) fn facts<'a>(
    reports: impl Iterator<Item = &'a DriverReport>,
    address: PciAddress,
) -> (Option<DriverGpu>, Option<String>) {
    let mut merged: Option<DriverGpu> = None;
    let mut version: Option<String> = None;
    for report in reports {
        let Some(said) = report.gpus.iter().find(|gpu| gpu.address == address) else { continue };
        version = version.or_else(|| report.driver_version.known().cloned());
        merged = Some(match merged {
            Some(trusted) => filled(trusted, said.clone()),
            None => said.clone(),
        });
    }
    (merged, version)
}

/// Keeps a known value, else takes the other; of two reasons the one that says more than "not in this source".
fn fill<T>(trusted: Reading<T>, other: Reading<T>) -> Reading<T> {
    let silent = matches!(trusted, Reading::Absent(Absence::NotReported | Absence::NotProbed));
    if silent || (trusted.known().is_none() && other.known().is_some()) { other } else { trusted }
}

/// What sensors say, with the reason why everything else is missing.
pub(super) fn sensed(sensed: DriverGpu, why: &Absence) -> DriverGpu {
    let address = sensed.address;
    filled(sensed, DriverGpu::absent(address, why))
}

fn filled(trusted: DriverGpu, other: DriverGpu) -> DriverGpu {
    DriverGpu {
        address: trusted.address,
        pci_id: fill(trusted.pci_id, other.pci_id),
        subsystem: fill(trusted.subsystem, other.subsystem),
        uuid: fill(trusted.uuid, other.uuid),
        index: fill(trusted.index, other.index),
        minor: fill(trusted.minor, other.minor),
        serial: fill(trusted.serial, other.serial),
        name: fill(trusted.name, other.name),
        brand: fill(trusted.brand, other.brand),
        architecture: fill(trusted.architecture, other.architecture),
        compute_capability: fill(trusted.compute_capability, other.compute_capability),
        vbios: fill(trusted.vbios, other.vbios),
        persistence: fill(trusted.persistence, other.persistence),
        virtualization: fill(trusted.virtualization, other.virtualization),
        host_vgpu_mode: fill(trusted.host_vgpu_mode, other.host_vgpu_mode),
        mig_current: fill(trusted.mig_current, other.mig_current),
        mig_pending: fill(trusted.mig_pending, other.mig_pending),
        mig_devices: named_migs(filled_migs(trusted.mig_devices, other.mig_devices), &trusted.mig_unplaced),
        mig_unplaced: trusted.mig_unplaced,
        memory: filled_memory(trusted.memory, other.memory),
        temperature_c: fill(trusted.temperature_c, other.temperature_c),
        utilization_pct: fill(trusted.utilization_pct, other.utilization_pct),
        memory_utilization_pct: fill(trusted.memory_utilization_pct, other.memory_utilization_pct),
        encoder_pct: fill(trusted.encoder_pct, other.encoder_pct),
        decoder_pct: fill(trusted.decoder_pct, other.decoder_pct),
        power_w: fill(trusted.power_w, other.power_w),
        power_limit_w: fill(trusted.power_limit_w, other.power_limit_w),
        fan_pct: fill(trusted.fan_pct, other.fan_pct),
        sm_clock_mhz: fill(trusted.sm_clock_mhz, other.sm_clock_mhz),
        memory_clock_mhz: fill(trusted.memory_clock_mhz, other.memory_clock_mhz),
        graphics_clock_mhz: fill(trusted.graphics_clock_mhz, other.graphics_clock_mhz),
        performance_state: fill(trusted.performance_state, other.performance_state),
        ecc_enabled: fill(trusted.ecc_enabled, other.ecc_enabled),
        ecc_uncorrected: fill(trusted.ecc_uncorrected, other.ecc_uncorrected),
        throttle: fill(trusted.throttle, other.throttle),
        health_facts: filled_health(trusted.health_facts, other.health_facts),
        pcie_generation: fill(trusted.pcie_generation, other.pcie_generation),
        pcie_max_generation: fill(trusted.pcie_max_generation, other.pcie_max_generation),
        pcie_width: fill(trusted.pcie_width, other.pcie_width),
        pcie_max_width: fill(trusted.pcie_max_width, other.pcie_max_width),
        processes: fill(trusted.processes, other.processes),
    }
}

fn filled_health(trusted: HealthFacts, other: HealthFacts) -> HealthFacts {
    HealthFacts {
        rows_remapped_correctable: fill(trusted.rows_remapped_correctable, other.rows_remapped_correctable),
        rows_remapped_uncorrectable: fill(trusted.rows_remapped_uncorrectable, other.rows_remapped_uncorrectable),
        row_remap_pending: fill(trusted.row_remap_pending, other.row_remap_pending),
        row_remap_failed: fill(trusted.row_remap_failed, other.row_remap_failed),
        pages_retired_single_bit: fill(trusted.pages_retired_single_bit, other.pages_retired_single_bit),
        pages_retired_double_bit: fill(trusted.pages_retired_double_bit, other.pages_retired_double_bit),
        retirement_pending: fill(trusted.retirement_pending, other.retirement_pending),
        reset_required: fill(trusted.reset_required, other.reset_required),
        drain_and_reset_recommended: fill(trusted.drain_and_reset_recommended, other.drain_and_reset_recommended),
        recovery_action: fill(trusted.recovery_action, other.recovery_action),
        channel_repair_pending: fill(trusted.channel_repair_pending, other.channel_repair_pending),
        tpc_repair_pending: fill(trusted.tpc_repair_pending, other.tpc_repair_pending),
        sram_threshold_exceeded: fill(trusted.sram_threshold_exceeded, other.sram_threshold_exceeded),
        unrepairable_memory: fill(trusted.unrepairable_memory, other.unrepairable_memory),
        fabric_state: fill(trusted.fabric_state, other.fabric_state),
        fabric_status: fill(trusted.fabric_status, other.fabric_status),
        fabric_health: fill(trusted.fabric_health, other.fabric_health),
        fabric_faults: fill(trusted.fabric_faults, other.fabric_faults),
    }
}

fn filled_memory(trusted: MemoryMib, other: MemoryMib) -> MemoryMib {
    MemoryMib {
        total: fill(trusted.total, other.total),
        reserved: fill(trusted.reserved, other.reserved),
        used: fill(trusted.used, other.used),
        free: fill(trusted.free, other.free),
    }
}

/// The list of the trusted source, each device filled in from the other source by its instance ids. A source that lists no
/// device at all may just not have been able to: then the other's list stands.
fn filled_migs(trusted: Vec<DriverMig>, other: Vec<DriverMig>) -> Vec<DriverMig> {
    if trusted.is_empty() {
        return other;
    }
    let twin = |mig: &DriverMig| {
        let same = |o: &&DriverMig| o.gpu_instance == mig.gpu_instance && o.compute_instance == mig.compute_instance;
        other.iter().find(same).cloned()
    };
    trusted
        .into_iter()
        .map(|mig| match twin(&mig) {
            Some(said) => filled_mig(mig, said),
            None => mig,
        })
        .collect()
}

fn filled_mig(trusted: DriverMig, other: DriverMig) -> DriverMig {
    DriverMig {
        index: fill(trusted.index, other.index),
        gpu_instance: trusted.gpu_instance,
        compute_instance: trusted.compute_instance,
        uuid: fill(trusted.uuid, other.uuid),
        profile: fill(trusted.profile, other.profile),
        memory: filled_memory(trusted.memory, other.memory),
        sm: fill(trusted.sm, other.sm),
        ce: fill(trusted.ce, other.ce),
        enc: fill(trusted.enc, other.enc),
        dec: fill(trusted.dec, other.dec),
        jpeg: fill(trusted.jpeg, other.jpeg),
        ofa: fill(trusted.ofa, other.ofa),
    }
}

/// Gives each device the UUID and the profile of the unplaced one at the same index. The two lists were read one after the
/// other: where their memory differs, the layout has changed between them, and nothing is taken over.
fn named_migs(mut migs: Vec<DriverMig>, unplaced: &[UnplacedMig]) -> Vec<DriverMig> {
    for mig in &mut migs {
        let same_memory = |found: &UnplacedMig| match (found.memory_total_mib.get(), mig.memory.total.get()) {
            (Some(one), Some(other)) => one.abs_diff(other) <= 1,
            (None, _) | (_, None) => true,
        };
        let twin = unplaced.iter().find(|found| Some(found.index) == mig.index.get() && same_memory(found));
        if let Some(twin) = twin {
            mig.uuid = fill(mig.uuid.clone(), twin.uuid.clone());
            mig.profile = fill(mig.profile.clone(), twin.profile.clone());
        }
    }
    migs
}
