//! The inventory of a host and its revision, which changes when something of the inventory does and stays when only load does.

use super::{DockerInventory, HostInventory, Inventory, NicInventory, NvidiaStack, gpu_document};
use model::docker::DockerFacts;
use model::driver::ProbeError;
use model::host_facts::{HostFacts, Nic};
use model::observation::HostObservation;

/// The inventory of one observation.
#[must_use]
pub fn inventory(seen: &HostObservation) -> Inventory {
    Inventory {
        gpus: seen.gpus.iter().map(|gpu| gpu_document(gpu, seen)).collect(),
        cuda_gpu_count: cuda_gpu_count(seen),
        host: host(&seen.host, seen.docker.as_ref().ok()),
        nics: seen.host.nics.iter().filter(|nic| is_of_the_host(nic)).map(nic).collect(),
        nvidia_stack: nvidia_stack(seen),
    }
}

/// `null` where the question could not be asked: no scan, or nobody who could ask Docker.
fn cuda_gpu_count(seen: &HostObservation) -> Option<u32> {
    let scan_failed = seen.conditions.iter().any(|held| held.kind == "pci_scan_failed");
    let docker_unknown = matches!(seen.docker, Err(ProbeError::HandUnavailable { .. }));
    if scan_failed || docker_unknown { None } else { u32::try_from(seen.cuda_gpu_count()).ok() }
}

/// The host's end of a container's network comes and goes with each container.
fn is_of_the_host(nic: &Nic) -> bool {
    !nic.name.starts_with("veth")
}

fn nic(nic: &Nic) -> NicInventory {
    NicInventory {
        name: nic.name.clone(),
        mac: nic.mac.clone(),
        addresses: nic.addresses.clone(),
        speed_mbit_s: nic.speed_mbit_s,
    }
}

fn host(facts: &HostFacts, docker: Option<&DockerFacts>) -> HostInventory {
    HostInventory {
        hostname: facts.hostname.known().cloned(),
        os: facts.os_name.known().cloned(),
        os_id: facts.os_id.known().cloned(),
        os_version_id: facts.os_version_id.known().cloned(),
        kernel: facts.kernel.known().cloned(),
        arch: (!facts.arch.is_empty()).then(|| facts.arch.clone()),
        cores: facts.cores.get(),
        mem_total_bytes: facts.mem_total_bytes.get(),
        swap_total_bytes: facts.swap_total_bytes.get(),
        dmi: facts.dmi.iter().cloned().collect(),
        docker: docker.map(docker_inventory),
    }
}

fn docker_inventory(docker: &DockerFacts) -> DockerInventory {
    DockerInventory {
        version: docker.version.clone(),
        api: docker.api.clone(),
        root_dir: docker.root_dir.clone(),
        runtimes: docker.runtimes.clone(),
        default_runtime: docker.default_runtime.clone(),
        cdi_devices: docker.cdi_devices.clone(),
        cgroup_version: docker.cgroup_version.clone(),
        live_restore: docker.live_restore,
    }
}

fn nvidia_stack(seen: &HostObservation) -> NvidiaStack {
    let docker = seen.docker.as_ref().ok();
    NvidiaStack {
        driver_version: seen.driver_version.clone(),
        cuda_version: seen.cuda_version.clone(),
        docker_runtime: docker.map(DockerFacts::has_nvidia_runtime),
        cdi: docker.map(DockerFacts::has_nvidia_cdi),
        nvswitches: seen.nvswitches.iter().map(ToString::to_string).collect(),
    }
}

/// The revision of an inventory: the FNV-1a hash (64 bits) of its JSON, without the PCIe speed and width of the moment,
/// which an idle GPU lowers.
#[must_use]
pub fn inventory_rev(inventory: &Inventory) -> String {
    let mut lasting = inventory.clone();
    for link in lasting.gpus.iter_mut().filter_map(|gpu| gpu.pcie.as_mut()) {
        link.r#gen = None;
        link.width = None;
    }
    // Strings, numbers and maps with text keys: there is nothing in here that JSON could not hold.
    let json = serde_json::to_vec(&lasting).unwrap_or_default();
    let hash = json
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("fnv1a64:{hash:016x}")
}
