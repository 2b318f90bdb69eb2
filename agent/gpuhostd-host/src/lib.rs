//! The host hand: asks NVML and nvidia-smi, looks closely at a GPU, takes the steps of a change, edits Docker's configuration, and
//! looks after the host of a driver container.

use acts::change::StepTaker;
use acts::docker_config::DockerConfigFile;
use acts::driver_host::DriverHostTaker;
use acts::probe::Probes;
use files::OwnProgram;
use hands::policy;
use hands::program::{HandPaths, HandSettings, noted, with_note};
use hands::registry::{Registry, RegistryBuilder};
use host::front::Surroundings;
use model::driver::DriverSource;
use model::policy::Policy;
use nix::unistd::geteuid;
use protocol::hand::HostHand;
use protocol::hand::host::{
    ApplyDockerConfigStep, ApplyDriverHostStep, ApplyStep, InspectDockerConfig, InspectDriverHost, InspectScope,
    ProbeNvml, ProbeSmi,
};
use spawn::Own;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the host hand serves on this host.
#[must_use]
pub fn registry(settings: HandSettings, paths: &HandPaths) -> Registry {
    let note = settings.note();
    let child = Own::find(OwnProgram::Child);
    let probes = Probes::new(child.clone(), &paths.sysfs);
    let docker = DockerConfigFile::new(child.clone(), &settings.settings.docker.socket);
    let changes = StepTaker::new(child, &paths.sysfs, Surroundings::of_this_host());
    let policy = paths.policy.clone();
    let driver_host = DriverHostTaker::of_this_host();
    let (register, changing, looking) = (probes.clone(), changes.clone(), changes.clone());
    let (nvidia, degraded_note) = (Arc::new(settings.settings.nvidia), note.clone());
    let probe = move |source: DriverSource| {
        let (probes, nvidia, note) = (probes.clone(), Arc::clone(&nvidia), note.clone());
        async move { with_note(probes.run(source, &nvidia).await, note.as_ref()) }
    };
    let probe_smi = probe.clone();
    let builder =
        RegistryBuilder::<HostHand>::new(move || missing_power().map(|why| noted(why, degraded_note.as_ref())))
            .serve(move |ProbeNvml {}| probe(DriverSource::Nvml))
            .serve(move |ProbeSmi {}| probe_smi(DriverSource::Smi))
            .serve(move |InspectScope { scope }| {
                let changes = looking.clone();
                async move { changes.group_state(&scope).await }
            })
            .serve(move |ApplyStep { scope, step }| {
                let (changes, policy) = (changes.clone(), policy.clone());
                async move { changes.act(&scope, &step, rules(policy).await).await }
            });
    let builder = serve_driver_host(builder, &driver_host, &paths.policy);
    serve_docker_config(builder, &docker, &paths.policy)
        .stays_while(move || register.waits() || changing.hangs() || docker.hangs() || driver_host.hangs())
        .build()
}

/// The policy as it is now; the strictest where it cannot be read.
async fn rules(path: PathBuf) -> Policy {
    let rules = tokio::task::spawn_blocking(move || policy::read(&path)).await;
    rules.unwrap_or_else(|_| Policy::strictest())
}

/// Looks at the host of a driver container and its steps.
fn serve_driver_host(
    builder: RegistryBuilder<HostHand>,
    driver_host: &DriverHostTaker,
    policy: &Path,
) -> RegistryBuilder<HostHand> {
    let (looks, steps, policy) = (driver_host.clone(), driver_host.clone(), policy.to_owned());
    builder
        .serve(move |InspectDriverHost { docker_root }| {
            let driver_host = looks.clone();
            async move { driver_host.look(docker_root).await }
        })
        .serve(move |ApplyDriverHostStep { step }| {
            let (driver_host, policy) = (steps.clone(), policy.clone());
            async move { driver_host.act(&step, rules(policy).await.host.nvidia.driver).await }
        })
}

/// Looks at Docker's configuration and its steps.
fn serve_docker_config(
    builder: RegistryBuilder<HostHand>,
    docker: &DockerConfigFile,
    policy: &Path,
) -> RegistryBuilder<HostHand> {
    let (looks, steps, policy) = (docker.clone(), docker.clone(), policy.to_owned());
    builder
        .serve(move |InspectDockerConfig { entry, docker_version }| {
            let docker = looks.clone();
            async move { docker.look(&entry, docker_version.as_deref()).await }
        })
        .serve(move |ApplyDockerConfigStep { step, docker_version }| {
            let (docker, policy) = (steps.clone(), policy.clone());
            async move { docker.act(&step, docker_version.as_deref(), &rules(policy).await.host.nvidia).await }
        })
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
    fn the_host_hand_has_its_power_from_root_alone() {
        assert_eq!(missing_power().is_none(), geteuid().is_root());
    }
}
