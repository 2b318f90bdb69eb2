//! What the tests of the container hand share: a registry with the stand-ins, a policy that allows them, and waiting for a look.

use docker::NvidiaContainers;
use docker_engines::stand_in::{self, Driver, Toolkit};
use docker_engines::{Engine, Image, PATIENCE, Registry, Release, Users};
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::{
    ContainerRun, DriverOptions, DriverRootKind, ImageSeen, KernelModuleType, NvidiaContainerSeen, NvidiaDeed,
    NvidiaLook, NvidiaOptions, NvidiaRole, NvidiaSpec, ToolkitOptions,
};
use model::policy::NvidiaPolicy;
use model::ports::ActError;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Longer than any pull of the tests is silent.
pub(crate) const NEVER_STALLED: Duration = Duration::from_secs(600);

/// A registry with the stand-ins.
pub(crate) struct World {
    pub(crate) registry: Registry,
    source: Engine,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { registry: Registry::start(Users::All), source: Engine::start(Release::V26_1) }
    }

    /// Pushes an image: its name with its tag and its digest.
    pub(crate) fn push(&self, image: &Image, repository_and_tag: &str) -> ImageRef {
        image.import(&self.source, "made:1");
        let pushed: ImageRef = self.registry.push(&self.source, "made:1", repository_and_tag).parse().unwrap();
        let name: ImageRef = format!("{}/{repository_and_tag}", self.registry.address()).parse().unwrap();
        name.at(pushed.digest().unwrap().clone())
    }

    pub(crate) fn driver(&self, version: &str, behaviour: Driver) -> ImageRef {
        self.push(&stand_in::driver(version, behaviour), &format!("nvidia/driver:{version}"))
    }

    pub(crate) fn toolkit(&self, version: &str, behaviour: Toolkit) -> ImageRef {
        let runtime = Path::new(env!("CARGO_BIN_EXE_nvidia-container-runtime"));
        self.push(&stand_in::toolkit(version, behaviour, runtime), &format!("nvidia/toolkit:v{version}"))
    }

    /// Allows what is in this registry, and in others.
    pub(crate) fn policy(&self, others: &[&str]) -> NvidiaPolicy {
        let registries = [self.registry.address()].into_iter().chain(others.iter().copied());
        let images = registries.flat_map(|at| ["driver", "toolkit", "large"].map(|name| format!("{at}/nvidia/{name}")));
        NvidiaPolicy { images: images.collect(), ..NvidiaPolicy::default() }
    }
}

pub(crate) fn driver_spec(image: &ImageRef, config_digest: &str) -> NvidiaSpec {
    let config_digest = config_digest.to_owned();
    let options = NvidiaOptions::Driver(DriverOptions { kernel_modules: KernelModuleType::Auto, config_digest });
    NvidiaSpec { image: image.clone(), options }
}

pub(crate) fn toolkit_spec(image: &ImageRef) -> NvidiaSpec {
    let options = ToolkitOptions { driver_root: DriverRootKind::Container, knows_no_runtime_config: false };
    NvidiaSpec { image: image.clone(), options: NvidiaOptions::Toolkit(options) }
}

/// One engine as the container hand sees it.
pub(crate) struct Hand {
    pub(crate) nvidia: NvidiaContainers,
    pub(crate) policy: NvidiaPolicy,
}

impl Hand {
    pub(crate) fn new(engine: &Engine, policy: NvidiaPolicy) -> Self {
        Self { nvidia: NvidiaContainers::new(&engine.socket(), NEVER_STALLED), policy }
    }

    pub(crate) async fn look(&self, role: NvidiaRole, image: Option<&ImageRef>) -> NvidiaLook {
        self.nvidia.look(role, image, PATIENCE).await.unwrap()
    }

    pub(crate) async fn apply(&self, deed: NvidiaDeed) -> Result<(), ActError> {
        self.nvidia.apply(&deed, &self.policy, 2 * PATIENCE).await
    }

    /// Pulls an image and waits until it is there.
    pub(crate) async fn pull(&self, role: NvidiaRole, image: &ImageRef) -> ImageSeen {
        self.apply(NvidiaDeed::Pull { role, image: image.clone() }).await.unwrap();
        until("the pull to end", || async {
            let seen = self.look(role, Some(image)).await.image;
            (!matches!(seen, ImageSeen::Pulling { .. })).then_some(seen)
        })
        .await
    }

    /// Pulls, creates and starts: the id.
    pub(crate) async fn start(&self, spec: NvidiaSpec) -> ContainerId {
        let role = spec.role();
        let seen = self.pull(role, &spec.image).await;
        assert!(matches!(seen, ImageSeen::Present { .. }), "{seen:?}");
        self.apply(NvidiaDeed::Create(spec)).await.unwrap();
        let id = self.look(role, None).await.containers.pop().unwrap().id;
        self.apply(NvidiaDeed::Start { role, id: id.clone() }).await.unwrap();
        id
    }

    /// Waits until the only container of the role does what is asked about.
    pub(crate) async fn container(
        &self,
        role: NvidiaRole,
        what: &str,
        does: impl Fn(&ContainerRun) -> bool,
    ) -> NvidiaContainerSeen {
        until(what, || async {
            let seen = self.look(role, None).await.containers.pop().expect("the container");
            does(&seen.run).then_some(seen)
        })
        .await
    }
}

/// Asks until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
