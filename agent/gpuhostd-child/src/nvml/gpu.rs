//! Everything that NVML reports about one GPU, each call on its own.

use super::return_code::{absence, reading};
use super::value::{memory, parsed, text};
use super::{health, mig, words};
use model::absence::{Absence, Reading};
use model::causes::with_causes;
use model::driver::{DriverGpu, GpuProcess, MigMode};
use model::ids::{PciAddress, PciId};
use nvml_wrapper::Nvml;
use nvml_wrapper::device::Device;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::{PciInfo, ProcessInfo};
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::NVML_FI_DEV_POWER_INSTANT;
use protocol::lines::AskedGpu;
use std::collections::BTreeMap;

/// Longest process name that is asked for, in bytes.
const PROCESS_NAME_MAX: usize = 256;

/// Finds a GPU: its handle, its PCI information, and its address.
///
/// # Errors
/// The reason beside each of its values, and a sentence: it does not answer at all, or has no usable address.
pub(super) fn find(nvml: &Nvml, which: AskedGpu) -> Result<(Device<'_>, PciInfo, PciAddress), (Absence, String)> {
    let refused = |what: &str, e: &NvmlError| (no_answer(e), format!("NVML {what} its {which}: {}", with_causes(e)));
    let device = match which {
        AskedGpu::Index(index) => nvml.device_by_index(index),
        AskedGpu::At(address) => nvml.device_by_pci_bus_id(address.to_string()),
    };
    let device = device.map_err(|e| refused("does not answer for", &e))?;
    let pci = device.pci_info().map_err(|e| refused("has no PCI address for", &e))?;
    let address: PciAddress =
        pci.bus_id.parse().map_err(|e| (Absence::garbled(&pci.bus_id), format!("NVML's {which}: {e}")))?;
    if let AskedGpu::At(asked) = which
        && asked != address
    {
        return Err((
            Absence::garbled(&pci.bus_id),
            format!("NVML was asked for its {which} but answered for {address}"),
        ));
    }
    Ok((device, pci, address))
}

/// Reads a GPU.
///
/// # Errors
/// As [`find`].
pub(super) fn read(nvml: &Nvml, which: AskedGpu, problems: &mut Vec<String>) -> Result<DriverGpu, (Absence, String)> {
    let (device, pci, address) = find(nvml, which)?;
    let mut gpu = DriverGpu::unknown(address);
    identify(&mut gpu, &device, &pci);
    describe(&mut gpu, &device);
    measure(&mut gpu, &device);
    gpu.processes = processes(&device);
    if gpu.mig_current.get() == Some(MigMode::Enabled) {
        mig::read(&mut gpu, &device, problems);
    }
    Ok(gpu)
}

/// Why there is no handle. It is there for the kernel: that NVML does not find it is no reason of its own.
fn no_answer(error: &NvmlError) -> Absence {
    let why = absence(error);
    let is_weak = matches!(why, Absence::NotSupported | Absence::NotReported | Absence::Unreadable(_));
    if is_weak { Absence::UnknownError } else { why }
}

fn identify(gpu: &mut DriverGpu, device: &Device<'_>, pci: &PciInfo) {
    gpu.pci_id = glued_id(pci.pci_device_id).map_or_else(Reading::default, Reading::Known);
    gpu.subsystem = pci.pci_sub_system_id.and_then(glued_id).map_or_else(Reading::default, Reading::Known);
    gpu.uuid = parsed(reading(device.uuid()));
    gpu.index = reading(device.index());
    gpu.minor = reading(device.minor_number());
    gpu.serial = text(device.serial());
    gpu.name = text(device.name());
    gpu.vbios = text(device.vbios_version());
}

fn describe(gpu: &mut DriverGpu, device: &Device<'_>) {
    gpu.brand = reading(device.brand()).map(|brand| words::brand(&brand).to_owned());
    gpu.architecture = named(device.architecture(), |it| words::architecture(&it));
    gpu.compute_capability = compute_capability(device);
    gpu.persistence = reading(device.is_in_persistent_mode());
    gpu.virtualization = reading(device.virtualization_mode()).map(|mode| words::virtualization(&mode).to_owned());
    gpu.host_vgpu_mode = reading(device.vgpu_host_mode()).map(|mode| words::host_vgpu(&mode).to_owned());
    (gpu.mig_current, gpu.mig_pending) = mig_mode(device);
    gpu.ecc_enabled = reading(device.is_ecc_enabled()).map(|state| state.currently_enabled);
    gpu.metrics.pcie_max_generation = reading(device.max_pcie_link_gen());
    gpu.metrics.pcie_max_width = reading(device.max_pcie_link_width());
}

