//! Gathers the values of one GPU, and settles those that drivers say in more than one way.

use super::draft_value::{first_known, put};
use super::health::HealthDraft;
use super::leaf;
use super::xml_place::{Field, MigField, Place, PowerField, ProcessField, throttle_reason, values_below};
use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, DriverMig, GpuProcess, MemoryMib};
use crate::ids::PciAddress;
use crate::metric::{Metric, MetricSlot, Metrics, Unit};

/// No GPU has more MIG devices (seven GPU instances of seven compute instances).
const MIG_DEVICES_MAX: usize = 64;
/// What was odd about one GPU, as far as it is listed.
const PROBLEMS_MAX: usize = 16;
/// Processes of one GPU that are listed.
const PROCESSES_MAX: usize = 1024;

/// A GPU being read.
pub(super) struct Draft {
    gpu: DriverGpu,
    id: Reading<PciAddress>,
    bus_id: Reading<PciAddress>,
    power: Power,
    ecc: Ecc,
    throttle: Throttle,
    health: HealthDraft,
    mig: Option<MigDraft>,
    process: Option<ProcessDraft>,
    problems: Vec<String>,
    left_out: usize,
}

/// All ways of saying what is drawn and what may be drawn.
#[derive(Default)]
struct Power {
    instant: Reading<f64>,
    draw: Reading<f64>,
    average: Reading<f64>,
    current_limit: Reading<f64>,
    enforced_limit: Reading<f64>,
    set_limit: Reading<f64>,
}

/// All ways of counting volatile uncorrected errors.
#[derive(Default)]
struct Ecc {
    sram: Reading<u64>,
    sram_parity: Reading<u64>,
    sram_secded: Reading<u64>,
    dram: Reading<u64>,
    double_bit_total: Reading<u64>,
}

/// Reasons for lower clocks.
#[derive(Default)]
struct Throttle {
    active: Vec<String>,
    was_said: bool,
    why_not: Option<Absence>,
}

struct MigDraft {
    gpu_instance: Reading<u32>,
    compute_instance: Reading<u32>,
    device: DriverMig,
}

#[derive(Default)]
struct ProcessDraft {
    pid: Reading<u32>,
    kind: Reading<String>,
    name: Reading<String>,
    memory_mib: Reading<u64>,
}

impl Draft {
    /// An empty draft; `id` is the attribute of the element.
    pub(super) fn new(id: Option<&str>) -> Self {
        // The address is settled at the end; until then this one takes the place of it.
        let nowhere = PciAddress { domain: 0, bus: 0, device: 0, function: 0 };
        Self {
            gpu: DriverGpu::unknown(nowhere),
            id: id.map_or_else(Reading::default, |id| leaf::identity(id.trim())),
            bus_id: Reading::default(),
            power: Power::default(),
            ecc: Ecc::default(),
            throttle: Throttle::default(),
            health: HealthDraft::default(),
            mig: None,
            process: None,
            problems: Vec::new(),
            left_out: 0,
        }
    }

    /// A container begins.
    pub(super) fn enter(&mut self, place: Place) {
        if place == Place::MigDevice {
            self.mig = Some(MigDraft::new());
        } else if place == Place::Process {
            self.process = Some(ProcessDraft::default());
        } else if place == Place::Processes && self.gpu.processes.known().is_none() {
            self.gpu.processes = Reading::Known(Vec::new());
        }
    }

    /// A container ends.
    pub(super) fn leave(&mut self, place: Place) {
        if place == Place::MigDevice {
            self.finish_mig();
        } else if place == Place::Process {
            self.finish_process();
        }
    }

