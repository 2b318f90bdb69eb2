//! Where in the document an element is: the map of all paths that are read, from the root down.

use crate::metric::{Metric, Smi};

/// An element that is read: a container with children of its own, or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Above the root element.
    Outside,
    /// `nvidia_smi_log`.
    Log,
    /// `gpu`.
    Gpu,
    /// `gpu/pci`.
    Pci,
    /// `gpu/pci/pci_gpu_link_info`.
    Link,
    /// `…/pcie_gen`.
    Generations,
    /// `…/link_widths`.
    Widths,
    /// `gpu/mig_mode`.
    MigMode,
    /// `gpu/mig_devices`.
    MigDevices,
    /// `gpu/mig_devices/mig_device`.
    MigDevice,
    /// `…/device_attributes`.
    MigAttributes,
    /// `…/device_attributes/shared`.
    MigShared,
    /// `…/fb_memory_usage` of a MIG device.
    MigMemory,
    /// `gpu/gpu_virtualization_mode`.
    Virtualization,
    /// `gpu/fb_memory_usage`.
    Memory,
    /// `gpu/utilization`.
    Utilization,
    /// `gpu/fabric` (520 and newer).
    Fabric,
    /// `gpu/fabric/health` (550 and newer).
    FabricHealth,
    /// `gpu/remapped_rows` (450 and newer).
    RemappedRows,
    /// `gpu/retired_pages`.
    RetiredPages,
    /// `gpu/retired_pages/multiple_single_bit_retirement`.
    PagesSingleBit,
    /// `gpu/retired_pages/double_bit_retirement`.
    PagesDoubleBit,
    /// `gpu/gpu_reset_status` (535 to 575).
    ResetStatus,
    /// `gpu/ecc_mode`.
    EccMode,
    /// `gpu/ecc_errors`.
    EccErrors,
    /// `gpu/ecc_errors/volatile`.
    Volatile,
    /// `gpu/ecc_errors/aggregate`, of which one flag is read.
    Aggregate,
    /// `gpu/ecc_errors/volatile/double_bit`, before 440.
    DoubleBit,
    /// `gpu/temperature`.
    Temperature,
    /// `gpu/power_readings` up to 525, `gpu/gpu_power_readings` from 535 on; never a module's or a memory's.
    Power,
    /// `gpu/clocks_throttle_reasons`, or `gpu/clocks_event_reasons` from 535 on.
    Throttle,
    /// `gpu/clocks`: those of now.
    Clocks,
    /// `gpu/processes`, or `gpu/compute_processes` up to 340.
    Processes,
    /// `…/process_info`.
    Process,
    /// A value.
    Value(Field),
}

/// A value that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    DriverVersion,
    CudaVersion,
    AttachedGpus,
    BusId,
    PciId,
    Subsystem,
    Uuid,
    Minor,
    Serial,
    Name,
    Brand,
    Architecture,
    Vbios,
    Persistence,
    Virtualization,
    HostVgpuMode,
    MigCurrent,
    MigPending,
    MemoryTotal,
    MemoryReserved,
    MemoryUsed,
    MemoryFree,
    /// Read by its row in the table of metrics.
    Metric(Metric),
    Power(PowerField),
    EccCurrent,
    EccSram,
    EccSramParity,
    EccSramSecded,
    EccDram,
    EccDoubleBitTotal,
    ThrottleReason,
    Health(HealthField),
    Mig(MigField),
    Process(ProcessField),
}

/// A value that speaks of the health of the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthField {
    RowsCorrectable,
    RowsUncorrectable,
    RowPending,
    RowFailed,
    PagesSingleBit,
    PagesDoubleBit,
    PendingBlacklist,
    PendingRetirement,
    ResetRequired,
    DrainAndReset,
    RecoveryAction,
    ChannelRepair,
    TpcRepair,
    SramThreshold,
    Unrepairable,
    FabricState,
    FabricStatus,
    FabricHealth,
    FabricFault,
}

