//! `org.gpuhost.Agent1.Gpu`.

use super::face::Face;
use super::failure::Refused;
use super::options::{Options, Parser, Standard, invalid};
use super::submit::Submitter;
use engine::command::Command;
use model::PciAddress;
use model::change::{Bind, Change};
use model::driver::MigMode;
use model::mig::layout::well_formed;
use model::mig::{MigLayoutRequest, MigModeRequest};
use model::refusal::Refusal;
use wire::dbus::GPU_INTERFACE;
use wire::dbus::dict::{Dict, dict};
use wire::dbus::gpu::GpuView;
use wire::dbus::mig_look::MigLookView;
use zbus::OwnedObjectPath;
use zbus::message::Header;

/// Only the plan is wanted.
const DRY_RUN: &str = "dry-run";
/// The longest time in which a change can be confirmed, in seconds: a day.
const CONFIRM_MOST_S: u64 = 86_400;
/// The largest guest that makes sense, in MiB: 1 PiB.
const GUEST_MOST_MIB: u64 = 1 << 30;

type Result<T> = std::result::Result<T, Refused>;

/// The methods of a GPU.
#[derive(Debug)]
pub(super) struct GpuMethods {
    /// The GPU.
    pub(super) face: Face<GpuView>,
    /// The way to the core.
    pub(super) submitter: Submitter,
}

impl GpuMethods {
    /// Asks polkit about a change of this GPU, and hands it in.
    async fn ask(
        &self,
        header: &Header<'_>,
        (member, plain): (&'static str, Standard),
        command: impl FnOnce(PciAddress) -> Command,
    ) -> Result<OwnedObjectPath> {
        let now = self.face.now();
        let shown = &now.view;
        let name = shown.name.as_deref().unwrap_or(&shown.pci_id);
        let details = [("gpu", shown.address.as_str()), ("name", name)];
        let admission = self.submitter.gate.admit(header, GPU_INTERFACE, member, plain, &details).await?;
        let gpu = address_of(shown)?;
        self.submitter.submit(admission.authorize(command(gpu))?).await
    }
}

fn address_of(shown: &GpuView) -> std::result::Result<PciAddress, Refusal> {
    shown.address.parse().map_err(|_| Refusal::NotFound { what: "GPU".to_owned(), name: shown.address.clone() })
}

fn confirm_within(parser: &mut Parser) -> std::result::Result<Option<u64>, Refusal> {
    Ok(parser.number("confirm-within", CONFIRM_MOST_S)?.map(|seconds| seconds.saturating_mul(1000)))
}

const fn change_or_plan(change: Change, dry_run: bool) -> Command {
    if dry_run { Command::Plan(change) } else { Command::Change(change) }
}

#[zbus::interface(name = "org.gpuhost.Agent1.Gpu")]
impl GpuMethods {
    /// Values that change all the time (temperature, utilization, power, memory in use, PCIe link, processes). They are not
    /// announced: poll them. A key without a value is left out and named with its reason in Absent (a{sv}).
    #[zbus(out_args("metrics"))]
    async fn get_metrics(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<Dict> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, GPU_INTERFACE, "GetMetrics", plain, &[]).await?;
        Ok(dict(&self.face.now().view.metrics))
    }

