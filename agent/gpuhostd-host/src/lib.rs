//! The host hand: asks NVML and nvidia-smi, looks closely at a GPU, and takes the steps of a change. It edits Docker's configuration,
//! keeps our CDI specification and the links of device numbers, mounts for a driver container, and looks which devices a container may
//! open.

use acts::cdi::{CdiKeeper, CdiPlaces};
use acts::change::StepTaker;
use acts::container_devices;
use acts::docker_config::DockerConfigFile;
use acts::driver_host::DriverHostTaker;
use acts::probe::Probes;
use acts::toolkit_programs::ToolkitPrograms;
use files::OwnProgram;
use hands::policy;
use hands::program::{HandPaths, HandSettings, noted, with_note};
use hands::registry::{Registry, RegistryBuilder};
use host::front::{Surroundings, container_use, driver_libraries};
use model::docker_config::DockerConfigStep;
use model::driver::DriverSource;
use model::driver_libraries::DriverLibraries;
use model::nvidia_container::nvidia_runtime_entry;
use model::os_cause::OsCause;
use model::policy::Policy;
use model::ports::ActError;
use model::workspace_life::{ContainerUse, ContainerUseAsked};
use nix::unistd::geteuid;
use protocol::hand::host::{
    ApplyCdiStep, ApplyDockerConfigStep, ApplyDriverHostStep, ApplyStep, InspectCdi, InspectDockerConfig,
    InspectDriverHost, InspectDriverLibraries, InspectScope, ProbeContainerDevices, ProbeNvml, ProbeSmi,
    ProbeToolkitPrograms, ReadContainerUse, ReadToolkitVersion,
};
use protocol::hand::{HostHand, Verb};
use spawn::{Own, Supervisor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the host hand serves on this host.
#[must_use]
pub fn registry(settings: HandSettings, paths: &HandPaths) -> Registry {
    let note = settings.note();
    let child = Own::find(OwnProgram::Child);
    let probes = Probes::new(child.clone(), &paths.sysfs);
    let docker = DockerConfigFile::new(child.clone(), &settings.settings.docker.socket);
    let (lookers, probing) = (Supervisor::default(), child.clone());
    let changes = StepTaker::new(child, &paths.sysfs, Surroundings::of_this_host());
    let cdi = CdiKeeper::new(CdiPlaces::of_this_host());
    let driver_host = DriverHostTaker::of_this_host();
    let toolkit = ToolkitPrograms::of_this_host();
    let (installed, versions) = (toolkit.clone(), toolkit.clone());
    let policy = paths.policy.clone();
    let mounting = driver_host.clone();
    let (asked, changing, editing, generating) = (probes.clone(), changes.clone(), docker.clone(), cdi.clone());
    let (nvidia, degraded_note) = (Arc::new(settings.settings.nvidia), note.clone());
    let probe = move |source: DriverSource| {
        let (probes, nvidia, note) = (probes.clone(), Arc::clone(&nvidia), note.clone());
        async move { with_note(probes.run(source, &nvidia).await, note.as_ref()) }
    };
    let probe_smi = probe.clone();
    let registry =
        RegistryBuilder::<HostHand>::new(move || missing_power().map(|why| noted(why, degraded_note.as_ref())))
            .serve(move |ProbeNvml {}| probe(DriverSource::Nvml))
            .serve(move |ProbeSmi {}| probe_smi(DriverSource::Smi))
            .serve(move |ProbeToolkitPrograms {}| {
                let toolkit = toolkit.clone();
                async move { toolkit.answer().await }
            });
    let registry = registry.serve(move |ReadToolkitVersion {}| {
        let toolkit = versions.clone();
        async move { toolkit.version().await }
    });
    let registry = registry.serve(move |ProbeContainerDevices { container, pid, devices }| {
        let (lookers, child) = (lookers.clone(), probing.clone());
        async move { container_devices::probe(&lookers, &child, (&container, pid), &devices).await }
    });
    let registry = with_steps(registry, changes, policy.clone());
    let registry = with_docker_config(registry, docker, policy.clone());
    let registry = with_cdi(registry, cdi, policy.clone());
    let hangs = move || {
        // Another process would not know when Docker was restarted.
        let has_restarted = editing.has_restarted_lately();
        let edits = has_restarted || editing.hangs();
        edits || changing.hangs() || generating.hangs() || mounting.hangs() || installed.hangs()
    };
    with_driver_host(registry, driver_host, policy).stays_while(move || asked.waits() || hangs()).build()
}

/// The verbs of changes of a GPU's drivers.
fn with_steps(registry: RegistryBuilder<HostHand>, changes: StepTaker, policy: PathBuf) -> RegistryBuilder<HostHand> {
    let looking = changes.clone();
    registry
        .serve(move |InspectScope { scope }| {
            let changes = looking.clone();
            async move { changes.group_state(&scope).await }
        })
        .serve(move |ApplyStep { scope, step }| {
            let (changes, policy) = (changes.clone(), policy.clone());
            async move { changes.act(&scope, &step, rules(policy).await).await }
        })
}

/// The verbs of Docker's configuration.
fn with_docker_config(
    registry: RegistryBuilder<HostHand>,
    docker: DockerConfigFile,
    policy: PathBuf,
) -> RegistryBuilder<HostHand> {
    let looking = docker.clone();
    registry
        .serve(move |InspectDockerConfig { entry, docker_version }| {
            let docker = looking.clone();
            async move { docker.look(&entry, docker_version.as_deref()).await }
        })
        .serve(move |ApplyDockerConfigStep { step, docker_version }| {
            let (docker, policy) = (docker.clone(), policy.clone());
            async move {
                only_the_toolkits(&step)?;
                docker.act(&step, docker_version.as_deref(), &rules(policy).await.host.nvidia).await
            }
        })
}

/// Docker starts as root what an entry names: a front that was taken over must not choose it, nor what is removed.
fn only_the_toolkits(step: &DockerConfigStep) -> Result<(), ActError> {
    let entry = match step {
        DockerConfigStep::PutRuntime { entry, .. } | DockerConfigStep::TakeRuntime { entry, .. } => entry,
        // The hand looks itself whether it may be restarted, and edits nothing that could be named.
        DockerConfigStep::Reload
        | DockerConfigStep::PutCdi { .. }
        | DockerConfigStep::TakeCdi { .. }
        | DockerConfigStep::Restart { .. } => return Ok(()),
    };
    if nvidia_runtime_entry().is_ok_and(|ours| ours == *entry) {
        return Ok(());
    }
    let cause = OsCause::found("the hand refuses it: it is not the runtime that the toolkit container installs");
    Err(ActError::Refused { attempted: step.to_string(), cause })
}

/// The verbs of our CDI specification and of the links of device numbers.
fn with_cdi(registry: RegistryBuilder<HostHand>, cdi: CdiKeeper, policy: PathBuf) -> RegistryBuilder<HostHand> {
    let looking = cdi.clone();
    registry
        .serve(move |InspectCdi { reader }| {
            let cdi = looking.clone();
            async move { cdi.look(reader).await }
        })
        .serve(move |ApplyCdiStep { step }| {
            let (cdi, policy) = (cdi.clone(), policy.clone());
            async move { cdi.act(step, rules(policy).await).await }
        })
}

/// The verbs of the host of a driver container.
fn with_driver_host(
    registry: RegistryBuilder<HostHand>,
    driver_host: DriverHostTaker,
    policy: PathBuf,
) -> RegistryBuilder<HostHand> {
    let looking = driver_host.clone();
    registry
        .serve(move |InspectDriverLibraries { pids }| async move { libraries(pids).await })
        .serve(move |ReadContainerUse { asked }| async move { used(asked).await })
        .serve(move |InspectDriverHost { docker_root }| {
            let driver_host = looking.clone();
            async move { driver_host.look(docker_root).await }
        })
        .serve(move |ApplyDriverHostStep { step }| {
            let (driver_host, policy) = (driver_host.clone(), policy.clone());
            async move { driver_host.act(&step, rules(policy).await.host.nvidia.driver).await }
        })
}

/// What the mount tables of these processes show of NVIDIA's libraries.
async fn libraries(mut pids: Vec<u32>) -> Result<Vec<DriverLibraries>, ActError> {
    pids.truncate(InspectDriverLibraries::PROCESSES_MOST);
    let read = tokio::task::spawn_blocking(move || driver_libraries(Path::new("/proc"), &pids)).await;
    read.map_err(|broken| ActError::Refused {
        attempted: "look at the libraries of running containers".to_owned(),
        cause: OsCause::found(broken.to_string()),
    })
}

/// What `/proc` shows of these containers and processes.
async fn used(mut asked: ContainerUseAsked) -> Result<ContainerUse, ActError> {
    asked.containers.truncate(ReadContainerUse::EACH_MOST);
    asked.gpu_pids.truncate(ReadContainerUse::EACH_MOST);
    let attempted = ReadContainerUse { asked: ContainerUseAsked::default() }.attempted();
    let read = tokio::task::spawn_blocking(move || container_use(Path::new("/proc"), &asked)).await;
    read.map_err(|broken| ActError::Refused { attempted, cause: OsCause::found(broken.to_string()) })
}

/// The policy as it is now; one that cannot be read allows nothing.
async fn rules(file: PathBuf) -> Policy {
    let read = tokio::task::spawn_blocking(move || policy::read(&file)).await;
    read.unwrap_or_else(|_| Policy::strictest())
}

/// Why this process cannot change how devices are bound, where it cannot.
fn missing_power() -> Option<String> {
    let uid = geteuid();
    (!uid.is_root()).then(|| format!("it runs as uid {uid}, but only root may change driver bindings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_runtime_than_the_toolkits_is_added_or_removed() {
        let step = |entry: &str| DockerConfigStep::PutRuntime { entry: entry.parse().unwrap(), sha256: None };
        let out = |entry: &str| DockerConfigStep::TakeRuntime { entry: entry.parse().unwrap(), sha256: None };
        let ours = nvidia_runtime_entry().unwrap().to_string();
        assert!(only_the_toolkits(&step(&ours)).is_ok() && only_the_toolkits(&out(&ours)).is_ok());
        assert!(only_the_toolkits(&DockerConfigStep::Reload).is_ok());
        for other in [
            "nvidia=/var/lib/gpuhostd/x",
            "kata=/usr/bin/kata",
            "other=/usr/local/nvidia/toolkit/nvidia-container-runtime",
        ] {
            assert!(only_the_toolkits(&step(other)).is_err() && only_the_toolkits(&out(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn the_host_hand_has_its_power_from_root_alone() {
        assert_eq!(missing_power().is_none(), geteuid().is_root());
    }
}
