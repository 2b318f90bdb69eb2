//! `org.gpuhost.Agent1.Gpu`.

use super::dict::{Dict, dict, dicts};
use super::face::Face;
use super::failure::{NoValue, Refused};
use super::options::{Options, Parser, Standard};
use super::submit::Submitter;
use engine::command::Command;
use model::PciAddress;
use model::change::{Bind, Change};
use model::refusal::Refusal;
use std::collections::BTreeMap;
use wire::dbus::GPU_INTERFACE;
use wire::dbus::gpu::GpuView;
use zbus::OwnedObjectPath;
use zbus::message::Header;

/// Only the plan is wanted.
const DRY_RUN: &str = "dry-run";
/// The longest time in which a change can be confirmed, in seconds: a day.
const CONFIRM_MOST_S: u64 = 86_400;
/// The largest guest that makes sense, in MiB: 1 PiB.
const GUEST_MOST_MIB: u64 = 1 << 30;

type Result<T> = std::result::Result<T, NoValue>;

/// A GPU.
#[derive(Debug)]
pub(super) struct GpuObject {
    /// What it shows.
    pub(super) face: Face<GpuView>,
    /// The way to the core.
    pub(super) submitter: Submitter,
}

impl GpuObject {
    /// Asks polkit about a change of this GPU, and hands it in.
    async fn ask(
        &self,
        header: &Header<'_>,
        (member, plain): (&'static str, Standard),
        command: impl FnOnce(PciAddress) -> Command,
    ) -> std::result::Result<OwnedObjectPath, Refused> {
        let shown = self.face.now();
        let name = shown.name.as_deref().unwrap_or(&shown.pci_id);
        let details = [("gpu", shown.address.as_str()), ("name", name)];
        let admission = self.submitter.gate.admit(header, GPU_INTERFACE, member, plain, &details).await?;
        let gpu = shown
            .address
            .parse()
            .map_err(|_| Refusal::NotFound { what: "GPU".to_owned(), name: shown.address.clone() })?;
        self.submitter.submit(admission.authorize(command(gpu))?).await
    }
}

const fn change_or_plan(change: Change, dry_run: bool) -> Command {
    if dry_run { Command::Plan(change) } else { Command::Change(change) }
}

#[zbus::interface(name = "org.gpuhost.Agent1.Gpu")]
impl GpuObject {
    /// Values that change all the time (temperature, utilization, power, memory in use, PCIe link, processes). They are not
    /// announced: poll them. A key without a value is left out and named with its reason in Absent (a{sv}).
    #[zbus(out_args("metrics"))]
    async fn get_metrics(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> std::result::Result<Dict, Refused> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, GPU_INTERFACE, "GetMetrics", plain, &[]).await?;
        Ok(dict(&self.face.now().metrics))
    }

