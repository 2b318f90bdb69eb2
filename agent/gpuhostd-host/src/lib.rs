//! The host hand: asks NVML and nvidia-smi, looks closely at a GPU, and takes the steps of a change. The only hand that writes.

use acts::change::StepTaker;
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
use protocol::hand::host::{ApplyDriverHostStep, ApplyStep, InspectDriverHost, InspectScope, ProbeNvml, ProbeSmi};
use spawn::Own;
use std::sync::Arc;

/// What the host hand serves on this host.
#[must_use]
pub fn registry(settings: HandSettings, paths: &HandPaths) -> Registry {
    let note = settings.note();
    let child = Own::find(OwnProgram::Child);
    let probes = Probes::new(child.clone(), &paths.sysfs);
    let changes = StepTaker::new(child, &paths.sysfs, Surroundings::of_this_host());
    let policy = paths.policy.clone();
    let driver_host = DriverHostTaker::of_this_host();
    let (host_looks, host_steps, host_policy) = (driver_host.clone(), driver_host.clone(), policy.clone());
    let (register, changing, looking) = (probes.clone(), changes.clone(), changes.clone());
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
        .serve(move |InspectDriverHost { docker_root }| {
            let driver_host = host_looks.clone();
            async move { driver_host.look(docker_root).await }
        })
        .serve(move |ApplyDriverHostStep { step }| {
            let (driver_host, policy) = (host_steps.clone(), host_policy.clone());
            async move {
                let rules = tokio::task::spawn_blocking(move || policy::read(&policy)).await;
                let rules = rules.unwrap_or_else(|_| Policy::strictest());
                driver_host.act(&step, rules.host.nvidia.driver).await
            }
        })
        .stays_while(move || register.waits() || changing.hangs() || driver_host.hangs())
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
