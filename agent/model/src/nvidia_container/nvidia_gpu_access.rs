//! The ways in which GPUs get into containers, once driver and toolkit are ready: links of device files, our CDI specification where the
//! host has changed under it, and a probe container that has to see a device node.

use super::gpu_access_memory::{GpuAccessBegun, GpuAccessMemory, ToolkitProbed};
use super::nvidia_failures::{NvidiaFailures, NvidiaGate};
use super::nvidia_phase::{NvidiaFault, NvidiaHold, NvidiaPhase};
use super::nvidia_role::NvidiaRole;
use super::nvidia_role_view::{ImageHere, RoleView, Wake};
use super::nvidia_runtime::RuntimeStep;
use super::nvidia_spec::NvidiaSpec;
use super::nvidia_turn::NvidiaAct;
use super::nvidia_world::{NvidiaActAnswer, NvidiaActEnd, NvidiaWorld};
use super::toolkit_probe::{ToolkitProbe, ToolkitWay};
use crate::cdi::{
    ALL, CdiLack, CdiReader, CdiState, CdiStep, GpuWay, OURS, SpecFault, cdi_state, faults, gpu_way, is_ours,
    names_of_others,
};
use crate::device_links::link_plan;
use crate::docker::{ContainerEngine, DockerFacts};

/// Settles what the last step answered. What a step should have changed is looked for in this turn.
pub(super) fn settle(world: &NvidiaWorld, memory: &mut GpuAccessMemory) {
    let Some(begun) = memory.begun.take() else { return };
    let Some(NvidiaActEnd { act, result }) = &world.last else { return };
    let now = world.now.boot;
    let no_effect = || "it was done, and the host does not show it".to_owned();
    let why = result.as_ref().err().cloned().unwrap_or_else(no_effect);
    match (begun, act) {
        // A step without effect counts as failed too; where it had its effect, the failures are forgotten in this turn.
        (GpuAccessBegun::Spec, NvidiaAct::Cdi(CdiStep::Generate { .. })) => {
            memory.spec_failures.fail(now, NvidiaFault::HostStep, &format!("{OURS}: {why}"));
        }
        (GpuAccessBegun::Links, NvidiaAct::Cdi(CdiStep::LinkDevices)) => {
            memory.link_failures.fail(now, NvidiaFault::HostStep, &why);
        }
        (GpuAccessBegun::Probe(probed), NvidiaAct::Probe { .. }) => {
            let seen = match result {
                Ok(NvidiaActAnswer::Probed(seen)) => Some(seen.clone()),
                Ok(NvidiaActAnswer::Done) | Err(_) => None,
            };
            match &seen {
                Some(ToolkitProbe::Device) => memory.probe_failures = NvidiaFailures::default(),
                Some(ToolkitProbe::NoDevice) => memory.probe_failures.fail(now, NvidiaFault::NoDevice, NO_DEVICE),
                Some(ToolkitProbe::Refused { why }) => {
                    memory.probe_failures.fail(now, NvidiaFault::ProbeRefused, &refused(probed.way, why));
                }
                None => memory.probe_failures.fail(now, NvidiaFault::ProbeRefused, &refused(probed.way, &why)),
            }
            memory.probed = Some(ToolkitProbed { seen, ..probed });
        }
        (GpuAccessBegun::Spec | GpuAccessBegun::Links | GpuAccessBegun::Probe(_), _) => {}
    }
}

const NO_DEVICE: &str = "a container that asks for a GPU starts and has no device node of one: applications find the libraries and fail \
                         with `no CUDA-capable device is detected`; compare `ls /dev/nvidia*` on the host with `nvidia-smi -L`";

fn refused(way: ToolkitWay, why: &str) -> String {
    let way = match way {
        ToolkitWay::Cdi => "by its CDI specification",
        ToolkitWay::Runtime => "by the runtime `nvidia`",
    };
    format!("a container that asks for a GPU {way} does not start: {why}")
}

/// What it comes to, behind the part about Docker's configuration. `is_driver_ready` is whether the driver can be used, as far as it
/// is gpuhostd's; `good` is what the toolkit container was created from.
pub(super) fn gpu_access(
    view: &RoleView<'_>,
    toolkit: RuntimeStep,
    is_driver_ready: bool,
    good: Option<&NvidiaSpec>,
    memory: &mut GpuAccessMemory,
) -> (RuntimeStep, Option<NvidiaAct>) {
    let world = view.world;
    let wished = world.wish.deploys(NvidiaRole::Toolkit);
    let is_ready = !wished || (toolkit.turn.phase == NvidiaPhase::Ready && toolkit.step.is_none());
    let Ok(docker) = &world.docker else { return (toolkit, None) };
    if !(is_ready && is_driver_ready && (wished || world.wish.deploys(NvidiaRole::Driver))) {
        return (toolkit, None);
    }
    let mut part = Part { view, docker, toolkit, memory };
    if let Some(act) = part.links() {
        return (part.toolkit, Some(act));
    }
    if !wished {
        return (part.toolkit, None);
    }
    let state = cdi_state(docker, &world.cdi_host);
    if let Some(act) = part.spec(&state) {
        return (part.toolkit, Some(act));
    }
    let act = part.probe(&state, good);
    (part.toolkit, act)
}

struct Part<'a, 'w> {
    view: &'a RoleView<'w>,
    docker: &'a DockerFacts,
    toolkit: RuntimeStep,
    memory: &'a mut GpuAccessMemory,
}