    /// Gives the GPU and all functions of its IOMMU group to vfio-pci, for a virtual machine. The job has the plan. Everything
    /// that blocks the change is found before anything is done, and a change that fails is undone. Action:
    /// org.gpuhost.agent1.passthrough. Options: dry-run (b: only the plan), confirm-within (t: seconds; without
    /// ConfirmPassthrough within that time it is undone, even after a restart of the daemon), guest-memory-mib (t: memory of
    /// the guest, which must be free), auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn bind_passthrough(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> std::result::Result<OwnedObjectPath, Refused> {
        let mut parser = Parser::new(options);
        let dry_run = parser.flag(DRY_RUN)?.unwrap_or(false);
        let confirm_within_ms = parser.number("confirm-within", CONFIRM_MOST_S)?.map(|s| s.saturating_mul(1000));
        let guest_memory_mib = parser.number("guest-memory-mib", GUEST_MOST_MIB)?;
        let plain = parser.finish()?;
        let change = |gpu| Change::PassthroughBind(Bind { gpu, confirm_within_ms, guest_memory_mib });
        let command = |gpu| change_or_plan(change(gpu), dry_run);
        self.ask(&header, ("BindPassthrough", plain), command).await
    }

    /// Takes the GPU back: each function gets its former driver and override again. Refused while a guest has it open, or if it
    /// was not bound by gpuhostd. Action: org.gpuhost.agent1.passthrough. Options: dry-run (b: only the plan),
    /// auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn release_passthrough(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> std::result::Result<OwnedObjectPath, Refused> {
        let mut parser = Parser::new(options);
        let dry_run = parser.flag(DRY_RUN)?.unwrap_or(false);
        let plain = parser.finish()?;
        let command = |gpu| change_or_plan(Change::PassthroughRelease(gpu), dry_run);
        self.ask(&header, ("ReleasePassthrough", plain), command).await
    }

    /// Confirms a change that was made with confirm-within, so that it is kept. Action: org.gpuhost.agent1.passthrough. Options:
    /// auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn confirm_passthrough(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> std::result::Result<OwnedObjectPath, Refused> {
        let plain = Parser::new(options).finish()?;
        self.ask(&header, ("ConfirmPassthrough", plain), Command::Confirm).await
    }

    /// PCI address, domain:bus:device.function.
    #[zbus(property(emits_changed_signal = "const"))]
    fn address(&self) -> String {
        self.face.now().address.clone()
    }

    /// PCI vendor and device id, 10de:2330.
    #[zbus(property)]
    fn pci_id(&self) -> String {
        self.face.now().pci_id.clone()
    }

    /// PCI subsystem vendor and device id. May have no value.
    #[zbus(property)]
    fn subsystem_id(&self) -> Result<String> {
        self.face.value("SubsystemId", |gpu| gpu.subsystem_id.clone())
    }

    /// PCI class code, six hexadecimal digits.
    #[zbus(property)]
    fn class(&self) -> String {
        self.face.now().class.clone()
    }

    /// Vendor, from the hardware database. May have no value.
    #[zbus(property)]
    fn vendor(&self) -> Result<String> {
        self.face.value("Vendor", |gpu| gpu.vendor.clone())
    }

    /// Best name: the driver's, else the hardware database's. May have no value.
    #[zbus(property)]
    fn name(&self) -> Result<String> {
        self.face.value("Name", |gpu| gpu.name.clone())
    }

    /// UUID reported by the driver. May have no value.
    #[zbus(property)]
    fn uuid(&self) -> Result<String> {
        self.face.value("Uuid", |gpu| gpu.uuid.clone())
    }

    /// Index in the driver's order: for printing, never an identity. May have no value.
    #[zbus(property)]
    fn index(&self) -> Result<u32> {
        self.face.value("Index", |gpu| gpu.index)
    }

    /// Serial number of the board. May have no value.
    #[zbus(property)]
    fn serial(&self) -> Result<String> {
        self.face.value("Serial", |gpu| gpu.serial.clone())
    }

    /// Architecture as reported by the driver, for example Hopper. May have no value.
    #[zbus(property)]
    fn architecture(&self) -> Result<String> {
        self.face.value("Architecture", |gpu| gpu.architecture.clone())
    }

    /// Version of the video BIOS. May have no value.
    #[zbus(property)]
    fn vbios_version(&self) -> Result<String> {
        self.face.value("VbiosVersion", |gpu| gpu.vbios_version.clone())
    }

    /// Frame buffer memory of the card in MiB. May have no value.
    #[zbus(property)]
    fn memory_total_mib(&self) -> Result<u64> {
        self.face.value("MemoryTotalMib", |gpu| gpu.memory_total_mib)
    }

    /// Kernel driver that is bound. Has no value if none is (none).
    #[zbus(property)]
    fn driver(&self) -> Result<String> {
        self.face.value("Driver", |gpu| gpu.driver.clone())
    }

    /// driver_override of the kernel. Has no value if it is not set (none), or is not read because that may hang (not_read).
    #[zbus(property)]
    fn driver_override(&self) -> Result<String> {
        self.face.value("DriverOverride", |gpu| gpu.driver_override.clone())
    }

    /// Version of the driver that answers for the GPU. May have no value.
    #[zbus(property)]
    fn driver_version(&self) -> Result<String> {
        self.face.value("DriverVersion", |gpu| gpu.driver_version.clone())
    }

    /// Its IOMMU group. Has no value if it has none (none).
    #[zbus(property)]
    fn iommu_group(&self) -> Result<OwnedObjectPath> {
        self.face.value("IommuGroup", |gpu| OwnedObjectPath::try_from(gpu.iommu_group.as_deref()?).ok())
    }

    /// NUMA node. Has no value if the firmware reports none (none).
    #[zbus(property)]
    fn numa_node(&self) -> Result<u32> {
        self.face.value("NumaNode", |gpu| gpu.numa_node)
    }

    /// PCI power state: D0, D3hot, … May have no value.
    #[zbus(property)]
    fn power_state(&self) -> Result<String> {
        self.face.value("PowerState", |gpu| gpu.power_state.clone())
    }

    /// The firmware used it as the console. May have no value.
    #[zbus(property)]
    fn boot_vga(&self) -> Result<bool> {
        self.face.value("BootVga", |gpu| gpu.boot_vga)
    }

    /// DRM card node, for example card0. Its number may change at each boot. May have no value.
    #[zbus(property)]
    fn drm_card(&self) -> Result<String> {
        self.face.value("DrmCard", |gpu| gpu.drm_card.clone())
    }

    /// DRM render node, for example renderD128. Its number may change at each boot. May have no value.
    #[zbus(property)]
    fn drm_render(&self) -> Result<String> {
        self.face.value("DrmRender", |gpu| gpu.drm_render.clone())
    }

    /// Highest PCIe generation of the device. May have no value.
    #[zbus(property)]
    fn pcie_max_generation(&self) -> Result<u32> {
        self.face.value("PcieMaxGeneration", |gpu| gpu.pcie_max_generation)
    }

    /// Highest number of PCIe lanes of the device. May have no value.
    #[zbus(property)]
    fn pcie_max_width(&self) -> Result<u32> {
        self.face.value("PcieMaxWidth", |gpu| gpu.pcie_max_width)
    }

    /// Addresses of its SR-IOV virtual functions; they are not GPUs of their own here.
    #[zbus(property)]
    fn virtual_functions(&self) -> Vec<String> {
        self.face.now().virtual_functions.clone()
    }

    /// Address of the physical function, if this is a virtual function. May have no value.
    #[zbus(property)]
    fn physical_function(&self) -> Result<String> {
        self.face.value("PhysicalFunction", |gpu| gpu.physical_function.clone())
    }

    /// Addresses of the other functions of the same card (audio, USB).
    #[zbus(property)]
    fn companions(&self) -> Vec<String> {
        self.face.now().companions.clone()
    }

    /// What it is used for: host, shared, mig, passthrough, transitioning or quarantined. Treat an unknown one as not free.
    #[zbus(property, name = "Use")]
    fn usage(&self) -> String {
        self.face.now().usage.clone()
    }

    /// A workspace may use it.
    #[zbus(property)]
    fn schedulable(&self) -> bool {
        self.face.now().schedulable
    }

    /// Stable code of why it is not schedulable. Has no value if it is schedulable.
    #[zbus(property)]
    fn unschedulable_reason(&self) -> Result<String> {
        self.face.value("UnschedulableReason", |gpu| gpu.unschedulable_reason.clone())
    }

    /// The container runtime can really inject it.
    #[zbus(property)]
    fn visible_to_runtime(&self) -> bool {
        self.face.now().visible_to_runtime
    }

    /// The chain from the PCI bus to a usable GPU: Link (s: pci, kernel_driver, nvml, docker_runtime, cdi, policy), Ok (b; left
    /// out where it is not known), Reason (s), Remedy (s). The first link with Ok false is the reason why the GPU cannot be used.
    #[zbus(property)]
    fn cause_chain(&self) -> Vec<Dict> {
        dicts(&self.face.now().cause_chain)
    }

    /// Nothing that the scan shows prevents giving it to a virtual machine.
    #[zbus(property)]
    fn passthrough_eligible(&self) -> bool {
        self.face.now().passthrough_eligible
    }

    /// Stable codes of what prevents that.
    #[zbus(property)]
    fn passthrough_reasons(&self) -> Vec<String> {
        self.face.now().passthrough_reasons.clone()
    }

    /// When it is taken back unless ConfirmPassthrough is called before, in milliseconds since 1970-01-01 UTC. Has no value
    /// unless it was bound with confirm-within and waits for the confirmation.
    #[zbus(property)]
    fn confirm_before(&self) -> Result<u64> {
        self.face.value("ConfirmBefore", |gpu| gpu.confirm_before)
    }

    /// Its health: ok, degraded (it works, but something is wrong), failed (unreliable) or unknown (no source has reported). A
    /// GPU that failed is not schedulable.
    #[zbus(property)]
    fn health(&self) -> String {
        self.face.now().health.clone()
    }

    /// The reasons for its health, the most severe first: Code (s, stable: xid_79, ecc_uncorrected, …), State (s: degraded or
    /// failed), Message (s), Remedy (s), Since (t, milliseconds since 1970-01-01 UTC).
    #[zbus(property)]
    fn health_reasons(&self) -> Vec<Dict> {
        dicts(&self.face.now().health_reasons)
    }

    /// Number of its last Xid in the kernel log. Has no value if there is none (none).
    #[zbus(property)]
    fn last_xid(&self) -> Result<u32> {
        self.face.value("LastXid", |gpu| gpu.last_xid)
    }

    /// MIG mode now: enabled or disabled. May have no value.
    #[zbus(property)]
    fn mig_mode(&self) -> Result<String> {
        self.face.value("MigMode", |gpu| gpu.mig_mode.clone())
    }

    /// MIG mode after the next reset: enabled or disabled. May have no value.
    #[zbus(property)]
    fn mig_pending_mode(&self) -> Result<String> {
        self.face.value("MigPendingMode", |gpu| gpu.mig_pending_mode.clone())
    }

    /// MIG devices as their objects show them, with their path: Path (s), GpuInstance (t), ComputeInstance (t), Uuid (s), Profile
    /// (s), MemoryTotalMib (t), Multiprocessors (t), … A key without a value is left out.
    #[zbus(property)]
    fn mig_devices(&self) -> Vec<Dict> {
        dicts(&self.face.now().mig_devices)
    }

    /// ECC is on. May have no value.
    #[zbus(property)]
    fn ecc_enabled(&self) -> Result<bool> {
        self.face.value("EccEnabled", |gpu| gpu.ecc_enabled)
    }

    /// Persistence mode is on. May have no value.
    #[zbus(property)]
    fn persistence(&self) -> Result<bool> {
        self.face.value("Persistence", |gpu| gpu.persistence)
    }

    /// Recovery action that the driver requests: None, Reset, … (driver 570 and newer). May have no value.
    #[zbus(property)]
    fn recovery_action(&self) -> Result<String> {
        self.face.value("RecoveryAction", |gpu| gpu.recovery_action.clone())
    }

    /// What it can be used for: Feature (s: cuda, nvenc, nvdec, vaapi, dri3, egl, vulkan), Supported (b: chip and kernel driver
    /// can do it), Enabled (b: a workspace can use it now), Reason (s: a stable code of why not) and Detail (s: the same as a
    /// sentence), both left out if it is enabled.
    #[zbus(property)]
    fn features(&self) -> Vec<Dict> {
        dicts(&self.face.now().features)
    }

    /// How the kernel can reset it (flr, bus, …), in the order in which it tries them; empty if it cannot. May have no value.
    #[zbus(property)]
    fn reset_methods(&self) -> Result<Vec<String>> {
        self.face.value("ResetMethods", |gpu| gpu.reset_methods.clone())
    }

    /// Runtime power management: active, suspended (it is asleep and not queried for metrics, because that would wake it),
    /// suspending, resuming, error or unsupported. May have no value.
    #[zbus(property)]
    fn runtime_status(&self) -> Result<String> {
        self.face.value("RuntimeStatus", |gpu| gpu.runtime_status.clone())
    }

    /// The kernel may switch off its power while it is suspended. May have no value.
    #[zbus(property, name = "D3coldAllowed")]
    fn d3cold_allowed(&self) -> Result<bool> {
        self.face.value("D3coldAllowed", |gpu| gpu.d3cold_allowed)
    }

    /// Types of mediated devices (mdev) that it supports.
    #[zbus(property)]
    fn mediated_types(&self) -> Vec<String> {
        self.face.now().mediated_types.clone()
    }

    /// Mediated devices that exist (UUIDs), and virtual functions that are a vGPU (addresses).
    #[zbus(property)]
    fn mediated_devices(&self) -> Vec<String> {
        self.face.now().mediated_devices.clone()
    }

    /// State of the NVLink fabric as reported by the driver, for example Completed; only nvidia-smi reports it. May have no value.
    #[zbus(property)]
    fn fabric_state(&self) -> Result<String> {
        self.face.value("FabricState", |gpu| gpu.fabric_state.clone())
    }

    /// Properties that have no value now, with the reason: a stable code, followed by a colon and a detail, if there is one.
    #[zbus(property)]
    fn absent(&self) -> BTreeMap<String, String> {
        self.face.now().absent.0.clone()
    }
}
