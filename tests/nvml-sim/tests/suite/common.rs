//! Reads a loaded NVML through nvml-wrapper, as straightforwardly as can be, into the model's shape.

use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig, GpuProcess, MemoryMib, MigMode};
use model::health::facts::HealthFacts;
use model::metric::Metrics;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, HostVgpuMode, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::struct_wrappers::device::{MemoryInfo, ProcessInfo};
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::{
    NVML_FI_DEV_DRAIN_AND_RESET_STATUS, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, NVML_FI_DEV_REMAPPED_COR,
    NVML_FI_DEV_REMAPPED_FAILURE, NVML_FI_DEV_REMAPPED_PENDING, NVML_FI_DEV_REMAPPED_UNC, NVML_FI_DEV_RESET_STATUS,
    NVML_FI_DEV_RETIRED_DBE, NVML_FI_DEV_RETIRED_SBE,
};
use nvml_wrapper::{Device, Nvml};
use sim::Description;
use std::path::{Path, PathBuf};

const MIB: u64 = 1024 * 1024;

/// The library as cargo has built it, beside the test.
pub fn built_library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let library = program.with_file_name("libnvidia_ml.so");
    assert!(library.is_file(), "{} is not there", library.display());
    library
}

/// A folder with a description and the library under it; the path is the library's.
pub fn installed(description: &Description, folder: &Path) -> PathBuf {
    std::fs::write(folder.join("description.toml"), description.to_toml().unwrap()).unwrap();
    let home = folder.join("usr/lib");
    std::fs::create_dir_all(&home).unwrap();
    let library = home.join("libnvidia-ml.so.1");
    std::fs::copy(built_library(), &library).unwrap();
    library
}

/// Loads a library and initializes it.
pub fn nvml(library: &Path) -> Result<Nvml, NvmlError> {
    Nvml::builder().lib_path(library.as_os_str()).init()
}

/// What NVML's errors mean to the model.
pub fn absence(error: &NvmlError) -> Absence {
    match error {
        NvmlError::NotSupported => Absence::NotSupported,
        NvmlError::NoPermission => Absence::NoPermission,
        NvmlError::GpuLost => Absence::GpuLost,
        NvmlError::ResetRequired => Absence::ResetRequired,
        // nvml-wrapper has no name for NVML_ERROR_DEPRECATED.
        NvmlError::UnexpectedVariant(26) => Absence::Deprecated,
        NvmlError::Unknown => Absence::UnknownError,
        NvmlError::FunctionNotFound => Absence::NotReported,
        other => Absence::Garbled(format!("{other:?}")),
    }
}

fn reading<T, U>(result: Result<T, NvmlError>, change: impl FnOnce(T) -> U) -> Reading<U> {
    match result {
        Ok(value) => Reading::Known(change(value)),
        Err(error) => Reading::Absent(absence(&error)),
    }
}

fn watts(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1000.0
}

fn mode(number: u32) -> MigMode {
    if number == 1 { MigMode::Enabled } else { MigMode::Disabled }
}

fn memory(result: Result<MemoryInfo, NvmlError>) -> MemoryMib {
    let part = |pick: fn(&MemoryInfo) -> u64| match &result {
        Ok(info) => Reading::Known(pick(info) / MIB),
        Err(error) => Reading::Absent(absence(error)),
    };
    MemoryMib {
        total: part(|m| m.total),
        reserved: part(|m| m.reserved),
        used: part(|m| m.used),
        free: part(|m| m.free),
    }
}

fn processes(nvml: &Nvml, device: &Device<'_>) -> Reading<Vec<GpuProcess>> {
    let named = |kind: &str, info: ProcessInfo| GpuProcess {
        pid: info.pid,
        kind: Reading::Known(kind.to_owned()),
        name: reading(nvml.sys_process_name(info.pid, 256), |name| name),
        memory_mib: match info.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Reading::Known(bytes / MIB),
            UsedGpuMemory::Unavailable => Reading::default(),
        },
    };
    let all = device.running_compute_processes().and_then(|compute| {
        let graphics = device.running_graphics_processes()?;
        let compute = compute.into_iter().map(|info| named("C", info));
        Ok(compute.chain(graphics.into_iter().map(|info| named("G", info))).collect())
    });
    reading(all, |list| list)
}