impl Part<'_, '_> {
    /// It is not tried now: reported, and looked at again when it may be.
    fn held(&mut self, reason: String, until: Option<crate::time::BootMillis>) {
        let hold = self.toolkit.turn.hold.take();
        self.toolkit.turn.hold = hold.or(Some(NvidiaHold::HostStepFailed { reason }));
        if let Some(until) = until {
            self.toolkit.wake = Wake::At(until);
        }
    }

    /// The links by which systemd knows NVIDIA's devices.
    fn links(&mut self) -> Option<NvidiaAct> {
        let look = self.view.world.host.cdi.as_ref().ok()?;
        if link_plan(&look.links).is_empty() {
            self.memory.link_failures = NvidiaFailures::default();
            return None;
        }
        match self.memory.link_failures.gate(self.view.now()) {
            NvidiaGate::Open => {
                self.memory.begun = Some(GpuAccessBegun::Links);
                Some(NvidiaAct::Cdi(CdiStep::LinkDevices))
            }
            NvidiaGate::Shut { reason, until, .. } => {
                self.held(reason, until);
                None
            }
        }
    }

    /// Our specification, if a GPU of the host is not given by any as it is now.
    fn spec(&mut self, state: &CdiState) -> Option<NvidiaAct> {
        let world = self.view.world;
        let can = world.policy.cdi
            && self.docker.engine == ContainerEngine::Docker
            && world.host.cdi.as_ref().is_ok_and(|look| look.generator.is_some());
        if !can || !is_spec_due(self.docker, state, world) {
            (self.memory.spec_host, self.memory.spec_failures) = (None, NvidiaFailures::default());
            return None;
        }
        if self.memory.spec_host.as_ref() != Some(&world.cdi_host) {
            (self.memory.spec_host, self.memory.spec_failures) =
                (Some(world.cdi_host.clone()), NvidiaFailures::default());
        }
        match self.memory.spec_failures.gate(self.view.now()) {
            NvidiaGate::Open => {
                self.memory.begun = Some(GpuAccessBegun::Spec);
                let reader = CdiReader {
                    directories: self.docker.cdi_spec_dirs.clone(),
                    docker_version: self.docker.version.clone(),
                };
                Some(NvidiaAct::Cdi(CdiStep::Generate {
                    driver_root: world.wish.driver_root.kind(world.wish.deploy_driver),
                    reader,
                    host: world.cdi_host.clone(),
                }))
            }
            NvidiaGate::Shut { reason, until, .. } => {
                self.held(reason, until);
                None
            }
        }
    }

    /// One start of a container in the way of a workspace, once for each toolkit container and driver; again, with pauses, while it shows
    /// no device.
    fn probe(&mut self, state: &CdiState, good: Option<&NvidiaSpec>) -> Option<NvidiaAct> {
        let world = self.view.world;
        let wanted: Vec<&str> = world.cdi_host.gpus.iter().flat_map(|gpu| gpu.wanted()).collect();
        let way = match gpu_way(state, self.docker, &wanted) {
            _ if wanted.is_empty() => return None,
            GpuWay::Cdi { .. } if state.fresh.contains(ALL) => ToolkitWay::Cdi,
            GpuWay::Cdi { .. } | GpuWay::Runtime { .. } if self.docker.has_nvidia_runtime() => ToolkitWay::Runtime,
            GpuWay::Cdi { .. } | GpuWay::Runtime { .. } | GpuWay::None(_) => return None,
        };
        // An image that was removed under its container is not pulled for this.
        let here = |spec: &&NvidiaSpec| matches!(self.view.image_here(spec), ImageHere::Yes);
        let image = &good.filter(here)?.image;
        world.policy.allows(NvidiaRole::Toolkit, image).ok()?;
        let container = self.toolkit.turn.container.clone()?;
        let due = ToolkitProbed { container, driver: world.cdi_host.driver.clone(), way, seen: None };
        let known = self.memory.probed.as_ref().filter(|probed| probed.is_about_the_same(&due));
        if known.is_some_and(|probed| probed.seen == Some(ToolkitProbe::Device)) {
            return None;
        }
        if known.is_none() {
            self.memory.probe_failures = NvidiaFailures::default();
        }
        let gate = self.memory.probe_failures.gate(self.view.now());
        if let Some(failed) = self.view.failed(gate) {
            (self.toolkit.turn.phase, self.toolkit.wake) = (failed.turn.phase, failed.wake);
            return None;
        }
        let act = NvidiaAct::Probe { image: image.clone(), way };
        self.toolkit.turn.phase = NvidiaPhase::Starting { lacks: act.to_string() };
        self.memory.begun = Some(GpuAccessBegun::Probe(due));
        Some(act)
    }
}

/// A GPU has no device that a container can be given, or ours defines one that does not fit the host any more. What another file beside
/// ours defines is that file's.
fn is_spec_due(docker: &DockerFacts, state: &CdiState, world: &NvidiaWorld) -> bool {
    if docker.cdi_spec_dirs.is_empty() {
        return false;
    }
    let taken = names_of_others(&docker.cdi_files, OURS);
    let lacks = |name: &&str| match state.lack(name) {
        None | Some(CdiLack::Disabled) => false,
        Some(CdiLack::DefinedTwice { paths, .. }) => paths.iter().any(|path| is_ours(path)),
        Some(CdiLack::NotNamed { .. } | CdiLack::Stale { .. }) => !taken.contains(*name),
    };
    let ours = docker.cdi_files.iter().filter(|file| is_ours(&file.path));
    let is_stale = |fault: &SpecFault| !matches!(fault, SpecFault::NoDevice { .. });
    world.cdi_host.gpus.iter().flat_map(|gpu| gpu.wanted()).any(|name| lacks(&name))
        || ours.flat_map(|file| faults(file, &world.cdi_host)).any(|fault| is_stale(&fault))
}
