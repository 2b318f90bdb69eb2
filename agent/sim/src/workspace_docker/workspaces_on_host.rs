//! The Docker of workspaces on a simulated host: it goes on by some seconds whenever it is looked at.

use crate::host::SimHost;
use crate::recorded::RecordedHost;
use model::PciAddress;
use model::absence::Reading;
use model::holders::{Hold, Holder};
use model::host_facts::DiskUsage;
use model::ids::ContainerId;
use model::image_ref::{ImageDigest, ImageRef};
use model::ports::{HostPort, ImagePort, NvidiaPort, WorkspacePort};
use model::registry_login::RegistryLoginsSeen;
use model::time::{Now, UnixMillis, whole_millis};
use model::workspace_life::{
    CgroupFigures, ContainerUse, ContainerUseAsked, StoredImage, WorkspaceDeed, WorkspaceGpuLook, WorkspaceGpuProbe,
    WorkspaceHostSide, WorkspaceLook,
};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn, ready};
use std::task::Poll;
use std::time::{Duration, SystemTime};

/// So long it takes from one look to the next: a simulated host has no clock.
const LOOK_TAKES_MS: u64 = 5_000;

/// What Docker shows as times is compared with the clock of the daemon.
fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMillis(i64::try_from(whole_millis(since)).unwrap_or(i64::MAX))
}

impl WorkspacePort for SimHost {
    async fn look_at_workspaces(&self, images: Vec<ImageRef>) -> Result<WorkspaceLook, String> {
        let _facts = self.read_docker().await.map_err(|fault| fault.to_string())?;
        self.workspaces(|engine| {
            engine.advance_to(Now { boot: engine.now.plus(LOOK_TAKES_MS), wall: wall() });
            engine.look(&images)
        })
    }

    async fn act_on_workspace(&self, deed: &WorkspaceDeed) -> Result<(), String> {
        let facts = self.ask_docker().await?;
        self.workspaces(|engine| {
            engine.rules.has_nvidia_runtime = facts.has_nvidia_runtime();
            engine.wall = wall();
            engine.act(deed)
        })
    }

    /// What changed since the last look counts, whenever that was. It does not return after a minute: without a clock none passes.
    async fn await_workspace_event(&self, _since: UnixMillis) -> Result<(), String> {
        let _facts = self.read_docker().await.map_err(|fault| fault.to_string())?;
        poll_fn(|context| match self.workspaces_event(context.waker()) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(fault) => Poll::Ready(Err(fault)),
        })
        .await
    }

    async fn read_figures(&self, containers: Vec<ContainerId>) -> BTreeMap<ContainerId, CgroupFigures> {
        self.workspaces(|engine| engine.figures(&containers))
    }

    async fn read_container_use(&self, asked: ContainerUseAsked) -> Result<ContainerUse, String> {
        self.workspaces(|engine| Ok(engine.container_use(&asked)))
    }

    async fn read_host_side(&self) -> WorkspaceHostSide {
        WorkspaceHostSide::default()
    }

    async fn look_at_workspace_gpus(&self, probe: &WorkspaceGpuProbe) -> Result<WorkspaceGpuLook, String> {
        self.workspaces(|engine| engine.look_at_gpus(probe))
    }
}

impl SimHost {
    /// Containers of workspaces that run and were given one of these functions.
    pub(crate) fn workspace_holders(&self, functions: &[PciAddress]) -> Vec<Holder> {
        self.workspaces(|engine| {
            let mut found = Vec::new();
            for one in engine.containers.iter().filter(|one| one.is_live()) {
                let Some(wanted) = &one.wanted else { continue };
                for name in wanted.gpus.iter().chain(&wanted.vfio) {
                    let card = engine.card_of.get(name).unwrap_or(name);
                    let address = card.parse::<PciAddress>().ok().filter(|address| functions.contains(address));
                    found.extend(address.map(|address| Holder {
                        pid: Some(one.pid),
                        command: Some("workspace".to_owned()),
                        unit: None,
                        container: Some(one.facts.name.clone()),
                        address: Some(address),
                        instance: None,
                        hold: Hold::ContainerDevice { device: name.clone() },
                    }));
                }
            }
            found
        })
    }
}

impl ImagePort for SimHost {
    async fn list_stored_images(&self) -> Result<Vec<StoredImage>, String> {
        let _facts = self.read_docker().await.map_err(|fault| fault.to_string())?;
        self.workspaces(|engine| engine.stored_images())
    }

    async fn remove_stored_image(&self, id: &ImageDigest) -> Result<(), String> {
        let _facts = self.read_docker().await.map_err(|fault| fault.to_string())?;
        self.workspaces(|engine| engine.remove_image(id))
    }

    async fn read_registry_logins(&self) -> Result<RegistryLoginsSeen, String> {
        Ok(self.workspaces(|engine| engine.logins.clone()))
    }

    async fn read_docker_disk(&self, docker_root: String) -> Reading<DiskUsage> {
        Reading::Known(self.workspaces(|engine| engine.image_disk(docker_root)))
    }
}

/// A picture has no containers that could be changed.
impl WorkspacePort for RecordedHost {
    fn look_at_workspaces(&self, _images: Vec<ImageRef>) -> impl Future<Output = Result<WorkspaceLook, String>> + Send {
        ready(Err(picture()))
    }

    fn act_on_workspace(&self, _deed: &WorkspaceDeed) -> impl Future<Output = Result<(), String>> + Send {
        ready(Err(picture()))
    }

    fn await_workspace_event(&self, _since: UnixMillis) -> impl Future<Output = Result<(), String>> + Send {
        ready(Err(picture()))
    }

    async fn read_figures(&self, _containers: Vec<ContainerId>) -> BTreeMap<ContainerId, CgroupFigures> {
        BTreeMap::new()
    }

    async fn read_container_use(&self, _asked: ContainerUseAsked) -> Result<ContainerUse, String> {
        Err(picture())
    }

    async fn read_host_side(&self) -> WorkspaceHostSide {
        WorkspaceHostSide::default()
    }

    fn look_at_workspace_gpus(
        &self,
        _probe: &WorkspaceGpuProbe,
    ) -> impl Future<Output = Result<WorkspaceGpuLook, String>> + Send {
        ready(Err(picture()))
    }
}

impl ImagePort for RecordedHost {
    fn list_stored_images(&self) -> impl Future<Output = Result<Vec<StoredImage>, String>> + Send {
        ready(Err(picture()))
    }

    fn remove_stored_image(&self, _id: &ImageDigest) -> impl Future<Output = Result<(), String>> + Send {
        ready(Err(picture()))
    }

    fn read_registry_logins(&self) -> impl Future<Output = Result<RegistryLoginsSeen, String>> + Send {
        ready(Err(picture()))
    }

    fn read_docker_disk(&self, _docker_root: String) -> impl Future<Output = Reading<DiskUsage>> + Send {
        ready(Reading::default())
    }
}

fn picture() -> String {
    "the host is a snapshot, which has no workspaces".to_owned()
}
