//! What a GPU object shows.

use super::absent::Absent;
use super::feature::{FeatureView, views};
use super::host::millis;
use super::metrics::{MetricsView, from_driver};
use super::mig::MigView;
use super::value::{DictView, PathText};
use super::view::view;
use super::{gpu_path, group_path};
use model::PciAddress;
use model::absence::{Absence, Reading};
use model::driver::MigMode;
use model::health::HealthReason;
use model::observation::{CauseLink, Gpu};
use model::pci::{GpuFunction, Mediated};
use serde::{Deserialize, Serialize};

view! {
    /// All properties of `org.gpuhost.Agent1.Gpu`, and the metrics.
    pub struct GpuView at GPU_INTERFACE {
        /// Object path.
        #[dbus(document)]
        path: String,
        /// PCI address, domain:bus:device.function.
        #[dbus(constant)]
        address: String,
        /// PCI vendor and device id, 10de:2330.
        pci_id: String,
        /// PCI subsystem vendor and device id. May have no value.
        subsystem_id: Option<String>,
        /// PCI class code, six hexadecimal digits.
        class: String,
        /// Vendor, from the hardware database. May have no value.
        vendor: Option<String>,
        /// Best name: the driver's, else the hardware database's. May have no value.
        name: Option<String>,
        /// UUID reported by the driver. May have no value.
        uuid: Option<String>,
        /// Index in the driver's order: for printing, never an identity. May have no value.
        index: Option<u32>,
        /// Serial number of the board. May have no value.
        serial: Option<String>,
        /// Architecture as reported by the driver, for example Hopper. May have no value.
        architecture: Option<String>,
        /// Version of the video BIOS. May have no value.
        vbios_version: Option<String>,
        /// Frame buffer memory of the card in MiB. May have no value.
        memory_total_mib: Option<u64>,
        /// Kernel driver that is bound. Has no value if none is (none).
        driver: Option<String>,
        /// driver_override of the kernel. Has no value if it is not set (none), or is not read because that may hang (not_read).
        driver_override: Option<String>,
        /// Version of the driver that answers for the GPU. May have no value.
        driver_version: Option<String>,
        /// Its IOMMU group. Has no value if it has none (none).
        iommu_group: Option<PathText>,
        /// NUMA node. Has no value if the firmware reports none (none).
        numa_node: Option<u32>,
        /// PCI power state: D0, D3hot, … May have no value.
        power_state: Option<String>,
        /// The firmware used it as the console. May have no value.
        boot_vga: Option<bool>,
        /// DRM card node, for example card0. Its number may change at each boot. May have no value.
        drm_card: Option<String>,
        /// DRM render node, for example renderD128. Its number may change at each boot. May have no value.
        drm_render: Option<String>,
        /// Highest PCIe generation of the device. May have no value.
        pcie_max_generation: Option<u32>,
        /// Highest number of PCIe lanes of the device. May have no value.
        pcie_max_width: Option<u32>,
        /// Addresses of its SR-IOV virtual functions; they are not GPUs of their own here.
        virtual_functions: Vec<String>,
        /// Address of the physical function, if this is a virtual function. May have no value.
        physical_function: Option<String>,
        /// Addresses of the other functions of the same card (audio, USB).
        companions: Vec<String>,
        /// What it is used for: host, shared, mig, passthrough, transitioning or quarantined. Treat an unknown one as not free.
        #[serde(rename = "Use")]
        usage: String,
        /// A workspace may use it.
        schedulable: bool,
        /// Stable code of why it is not schedulable. Has no value if it is schedulable.
        unschedulable_reason: Option<String>,
        /// The container runtime can really inject it.
        visible_to_runtime: bool,
        /// The chain from the PCI bus to a usable GPU: Link (s: pci, kernel_driver, nvml, docker_runtime, cdi, policy), Ok (b; left
        /// out where it is not known), Reason (s), Remedy (s). The first link with Ok false is the reason why the GPU cannot be used.
        cause_chain: Vec<CauseView>,
        /// Nothing that the scan shows prevents giving it to a virtual machine.
        passthrough_eligible: bool,
        /// Stable codes of what prevents that.
        passthrough_reasons: Vec<String>,
        /// When it is taken back unless ConfirmPassthrough is called before, or the change of its MIG is undone unless ConfirmMig is, in
        /// milliseconds since 1970-01-01 UTC. Has no value unless that was done with confirm-within and waits for the confirmation.
        confirm_before: Option<u64>,
        /// Its health: ok, degraded (it works, but something is wrong), failed (unreliable) or unknown (no source has reported). A
        /// GPU that failed is not schedulable.
        health: String,
        /// The reasons for its health, the most severe first: Code (s, stable: xid_79, ecc_uncorrected, …), State (s: degraded or
        /// failed), Message (s), Remedy (s), Since (t, milliseconds since 1970-01-01 UTC).
        health_reasons: Vec<HealthReasonView>,
        /// Number of its last Xid in the kernel log. Has no value if there is none (none).
        last_xid: Option<u32>,
        /// MIG mode now: enabled or disabled. May have no value.
        mig_mode: Option<String>,
        /// MIG mode after the next reset: enabled or disabled. May have no value.
        mig_pending_mode: Option<String>,
        /// MIG devices as their objects show them, with their path: Path (s), GpuInstance (t), ComputeInstance (t), Uuid (s), Profile
        /// (s), MemoryTotalMib (t), Multiprocessors (t), … A key without a value is left out.
        mig_devices: Vec<MigView>,
        /// ECC is on. May have no value.
        ecc_enabled: Option<bool>,
        /// Persistence mode is on. May have no value.
        persistence: Option<bool>,
        /// Recovery action that the driver requests: None, Reset, … (driver 570 and newer). May have no value.
        recovery_action: Option<String>,
        /// What it can be used for: Feature (s: cuda, nvenc, nvdec, vaapi, dri3, egl, vulkan), Supported (b: chip and kernel driver
        /// can do it), Enabled (b: a workspace can use it now), Reason (s: a stable code of why not) and Detail (s: the same as a
        /// sentence), both left out if it is enabled.
        features: Vec<FeatureView>,
        /// How the kernel can reset it (flr, bus, …), in the order in which it tries them; empty if it cannot. May have no value.
        reset_methods: Option<Vec<String>>,
        /// Runtime power management: active, suspended (it is asleep and not queried for metrics, because that would wake it),
        /// suspending, resuming, error or unsupported. May have no value.
        runtime_status: Option<String>,
        /// The kernel may switch off its power while it is suspended. May have no value.
        d3cold_allowed: Option<bool>,
        /// Types of mediated devices (mdev) that it supports.
        mediated_types: Vec<String>,
        /// Mediated devices that exist (UUIDs), and virtual functions that are a vGPU (addresses).
        mediated_devices: Vec<String>,
        /// State of the NVLink fabric as reported by the driver, for example Completed; only nvidia-smi reports it. May have no value.
        fabric_state: Option<String>,
        /// Properties that have no value now, with the reason: a stable code, followed by a colon and a detail, if there is one.
        absent: Absent,
        /// Measured values (`GetMetrics` on D-Bus).
        #[dbus(method)]
        metrics: MetricsView,
    }
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

impl DictView for CauseView {}
impl DictView for HealthReasonView {}

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
            iommu_group: absent.value("IommuGroup", pci.iommu_group.clone().map(|id| PathText(group_path(id)))),
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
    let mut views: Vec<MigView> =
        listed.map(|mig| MigView::new(gpu.pci.address, mig, gpu.mig_place(mig.gpu_instance))).collect();
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
