//! From the model's GPU to the manager API's `Gpu` and `GpuMetrics`.

use super::{
    CauseLinkDocument, DrmDocument, FeatureDocument, GpuDocument, GpuMetrics, HealthDocument, MigDocument, MigMetrics,
    MigPlacement, MigState, PassthroughDocument, Pcie, Sriov, Vendor,
};
use crate::metric_values::MetricValues;
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig, MigMode};
use model::features::{FeatureName, Features};
use model::health::driver_report;
use model::judge::{Grounds, unschedulable};
use model::metric::{Metric, Unit, Value, of_driver};
use model::observation::{self, GpuUse, HostObservation};
use model::pci::{DrmNodes, GpuFunction, VENDOR_AMD, VENDOR_INTEL, VENDOR_NVIDIA};
use std::collections::BTreeMap;

/// The document of one GPU of an observation.
#[must_use]
pub fn gpu_document(gpu: &observation::Gpu, seen: &HostObservation) -> GpuDocument {
    let said = gpu.driver.as_ref().map(|driver| driver_document(driver, gpu.driver_version.as_deref()));
    let said = said.unwrap_or_default();
    let pci = &gpu.pci;
    let members = pci.iommu_group.get().and_then(|id| seen.group(id));
    GpuDocument {
        bdf: pci.address.to_string(),
        pci_id: Some(pci.id.to_string()),
        subsys_id: pci.subsystem.known().map(ToString::to_string).or(said.subsys_id),
        class: Some(format!("0x{}", pci.class)),
        vendor: vendor(pci.id.vendor),
        name: gpu.name().map(str::to_owned),
        driver: pci.driver.known().map(ToString::to_string),
        iommu_group: pci.iommu_group.get().map(|id| id.0),
        iommu_group_members: members.map(|group| group.members.iter().map(|m| m.address.to_string()).collect()),
        passthrough: Some(PassthroughDocument {
            eligible: gpu.passthrough.eligible,
            reasons: gpu.passthrough.reasons.iter().map(|reason| reason.code().to_owned()).collect(),
        }),
        numa_node: pci.numa_node.get(),
        drm: Some(drm(&pci.drm)),
        features: features(&gpu.features),
        visible_to_runtime: Some(gpu.visible_to_runtime),
        schedulable: gpu.schedulable,
        unschedulable_reason: gpu.unschedulable_reason.map(|why| why.code().to_owned()),
        usage: Some(gpu.usage.code().to_owned()),
        cause_chain: Some(gpu.cause_chain.iter().map(cause_link).collect()),
        pcie: Some(pcie(pci, said.pcie.unwrap_or_default())),
        sriov: sriov(pci),
        health: Some(HealthDocument { state: gpu.health.state.code().to_owned(), reasons: gpu.health.codes() }),
        mig: said.mig.map(|state| placed(state, gpu)),
        ..said
    }
}

/// The document of one GPU as far as its driver alone can tell it: everything that only sysfs and Docker know is left out
/// or `null`, and it is schedulable unless the driver's own words speak against it.
#[must_use]
pub fn driver_document(driver: &DriverGpu, driver_version: Option<&str>) -> GpuDocument {
    let is_mig = driver.mig_current.get() == Some(MigMode::Enabled);
    let usage = if is_mig { GpuUse::Mig } else { GpuUse::Host };
    let (health, reasons) = driver_report::gist(driver);
    let against = unschedulable(&Grounds {
        usage,
        is_off: false,
        driver: Some(driver),
        chain: &[],
        visible: true,
        asleep: false,
        health,
    });
    GpuDocument {
        bdf: driver.address.to_string(),
        pci_id: driver.pci_id.known().map(ToString::to_string),
        subsys_id: driver.subsystem.known().map(ToString::to_string),
        vendor: driver.pci_id.get().map_or(Vendor::Nvidia, |id| vendor(id.vendor)),
        name: driver.name.known().cloned(),
        arch: driver.architecture.known().cloned(),
        compute_capability: driver.compute_capability.get().map(|(major, minor)| format!("{major}.{minor}")),
        uuid: driver.uuid.known().map(ToString::to_string),
        index: driver.index.get(),
        minor: driver.minor.get(),
        serial: driver.serial.known().cloned(),
        driver_version: driver_version.map(str::to_owned),
        memory_mib: driver.memory.total.get(),
        virt_mode: driver.virtualization.known().cloned(),
        mig: Some(mig_state(driver)),
        schedulable: against.is_none(),
        unschedulable_reason: against.map(|why| why.code().to_owned()),
        pcie: Some(Pcie {
            r#gen: driver.metrics.pcie_generation.get(),
            max_gen: driver.metrics.pcie_max_generation.get(),
            width: driver.metrics.pcie_width.get(),
            max_width: driver.metrics.pcie_max_width.get(),
        }),
        health: (!reasons.is_empty()).then(|| HealthDocument { state: health.code().to_owned(), reasons }),
        ..GpuDocument::default()
    }
}

