//! What the simulated NVIDIA driver reports about its GPUs, in the shape of each source.

use crate::bus::Bus;
use crate::description::{
    Description, Fact, GpuDescription, MigDescription, MigInstance, NvidiaDriver, SimHealth, SimProduct,
};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig, DriverReport, DriverSource, GpuProcess, MemoryMib, MigMode};
use model::health::facts::HealthFacts;
use model::metric::{Metric, Metrics, Smi};
use model::pci::VENDOR_NVIDIA;
use model::{GpuUuid, MigUuid, PciAddress};

/// What a source shows when nothing keeps it from answering.
#[must_use]
pub fn report(description: &Description, bus: &Bus, source: DriverSource) -> DriverReport {
    let driver = description.driver.as_ref();
    DriverReport {
        driver_version: driver.map(|d| d.version.clone()).into(),
        cuda_version: driver.map(|d| d.cuda.clone()).into(),
        gpus: driver.map(|driver| gpus(description, bus, driver, source)).unwrap_or_default(),
        ..DriverReport::unknown(source)
    }
}

/// The driver numbers the GPUs that are bound to it, in the order of their addresses. Virtual functions of a GPU of
/// this host are none of its GPUs (`nvidia-smi` lists the physical function alone).
fn gpus(description: &Description, bus: &Bus, driver: &NvidiaDriver, source: DriverSource) -> Vec<DriverGpu> {
    let mut described: Vec<&GpuDescription> = description.gpus.iter().collect();
    described.sort_by_key(|gpu| gpu.address);
    let bound = described.into_iter().filter(|gpu| {
        bus.functions.get(&gpu.address).is_some_and(|function| {
            function.id.vendor == VENDOR_NVIDIA && function.driver.as_ref().is_some_and(|d| d.as_str() == "nvidia")
        })
    });
    let with_product = bound.filter_map(|gpu| {
        let model = description.models.get(&gpu.model)?;
        Some((gpu, model, model.product.as_ref()?))
    });
    (0u32..)
        .zip(with_product)
        .map(|(index, (gpu, model, product))| {
            let mut said = Teller { gpu, product }.gpu(index);
            if driver.branch().is_some_and(|branch| branch < 470) {
                name_by_place(&mut said);
            }
            said.pci_id = Reading::Known(model.id);
            said.subsystem = Reading::Known(model.subsystem);
            let link = bus.functions.get(&gpu.address).and_then(|f| f.link);
            let part = |value: Option<u32>| Teller { gpu, product }.tell(Fact::Pcie, value);
            said.metrics.pcie_generation = part(link.map(|l| l.now.generation));
            said.metrics.pcie_max_generation = part(link.map(|l| l.best.generation));
            said.metrics.pcie_width = part(link.map(|l| l.now.width));
            said.metrics.pcie_max_width = part(link.map(|l| l.best.width));
            leave_out_what_the_source_has_not(&mut said, driver, source);
            said
        })
        .collect()
}

struct Teller<'a> {
    gpu: &'a GpuDescription,
    product: &'a SimProduct,
}