/// A value of a power block. The block's name and its fields moved four times: `power_draw` alone up to 549 and again in 555,
/// `average_power_draw` and `instant_power_draw` in 550 and from 560 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PowerField {
    Instant,
    Draw,
    Average,
    CurrentLimit,
    EnforcedLimit,
    SetLimit,
}

/// A value of a MIG device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MigField {
    Index,
    GpuInstance,
    ComputeInstance,
    Sm,
    Ce,
    Enc,
    Dec,
    Jpeg,
    Ofa,
    Total,
    Reserved,
    Used,
    Free,
}

/// A value of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProcessField {
    Pid,
    Kind,
    Name,
    Memory,
}

/// The place of a child element; `None` where nobody wants it or anything below it.
pub(super) fn child(parent: Place, name: &str) -> Option<Place> {
    match parent {
        Place::Outside => (name == "nvidia_smi_log").then_some(Place::Log),
        Place::Log => of_log(name),
        Place::Gpu => gpu_container(name).or_else(|| of_gpu(name).map(Place::Value)),
        Place::Pci => of_pci(name),
        Place::MigDevices => (name == "mig_device").then_some(Place::MigDevice),
        Place::MigDevice => of_mig_device(name),
        Place::MigAttributes => (name == "shared").then_some(Place::MigShared),
        Place::Processes => (name == "process_info").then_some(Place::Process),
        Place::EccErrors => of_ecc_errors(name),
        Place::RetiredPages => match name {
            "multiple_single_bit_retirement" => Some(Place::PagesSingleBit),
            "double_bit_retirement" => Some(Place::PagesDoubleBit),
            _ => of_block(parent, name).map(Place::Value),
        },
        Place::Fabric if name == "health" => Some(Place::FabricHealth),
        Place::Volatile if name == "double_bit" => Some(Place::DoubleBit),
        Place::Link => match name {
            "pcie_gen" => Some(Place::Generations),
            "link_widths" => Some(Place::Widths),
            _ => None,
        },
        Place::Generations
        | Place::Widths
        | Place::MigMode
        | Place::MigShared
        | Place::MigMemory
        | Place::Virtualization
        | Place::Memory
        | Place::Utilization
        | Place::Fabric
        | Place::FabricHealth
        | Place::RemappedRows
        | Place::PagesSingleBit
        | Place::PagesDoubleBit
        | Place::ResetStatus
        | Place::EccMode
        | Place::Volatile
        | Place::Aggregate
        | Place::DoubleBit
        | Place::Temperature
        | Place::Power
        | Place::Throttle
        | Place::Clocks
        | Place::Process => of_block(parent, name).map(Place::Value),
        Place::Value(_) => None,
    }
}

fn of_log(name: &str) -> Option<Place> {
    Some(match name {
        "gpu" => Place::Gpu,
        "driver_version" => Place::Value(Field::DriverVersion),
        "cuda_version" => Place::Value(Field::CudaVersion),
        "attached_gpus" => Place::Value(Field::AttachedGpus),
        _ => return None,
    })
}

fn gpu_container(name: &str) -> Option<Place> {
    Some(match name {
        "pci" => Place::Pci,
        "mig_mode" => Place::MigMode,
        "mig_devices" => Place::MigDevices,
        "gpu_virtualization_mode" => Place::Virtualization,
        "fb_memory_usage" => Place::Memory,
        "utilization" => Place::Utilization,
        "fabric" => Place::Fabric,
        "remapped_rows" => Place::RemappedRows,
        "retired_pages" => Place::RetiredPages,
        "gpu_reset_status" => Place::ResetStatus,
        "ecc_mode" => Place::EccMode,
        "ecc_errors" => Place::EccErrors,
        "temperature" => Place::Temperature,
        "power_readings" | "gpu_power_readings" => Place::Power,
        "clocks_throttle_reasons" | "clocks_event_reasons" => Place::Throttle,
        "clocks" => Place::Clocks,
        "processes" | "compute_processes" => Place::Processes,
        _ => return None,
    })
}

