//! What a GPU object shows.

use super::absent::{Absent, HasAbsent};
use super::feature::{FeatureView, views};
use super::host::millis;
use super::metrics::{MetricsView, from_driver};
use super::mig::MigView;
use super::{gpu_path, group_path};
use model::PciAddress;
use model::absence::{Absence, Reading};
use model::driver::MigMode;
use model::health::HealthReason;
use model::observation::{CauseLink, Gpu};
use model::pci::{GpuFunction, Mediated};
use serde::{Deserialize, Serialize};

/// All properties of `org.gpuhost.Agent1.Gpu`, and the metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GpuView {
    /// Object path.
    pub path: String,
    /// PCI address, `0000:41:00.0`.
    pub address: String,
    /// PCI vendor and device id, `10de:2330`.
    pub pci_id: String,
    /// PCI subsystem vendor and device id.
    pub subsystem_id: Option<String>,
    /// PCI class code, six hexadecimal digits.
    pub class: String,
    /// Vendor, from the hardware database.
    pub vendor: Option<String>,
    /// Best name: the driver's, else the hardware database's.
    pub name: Option<String>,
    /// UUID reported by the driver.
    pub uuid: Option<String>,
    /// Index in the driver's order: for printing, never an identity.
    pub index: Option<u32>,
    /// Board serial number.
    pub serial: Option<String>,
    /// Architecture in the driver's words.
    pub architecture: Option<String>,
    /// VBIOS version.
    pub vbios_version: Option<String>,
    /// Frame buffer memory of the card in MiB.
    pub memory_total_mib: Option<u64>,
    /// Bound kernel driver.
    pub driver: Option<String>,
    /// The kernel's driver override, where one is set.
    pub driver_override: Option<String>,
    /// Version of the driver that answers for the GPU.
    pub driver_version: Option<String>,
    /// Object path of its IOMMU group.
    pub iommu_group: Option<String>,
    /// NUMA node.
    pub numa_node: Option<u32>,
    /// PCI power state (`D0`, `D3hot`).
    pub power_state: Option<String>,
    /// The firmware used it as the console.
    pub boot_vga: Option<bool>,
    /// DRM card node, `card0`.
    pub drm_card: Option<String>,
    /// DRM render node, `renderD128`.
    pub drm_render: Option<String>,
    /// Highest PCIe generation of the device.
    pub pcie_max_generation: Option<u32>,
    /// Highest number of PCIe lanes of the device.
    pub pcie_max_width: Option<u32>,
    /// SR-IOV virtual functions that stand under it.
    pub virtual_functions: Vec<String>,
    /// The physical function, where this is itself a virtual function.
    pub physical_function: Option<String>,
    /// Other functions of the same card (audio, USB).
    pub companions: Vec<String>,
    /// `host`, `shared`, `mig`, `passthrough`, `transitioning` or `quarantined`.
    #[serde(rename = "Use")]
    pub usage: String,
    /// A workspace may use it.
    pub schedulable: bool,
    /// Stable code of why not.
    pub unschedulable_reason: Option<String>,
    /// The container runtime can really inject it.
    pub visible_to_runtime: bool,
    /// From the PCI bus to policy; the first link with `Ok` false gives the reason why the GPU cannot be used.
    pub cause_chain: Vec<CauseView>,
    /// Nothing that the scan shows prevents a passthrough.
    pub passthrough_eligible: bool,
    /// Stable codes of what prevents it.
    pub passthrough_reasons: Vec<String>,
    /// When it is taken back unless that it is given away is confirmed before, in milliseconds since 1970-01-01 UTC; an older daemon
    /// does not say it.
    #[serde(default)]
    pub confirm_before: Option<u64>,
    /// How well it is: `ok`, `degraded`, `failed` or `unknown`.
    pub health: String,
    /// What speaks against it, the gravest first.
    pub health_reasons: Vec<HealthReasonView>,
    /// Number of the last Xid in the kernel log.
    pub last_xid: Option<u32>,
    /// MIG mode now, `enabled` or `disabled`.
    pub mig_mode: Option<String>,
    /// MIG mode after the next reset.
    pub mig_pending_mode: Option<String>,
    /// MIG devices, by GPU instance and compute instance.
    pub mig_devices: Vec<MigView>,
    /// ECC is on.
    pub ecc_enabled: Option<bool>,
    /// Persistence mode is on.
    pub persistence: Option<bool>,
    /// What the driver wants done, `None`, `Reset`, …
    pub recovery_action: Option<String>,
    /// What it can be used for.
    pub features: Vec<FeatureView>,
    /// How the kernel can reset it (`flr`, `bus`, …), in the order in which it tries them; empty if it cannot.
    pub reset_methods: Option<Vec<String>>,
    /// `power/runtime_status` (`active`, `suspended`, …).
    pub runtime_status: Option<String>,
    /// The kernel may switch off its power while it is suspended.
    pub d3cold_allowed: Option<bool>,
    /// Types of mediated devices that it could make.
    pub mediated_types: Vec<String>,
    /// Mediated devices that exist (UUIDs), and virtual functions that are a vGPU (addresses).
    pub mediated_devices: Vec<String>,
    /// State of the NVLink fabric in the driver's words.
    pub fabric_state: Option<String>,
    /// Properties that have no value now, with the reason.
    pub absent: Absent,
    /// Measured values (`GetMetrics` on D-Bus).
    pub metrics: MetricsView,
}