fn mig_device(nvml: &Nvml, index: u32, device: &Device<'_>) -> DriverMig {
    assert!(device.mig_is_mig_device_handle().unwrap());
    let attributes = device.attributes().unwrap();
    // SAFETY: the handle is valid as long as `nvml` is, and the pointers are to locals.
    let (gpu_instance, compute_instance) = unsafe {
        let (mut gi, mut ci) = (0, 0);
        nvml_try(nvml.lib().nvmlDeviceGetGpuInstanceId(device.handle(), &raw mut gi)).unwrap();
        nvml_try(nvml.lib().nvmlDeviceGetComputeInstanceId(device.handle(), &raw mut ci)).unwrap();
        (gi, ci)
    };
    let name = device.name().unwrap();
    DriverMig {
        index: Reading::Known(index),
        gpu_instance,
        compute_instance,
        uuid: Reading::Known(device.uuid().unwrap().parse().unwrap()),
        profile: Reading::Known(name.split_once(" MIG ").unwrap().1.to_owned()),
        memory: memory(device.memory_info()),
        sm: Reading::Known(attributes.multiprocessor_count),
        ce: Reading::Known(attributes.shared_copy_engine_count),
        enc: Reading::Known(attributes.shared_encoder_count),
        dec: Reading::Known(attributes.shared_decoder_count),
        jpeg: Reading::Known(attributes.shared_jpeg_count),
        ofa: Reading::Known(attributes.shared_ofa_count),
    }
}

/// MIG devices up to the most that there can be; indices that are not found are holes.
fn mig_devices(nvml: &Nvml, device: &Device<'_>) -> Vec<DriverMig> {
    let most = device.mig_device_count().unwrap();
    let at = |index| match device.mig_device_by_index(index) {
        Ok(mig) => Some(mig_device(nvml, index, &mig)),
        Err(NvmlError::NotFound | NvmlError::NotSupported) => None,
        Err(other) => panic!("{other}"),
    };
    (0..most).filter_map(at).collect()
}

/// A value that NVML gives by number.
fn field(device: &Device<'_>, id: u32) -> Reading<u32> {
    let value = device.field_values_for(&[FieldId(id)]).unwrap().pop().unwrap().and_then(|sample| sample.value);
    reading(value, |value| match value {
        SampleValue::U32(number) => number,
        other => panic!("{other:?}"),
    })
}

/// What NVML says of the health of a GPU by number; the rest is asked for elsewhere.
pub fn health(device: &Device<'_>) -> HealthFacts {
    let flag = |id: u32| field(device, id).map(|value| value != 0);
    let words = ["None", "Reset", "Reboot", "Drain P2P", "Drain and Reset"];
    HealthFacts {
        rows_remapped_correctable: field(device, NVML_FI_DEV_REMAPPED_COR),
        rows_remapped_uncorrectable: field(device, NVML_FI_DEV_REMAPPED_UNC),
        row_remap_pending: flag(NVML_FI_DEV_REMAPPED_PENDING),
        row_remap_failed: flag(NVML_FI_DEV_REMAPPED_FAILURE),
        pages_retired_single_bit: field(device, NVML_FI_DEV_RETIRED_SBE),
        pages_retired_double_bit: field(device, NVML_FI_DEV_RETIRED_DBE),
        retirement_pending: reading(device.are_pages_pending_retired(), |pending| pending),
        reset_required: flag(NVML_FI_DEV_RESET_STATUS),
        drain_and_reset_recommended: flag(NVML_FI_DEV_DRAIN_AND_RESET_STATUS),
        recovery_action: field(device, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)
            .map(|number| words[usize::try_from(number).unwrap()].to_owned()),
        ..HealthFacts::default()
    }
}