/// The metrics of one GPU of an observation; where the driver has no facts, the reason is given.
#[must_use]
pub fn gpu_metrics(gpu: &observation::Gpu) -> GpuMetrics {
    let xid_last = gpu.health.xid_last;
    match &gpu.driver {
        Some(driver) => GpuMetrics { xid_last, ..driver_metrics(driver) },
        None => GpuMetrics {
            bdf: gpu.pci.address.to_string(),
            xid_last,
            values: named(|_| Reading::default()),
            reason: Some(gpu.driver_absence.as_ref().unwrap_or(&Absence::NotProbed).code().to_owned()),
            ..GpuMetrics::default()
        },
    }
}

/// The metrics of one GPU as its driver reports them.
#[must_use]
pub fn driver_metrics(driver: &DriverGpu) -> GpuMetrics {
    GpuMetrics {
        uuid: driver.uuid.known().map(ToString::to_string),
        bdf: driver.address.to_string(),
        reason: gravest(driver).map(|why| why.code().to_owned()),
        values: named(|metric| of_driver(metric, driver)),
        xid_last: None,
        mig: driver.mig_devices.iter().map(mig_metrics).collect(),
    }
}

/// The gravest reason among the metrics that are missing.
fn gravest(driver: &DriverGpu) -> Option<Absence> {
    let shown = Metric::ALL.iter().filter(|metric| metric.row().api.name().is_some());
    shown.filter_map(|metric| of_driver(*metric, driver).absence().cloned()).max_by_key(gravity)
}

/// All metrics that the contract has a name for.
fn named(read: impl Fn(Metric) -> Reading<Value>) -> MetricValues {
    let of = |metric: &Metric| {
        let (row, value) = (metric.row(), read(*metric).into_known());
        // The schema does not let a list be null.
        let is_left_out = value.is_none() && row.unit == Unit::List;
        row.api.name().filter(|_| !is_left_out).map(|name| (name, value))
    };
    Metric::ALL.iter().filter_map(of).collect()
}

/// How much a reason reports about the state of the GPU: trouble outweighs what a healthy GPU may lack.
const fn gravity(why: &Absence) -> u8 {
    match why {
        Absence::GpuLost => 9,
        Absence::ResetRequired => 8,
        Absence::ProbeTimeout | Absence::ProbeFailed | Absence::DriverAbsent => 7,
        Absence::GpuAsleep | Absence::NotProbed => 6,
        Absence::UnknownError => 5,
        Absence::NoPermission | Absence::Unreadable(_) => 4,
        Absence::Garbled(_) => 3,
        Absence::NotSupported => 2,
        Absence::Deprecated => 1,
        Absence::NotReported | Absence::NotRead | Absence::None => 0,
    }
}

const fn vendor(id: u16) -> Vendor {
    match id {
        VENDOR_NVIDIA => Vendor::Nvidia,
        VENDOR_AMD => Vendor::Amd,
        VENDOR_INTEL => Vendor::Intel,
        _ => Vendor::Other,
    }
}

