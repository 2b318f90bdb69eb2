//! The chain of causes from the PCI bus to a usable GPU: each link with its state, its reason and what to do.

mod bound;

use super::{HostContext, remedy};
use crate::absence::{Absence, Reading};
use crate::cdi::{ALL, CdiGpu, CdiHost, CdiLack, cdi_state};
use crate::docker::{ContainerEngine, DockerFacts};
use crate::driver::{DriverGpu, ProbeError};
use crate::observation::{CauseLink, ChainLink};
use crate::pci::{GpuFunction, VENDOR_NVIDIA};
use crate::verdict_reasons::{Ailment, ailments};

/// Why a link does not hold, and what to do about it.
struct Broken {
    reason: String,
    remedy: String,
}

/// State of a link before it gets its name.
enum State {
    Holds,
    Open(Option<String>),
    Broken(Broken),
}

impl State {
    fn named(self, link: ChainLink) -> CauseLink {
        match self {
            Self::Holds => CauseLink { link, ok: Some(true), reason: None, remedy: None },
            Self::Open(reason) => CauseLink { link, ok: None, reason, remedy: None },
            Self::Broken(b) => CauseLink { link, ok: Some(false), reason: Some(b.reason), remedy: Some(b.remedy) },
        }
    }

    fn broken(reason: String, remedy: String) -> Self {
        Self::Broken(Broken { reason, remedy })
    }
}

/// The whole chain of one GPU, in order.
pub(super) fn cause_chain(pci: &GpuFunction, driver: Option<&DriverGpu>, around: &HostContext<'_>) -> Vec<CauseLink> {
    let bus = bus(pci, driver);
    let kernel_driver = kernel_driver(pci, driver, around);
    let served = matches!(kernel_driver, State::Holds);
    let (docker, cdi) = match around.docker {
        Err(fault @ ProbeError::NotAsked { .. }) => (State::Open(Some(fault.to_string())), State::Open(None)),
        Err(fault) => (docker_down(fault), State::Open(None)),
        Ok(docker) if pci.id.vendor == VENDOR_NVIDIA => nvidia_runtime(pci, docker, driver, around),
        Ok(_) => (device_mapping(pci, served), State::Open(None)),
    };
    vec![
        bus.named(ChainLink::Pci),
        kernel_driver.named(ChainLink::KernelDriver),
        nvml(pci, driver, around, served).named(ChainLink::Nvml),
        docker.named(ChainLink::DockerRuntime),
        cdi.named(ChainLink::Cdi),
        State::Holds.named(ChainLink::Policy),
    ]
}

/// No link is broken, those that must hold do, and one of the two ways into a container holds.
pub(super) fn is_visible(pci: &GpuFunction, chain: &[CauseLink]) -> bool {
    let ok = |wanted: ChainLink| chain.iter().find(|link| link.link == wanted).and_then(|link| link.ok);
    let nothing_broken = chain.iter().all(|link| link.ok != Some(false));
    let injected = ok(ChainLink::DockerRuntime) == Some(true) || ok(ChainLink::Cdi) == Some(true);
    let answers = pci.id.vendor != VENDOR_NVIDIA || ok(ChainLink::Nvml) == Some(true);
    nothing_broken && ok(ChainLink::KernelDriver) == Some(true) && answers && injected
}

fn bus(pci: &GpuFunction, driver: Option<&DriverGpu>) -> State {
    let address = pci.address;
    if pci.state.responds.get() == Some(false) {
        let reason = format!("the configuration space of {address} reads all ones: the GPU fell off the PCI bus");
        return State::broken(reason, remedy::gpu_lost(address));
    }
    if driver.is_some_and(|said| ailments(said).contains(&Ailment::GpuLost)) {
        let reason = format!("the driver reports that the GPU at {address} is lost: it fell off the PCI bus");
        return State::broken(reason, remedy::gpu_lost(address));
    }
    if pci.power_state.known().is_some_and(|state| state == "D3cold") && is_kept_awake(pci) {
        let reason =
            format!("the GPU at {address} has no power (D3cold), although the kernel believes that it is awake");
        return State::broken(reason, remedy::no_power(address));
    }
    State::Holds
}

/// The kernel reports for certain that it has not put the GPU to sleep.
fn is_kept_awake(pci: &GpuFunction) -> bool {
    use crate::pci::RuntimeStatus as R;
    matches!(pci.state.runtime.get(), Some(R::Active | R::Error | R::Unsupported))
}

fn kernel_driver(pci: &GpuFunction, driver: Option<&DriverGpu>, around: &HostContext<'_>) -> State {
    let name = match &pci.driver {
        Reading::Known(name) => name,
        Reading::Absent(Absence::None) => return bound::nobody(pci, around),
        // The link cannot be read, but the driver itself answers for this address.
        Reading::Absent(_) if driver.is_some() => return State::Holds,
        Reading::Absent(why) => {
            return State::Open(Some(format!("the driver link of {} could not be read ({})", pci.address, why.code())));
        }
    };
    bound::somebody(pci, name, around)
}

fn nvml(pci: &GpuFunction, driver: Option<&DriverGpu>, around: &HostContext<'_>, served: bool) -> State {
    if pci.id.vendor != VENDOR_NVIDIA || !served {
        return State::Open(None);
    }
    if driver.is_some() {
        return State::Holds;
    }
    if pci.is_asleep() {
        return State::Open(Some("the GPU is asleep and is not queried: a query would wake it".to_owned()));
    }
    if let Some((module, library)) = around.host.stack.mismatch() {
        let reason =
            format!("the loaded module is version {module}, the libraries are version {library}: NVML refuses to work");
        return State::broken(reason, remedy::mismatch());
    }
    if let Some(silent) = around.silence(pci.address) {
        return if silent.why == Absence::NotProbed {
            State::Open(Some(silent.said.clone()))
        } else {
            State::broken(silent.said.clone(), remedy::silent(silent))
        };
    }
    if let Some((source, fault)) = around.telling_fault() {
        return State::broken(format!("{}: {fault}", source.code()), remedy::probe(fault));
    }
    if !around.asked {
        return State::Open(Some("the driver has not been queried yet".to_owned()));
    }
    let reason = format!("the NVIDIA driver is bound to {} but does not list it", pci.address);
    State::broken(reason, remedy::not_listed(pci.address))
}

