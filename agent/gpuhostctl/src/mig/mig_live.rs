//! MIG of the GPUs of this host as the running daemon sees it now, in the order in which mig-parted's files count them.

use crate::daemon::{Daemon, LOOK_DEADLINE};
use crate::failure::Failure;
use crate::show::gpu;
use crate::text::clean;
use futures_util::future::join_all;
use model::driver::MigMode;
use model::mig::MigCatalog;
use model::mig::files::DeviceId;
use model::mig::files::host_gpus::{HostGpu, RecordedMigMode};
use model::{GpuUuid, PciAddress, PciId};
use wire::dbus::gpu::GpuView;
use wire::dbus::mig_look::MigLookView;
use wire::dbus::proxy::{GpuProxy, Options};

/// What the ids of NVIDIA's cards begin with.
const NVIDIA: u16 = 0x10de;

/// A GPU that the driver answers for.
pub(super) struct LiveGpu {
    /// Its place in the order of the addresses: mig-parted's index.
    pub(super) index: usize,
    /// As the daemon shows it.
    pub(super) view: GpuView,
    /// Its object.
    pub(super) proxy: GpuProxy<'static>,
    /// The look at its MIG; `None` where it cannot do MIG, else why it could not be looked at.
    pub(super) look: Option<Result<MigLookView, Failure>>,
}

/// All that the driver answers for.
pub(super) struct LiveHost {
    /// The daemon.
    pub(super) daemon: Daemon,
    /// By address.
    pub(super) gpus: Vec<LiveGpu>,
}

impl LiveHost {
    /// Looks at all of them at once.
    pub(super) async fn read(bus: Option<String>) -> Result<Self, Failure> {
        let daemon = Daemon::connect(bus).await?;
        let mut listed: Vec<(PciAddress, GpuView)> = Vec::new();
        for view in daemon.snapshot().await?.gpus {
            let is_nvidia = view.pci_id.parse::<PciId>().is_ok_and(|id| id.vendor == NVIDIA);
            if is_nvidia && view.uuid.is_some() {
                listed.push((address(&view)?, view));
            }
        }
        listed.sort_by_key(|(address, _)| *address);
        let mut gpus = Vec::new();
        for (index, (_, view)) in listed.into_iter().enumerate() {
            let proxy = daemon.gpu(&view.path).await?;
            gpus.push(LiveGpu { index, view, proxy, look: None });
        }
        let looks = join_all(gpus.iter().map(|gpu| gpu.look_now(&daemon))).await;
        for (gpu, look) in gpus.iter_mut().zip(looks) {
            gpu.look = look;
        }
        Ok(Self { daemon, gpus })
    }

    /// Looks at the one of that address or UUID.
    pub(super) async fn read_one(bus: Option<String>, name: &str) -> Result<(Daemon, LiveGpu), Failure> {
        let daemon = Daemon::connect(bus).await?;
        let snapshot = daemon.snapshot().await?;
        let view = gpu::find(&snapshot, name)?.clone();
        let proxy = daemon.gpu(&view.path).await?;
        let mut gpu = LiveGpu { index: 0, view, proxy, look: None };
        gpu.look = Some(gpu.ask(&daemon).await);
        Ok((daemon, gpu))
    }

    /// As files speak of them.
    pub(super) fn as_files_have_it(&self) -> Result<Vec<HostGpu>, Failure> {
        self.gpus.iter().map(LiveGpu::as_files_have_it).collect()
    }
}

fn address(view: &GpuView) -> Result<PciAddress, Failure> {
    view.address.parse().map_err(|_| Failure::Form { why: format!("{:?} is not a PCI address", view.address) })
}

impl LiveGpu {
    /// The look; `None` for a card that cannot do MIG.
    async fn look_now(&self, daemon: &Daemon) -> Option<Result<MigLookView, Failure>> {
        let is_unable = self.view.mig_mode.is_none() && self.view.absent.reason("MigMode") == Some("not_supported");
        if is_unable { None } else { Some(self.ask(daemon).await) }
    }

    async fn ask(&self, daemon: &Daemon) -> Result<MigLookView, Failure> {
        let text = daemon.answer(LOOK_DEADLINE, self.proxy.read_mig(Options::new())).await?;
        serde_json::from_str(&text).map_err(|source| Failure::Answer { source })
    }

    /// The look, or why there is none.
    pub(super) fn look(&self) -> Result<&MigLookView, Failure> {
        match &self.look {
            Some(Ok(look)) => Ok(look),
            Some(Err(failure)) => {
                let message = format!("{}: {}", self.view.address, failure.with_causes());
                Err(Failure::Refused { status: failure.exit_status(), message })
            }
            None => Err(Failure::Usage { why: format!("{}: this GPU cannot do MIG", self.view.address) }),
        }
    }

    /// What it can be cut into.
    pub(super) fn catalog(&self) -> Result<&MigCatalog, Failure> {
        let look = self.look()?;
        look.catalog.as_ref().ok_or_else(|| {
            let why = look.absent.reason("Catalog").unwrap_or("no reason is known");
            let message = format!(
                "{}: the driver does not report its MIG profiles ({}); drivers before 550 do so only while MIG mode is enabled",
                look.gpu,
                clean(why)
            );
            Failure::Refused { status: crate::failure::UNAVAILABLE, message }
        })
    }

    /// One line: where and what it is.
    pub(super) fn title(&self) -> String {
        let name = self.view.name.as_deref().unwrap_or(&self.view.pci_id);
        format!("{}  {}", self.view.address, clean(name))
    }

    fn as_files_have_it(&self) -> Result<HostGpu, Failure> {
        let id = |text: &str| text.parse::<PciId>().ok().map(|id| u32::from(id.device) << 16 | u32::from(id.vendor));
        let unknown = || Failure::Form { why: format!("{:?} is not a PCI id", self.view.pci_id) };
        let device = id(&self.view.pci_id).ok_or_else(unknown)?;
        let look = self.look.as_ref().map(|look| look.as_ref().ok());
        let is_on = self.view.mig_mode.as_deref() == Some(MigMode::Enabled.code());
        let mode = match look {
            None => RecordedMigMode::Unsupported,
            Some(look) if look.map_or(is_on, MigLookView::is_on) => RecordedMigMode::On,
            Some(_) => RecordedMigMode::Off,
        };
        Ok(HostGpu {
            address: address(&self.view)?,
            uuid: self.view.uuid.as_deref().and_then(|uuid| uuid.parse::<GpuUuid>().ok()),
            id: DeviceId { device, board: self.view.subsystem_id.as_deref().and_then(id) },
            mode,
            pending: look.flatten().and_then(MigLookView::pending),
            instances: look.flatten().map(MigLookView::present).unwrap_or_default(),
        })
    }
}