impl Teller<'_> {
    /// The value, or what the driver reports in its place.
    fn tell<T>(&self, fact: Fact, value: Option<T>) -> Reading<T> {
        if let Some(why) = self.gpu.absent.get(&fact) {
            return Reading::Absent(why.clone());
        }
        match (self.gpu.health, is_remembered(fact)) {
            (SimHealth::Lost, false) => Reading::Absent(Absence::GpuLost),
            (SimHealth::ResetRequired, false) => Reading::Absent(Absence::ResetRequired),
            (SimHealth::Ok, _) | (SimHealth::Lost | SimHealth::ResetRequired, true) => {
                value.map_or(Reading::Absent(Absence::NotSupported), Reading::Known)
            }
        }
    }

    fn mig_is_on(&self) -> bool {
        self.gpu.mig.as_ref().is_some_and(|mig| mig.current == MigMode::Enabled)
    }

    fn gpu(&self, index: u32) -> DriverGpu {
        let (gpu, product) = (self.gpu, self.product);
        let mig = self.mig();
        DriverGpu {
            uuid: self.tell(Fact::Uuid, gpu_uuid(gpu)),
            index: Reading::Known(index),
            minor: self.tell(Fact::Minor, Some(gpu.minor.unwrap_or(index))),
            serial: self.tell(Fact::Serial, product.serial.then(|| made_up_serial(gpu.address))),
            name: self.tell(Fact::Name, Some(product.name.clone())),
            brand: self.tell(Fact::Brand, Some(product.brand.clone())),
            architecture: self.tell(Fact::Architecture, Some(product.architecture.clone())),
            compute_capability: self.tell(Fact::ComputeCapability, Some(product.compute_capability)),
            vbios: self.tell(Fact::Vbios, Some(product.vbios.clone())),
            persistence: self.tell(Fact::Persistence, Some(gpu.persistence)),
            virtualization: self.tell(Fact::Virtualization, Some(gpu.virtualization.clone())),
            host_vgpu_mode: self.tell(Fact::Virtualization, gpu.host_vgpu_mode.clone()),
            mig_current: self.tell(Fact::Mig, mig.as_ref().map(|m| m.current)),
            mig_pending: self.tell(Fact::Mig, mig.as_ref().map(|m| m.pending)),
            mig_devices: if self.mig_is_on() { self.mig_devices() } else { Vec::new() },
            memory: self.memory(),
            metrics: self.metrics(),
            ecc_enabled: self.tell(Fact::EccMode, product.ecc.then_some(true)),
            health_facts: health_facts(gpu),
            processes: self.tell(Fact::Processes, Some(self.processes())),
            ..DriverGpu::unknown(gpu.address)
        }
    }

    fn metrics(&self) -> Metrics {
        let (product, load) = (self.product, &self.gpu.load);
        // With MIG on the driver measures no utilization of the card as a whole.
        let whole = |value: u32| (!self.mig_is_on()).then(|| f64::from(value));
        Metrics {
            temperature_c: self.tell(Fact::Temperature, Some(f64::from(load.temperature_c))),
            utilization_pct: self.tell(Fact::Utilization, whole(load.utilization_pct)),
            memory_utilization_pct: self.tell(Fact::Utilization, whole(load.memory_utilization_pct)),
            encoder_pct: self.tell(Fact::Encoder, whole(load.encoder_pct)),
            decoder_pct: self.tell(Fact::Decoder, whole(load.decoder_pct)),
            power_w: self.tell(Fact::Power, Some(load.power_w)),
            power_limit_w: self.tell(Fact::PowerLimit, Some(product.power_limit_w)),
            fan_pct: self.tell(Fact::Fan, product.fan.then(|| f64::from(load.fan_pct))),
            performance_state: self.tell(Fact::PerformanceState, Some(format!("P{}", load.performance_state))),
            ecc_uncorrected: self.tell(Fact::EccErrors, product.ecc.then_some(load.ecc_uncorrected)),
            throttle: self.tell(Fact::Throttle, Some(sorted(&load.throttle))),
            ..self.other_metrics()
        }
    }

    /// The metrics that are described under their own names, as far as NVIDIA's tools have them.
    fn other_metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        metrics.each(|metric, slot| {
            if is_asked(metric) {
                slot.number(self.tell(Fact::OtherMetrics, self.gpu.load.others.get(&metric).copied()));
            }
        });
        metrics
    }

    /// A card that can do MIG and reports nothing of it has it off; any other card does not know the question.
    fn mig(&self) -> Option<MigDescription> {
        let off = || MigDescription { current: MigMode::Disabled, pending: MigMode::Disabled, instances: Vec::new() };
        self.product.mig.then(|| self.gpu.mig.clone().unwrap_or_else(off))
    }

    fn memory(&self) -> MemoryMib {
        let (total, reserved) = (self.product.memory_mib, self.product.reserved_mib);
        let used = self.gpu.load.used_mib;
        MemoryMib {
            total: self.tell(Fact::Memory, Some(total)),
            reserved: self.tell(Fact::Memory, Some(reserved)),
            used: self.tell(Fact::Memory, Some(used)),
            free: self.tell(Fact::Memory, Some(total.saturating_sub(reserved).saturating_sub(used))),
        }
    }

    fn processes(&self) -> Vec<GpuProcess> {
        let process = |p: &crate::description::ProcessDescription| GpuProcess {
            pid: p.pid,
            kind: Reading::Known(p.kind.clone()),
            name: Reading::Known(p.name.clone()),
            memory_mib: Reading::Known(p.memory_mib),
        };
        self.gpu.processes.iter().map(process).collect()
    }

    fn mig_devices(&self) -> Vec<DriverMig> {
        let instances = self.gpu.mig.iter().flat_map(|mig| &mig.instances);
        (0u32..).zip(instances).map(|(index, instance)| mig_device(self.gpu.address, index, instance)).collect()
    }
}

