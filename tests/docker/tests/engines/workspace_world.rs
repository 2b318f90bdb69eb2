//! What the tests of workspaces share: an image that shows its device nodes, an engine with the stand-in runtime or with CDI, and the
//! containers hand on it.

use crate::world::{World, until};
use docker::{PULL_STALLED_AFTER, WorkspaceContainers};
use docker_engines::stand_in::UUID;
use docker_engines::{Engine, Image, Options, PATIENCE, Release};
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::{ContainerRun, ImageSeen};
use model::policy::{HostPolicy, Requester, WorkspacesPolicy};
use model::ports::ActError;
use model::workspace::{GpuInjection, WorkspaceContainer, WorkspaceId, WorkspaceMount};
use model::workspace_life::{WorkspaceDeed, WorkspaceLook, WorkspaceSeen};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const RUNTIME: &str = env!("CARGO_BIN_EXE_nvidia-container-runtime");
/// The second GPU of the stand-in runtime.
pub(crate) const OTHER_UUID: &str = "GPU-5ca1ab1e-0000-4000-8000-000000000002";

/// Prints the numbers of its device nodes of GPUs after it has read a byte of each, then waits; it notes a SIGTERM in `/data`.
const SCRIPT: &str = r#"#!/bin/sh
trap 'sleep 1; echo ended >/data/ended; exit 0' TERM
for node in /dev/nvidia*; do
    [ -e "$node" ] || continue
    dd if="$node" of=/tmp/byte bs=1 count=1 2>/tmp/said && echo "$node $(stat -c %t:%T "$node")" || cat /tmp/said
done
echo ready
while :; do sleep 0.1; done
"#;

/// An image of a workspace, with these lines of a Dockerfile more.
pub(crate) fn image(world: &World, tag: &str, lines: &[&str]) -> ImageRef {
    let image = Image::new().file("usr/local/bin/workspace", 0o755, SCRIPT).file("data/.kept", 0o644, "");
    let image = lines.iter().fold(image, |image, line| image.with(line)).with(r#"ENTRYPOINT ["workspace"]"#);
    world.push(&image, &format!("kasm/desktop:{tag}"))
}

/// An engine, the hand on it, and what its policy allows.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) hand: WorkspaceContainers,
    pub(crate) policy: HostPolicy,
    /// The stand-in runtime, and CDI files.
    pub(crate) folder: TempDir,
}

impl Host {
    /// With the runtime `nvidia`, and CDI where the engine knows it; `default_runtime` as in daemon.json.
    pub(crate) fn start(release: Release, world: &World, default_runtime: &str) -> Self {
        Self::start_with(release, world, default_runtime, None)
    }