fn of_gpu(name: &str) -> Option<Field> {
    Some(match name {
        "uuid" => Field::Uuid,
        "minor_number" => Field::Minor,
        "serial" => Field::Serial,
        "product_name" => Field::Name,
        "product_brand" => Field::Brand,
        "product_architecture" => Field::Architecture,
        "vbios_version" => Field::Vbios,
        "persistence_mode" => Field::Persistence,
        "gpu_recovery_action" => Field::Health(HealthField::RecoveryAction),
        _ => return metric(Place::Gpu, name),
    })
}

fn of_ecc_errors(name: &str) -> Option<Place> {
    match name {
        "volatile" => Some(Place::Volatile),
        "aggregate" => Some(Place::Aggregate),
        _ => of_block(Place::EccErrors, name).map(Place::Value),
    }
}

fn of_pci(name: &str) -> Option<Place> {
    Some(match name {
        "pci_bus_id" => Place::Value(Field::BusId),
        "pci_device_id" => Place::Value(Field::PciId),
        "pci_sub_system_id" => Place::Value(Field::Subsystem),
        "pci_gpu_link_info" => Place::Link,
        _ => return None,
    })
}

fn of_mig_device(name: &str) -> Option<Place> {
    Some(match name {
        "index" => Place::Value(Field::Mig(MigField::Index)),
        "gpu_instance_id" => Place::Value(Field::Mig(MigField::GpuInstance)),
        "compute_instance_id" => Place::Value(Field::Mig(MigField::ComputeInstance)),
        "device_attributes" => Place::MigAttributes,
        "fb_memory_usage" => Place::MigMemory,
        _ => return None,
    })
}

/// The fields of a container that holds values only, and their names.
fn block(container: Place) -> &'static [(&'static str, Field)] {
    use Field as F;
    match container {
        Place::MigMode => &[("current_mig", F::MigCurrent), ("pending_mig", F::MigPending)],
        Place::Virtualization => &[("virtualization_mode", F::Virtualization), ("host_vgpu_mode", F::HostVgpuMode)],
        Place::Memory => &MEMORY,
        Place::MigMemory => &MIG_MEMORY,
        Place::MigShared => &MIG_SHARED,
        Place::Fabric => {
            &[("state", F::Health(HealthField::FabricState)), ("status", F::Health(HealthField::FabricStatus))]
        }
        Place::FabricHealth => &FABRIC_HEALTH,
        Place::RemappedRows => &REMAPPED_ROWS,
        Place::RetiredPages => &RETIRED_PAGES,
        Place::PagesSingleBit => &[("retired_count", F::Health(HealthField::PagesSingleBit))],
        Place::PagesDoubleBit => &[("retired_count", F::Health(HealthField::PagesDoubleBit))],
        Place::ResetStatus => &RESET_STATUS,
        Place::EccErrors => &REPAIRS,
        Place::Aggregate => &[("sram_threshold_exceeded", F::Health(HealthField::SramThreshold))],
        Place::EccMode => &[("current_ecc", F::EccCurrent)],
        Place::Volatile => &VOLATILE,
        Place::DoubleBit => &[("total", F::EccDoubleBitTotal)],
        Place::Power => &POWER,
        Place::Process => &PROCESS,
        Place::Throttle => &[("", F::ThrottleReason)],
        Place::Outside
        | Place::Log
        | Place::Gpu
        | Place::Pci
        | Place::Link
        | Place::Generations
        | Place::Widths
        | Place::Utilization
        | Place::Temperature
        | Place::Clocks
        | Place::MigDevices
        | Place::MigDevice
        | Place::MigAttributes
        | Place::Processes
        | Place::Value(_) => &[],
    }
}

/// The path of a container below `gpu`, as the table of metrics has it; `None` where no metric is read by its path.
fn path(container: Place) -> Option<&'static str> {
    CONTAINERS.iter().find(|(place, _)| *place == container).map(|(_, path)| *path)
}