    /// A container whose children became one text: the reason stands for each of them.
    pub(super) fn instead(&mut self, place: Place, text: &str) {
        if place == Place::MigDevices || place == Place::MigDevice {
            // `None`, `N/A`: there are no MIG devices to list.
            return;
        }
        let why = leaf::absence_of(text).unwrap_or_else(|| Absence::garbled(text));
        if place == Place::Processes {
            if self.gpu.processes.known().is_none_or(Vec::is_empty) {
                self.gpu.processes = Reading::Absent(why);
            }
        } else if place == Place::Throttle {
            self.throttle.why_not = Some(why);
        } else {
            for (name, field) in values_below(place) {
                self.value(field, name, text);
            }
        }
    }

    /// A value, with the name of its element.
    pub(super) fn value(&mut self, field: Field, name: &str, text: &str) {
        let gpu = &mut self.gpu;
        match field {
            Field::BusId => put(&mut self.bus_id, leaf::identity(text)),
            Field::PciId => put(&mut gpu.pci_id, leaf::glued_pci_id(text)),
            Field::Subsystem => put(&mut gpu.subsystem, leaf::glued_pci_id(text)),
            Field::Uuid => put(&mut gpu.uuid, leaf::identity(text)),
            Field::Minor => put(&mut gpu.minor, leaf::number(text)),
            Field::Serial => put(&mut gpu.serial, leaf::words(text)),
            Field::Name => put(&mut gpu.name, leaf::words(text)),
            Field::Brand => put(&mut gpu.brand, leaf::words(text)),
            Field::Architecture => put(&mut gpu.architecture, leaf::words(text)),
            Field::Vbios => put(&mut gpu.vbios, leaf::words(text)),
            Field::Persistence => put(&mut gpu.persistence, leaf::enabled(text)),
            Field::Virtualization => put(&mut gpu.virtualization, leaf::words(text)),
            Field::HostVgpuMode => put(&mut gpu.host_vgpu_mode, leaf::words(text)),
            Field::MigCurrent => put(&mut gpu.mig_current, leaf::mig_mode(text)),
            Field::MigPending => put(&mut gpu.mig_pending, leaf::mig_mode(text)),
            Field::MemoryTotal => put(&mut gpu.memory.total, leaf::mib(text)),
            Field::MemoryReserved => put(&mut gpu.memory.reserved, leaf::mib(text)),
            Field::MemoryUsed => put(&mut gpu.memory.used, leaf::mib(text)),
            Field::MemoryFree => put(&mut gpu.memory.free, leaf::mib(text)),
            Field::Metric(metric) => put_metric(&mut gpu.metrics, metric, text),
            Field::Power(field) => put(self.power.slot(field), leaf::real(text, Unit::Watts)),
            Field::EccCurrent => put(&mut gpu.ecc_enabled, leaf::enabled(text)),
            Field::EccSram => put(&mut self.ecc.sram, leaf::counter(text)),
            Field::EccSramParity => put(&mut self.ecc.sram_parity, leaf::counter(text)),
            Field::EccSramSecded => put(&mut self.ecc.sram_secded, leaf::counter(text)),
            Field::EccDram => put(&mut self.ecc.dram, leaf::counter(text)),
            Field::EccDoubleBitTotal => put(&mut self.ecc.double_bit_total, leaf::counter(text)),
            Field::ThrottleReason => self.throttle.add(name, leaf::active(text)),
            Field::Health(field) => self.health.value(field, name, text),
            Field::Mig(field) => self.mig_value(field, text),
            Field::Process(field) => self.process_value(field, text),
            // Values of the document's head; they have no place below a GPU.
            Field::DriverVersion | Field::CudaVersion | Field::AttachedGpus => {}
        }
    }