/// One GPU as NVML tells it. Texts that NVML tells as numbers are nvml-wrapper's words.
pub fn gpu(nvml: &Nvml, index: u32) -> DriverGpu {
    let device = nvml.device_by_index(index).unwrap();
    let pci = device.pci_info().unwrap();
    let address = pci.bus_id.parse().unwrap();
    let id = |glued: u32| format!("{:04x}:{:04x}", glued & 0xffff, glued >> 16).parse().unwrap();
    DriverGpu {
        metrics: Metrics {
            temperature_c: reading(device.temperature(TemperatureSensor::Gpu), f64::from),
            utilization_pct: reading(device.utilization_rates(), |rates| f64::from(rates.gpu)),
            memory_utilization_pct: reading(device.utilization_rates(), |rates| f64::from(rates.memory)),
            encoder_pct: reading(device.encoder_utilization(), |info| f64::from(info.utilization)),
            decoder_pct: reading(device.decoder_utilization(), |info| f64::from(info.utilization)),
            power_w: reading(device.power_usage(), watts),
            power_limit_w: reading(device.enforced_power_limit(), watts),
            fan_pct: reading(device.fan_speed(0), f64::from),
            sm_clock_mhz: reading(device.clock_info(Clock::SM), |mhz| mhz),
            memory_clock_mhz: reading(device.clock_info(Clock::Memory), |mhz| mhz),
            performance_state: reading(device.performance_state(), |state| state.as_c().to_string()),
            ecc_uncorrected: reading(
                device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile),
                |count| count,
            ),
            throttle: reading(device.current_throttle_reasons_strict(), |bits| vec![format!("{:#x}", bits.bits())]),
            pcie_generation: reading(device.current_pcie_link_gen(), |n| n),
            pcie_max_generation: reading(device.max_pcie_link_gen(), |n| n),
            pcie_width: reading(device.current_pcie_link_width(), |n| n),
            pcie_max_width: reading(device.max_pcie_link_width(), |n| n),
            ..Metrics::default()
        },
        pci_id: Reading::Known(id(pci.pci_device_id)),
        subsystem: Reading::Known(id(pci.pci_sub_system_id.unwrap())),
        uuid: reading(device.uuid(), |text| text.parse().unwrap()),
        index: reading(device.index(), |n| n),
        minor: reading(device.minor_number(), |n| n),
        serial: reading(device.serial(), |text| text),
        name: reading(device.name(), |text| text),
        brand: reading(device.brand(), |brand| format!("{brand:?}")),
        architecture: reading(device.architecture(), |architecture| architecture.to_string()),
        compute_capability: reading(device.cuda_compute_capability(), |c| {
            (u32::try_from(c.major).unwrap(), u32::try_from(c.minor).unwrap())
        }),
        vbios: reading(device.vbios_version(), |text| text),
        persistence: reading(device.is_in_persistent_mode(), |on| on),
        virtualization: reading(device.virtualization_mode(), |mode| format!("{mode:?}")),
        host_vgpu_mode: reading(device.vgpu_host_mode(), |mode| match mode {
            HostVgpuMode::Sriov => "SR-IOV".to_owned(),
            HostVgpuMode::NonSriov => "Non SR-IOV".to_owned(),
        }),
        mig_current: reading(device.mig_mode(), |m| mode(m.current)),
        mig_pending: reading(device.mig_mode(), |m| mode(m.pending)),
        mig_devices: mig_devices(nvml, &device),
        memory: memory(device.memory_info()),
        ecc_enabled: reading(device.is_ecc_enabled(), |state| state.currently_enabled),
        processes: processes(nvml, &device),
        health_facts: health(&device),
        ..DriverGpu::unknown(address)
    }
}
