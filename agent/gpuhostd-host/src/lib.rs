//! The host hand: asks NVML and nvidia-smi, looks closely at a GPU, takes the steps of a change, and edits Docker's configuration.

use acts::cdi::{CdiKeeper, CdiPlaces};
use acts::change::StepTaker;
use acts::docker_config::DockerConfigFile;
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
    ApplyCdiStep, ApplyDockerConfigStep, ApplyStep, InspectCdi, InspectDockerConfig, InspectScope, ProbeNvml, ProbeSmi,
};
use spawn::Own;
use std::sync::Arc;

/// What the host hand serves on this host.
#[must_use]
pub fn registry(settings: HandSettings, paths: &HandPaths) -> Registry {
    let note = settings.note();
    let child = Own::find(OwnProgram::Child);
    let probes = Probes::new(child.clone(), &paths.sysfs);
    let docker = DockerConfigFile::new(child.clone(), &settings.settings.docker.socket);
    let changes = StepTaker::new(child, &paths.sysfs, Surroundings::of_this_host());
    let (cdi, cdi_policy) = (CdiKeeper::new(CdiPlaces::of_this_host()), paths.policy.clone());
    let (cdi_looking, cdi_register) = (cdi.clone(), cdi.clone());
    let policy = paths.policy.clone();
    let (register, changing, looking) = (probes.clone(), changes.clone(), changes.clone());
    let (editing, docker_look, docker_policy) = (docker.clone(), docker.clone(), policy.clone());
    let (nvidia, degraded_note) = (Arc::new(settings.settings.nvidia), note.clone());
    let probe = move |source: DriverSource| {
        let (probes, nvidia, note) = (probes.clone(), Arc::clone(&nvidia), note.clone());
        async move { with_note(probes.run(source, &nvidia).await, note.as_ref()) }
    };
    let probe_smi = probe.clone();
    RegistryBuilder::<HostHand>::new(move || missing_power().map(|why| noted(why, degraded_note.as_ref())))
        .serve(move |ProbeNvml {}| probe(DriverSource::Nvml))
        .serve(move |ProbeSmi {}| probe_smi(DriverSource::Smi))
        .serve(move |InspectScope { scope }| {
            let changes = looking.clone();
            async move { changes.group_state(&scope).await }
        })
        .serve(move |ApplyStep { scope, step }| {
            let (changes, policy) = (changes.clone(), policy.clone());
            async move {
                let rules = tokio::task::spawn_blocking(move || policy::read(&policy)).await;
                changes.act(&scope, &step, rules.unwrap_or_else(|_| Policy::strictest())).await
            }
        })
        .serve(move |InspectCdi { reader }| {
            let cdi = cdi_looking.clone();
            async move { cdi.look(reader).await }
        })
        .serve(move |ApplyCdiStep { step }| {
            let (cdi, policy) = (cdi.clone(), cdi_policy.clone());
            async move {
                let rules = tokio::task::spawn_blocking(move || policy::read(&policy)).await;
                cdi.act(step, rules.unwrap_or_else(|_| Policy::strictest())).await
            }
        })
        .serve(move |InspectDockerConfig { entry, docker_version }| {
            let docker = docker_look.clone();
            async move { docker.look(&entry, docker_version.as_deref()).await }
        })
        .serve(move |ApplyDockerConfigStep { step, docker_version }| {
            let (docker, policy) = (docker.clone(), docker_policy.clone());
            async move {
                let rules = tokio::task::spawn_blocking(move || policy::read(&policy)).await;
                let rules = rules.unwrap_or_else(|_| Policy::strictest());
                docker.act(&step, docker_version.as_deref(), &rules.host.nvidia).await
            }
        })
        .stays_while(move || register.waits() || changing.hangs() || editing.hangs() || cdi_register.hangs())
        .build()
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