    fn mig_value(&mut self, field: MigField, text: &str) {
        let Some(mig) = &mut self.mig else { return };
        let device = &mut mig.device;
        match field {
            MigField::Index => put(&mut device.index, leaf::number(text)),
            MigField::GpuInstance => put(&mut mig.gpu_instance, leaf::number(text)),
            MigField::ComputeInstance => put(&mut mig.compute_instance, leaf::number(text)),
            MigField::Sm => put(&mut device.sm, leaf::number(text)),
            MigField::Ce => put(&mut device.ce, leaf::number(text)),
            MigField::Enc => put(&mut device.enc, leaf::number(text)),
            MigField::Dec => put(&mut device.dec, leaf::number(text)),
            MigField::Jpeg => put(&mut device.jpeg, leaf::number(text)),
            MigField::Ofa => put(&mut device.ofa, leaf::number(text)),
            MigField::Total => put(&mut device.memory.total, leaf::mib(text)),
            MigField::Reserved => put(&mut device.memory.reserved, leaf::mib(text)),
            MigField::Used => put(&mut device.memory.used, leaf::mib(text)),
            MigField::Free => put(&mut device.memory.free, leaf::mib(text)),
        }
    }

    fn process_value(&mut self, field: ProcessField, text: &str) {
        let Some(process) = &mut self.process else { return };
        match field {
            ProcessField::Pid => put(&mut process.pid, leaf::number(text)),
            ProcessField::Kind => put(&mut process.kind, leaf::words(text)),
            ProcessField::Name => put(&mut process.name, leaf::command(text)),
            ProcessField::Memory => put(&mut process.memory_mib, leaf::mib(text)),
        }
    }

