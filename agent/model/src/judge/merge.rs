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

/// What sensors say, with the reason why everything else is missing.
pub(super) fn sensed(sensed: DriverGpu, why: &Absence) -> DriverGpu {
    let address = sensed.address;
    filled(sensed, DriverGpu::absent(address, why))
}

fn filled(trusted: DriverGpu, other: DriverGpu) -> DriverGpu {
    DriverGpu {
        address: trusted.address,
        pci_id: Reading::filled(trusted.pci_id, other.pci_id),
        subsystem: Reading::filled(trusted.subsystem, other.subsystem),
        uuid: Reading::filled(trusted.uuid, other.uuid),
        index: Reading::filled(trusted.index, other.index),
        minor: Reading::filled(trusted.minor, other.minor),
        serial: Reading::filled(trusted.serial, other.serial),
        name: Reading::filled(trusted.name, other.name),
        brand: Reading::filled(trusted.brand, other.brand),
        architecture: Reading::filled(trusted.architecture, other.architecture),
        compute_capability: Reading::filled(trusted.compute_capability, other.compute_capability),
        vbios: Reading::filled(trusted.vbios, other.vbios),
        persistence: Reading::filled(trusted.persistence, other.persistence),
        virtualization: Reading::filled(trusted.virtualization, other.virtualization),
        host_vgpu_mode: Reading::filled(trusted.host_vgpu_mode, other.host_vgpu_mode),
        mig_current: Reading::filled(trusted.mig_current, other.mig_current),
        mig_pending: Reading::filled(trusted.mig_pending, other.mig_pending),
        mig_devices: named_migs(filled_migs(trusted.mig_devices, other.mig_devices), &trusted.mig_unplaced),
        mig_unplaced: trusted.mig_unplaced,
        memory: filled_memory(trusted.memory, other.memory),
        metrics: trusted.metrics.filled(other.metrics),
        ecc_enabled: Reading::filled(trusted.ecc_enabled, other.ecc_enabled),
        health_facts: filled_health(trusted.health_facts, other.health_facts),
        processes: Reading::filled(trusted.processes, other.processes),
    }
}

fn filled_health(trusted: HealthFacts, other: HealthFacts) -> HealthFacts {
    HealthFacts {
        rows_remapped_correctable: Reading::filled(trusted.rows_remapped_correctable, other.rows_remapped_correctable),
        rows_remapped_uncorrectable: Reading::filled(
            trusted.rows_remapped_uncorrectable,
            other.rows_remapped_uncorrectable,
        ),
        row_remap_pending: Reading::filled(trusted.row_remap_pending, other.row_remap_pending),
        row_remap_failed: Reading::filled(trusted.row_remap_failed, other.row_remap_failed),
        pages_retired_single_bit: Reading::filled(trusted.pages_retired_single_bit, other.pages_retired_single_bit),
        pages_retired_double_bit: Reading::filled(trusted.pages_retired_double_bit, other.pages_retired_double_bit),
        retirement_pending: Reading::filled(trusted.retirement_pending, other.retirement_pending),
        reset_required: Reading::filled(trusted.reset_required, other.reset_required),
        drain_and_reset_recommended: Reading::filled(
            trusted.drain_and_reset_recommended,
            other.drain_and_reset_recommended,
        ),
        recovery_action: Reading::filled(trusted.recovery_action, other.recovery_action),
        channel_repair_pending: Reading::filled(trusted.channel_repair_pending, other.channel_repair_pending),
        tpc_repair_pending: Reading::filled(trusted.tpc_repair_pending, other.tpc_repair_pending),
        sram_threshold_exceeded: Reading::filled(trusted.sram_threshold_exceeded, other.sram_threshold_exceeded),
        unrepairable_memory: Reading::filled(trusted.unrepairable_memory, other.unrepairable_memory),
        fabric_state: Reading::filled(trusted.fabric_state, other.fabric_state),
        fabric_status: Reading::filled(trusted.fabric_status, other.fabric_status),
        fabric_health: Reading::filled(trusted.fabric_health, other.fabric_health),
        fabric_faults: Reading::filled(trusted.fabric_faults, other.fabric_faults),
    }
}

fn filled_memory(trusted: MemoryMib, other: MemoryMib) -> MemoryMib {
    MemoryMib {
        total: Reading::filled(trusted.total, other.total),
        reserved: Reading::filled(trusted.reserved, other.reserved),
        used: Reading::filled(trusted.used, other.used),
        free: Reading::filled(trusted.free, other.free),
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
        index: Reading::filled(trusted.index, other.index),
        gpu_instance: trusted.gpu_instance,
        compute_instance: trusted.compute_instance,
        uuid: Reading::filled(trusted.uuid, other.uuid),
        profile: Reading::filled(trusted.profile, other.profile),
        memory: filled_memory(trusted.memory, other.memory),
        sm: Reading::filled(trusted.sm, other.sm),
        ce: Reading::filled(trusted.ce, other.ce),
        enc: Reading::filled(trusted.enc, other.enc),
        dec: Reading::filled(trusted.dec, other.dec),
        jpeg: Reading::filled(trusted.jpeg, other.jpeg),
        ofa: Reading::filled(trusted.ofa, other.ofa),
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
            mig.uuid = Reading::filled(mig.uuid.clone(), twin.uuid.clone());
            mig.profile = Reading::filled(mig.profile.clone(), twin.profile.clone());
        }
    }
    migs
}