fn drm(nodes: &DrmNodes) -> DrmDocument {
    let path = |name: &Option<String>| name.as_ref().map(|name| format!("/dev/dri/{name}"));
    DrmDocument { card: path(&nodes.card), render: path(&nodes.render) }
}

/// What sysfs reports about the link, and the driver's word where sysfs is silent.
fn pcie(pci: &GpuFunction, said: Pcie) -> Pcie {
    Pcie {
        r#gen: pci.link.generation.get().or(said.r#gen),
        max_gen: pci.link.max_generation.get().or(said.max_gen),
        width: pci.link.width.get().or(said.width),
        max_width: pci.link.max_width.get().or(said.max_width),
    }
}

fn sriov(pci: &GpuFunction) -> Option<Sriov> {
    (!pci.virtual_functions.is_empty() || pci.physical_function.is_some()).then(|| Sriov {
        virtual_functions: pci.virtual_functions.iter().map(ToString::to_string).collect(),
        physical_function: pci.physical_function.map(|address| address.to_string()),
    })
}

fn cause_link(link: &observation::CauseLink) -> CauseLinkDocument {
    CauseLinkDocument {
        link: link.link.code().to_owned(),
        ok: link.ok,
        reason: link.reason.clone(),
        remedy: link.remedy.clone(),
    }
}

fn features(known: &Features) -> BTreeMap<String, FeatureDocument> {
    let document = |(name, feature): (&FeatureName, &model::features::Feature)| {
        let reason = feature.reason.map(|lack| lack.code().to_owned());
        (name.code().to_owned(), FeatureDocument { supported: feature.supported, enabled: feature.enabled, reason })
    };
    known.iter().map(document).collect()
}

/// A mode that the driver calls not applicable, or a driver older than MIG, means a GPU without MIG; an error means nothing.
fn mig_state(driver: &DriverGpu) -> MigState {
    let code = |mode: &Reading<MigMode>| mode.get().map(|mode| mode.code().to_owned());
    MigState {
        supported: match &driver.mig_current {
            Reading::Known(_) => Some(true),
            Reading::Absent(Absence::NotSupported | Absence::NotReported | Absence::None) => Some(false),
            Reading::Absent(_) => None,
        },
        current: code(&driver.mig_current),
        pending: code(&driver.mig_pending),
        instances: driver.mig_devices.iter().map(mig).collect(),
    }
}

/// With where each MIG device is and who created it: no driver's sample has that.
fn placed(state: MigState, gpu: &observation::Gpu) -> MigState {
    let place = |document: MigDocument| {
        let place = gpu.mig_place(document.gi);
        let placement = place.map(|place| MigPlacement { start: place.instance.start, size: place.size });
        MigDocument { placement, managed: place.map(|place| place.is_ours), ..document }
    };
    MigState { instances: state.instances.into_iter().map(place).collect(), ..state }
}

fn mig(device: &DriverMig) -> MigDocument {
    MigDocument {
        uuid: device.uuid.known().map(ToString::to_string),
        gi: device.gpu_instance,
        ci: device.compute_instance,
        dev: device.index.get(),
        profile: device.profile.known().cloned(),
        placement: None,
        managed: None,
        memory_mib: device.memory.total.get(),
        sm: device.sm.get(),
        ce: device.ce.get(),
        enc: device.enc.get(),
        dec: device.dec.get(),
        jpeg: device.jpeg.get(),
        ofa: device.ofa.get(),
    }
}

fn mig_metrics(device: &DriverMig) -> MigMetrics {
    MigMetrics {
        uuid: device.uuid.known().map(ToString::to_string),
        gi: device.gpu_instance,
        ci: device.compute_instance,
        mem_total_mib: device.memory.total.get(),
        mem_used_mib: device.memory.used.get(),
        mem_free_mib: device.memory.free.get(),
    }
}