fn docker_down(fault: &ProbeError) -> State {
    State::broken(format!("Docker does not answer: {fault}"), remedy::docker(fault))
}

/// The two ways to inject an NVIDIA GPU: the runtime `nvidia`, or a CDI device. One is enough, and the one that is not
/// needed is left open.
fn nvidia_runtime(
    pci: &GpuFunction,
    docker: &DockerFacts,
    driver: Option<&DriverGpu>,
    around: &HostContext<'_>,
) -> (State, State) {
    let names = cdi_names(docker, driver);
    let stale = stale_device(pci, docker, driver, around, &names);
    let (named, who) = (!names.is_empty() && stale.is_none(), docker.engine.name());
    // Podman takes an OCI runtime of that name too, but its GPUs come by CDI.
    if docker.has_nvidia_runtime() && docker.engine == ContainerEngine::Docker {
        let cdi = match stale {
            _ if named => State::Holds,
            Some(lack) => State::Open(Some(format!("not used: {lack}; Docker has the runtime nvidia"))),
            None => State::Open(Some("not needed: Docker has the runtime nvidia".into())),
        };
        return (State::Holds, cdi);
    }
    let runtime = State::Open(Some(match docker.engine {
        ContainerEngine::Docker => "Docker has no runtime nvidia; CDI provides the GPU".to_owned(),
        ContainerEngine::Podman => {
            "Podman answers at Docker's socket: it needs no runtime nvidia; CDI provides the GPU".to_owned()
        }
    }));
    if named {
        return (runtime, State::Holds);
    }
    if let Some(lack) = stale {
        return (runtime, State::broken(lack.to_string(), lack.remedy()));
    }
    let broken = docker.cdi_problems.first().map(|problem| format!("; {problem}")).unwrap_or_default();
    if docker.has_nvidia_cdi() {
        let reason = format!("{who}'s CDI specifications name other GPUs but not this one{broken}");
        return (runtime, State::broken(reason, remedy::cdi(docker)));
    }
    match docker.engine {
        ContainerEngine::Docker => {
            let reason = format!("Docker has neither a runtime nvidia nor a CDI device of NVIDIA's{broken}");
            (State::broken(reason, remedy::nvidia_runtime(docker)), State::Open(None))
        }
        ContainerEngine::Podman => {
            let reason = format!("Podman, which answers at Docker's socket, has no CDI device of NVIDIA's{broken}");
            (runtime, State::broken(reason, remedy::cdi(docker)))
        }
    }
}

/// The CDI devices that stand for this GPU: its UUID, its index, or `all` where its specification lists this GPU.
fn cdi_names<'a>(docker: &'a DockerFacts, driver: Option<&DriverGpu>) -> Vec<&'a str> {
    let names = docker.cdi_devices.iter().filter_map(|device| device.strip_prefix("nvidia.com/gpu="));
    names.filter(|name| if *name == ALL { all_stands_for(docker, driver) } else { is_named(name, driver) }).collect()
}

/// Why none of the devices that stand for this GPU can be given; `None` where one can.
fn stale_device(
    pci: &GpuFunction,
    docker: &DockerFacts,
    driver: Option<&DriverGpu>,
    around: &HostContext<'_>,
    names: &[&str],
) -> Option<CdiLack> {
    let module = around.host.stack.module_loaded.known();
    let host = CdiHost { driver: module.cloned(), gpus: vec![CdiGpu::reported(pci.address, driver)] };
    let state = cdi_state(docker, &host);
    let is_fresh = names.iter().any(|name| state.fresh.contains(*name));
    if is_fresh { None } else { names.iter().find_map(|name| state.lacks.get(*name).cloned()) }
}

/// By the strategies of nvidia-ctk: `GPU-…`, `0`, `gpu0`.
fn is_named(name: &str, driver: Option<&DriverGpu>) -> bool {
    let Some(said) = driver else { return false };
    let index = said.index.get().map(|index| index.to_string());
    said.uuid.known().is_some_and(|uuid| uuid.as_str() == name)
        || index.is_some_and(|index| index == name || Some(index.as_str()) == name.strip_prefix("gpu"))
}

/// By the nodes that it gives, else by the other devices of its specification. Where neither side is known it is taken at its word.
fn all_stands_for(docker: &DockerFacts, driver: Option<&DriverGpu>) -> bool {
    let Some(all) = &docker.cdi_all else { return true };
    if let Some(minor) = driver.and_then(|said| said.minor.get())
        && !all.minors.is_empty()
    {
        return all.minors.contains(&minor);
    }
    let is_known = driver.is_some_and(|said| said.index.known().is_some() || said.uuid.known().is_some());
    all.names.is_empty() || !is_known || all.names.iter().any(|name| is_named(name, driver))
}

/// GPUs of other vendors are mapped as device nodes: that takes a render node.
fn device_mapping(pci: &GpuFunction, served: bool) -> State {
    // What comes before has reported what is missing.
    if !served {
        return State::Open(None);
    }
    if pci.drm.render.is_some() {
        return State::Holds;
    }
    let reason = "the GPU has no DRM render node that could be mapped into a container".to_owned();
    State::broken(reason, remedy::no_render_node(pci.address))
}