    pub(crate) fn start_with(release: Release, world: &World, default_runtime: &str, data_mib: Option<u32>) -> Self {
        let folder = TempDir::with_prefix("workspaces-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let runtime = stand_in_runtime(folder.path());
        let cdi = folder.path().join("cdi");
        fs::create_dir(&cdi).unwrap();
        let mut config = json!({
            "runtimes": { "nvidia": { "path": runtime } },
            "default-runtime": default_runtime,
            "live-restore": true,
        });
        if release != Release::V20_10 {
            config["features"] = json!({ "cdi": true });
            config["cdi-spec-dirs"] = json!([cdi]);
        }
        let config = config.to_string().into_bytes();
        let engine = Engine::start_with(release, Options { config, data_mib, ..Options::default() });
        let hand = WorkspaceContainers::new(&engine.socket(), PULL_STALLED_AFTER);
        let registries = vec![world.registry.address().to_owned()];
        let workspaces = WorkspacesPolicy { registries, ..WorkspacesPolicy::default() };
        Self { engine, hand, policy: HostPolicy { workspaces, ..HostPolicy::default() }, folder }
    }

    pub(crate) async fn look(&self) -> WorkspaceLook {
        self.hand.look(&[], PATIENCE).await.unwrap()
    }

    pub(crate) async fn apply(&self, deed: WorkspaceDeed) -> Result<(), ActError> {
        self.hand.apply(&deed, &self.policy, 2 * PATIENCE).await
    }

    /// Why it is not done.
    pub(crate) async fn refused(&self, deed: WorkspaceDeed) -> String {
        let what = deed.to_string();
        match self.apply(deed).await {
            Err(refused @ ActError::Refused { .. }) => refused.to_string(),
            other => panic!("{}: {what}: {other:?}", self.engine.release()),
        }
    }

    pub(crate) async fn pull(&self, image: &ImageRef) {
        self.apply(WorkspaceDeed::Pull { image: image.clone(), login: None }).await.unwrap();
        let seen = until("the image", || async {
            let seen = self.hand.look(std::slice::from_ref(image), PATIENCE).await.unwrap().image(image);
            (!matches!(seen, ImageSeen::Pulling { .. })).then_some(seen)
        })
        .await;
        assert!(matches!(seen, ImageSeen::Present { .. }), "{seen:?}");
    }

    /// Creates one from an image that is there: its id.
    pub(crate) async fn create(&self, container: WorkspaceContainer) -> ContainerId {
        let workspace_id = container.workspace_id.clone();
        self.apply(WorkspaceDeed::Create(Box::new(container))).await.unwrap();
        self.seen(&workspace_id).await.id
    }

    /// Creates and starts one, and waits until it is ready.
    pub(crate) async fn run(&self, container: WorkspaceContainer) -> ContainerId {
        let workspace_id = container.workspace_id.clone();
        let id = self.create(container).await;
        self.apply(WorkspaceDeed::Start { workspace_id, id: id.clone() }).await.unwrap();
        self.nodes(&id).await;
        id
    }

    /// The container of a workspace, which must be there once.
    pub(crate) async fn seen(&self, workspace_id: &WorkspaceId) -> WorkspaceSeen {
        let look = self.look().await;
        let mut of_it = look.containers.iter().filter(|one| one.workspace_id.as_ref() == Some(workspace_id));
        let seen = of_it.next().unwrap_or_else(|| panic!("{workspace_id} in {look:?}")).clone();
        assert!(of_it.next().is_none(), "{look:?}");
        seen
    }

    /// Waits until it does what is asked about.
    pub(crate) async fn does(&self, id: &str, what: &str, does: impl Fn(&ContainerRun) -> bool) -> WorkspaceSeen {
        until(what, || async {
            let seen = self.seen(&workspace(id)).await;
            does(&seen.run).then_some(seen)
        })
        .await
    }

    /// The device nodes of GPUs as the container itself sees them, by name and number.
    pub(crate) async fn nodes(&self, id: &ContainerId) -> Vec<String> {
        let log = until("the workspace to be ready", || async {
            let log = self.engine.docker(&["logs", id.as_str()]);
            log.lines().any(|line| line == "ready").then_some(log)
        })
        .await;
        log.lines().take_while(|line| *line != "ready").map(str::to_owned).collect()
    }

    /// A CDI file with these devices, each a device file of this machine.
    pub(crate) fn put_cdi(&self, devices: &[(&str, &str, &str)]) {
        let device = |(name, inside, node): &(&str, &str, &str)| json!({ "name": name, "containerEdits": { "deviceNodes": [{ "path": inside, "hostPath": node }] } });
        let devices: Vec<_> = devices.iter().map(device).collect();
        let spec = json!({ "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices });
        fs::write(self.folder.path().join("cdi/nvidia.json"), spec.to_string()).unwrap();
    }
}

/// A program that is the stand-in of NVIDIA's runtime with two GPUs: `/dev/null` and `/dev/zero`.
fn stand_in_runtime(folder: &Path) -> String {
    let (devices, program) = (folder.join("devices"), folder.join("nvidia-container-runtime"));
    fs::write(&devices, format!("0 {UUID} /dev/zero\n1 {OTHER_UUID} /dev/full\n")).unwrap();
    let script = format!("#!/bin/sh\nSTAND_IN_DEVICES={} exec {RUNTIME} \"$@\"\n", devices.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program.display().to_string()
}

pub(crate) fn workspace(id: &str) -> WorkspaceId {
    id.parse().unwrap()
}

/// A workspace without a GPU and with one volume, `gpuhost-ID`, on `/data`.
pub(crate) fn container(id: &str, image: &ImageRef) -> WorkspaceContainer {
    let volume = WorkspaceMount {
        is_volume: true,
        source: format!("gpuhost-{id}"),
        target: "/data".to_owned(),
        read_only: false,
    };
    WorkspaceContainer {
        workspace_id: workspace(id),
        requester: Requester::Manager,
        generation: 1,
        spec_digest: "0123456789abcdef".to_owned(),
        security_context: None,
        image: image.clone(),
        environment: BTreeMap::from([("PASSWORD".to_owned(), "hunter2-of-the-workspace".to_owned())]),
        hostname: None,
        ports: Vec::new(),
        mounts: vec![volume],
        networks: Vec::new(),
        way: GpuInjection::None,
        capabilities: BTreeSet::new(),
        gpus: Vec::new(),
        vfio: Vec::new(),
        nodes: Vec::new(),
        groups: BTreeSet::new(),
        nano_cpus: 500_000_000,
        memory_bytes: 64 << 20,
        shm_bytes: 1 << 20,
        init: false,
        read_only: false,
    }
}

/// The same with GPUs by the runtime.
pub(crate) fn by_runtime(id: &str, image: &ImageRef, uuids: &[&str]) -> WorkspaceContainer {
    let uuids: Vec<String> = uuids.iter().map(|uuid| (*uuid).to_owned()).collect();
    let way = GpuInjection::Runtime { name: "nvidia".to_owned(), visible: uuids.clone() };
    let capabilities = BTreeSet::from(["compute".to_owned(), "utility".to_owned()]);
    WorkspaceContainer { way, capabilities, gpus: uuids, ..container(id, image) }
}

/// The same with GPUs by CDI.
pub(crate) fn by_cdi(id: &str, image: &ImageRef, uuids: &[&str]) -> WorkspaceContainer {
    let devices = uuids.iter().map(|uuid| format!("nvidia.com/gpu={uuid}")).collect();
    WorkspaceContainer { way: GpuInjection::Cdi { devices }, ..by_runtime(id, image, uuids) }
}