    fn finish_mig(&mut self) {
        let Some(MigDraft { gpu_instance, compute_instance, mut device }) = self.mig.take() else { return };
        let (Some(gi), Some(ci)) = (gpu_instance.get(), compute_instance.get()) else {
            self.problem("a MIG device without its instance ids was ignored".to_owned());
            return;
        };
        device.gpu_instance = gi;
        device.compute_instance = ci;
        let devices = &mut self.gpu.mig_devices;
        if devices.iter().any(|known| known.gpu_instance == gi && known.compute_instance == ci) {
            self.problem(format!("MIG device {gi}/{ci} is listed twice: the first was kept"));
        } else if devices.len() < MIG_DEVICES_MAX {
            devices.push(device);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    fn finish_process(&mut self) {
        let Some(process) = self.process.take() else { return };
        let Reading::Known(list) = &mut self.gpu.processes else { return };
        let Some(pid) = process.pid.get() else {
            self.problem("a process without a process id was ignored".to_owned());
            return;
        };
        if list.len() < PROCESSES_MAX {
            let (kind, name, memory_mib) = (process.kind, process.name, process.memory_mib);
            list.push(GpuProcess { pid, kind, name, memory_mib });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// The GPU, where its address can be determined, and what was odd about it. `nth` is its place in the document, from 1.
    pub(super) fn finish(mut self, nth: usize) -> (Option<DriverGpu>, Vec<String>) {
        let address = self.settle_address(nth);
        let named = address.map_or_else(|| format!("GPU {nth}"), |address| address.to_string());
        if self.left_out > 0 {
            self.problem(format!("{} MIG devices and processes beyond the most that a GPU has", self.left_out));
        }
        let problems = self.problems.into_iter().map(|problem| format!("{named}: {problem}")).collect();
        let gpu = address.map(|address| {
            let (power_w, power_limit_w) = self.power.settle();
            let (ecc_uncorrected, throttle) = (self.ecc.settle(), self.throttle.settle());
            let metrics = Metrics { power_w, power_limit_w, ecc_uncorrected, throttle, ..self.gpu.metrics };
            DriverGpu { address, metrics, health_facts: self.health.settle(), ..self.gpu }
        });
        (gpu, problems)
    }

    /// Notes what was odd; a GPU that is all odd is not worth a line for each part of it.
    fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }

    /// The attribute of the element and the bus id say the same; where one is unusable the other serves.
    fn settle_address(&mut self, nth: usize) -> Option<PciAddress> {
        let (id, bus_id) = (self.id.get(), self.bus_id.get());
        if let (Some(id), Some(bus_id)) = (id, bus_id)
            && id != bus_id
        {
            self.problem(format!("its attribute has {id}, its pci_bus_id has {bus_id}: the attribute was used"));
        }
        if id.is_none() && bus_id.is_none() {
            let name = self.gpu.name.known().map_or("without a name", String::as_str);
            self.problem(format!("the GPU at place {nth} ({name}) has no PCI address and was ignored"));
        }
        id.or(bus_id)
    }
}

/// A metric that is read by its row in the table.
fn put_metric(metrics: &mut Metrics, metric: Metric, text: &str) {
    let unit = metric.row().unit;
    match metrics.slot(metric) {
        Some(MetricSlot::Real(slot)) => put(slot, leaf::real(text, unit)),
        Some(MetricSlot::Small(slot)) => put(slot, leaf::small(text, unit)),
        Some(MetricSlot::Whole(slot)) => put(slot, leaf::counter(text)),
        Some(MetricSlot::Text(slot)) => put(slot, leaf::performance_state(text)),
        Some(MetricSlot::List(_)) | None => {}
    }
}

impl Power {
    fn slot(&mut self, field: PowerField) -> &mut Reading<f64> {
        match field {
            PowerField::Instant => &mut self.instant,
            PowerField::Draw => &mut self.draw,
            PowerField::Average => &mut self.average,
            PowerField::CurrentLimit => &mut self.current_limit,
            PowerField::EnforcedLimit => &mut self.enforced_limit,
            PowerField::SetLimit => &mut self.set_limit,
        }
    }

    /// What is drawn, and the limit in force.
    fn settle(self) -> (Reading<f64>, Reading<f64>) {
        let drawn = first_known([self.instant, self.draw, self.average]);
        (drawn, first_known([self.current_limit, self.enforced_limit, self.set_limit]))
    }
}

impl Ecc {
    /// The double-bit total of older drivers, or all parts that newer ones count apart. Parts that are not known count
    /// nothing as long as one is.
    fn settle(self) -> Reading<u64> {
        if let Some(total) = self.double_bit_total.get() {
            return Reading::Known(total);
        }
        let sram = match self.sram.get() {
            Some(sram) => Some(sram),
            None => sum([self.sram_parity.get(), self.sram_secded.get()]),
        };
        match sum([sram, self.dram.get()]) {
            Some(errors) => Reading::Known(errors),
            None => first_known([self.dram, self.sram, self.sram_parity, self.sram_secded, self.double_bit_total]),
        }
    }
}

/// The sum of those that are known; `None` where none is.
fn sum<const N: usize>(counts: [Option<u64>; N]) -> Option<u64> {
    counts.into_iter().flatten().reduce(u64::saturating_add)
}

impl Throttle {
    fn add(&mut self, name: &str, said: Reading<bool>) {
        match said {
            Reading::Known(is_active) => {
                self.was_said = true;
                if is_active && let Some(reason) = throttle_reason(name) {
                    self.active.push(reason.to_owned());
                }
            }
            Reading::Absent(why) => self.why_not = self.why_not.take().or(Some(why)),
        }
    }

    fn settle(mut self) -> Reading<Vec<String>> {
        if !self.was_said {
            return Reading::Absent(self.why_not.unwrap_or(Absence::NotReported));
        }
        self.active.sort_unstable();
        self.active.dedup();
        Reading::Known(self.active)
    }
}

impl MigDraft {
    fn new() -> Self {
        Self {
            gpu_instance: Reading::default(),
            compute_instance: Reading::default(),
            device: DriverMig {
                index: Reading::default(),
                gpu_instance: 0,
                compute_instance: 0,
                uuid: Reading::default(),
                profile: Reading::default(),
                memory: MemoryMib::default(),
                sm: Reading::default(),
                ce: Reading::default(),
                enc: Reading::default(),
                dec: Reading::default(),
                jpeg: Reading::default(),
                ofa: Reading::default(),
            },
        }
    }
}