fn mig_device(card: PciAddress, index: u32, instance: &MigInstance) -> DriverMig {
    DriverMig {
        index: Reading::Known(index),
        gpu_instance: instance.gpu_instance,
        compute_instance: instance.compute_instance,
        uuid: mig_uuid(card, instance.gpu_instance, instance.compute_instance, instance.uuid.as_ref()).into(),
        profile: Reading::Known(instance.profile.clone()),
        memory: MemoryMib {
            total: Reading::Known(instance.memory_mib),
            reserved: Reading::Known(0),
            used: Reading::Known(instance.used_mib),
            free: Reading::Known(instance.memory_mib.saturating_sub(instance.used_mib)),
        },
        sm: Reading::Known(instance.sm),
        ce: Reading::Known(instance.ce),
        enc: Reading::Known(instance.enc),
        dec: Reading::Known(instance.dec),
        jpeg: Reading::Known(instance.jpeg),
        ofa: Reading::Known(instance.ofa),
    }
}

/// What is described, and what the driver wants: of a lost GPU it knows no more than that.
fn health_facts(gpu: &GpuDescription) -> HealthFacts {
    let wish = if gpu.health == SimHealth::Ok { "None" } else { "Reset" };
    let facts =
        if gpu.health == SimHealth::Lost { HealthFacts::absent(&Absence::GpuLost) } else { gpu.health_facts.clone() };
    HealthFacts {
        recovery_action: gpu.health_facts.recovery_action.clone().or(Reading::Known(wish.to_owned())),
        ..facts
    }
}

/// Which branch of the driver began to tell a fact by NVML and by nvidia-smi, and from which on it did so no more.
fn leave_out_health(facts: &mut HealthFacts, branch: u32, source: DriverSource) {
    let by_nvml = source == DriverSource::Nvml;
    let within =
        |nvml: std::ops::Range<u32>, smi: std::ops::Range<u32>| if by_nvml { nvml } else { smi }.contains(&branch);
    fn clear<T>(known: bool, reading: &mut Reading<T>) {
        if !known {
            *reading = Reading::default();
        }
    }
    if by_nvml && facts.row_remap_failed.absence() == Some(&Absence::GpuLost) {
        // NVML gives no value by number of a GPU that is lost; nvidia-smi keeps the driver's wish.
        facts.recovery_action = Reading::Absent(Absence::GpuLost);
    }
    clear(within(565..u32::MAX, 570..u32::MAX), &mut facts.recovery_action);
    clear(within(560..570, 535..570), &mut facts.reset_required);
    clear(within(560..570, 535..570), &mut facts.drain_and_reset_recommended);
    clear(within(580..u32::MAX, 570..u32::MAX), &mut facts.channel_repair_pending);
    clear(within(580..u32::MAX, 570..u32::MAX), &mut facts.tpc_repair_pending);
    clear(within(535..u32::MAX, 550..u32::MAX), &mut facts.sram_threshold_exceeded);
    clear(within(0..0, 590..u32::MAX), &mut facts.unrepairable_memory);
    clear(within(550..u32::MAX, 525..u32::MAX), &mut facts.fabric_state);
    clear(within(550..u32::MAX, 525..u32::MAX), &mut facts.fabric_status);
    clear(within(580..u32::MAX, 580..u32::MAX), &mut facts.fabric_health);
    clear(within(550..u32::MAX, 550..u32::MAX), &mut facts.fabric_faults);
}

/// Drivers before 470 have no UUID for a MIG device: `MIG-<GPU's UUID>/<GPU instance>/<compute instance>`.
fn name_by_place(gpu: &mut DriverGpu) {
    for mig in &mut gpu.mig_devices {
        let card = gpu.uuid.known().map_or("GPU-0", GpuUuid::as_str);
        mig.uuid = format!("MIG-{card}/{}/{}", mig.gpu_instance, mig.compute_instance).parse().ok().into();
    }
}

/// What the driver keeps in memory and reports without asking the card.
const fn is_remembered(fact: Fact) -> bool {
    match fact {
        Fact::Uuid
        | Fact::Serial
        | Fact::Name
        | Fact::Brand
        | Fact::Architecture
        | Fact::ComputeCapability
        | Fact::Vbios
        | Fact::Minor
        | Fact::Persistence
        | Fact::Virtualization
        | Fact::Mig => true,
        Fact::Memory
        | Fact::Temperature
        | Fact::Utilization
        | Fact::Encoder
        | Fact::Decoder
        | Fact::Power
        | Fact::PowerLimit
        | Fact::Fan
        | Fact::PerformanceState
        | Fact::EccMode
        | Fact::EccErrors
        | Fact::Throttle
        | Fact::OtherMetrics
        | Fact::Pcie
        | Fact::Processes => false,
    }
}