/// The containers whose metrics are read by their path in the table of metrics.
const CONTAINERS: [(Place, &str); 6] = [
    (Place::Gpu, ""),
    (Place::Generations, "pci/pci_gpu_link_info/pcie_gen"),
    (Place::Widths, "pci/pci_gpu_link_info/link_widths"),
    (Place::Utilization, "utilization"),
    (Place::Temperature, "temperature"),
    (Place::Clocks, "clocks"),
];

/// The elements of a container that are metrics.
fn metrics(container: Place) -> impl Iterator<Item = (&'static str, Field)> {
    let of = path(container);
    Metric::ALL.iter().filter_map(move |metric| match metric.row().smi {
        Smi::At { container, element } if Some(container) == of => Some((element, Field::Metric(*metric))),
        Smi::At { .. } | Smi::ByHand(_) | Smi::Not(_) => None,
    })
}

fn metric(container: Place, name: &str) -> Option<Field> {
    metrics(container).find(|(element, _)| *element == name).map(|(_, field)| field)
}

const MEMORY: [(&str, Field); 4] = [
    ("total", Field::MemoryTotal),
    ("reserved", Field::MemoryReserved),
    ("used", Field::MemoryUsed),
    ("free", Field::MemoryFree),
];
const MIG_MEMORY: [(&str, Field); 4] = [
    ("total", Field::Mig(MigField::Total)),
    ("reserved", Field::Mig(MigField::Reserved)),
    ("used", Field::Mig(MigField::Used)),
    ("free", Field::Mig(MigField::Free)),
];
const MIG_SHARED: [(&str, Field); 6] = [
    ("multiprocessor_count", Field::Mig(MigField::Sm)),
    ("copy_engine_count", Field::Mig(MigField::Ce)),
    ("encoder_count", Field::Mig(MigField::Enc)),
    ("decoder_count", Field::Mig(MigField::Dec)),
    ("jpg_count", Field::Mig(MigField::Jpeg)),
    ("ofa_count", Field::Mig(MigField::Ofa)),
];
const VOLATILE: [(&str, Field); 4] = [
    ("sram_uncorrectable", Field::EccSram),
    ("sram_uncorrectable_parity", Field::EccSramParity),
    ("sram_uncorrectable_secded", Field::EccSramSecded),
    ("dram_uncorrectable", Field::EccDram),
];
const REMAPPED_ROWS: [(&str, Field); 4] = [
    ("remapped_row_corr", Field::Health(HealthField::RowsCorrectable)),
    ("remapped_row_unc", Field::Health(HealthField::RowsUncorrectable)),
    ("remapped_row_pending", Field::Health(HealthField::RowPending)),
    ("remapped_row_failure", Field::Health(HealthField::RowFailed)),
];
const RETIRED_PAGES: [(&str, Field); 2] = [
    ("pending_blacklist", Field::Health(HealthField::PendingBlacklist)),
    ("pending_retirement", Field::Health(HealthField::PendingRetirement)),
];
const RESET_STATUS: [(&str, Field); 2] = [
    ("reset_required", Field::Health(HealthField::ResetRequired)),
    ("drain_and_reset_recommended", Field::Health(HealthField::DrainAndReset)),
];
const REPAIRS: [(&str, Field); 3] = [
    ("channel_repair_pending", Field::Health(HealthField::ChannelRepair)),
    ("tpc_repair_pending", Field::Health(HealthField::TpcRepair)),
    ("unrepairable_memory", Field::Health(HealthField::Unrepairable)),
];
const FABRIC_HEALTH: [(&str, Field); 6] = [
    ("summary", Field::Health(HealthField::FabricHealth)),
    ("bandwidth", Field::Health(HealthField::FabricFault)),
    ("route_recovery_in_progress", Field::Health(HealthField::FabricFault)),
    ("route_unhealthy", Field::Health(HealthField::FabricFault)),
    ("access_timeout_recovery", Field::Health(HealthField::FabricFault)),
    ("incorrect_configuration", Field::Health(HealthField::FabricFault)),
];
const POWER: [(&str, Field); 6] = [
    ("instant_power_draw", Field::Power(PowerField::Instant)),
    ("power_draw", Field::Power(PowerField::Draw)),
    ("average_power_draw", Field::Power(PowerField::Average)),
    ("current_power_limit", Field::Power(PowerField::CurrentLimit)),
    ("enforced_power_limit", Field::Power(PowerField::EnforcedLimit)),
    ("power_limit", Field::Power(PowerField::SetLimit)),
];
const PROCESS: [(&str, Field); 4] = [
    ("pid", Field::Process(ProcessField::Pid)),
    ("type", Field::Process(ProcessField::Kind)),
    ("process_name", Field::Process(ProcessField::Name)),
    ("used_memory", Field::Process(ProcessField::Memory)),
];