fn measure(gpu: &mut DriverGpu, device: &Device<'_>) {
    gpu.memory = memory(device);
    gpu.metrics.temperature_c = number(device.temperature(TemperatureSensor::Gpu));
    (gpu.metrics.utilization_pct, gpu.metrics.memory_utilization_pct) = utilization(device);
    gpu.metrics.encoder_pct = number(device.encoder_utilization().map(|load| load.utilization));
    gpu.metrics.decoder_pct = number(device.decoder_utilization().map(|load| load.utilization));
    gpu.metrics.power_w = power(device);
    gpu.metrics.power_limit_w = reading(device.enforced_power_limit()).map(watts);
    gpu.metrics.fan_pct = number(device.fan_speed(0));
    gpu.metrics.sm_clock_mhz = reading(device.clock_info(Clock::SM));
    gpu.metrics.memory_clock_mhz = reading(device.clock_info(Clock::Memory));
    gpu.metrics.performance_state = named(device.performance_state(), |it| words::performance_state(&it));
    gpu.metrics.ecc_uncorrected = reading(device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile));
    gpu.health_facts = health::facts(device);
    gpu.metrics.throttle = reading(device.current_throttle_reasons()).map(words::throttle);
    gpu.metrics.pcie_generation = reading(device.current_pcie_link_gen());
    gpu.metrics.pcie_width = reading(device.current_pcie_link_width());
}

/// Device in the upper half, vendor in the lower one.
fn glued_id(glued: u32) -> Option<PciId> {
    let half = |bits: u32| u16::try_from(bits & 0xffff).ok();
    (glued != 0).then_some(PciId { vendor: half(glued)?, device: half(glued >> 16)? })
}

fn watts(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1000.0
}

fn number(value: Result<u32, NvmlError>) -> Reading<f64> {
    reading(value).map(f64::from)
}

/// A code that has a name; one without is what the driver itself does not know.
fn named<T>(value: Result<T, NvmlError>, name: impl FnOnce(T) -> Option<&'static str>) -> Reading<String> {
    match value.map(name) {
        Ok(Some(name)) => Reading::Known(name.to_owned()),
        Ok(None) => Reading::Absent(Absence::UnknownError),
        Err(error) => Reading::Absent(absence(&error)),
    }
}

fn compute_capability(device: &Device<'_>) -> Reading<(u32, u32)> {
    match device.cuda_compute_capability() {
        Ok(version) => match (u32::try_from(version.major), u32::try_from(version.minor)) {
            (Ok(major), Ok(minor)) => Reading::Known((major, minor)),
            _ => Reading::Absent(Absence::garbled(&format!("{}.{}", version.major, version.minor))),
        },
        Err(error) => Reading::Absent(absence(&error)),
    }
}

/// MIG mode now and after the next reset.
pub(super) fn mig_mode(device: &Device<'_>) -> (Reading<MigMode>, Reading<MigMode>) {
    let mode = |code: u32| match code {
        0 => Reading::Known(MigMode::Disabled),
        1 => Reading::Known(MigMode::Enabled),
        other => Reading::Absent(Absence::garbled(&other.to_string())),
    };
    match device.mig_mode() {
        Ok(modes) => (mode(modes.current), mode(modes.pending)),
        Err(error) => (Reading::Absent(absence(&error)), Reading::Absent(absence(&error))),
    }
}

/// Per cent of the time in which the GPU and its memory were busy.
fn utilization(device: &Device<'_>) -> (Reading<f64>, Reading<f64>) {
    match device.utilization_rates() {
        Ok(load) => (Reading::Known(f64::from(load.gpu)), Reading::Known(f64::from(load.memory))),
        Err(error) => (Reading::Absent(absence(&error)), Reading::Absent(absence(&error))),
    }
}

/// `power_usage` is an average over a second on newer boards; the field is the value of the moment, where the driver has it.
fn power(device: &Device<'_>) -> Reading<f64> {
    let field = device.field_values_for(&[FieldId(NVML_FI_DEV_POWER_INSTANT)]);
    let sample = field.and_then(|mut samples| samples.pop().unwrap_or(Err(NvmlError::NoData)));
    match sample.and_then(|sample| sample.value) {
        Ok(SampleValue::U32(milliwatts)) => Reading::Known(watts(milliwatts)),
        Ok(SampleValue::F64(_) | SampleValue::U64(_) | SampleValue::I64(_)) | Err(_) => {
            reading(device.power_usage()).map(watts)
        }
    }
}

/// Processes of all kinds, by process id. Unknown as a whole where no kind can be listed.
fn processes(device: &Device<'_>) -> Reading<Vec<GpuProcess>> {
    let compute = device.running_compute_processes();
    let failed = compute.as_ref().err().map(absence);
    let mut found = BTreeMap::new();
    let lists =
        [("C", compute), ("G", device.running_graphics_processes()), ("M", device.mps_running_compute_processes())];
    let mut answered = false;
    for (kind, list) in lists {
        answered |= list.is_ok();
        for process in list.into_iter().flatten() {
            add_process(&mut found, device, kind, &process);
        }
    }
    match failed {
        Some(why) if !answered => Reading::Absent(why),
        _ => Reading::Known(found.into_values().collect()),
    }
}

fn add_process(found: &mut BTreeMap<u32, GpuProcess>, device: &Device<'_>, kind: &str, process: &ProcessInfo) {
    if let Some(known) = found.get_mut(&process.pid) {
        known.kind = known.kind.clone().map(|kinds| format!("{kinds}+{kind}"));
        return;
    }
    let memory_mib = match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Reading::Known(bytes >> 20),
        UsedGpuMemory::Unavailable => Reading::Absent(Absence::NotSupported),
    };
    let name = text(device.nvml().sys_process_name(process.pid, PROCESS_NAME_MAX));
    let kind = Reading::Known(kind.to_owned());
    found.insert(process.pid, GpuProcess { pid: process.pid, kind, name, memory_mib });
}