    /// Gives the GPU and all functions of its IOMMU group to vfio-pci, for a virtual machine. The job has the plan. Everything
    /// that blocks the change is found before anything is done, and a change that fails is undone. Action:
    /// org.gpuhost.agent1.passthrough. Options: dry-run (b: only the plan), confirm-within (t: seconds; without
    /// ConfirmPassthrough within that time it is undone, even after a restart of the daemon), guest-memory-mib (t: memory of
    /// the guest, which must be free), auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn bind_passthrough(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let mut parser = Parser::new(options);
        let dry_run = parser.flag(DRY_RUN)?.unwrap_or(false);
        let confirm_within_ms = confirm_within(&mut parser)?;
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
    ) -> Result<OwnedObjectPath> {
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
    ) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        self.ask(&header, ("ConfirmPassthrough", plain), Command::Confirm).await
    }

    /// Confirms a change of the MIG layout or mode that was made with confirm-within, so that it is kept. Action:
    /// org.gpuhost.agent1.mig-layout. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn confirm_mig(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        self.ask(&header, ("ConfirmMig", plain), Command::ConfirmMig).await
    }

    /// MIG of the GPU as it is now, in one JSON document: Mode, PendingMode, SwitchesWithoutReset, Catalog (its profiles with their
    /// placements), Instances (Id, Profile, Start, Size, Ours, InUse, HeldBy, ComputeInstances with Id, Slices, Uuid, InUse and
    /// Processes), HeldBy of the whole GPU, Unreadable (processes that could not be looked into), and Absent with the reason for each
    /// value that is null. The driver is asked again by each call. Options: none.
    #[zbus(out_args("mig"))]
    async fn read_mig(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String> {
        let plain = Parser::new(options).finish()?;
        self.submitter.gate.admit(&header, GPU_INTERFACE, "ReadMig", plain, &[]).await?;
        let gpu = address_of(&self.face.now().view)?;
        let look = self.submitter.look_at_mig(gpu).await?;
        let fault = |e: serde_json::Error| Refusal::HostFault {
            attempted: format!("write MIG of {gpu} as JSON"),
            said: e.to_string(),
        };
        let view = MigLookView::new(&look.seen, &look.holders, &look.owned);
        Ok(serde_json::to_string(&view).map_err(fault)?)
    }

    /// Changes how the GPU is cut into MIG devices. layout: all instances that it is to have, PROFILE[@START][:COUNT],… or - for
    /// none. What is there already stays, what is in use is never touched, and a layout that cannot be had is refused before
    /// anything is done. The job has the plan, and a change that fails is undone. MIG mode must be enabled. Action:
    /// org.gpuhost.agent1.mig-layout. Options: dry-run (b: only the plan), replace-foreign (b: instances that gpuhostd did not create
    /// may be destroyed as well), confirm-within (t: seconds; without ConfirmMig within that time it is undone, even after a restart of
    /// the daemon, as soon as nothing uses what would be destroyed), auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn set_mig_layout(
        &self,
        layout: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let mut parser = Parser::new(options);
        let dry_run = parser.flag(DRY_RUN)?.unwrap_or(false);
        let replace_foreign = parser.flag("replace-foreign")?.unwrap_or(false);
        let confirm_within_ms = confirm_within(&mut parser)?;
        let plain = parser.finish()?;
        well_formed(&layout).map_err(|fault| invalid("layout", fault.to_string()))?;
        let change = |gpu| Change::MigLayout(MigLayoutRequest { gpu, layout, replace_foreign, confirm_within_ms });
        self.ask(&header, ("SetMigLayout", plain), |gpu| change_or_plan(change(gpu), dry_run)).await
    }

    /// Enables or disables MIG mode of the GPU. The GPU must be idle: nothing may use it, nor any of its instances. With the mode
    /// its instances go. Action: org.gpuhost.agent1.mig-mode. Options: dry-run (b: only the plan), confirm-within (t: seconds; without
    /// ConfirmMig within that time it is undone, even after a restart of the daemon, as soon as nothing uses the GPU),
    /// auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn set_mig_mode(
        &self,
        enabled: bool,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let mut parser = Parser::new(options);
        let dry_run = parser.flag(DRY_RUN)?.unwrap_or(false);
        let confirm_within_ms = confirm_within(&mut parser)?;
        let plain = parser.finish()?;
        let to = if enabled { MigMode::Enabled } else { MigMode::Disabled };
        let command = |gpu| change_or_plan(Change::MigMode(MigModeRequest { gpu, to, confirm_within_ms }), dry_run);
        self.ask(&header, ("SetMigMode", plain), command).await
    }
}