/// One link of the chain from the bus to a usable GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CauseView {
    /// `pci`, `kernel_driver`, `nvml`, `docker_runtime`, `cdi` or `policy`.
    pub link: String,
    /// Whether it holds; `null` = not reached or not known.
    pub ok: Option<bool>,
    /// Why it does not hold.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// One reason against the health of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthReasonView {
    /// Stable code, `xid_79`.
    pub code: String,
    /// `degraded` or `failed`.
    pub state: String,
    /// What was seen.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Since when, in milliseconds since 1970-01-01 UTC.
    pub since: u64,
}

impl From<&HealthReason> for HealthReasonView {
    fn from(reason: &HealthReason) -> Self {
        Self {
            code: reason.code.clone(),
            state: reason.state.code().to_owned(),
            message: reason.message.clone(),
            remedy: reason.remedy.clone(),
            since: u64::try_from(reason.since.0).unwrap_or(0),
        }
    }
}

impl From<&CauseLink> for CauseView {
    fn from(link: &CauseLink) -> Self {
        Self {
            link: link.link.code().to_owned(),
            ok: link.ok,
            reason: link.reason.clone(),
            remedy: link.remedy.clone(),
        }
    }
}

impl From<&Gpu> for GpuView {
    fn from(gpu: &Gpu) -> Self {
        let pci = &gpu.pci;
        let mut absent = Absent::default();
        let unasked = gpu.driver_absence.clone().unwrap_or(Absence::NotReported);
        let mig = |mode: Reading<MigMode>| mode.map(|m| m.code().to_owned());
        let max_generation = pci.link.max_generation.clone().or(from_driver(gpu, |d| &d.metrics.pcie_max_generation));
        let max_width = pci.link.max_width.clone().or(from_driver(gpu, |d| &d.metrics.pcie_max_width));
        Self {
            path: gpu_path(pci.address),
            address: pci.address.to_string(),
            pci_id: pci.id.to_string(),
            subsystem_id: absent.value("SubsystemId", pci.subsystem.clone().map(|id| id.to_string())),
            class: pci.class.to_string(),
            vendor: absent.option("Vendor", pci.vendor_name.clone(), &Absence::NotReported),
            name: absent.option("Name", gpu.name().map(str::to_owned), &Absence::NotReported),
            uuid: absent.value("Uuid", from_driver(gpu, |d| &d.uuid).map(|uuid| uuid.to_string())),
            index: absent.value("Index", from_driver(gpu, |d| &d.index)),
            serial: absent.value("Serial", from_driver(gpu, |d| &d.serial)),
            architecture: absent.value("Architecture", from_driver(gpu, |d| &d.architecture)),
            vbios_version: absent.value("VbiosVersion", from_driver(gpu, |d| &d.vbios)),
            memory_total_mib: absent.value("MemoryTotalMib", from_driver(gpu, |d| &d.memory.total)),
            driver: absent.value("Driver", pci.driver.clone().map(|name| name.to_string())),
            driver_override: absent.value("DriverOverride", pci.driver_override.clone()),
            driver_version: absent.option("DriverVersion", gpu.driver_version.clone(), &unasked),
            iommu_group: absent.value("IommuGroup", pci.iommu_group.clone().map(group_path)),
            numa_node: absent.value("NumaNode", pci.numa_node.clone()),
            power_state: absent.value("PowerState", pci.power_state.clone()),
            boot_vga: absent.value("BootVga", pci.boot_vga.clone()),
            drm_card: absent.option("DrmCard", pci.drm.card.clone(), &Absence::None),
            drm_render: absent.option("DrmRender", pci.drm.render.clone(), &Absence::None),
            pcie_max_generation: absent.value("PcieMaxGeneration", max_generation),
            pcie_max_width: absent.value("PcieMaxWidth", max_width),
            virtual_functions: texts(&pci.virtual_functions),
            physical_function: absent.option(
                "PhysicalFunction",
                pci.physical_function.map(|address| address.to_string()),
                &Absence::None,
            ),
            companions: texts(&pci.companions),
            usage: gpu.usage.code().to_owned(),
            schedulable: gpu.schedulable,
            unschedulable_reason: absent.option(
                "UnschedulableReason",
                gpu.unschedulable_reason.map(|why| why.code().to_owned()),
                &Absence::None,
            ),
            visible_to_runtime: gpu.visible_to_runtime,
            cause_chain: gpu.cause_chain.iter().map(CauseView::from).collect(),
            passthrough_eligible: gpu.passthrough.eligible,
            passthrough_reasons: gpu.passthrough.reasons.iter().map(|reason| reason.code().to_owned()).collect(),
            confirm_before: absent.option("ConfirmBefore", gpu.confirm_before.and_then(millis), &Absence::None),
            health: gpu.health.state.code().to_owned(),
            health_reasons: gpu.health.reasons.iter().map(HealthReasonView::from).collect(),
            last_xid: absent.option("LastXid", gpu.health.xid_last, &Absence::None),
            mig_mode: absent.value("MigMode", mig(from_driver(gpu, |d| &d.mig_current))),
            mig_pending_mode: absent.value("MigPendingMode", mig(from_driver(gpu, |d| &d.mig_pending))),
            mig_devices: mig_devices(gpu),
            ecc_enabled: absent.value("EccEnabled", from_driver(gpu, |d| &d.ecc_enabled)),
            persistence: absent.value("Persistence", from_driver(gpu, |d| &d.persistence)),
            recovery_action: absent.value("RecoveryAction", from_driver(gpu, |d| &d.health_facts.recovery_action)),
            features: views(&gpu.features),
            reset_methods: absent.value("ResetMethods", pci.state.reset_methods.clone()),
            runtime_status: absent
                .value("RuntimeStatus", pci.state.runtime.clone().map(|status| status.code().to_owned())),
            d3cold_allowed: absent.value("D3coldAllowed", pci.state.d3cold_allowed.clone()),
            mediated_types: pci.state.mediated.types.clone(),
            mediated_devices: mediated(pci),
            fabric_state: absent.value("FabricState", from_driver(gpu, |d| &d.health_facts.fabric_state)),
            absent,
            metrics: MetricsView::from(gpu),
        }
    }
}

/// The MIG devices that the driver lists, by GPU instance and compute instance; a place that it lists twice counts once.
fn mig_devices(gpu: &Gpu) -> Vec<MigView> {
    let listed = gpu.driver.iter().flat_map(|said| &said.mig_devices);
    let mut views: Vec<MigView> = listed.map(|mig| MigView::new(gpu.pci.address, mig)).collect();
    views.sort_by_key(|mig| (mig.gpu_instance, mig.compute_instance));
    views.dedup_by_key(|mig| (mig.gpu_instance, mig.compute_instance));
    views
}

fn mediated(pci: &GpuFunction) -> Vec<String> {
    let Mediated { devices, vgpus, .. } = &pci.state.mediated;
    devices.iter().cloned().chain(vgpus.iter().map(PciAddress::to_string)).collect()
}

fn texts(addresses: &[PciAddress]) -> Vec<String> {
    addresses.iter().map(PciAddress::to_string).collect()
}

impl HasAbsent for GpuView {
    fn absent(&self) -> &Absent {
        &self.absent
    }

    fn announces_the_same(&self, other: &Self) -> bool {
        Self { metrics: other.metrics.clone(), ..self.clone() } == *other
    }
}