/// Fields that a source, or a branch of it, has no place for.
fn leave_out_what_the_source_has_not(gpu: &mut DriverGpu, driver: &NvidiaDriver, source: DriverSource) {
    let branch = driver.branch().unwrap_or(0);
    let new_enough = |since: u32| branch >= since;
    leave_out_health(&mut gpu.health_facts, branch, source);
    match source {
        DriverSource::Nvml | DriverSource::Sysfs => {}
        DriverSource::Smi | DriverSource::SmiInDriverContainer => {
            gpu.compute_capability = Reading::default();
            for mig in &mut gpu.mig_devices {
                mig.uuid = Reading::default();
                mig.profile = Reading::default();
                if !new_enough(510) {
                    mig.memory.reserved = Reading::default();
                }
            }
            if !new_enough(510) {
                gpu.architecture = Reading::default();
                gpu.memory.reserved = Reading::default();
            }
        }
    }
}

fn sorted(reasons: &[String]) -> Vec<String> {
    let mut reasons = reasons.to_vec();
    reasons.sort();
    reasons
}

/// The described UUID of a GPU, or one made of its place.
pub(crate) fn gpu_uuid(gpu: &GpuDescription) -> Option<GpuUuid> {
    gpu.uuid.clone().or_else(|| made_up_uuid(gpu.address))
}

fn made_up_uuid(address: PciAddress) -> Option<GpuUuid> {
    format!(
        "GPU-51a00000-{:04x}-4{:02x}0-8{:02x}{:x}-51a0{:08x}",
        address.domain & 0xffff,
        address.bus,
        address.device,
        address.function,
        address.domain
    )
    .parse()
    .ok()
}

/// The described UUID of a MIG device, or one made of its place: as with the real driver, an instance that is created again at the
/// same place has the same one.
pub(crate) fn mig_uuid(
    card: PciAddress,
    gpu_instance: u32,
    compute_instance: u32,
    described: Option<&MigUuid>,
) -> Option<MigUuid> {
    if let Some(uuid) = described {
        return Some(uuid.clone());
    }
    format!(
        "MIG-51a00000-{:04x}-5{:02x}0-8{:02x}{:x}-51a0{:04x}{:04x}",
        card.domain & 0xffff,
        card.bus,
        card.device,
        card.function,
        gpu_instance & 0xffff,
        compute_instance & 0xffff
    )
    .parse()
    .ok()
}

fn made_up_serial(address: PciAddress) -> String {
    format!("15625{:03}{:02}{:03}", address.domain % 1000, address.device, address.bus)
}

/// The report with `N/A` in every place: what is left of a GPU is its address, which is in an attribute.
#[must_use]
pub fn without_values(mut report: DriverReport) -> DriverReport {
    report.gpus = report.gpus.iter().map(|gpu| not_available(gpu.address)).collect();
    report
}

/// Whether NVIDIA's tools know the metric.
const fn is_asked(metric: Metric) -> bool {
    match metric.row().smi {
        Smi::At { .. } | Smi::ByHand(_) => true,
        Smi::Not(_) => false,
    }
}

fn not_available(address: PciAddress) -> DriverGpu {
    fn na<T>(field: &mut Reading<T>) {
        *field = Reading::Absent(Absence::NotSupported);
    }
    let mut gpu = DriverGpu::unknown(address);
    na(&mut gpu.pci_id);
    na(&mut gpu.subsystem);
    na(&mut gpu.uuid);
    na(&mut gpu.minor);
    na(&mut gpu.serial);
    na(&mut gpu.name);
    na(&mut gpu.brand);
    na(&mut gpu.architecture);
    na(&mut gpu.vbios);
    na(&mut gpu.persistence);
    na(&mut gpu.virtualization);
    na(&mut gpu.host_vgpu_mode);
    na(&mut gpu.mig_current);
    na(&mut gpu.mig_pending);
    na(&mut gpu.memory.total);
    na(&mut gpu.memory.used);
    na(&mut gpu.memory.free);
    na(&mut gpu.ecc_enabled);
    gpu.metrics.each(|metric, slot| {
        if is_asked(metric) {
            slot.forget(&Absence::NotSupported);
        }
    });
    na(&mut gpu.processes);
    gpu
}