fn of_block(container: Place, name: &str) -> Option<Field> {
    if container == Place::Throttle {
        return throttle_reason(name).map(|_| Field::ThrottleReason);
    }
    let own = block(container).iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
    own.or_else(|| metric(container, name))
}

/// The reason in the name of an element: `sw_power_cap` of `clocks_event_reason_sw_power_cap`. The list of reasons is open.
pub(super) fn throttle_reason(name: &str) -> Option<&str> {
    let reason = name.strip_prefix("clocks_event_reason_").or_else(|| name.strip_prefix("clocks_throttle_reason_"))?;
    let is_word = reason.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    (is_word && (1..=64).contains(&reason.len())).then_some(reason)
}

/// All values below a container with the names of their elements, for one whose children became one text
/// (`<utilization>N/A</utilization>`).
pub(super) fn values_below(container: Place) -> Vec<(&'static str, Field)> {
    let (own, blocks): (&[(&str, Field)], &[Place]) = if container == Place::Pci {
        (&[("", Field::PciId), ("", Field::Subsystem)], &[Place::Generations, Place::Widths])
    } else if container == Place::Link {
        (&[], &[Place::Generations, Place::Widths])
    } else if container == Place::EccErrors {
        (&[], &[Place::EccErrors, Place::Volatile, Place::DoubleBit, Place::Aggregate])
    } else if container == Place::Volatile {
        (&[], &[Place::Volatile, Place::DoubleBit])
    } else if container == Place::Fabric {
        (&[], &[Place::Fabric, Place::FabricHealth])
    } else if container == Place::RetiredPages {
        (&[], &[Place::RetiredPages, Place::PagesSingleBit, Place::PagesDoubleBit])
    } else if container == Place::MigAttributes {
        (&[], &[Place::MigShared])
    } else {
        (&[], std::slice::from_ref(&container))
    };
    let fields = own.iter().chain(blocks.iter().flat_map(|place| block(*place))).copied();
    fields.chain(blocks.iter().flat_map(|place| metrics(*place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_only_in_its_place() {
        assert_eq!(child(Place::Memory, "total"), Some(Place::Value(Field::MemoryTotal)));
        assert_eq!(child(Place::MigMemory, "total"), Some(Place::Value(Field::Mig(MigField::Total))));
        assert_eq!(child(Place::DoubleBit, "total"), Some(Place::Value(Field::EccDoubleBitTotal)));
        for stranger in
            ["bar1_memory_usage", "module_power_readings", "accounted_processes", "total", "supported_clocks"]
        {
            assert_eq!(child(Place::Gpu, stranger), None, "{stranger}");
        }
        assert_eq!(child(Place::Aggregate, "dram_uncorrectable"), None, "only one flag of the aggregate counts");
        assert_eq!(child(Place::Value(Field::Name), "total"), None);
    }

    #[test]
    fn the_list_of_throttle_reasons_is_open() {
        assert_eq!(throttle_reason("clocks_throttle_reason_unknown"), Some("unknown"));
        assert_eq!(throttle_reason("clocks_event_reason_brand_new"), Some("brand_new"));
        for name in
            ["clocks_event_reason_", "clocks_event_reason_A", "clocks_event_reasons_counters_sync_boost", "gpu_idle"]
        {
            assert_eq!(throttle_reason(name), None, "{name}");
        }
    }
}
