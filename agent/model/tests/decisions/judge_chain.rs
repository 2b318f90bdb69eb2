//! The cause chain: for each way in which a GPU is not usable, the first broken link, its reason, and a remedy that is a
//! command.

use crate::world::{docker, failed, function, nvidia, only, raw, report, said, timeout};
use model::absence::{Absence, Reading};
use model::docker::{CdiAll, ContainerEngine, DockerFacts};
use model::driver::{DriverSource, ProbeError};
use model::observation::{ChainLink, Gpu, RawObservation};
use model::os_cause::OsCause;
use model::verdict_reasons::Unschedulable;

const A: &str = "0000:41:00.0";
const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

/// The state of each link, in order.
fn states(gpu: &Gpu) -> Vec<Option<bool>> {
    let order = [
        ChainLink::Pci,
        ChainLink::KernelDriver,
        ChainLink::Nvml,
        ChainLink::DockerRuntime,
        ChainLink::Cdi,
        ChainLink::Policy,
    ];
    assert_eq!(gpu.cause_chain.iter().map(|link| link.link).collect::<Vec<_>>(), order);
    gpu.cause_chain.iter().map(|link| link.ok).collect()
}

/// The first broken link with its reason and remedy.
fn broken(gpu: &Gpu) -> (ChainLink, String, String) {
    let link = gpu.first_broken_link().expect("no link is broken");
    (link.link, link.reason.clone().unwrap(), link.remedy.clone().unwrap())
}

fn unusable(gpu: &Gpu) {
    assert!(!gpu.visible_to_runtime && !gpu.schedulable, "{:?}", gpu.cause_chain);
    assert!(gpu.unschedulable_reason.is_some());
}

fn nvml_fault(fault: ProbeError) -> RawObservation {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    round.reports = vec![(DriverSource::Nvml, Err(fault), 1)];
    round
}

#[test]
fn a_usable_gpu_has_no_broken_link() {
    let gpu = only(raw(vec![nvidia(A, "nvidia", 1)], &[A]));
    assert_eq!(states(&gpu), [YES, YES, YES, YES, None, YES]);
    assert!(gpu.visible_to_runtime && gpu.schedulable && gpu.first_broken_link().is_none());
}

#[test]
fn the_wrong_kernel_driver_breaks_the_second_link() {
    for (driver, words, command) in [
        ("", "no kernel driver is bound", "ubuntu-drivers install"),
        ("nouveau", "nouveau is bound", "blacklist nouveau"),
        ("nova_core", "nova_core is bound", "blacklist nova_core\\nblacklist nova_drm"),
        ("vfio-pci", "set aside for a guest", "/sys/bus/pci/drivers/vfio-pci/unbind"),
        ("pci-stub", "pci-stub is bound", "/sys/bus/pci/devices/0000:41:00.0/driver/unbind"),
    ] {
        let gpu = only(raw(vec![nvidia(A, driver, 1)], &[]));
        let (link, reason, remedy) = broken(&gpu);
        assert_eq!(link, ChainLink::KernelDriver);
        assert!(reason.contains(words), "{reason}");
        assert!(remedy.contains(command), "{remedy}");
        assert_eq!(states(&gpu), [YES, NO, None, YES, None, YES], "NVML is not reached");
        unusable(&gpu);
    }
}

#[test]
fn an_override_without_a_driver_says_how_to_clear_it() {
    let mut gpu = nvidia(A, "", 1);
    gpu.driver_override = Reading::Known("vfio-pci".to_owned());
    let (link, reason, remedy) = broken(&only(raw(vec![gpu], &[])));
    assert_eq!(link, ChainLink::KernelDriver);
    assert!(reason.contains("vfio-pci") && remedy.contains("driver_override"), "{reason} {remedy}");
}

#[test]
fn an_override_that_was_not_read_is_named_before_a_driver_is_installed() {
    let mut gpu = nvidia(A, "", 1);
    gpu.driver_override = Reading::Absent(Absence::NotRead);
    let (_, reason, remedy) = broken(&only(raw(vec![gpu], &[])));
    let (look, install) = (remedy.find("driver_override").unwrap(), remedy.find("modprobe nvidia").unwrap());
    assert!(reason == "no kernel driver is bound" && look < install, "{reason} {remedy}");
}

#[test]
fn a_driver_link_that_cannot_be_read_is_unknown_and_not_usable() {
    let mut gpu = nvidia(A, "", 1);
    gpu.driver = Reading::Absent(Absence::Unreadable("EIO".to_owned()));
    let gpu = only(raw(vec![gpu], &[]));
    assert_eq!(states(&gpu), [YES, None, None, YES, None, YES]);
    assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("kernel_driver_unknown"));
    unusable(&gpu);
    let mut answering = nvidia(A, "", 1);
    answering.driver = Reading::Absent(Absence::Unreadable("EIO".to_owned()));
    let answering = only(raw(vec![answering], &[A]));
    assert_eq!(states(&answering), [YES, YES, YES, YES, None, YES], "the driver itself answers");
    assert!(answering.schedulable);
}

#[test]
fn a_driver_that_does_not_answer_breaks_the_third_link() {
    let absent = ProbeError::Absent { what: "libnvidia-ml.so.1".to_owned(), said: "no such file".to_owned() };
    let hand = ProbeError::HandUnavailable { what: "host hand".to_owned(), cause: OsCause::found("refused") };
    for (fault, words, command) in [
        (failed("Driver/library version mismatch"), "mismatch", "modprobe nvidia"),
        (failed("Insufficient Permissions"), "Permissions", "ls -l /dev/nvidia"),
        (failed("device fell off the bus or has otherwise become inacessible"), "fell off", "power cycle"),
        (failed("device requires a reset before it can be used again"), "reset", "--gpu-reset"),
        (failed("NVIDIA driver is not loaded"), "not loaded", "modprobe nvidia"),
        (failed("something new"), "something new", "dmesg"),
        (timeout(), "30000 ms", "the driver hangs"),
        (ProbeError::Stuck { what: "nvml".to_owned(), pid: 77 }, "process 77", "the driver hangs"),
        (ProbeError::Crashed { what: "nvml".to_owned(), signal: 11 }, "signal 11", "nvidia-smi"),
        (absent, "libnvidia-ml.so.1", "/sys/module/nvidia/version"),
        (hand, "refused", "gpuhostd-host.socket"),
    ] {
        let gpu = only(nvml_fault(fault));
        let (link, reason, remedy) = broken(&gpu);
        assert_eq!(link, ChainLink::Nvml);
        assert!(reason.starts_with("nvml: ") && reason.contains(words), "{reason}");
        assert!(remedy.contains(command), "{remedy}");
        assert_eq!(states(&gpu), [YES, YES, NO, YES, None, YES]);
        unusable(&gpu);
    }
}

#[test]
fn the_fault_that_says_most_is_told() {
    let mut round = nvml_fault(ProbeError::Absent { what: "libnvidia-ml.so.1".to_owned(), said: "none".to_owned() });
    round.reports.push((DriverSource::Smi, Err(failed("GPU requires reset")), 1));
    let (_, reason, _) = broken(&only(round));
    assert!(reason.starts_with("nvidia_smi: ") && reason.contains("requires reset"), "{reason}");
}

#[test]
fn a_gpu_that_the_driver_does_not_list_is_told_from_one_that_was_not_asked_for() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    let (link, reason, remedy) = broken(&only(round.clone()));
    assert_eq!(link, ChainLink::Nvml);
    assert!(reason.contains("does not list it") && remedy.contains("dmesg"), "{reason} {remedy}");
    round.reports.clear();
    let gpu = only(round);
    assert_eq!(states(&gpu)[2], None);
    assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("not_probed"));
    unusable(&gpu);
}

#[test]
fn a_lost_gpu_breaks_the_first_link() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
    round.reports[0].1.as_mut().unwrap().gpus[0].memory.total = Reading::Absent(Absence::GpuLost);
    let gpu = only(round);
    let (link, _, remedy) = broken(&gpu);
    assert_eq!(link, ChainLink::Pci);
    assert!(remedy.contains("dmesg"), "{remedy}");
    assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("gpu_lost"));
    unusable(&gpu);
}

#[test]
fn docker_that_is_down_breaks_the_fourth_link() {
    for (fault, command) in [
        (
            ProbeError::Absent { what: "/var/run/docker.sock".to_owned(), said: "ENOENT".to_owned() },
            "apt install docker.io",
        ),
        (timeout(), "systemctl status docker"),
        (
            ProbeError::HandUnavailable { what: "hand".to_owned(), cause: OsCause::found("x") },
            "gpuhostd-containers.socket",
        ),
    ] {
        let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
        round.docker = Err(fault);
        let gpu = only(round);
        assert_eq!(states(&gpu), [YES, YES, YES, NO, None, YES]);
        assert!(broken(&gpu).2.contains(command));
        assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("runtime_unavailable"));
        unusable(&gpu);
    }
}

fn with_docker(docker: DockerFacts) -> Gpu {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
    let mut gpu = said(A);
    gpu.index = Reading::Known(3);
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![gpu])), 1)];
    round.docker = Ok(docker);
    only(round)
}

#[test]
fn the_runtime_or_a_cdi_device_is_enough() {
    let cdi = |names: &[&str], runtimes: &[&str]| DockerFacts {
        cdi_devices: names.iter().map(|name| format!("nvidia.com/gpu={name}")).collect(),
        runtimes: runtimes.iter().map(|name| (*name).to_owned()).collect(),
        ..DockerFacts::default()
    };
    let uuid = said(A).uuid.known().unwrap().to_string();
    for name in ["all", "3", "gpu3", uuid.as_str()] {
        let gpu = with_docker(cdi(&["9", name], &["runc"]));
        assert_eq!(states(&gpu), [YES, YES, YES, None, YES, YES], "{name}");
        assert!(gpu.visible_to_runtime && gpu.schedulable, "{name}");
    }
    let both = with_docker(cdi(&["all"], &["nvidia"]));
    assert_eq!(states(&both), [YES, YES, YES, YES, YES, YES]);
    let other = with_docker(cdi(&["9"], &["nvidia"]));
    assert_eq!(states(&other), [YES, YES, YES, YES, None, YES], "CDI is not needed");
    assert!(other.visible_to_runtime);
    let missing = with_docker(cdi(&["9"], &["runc"]));
    assert_eq!(states(&missing), [YES, YES, YES, None, NO, YES]);
    assert!(broken(&missing).2.contains("nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"));
    assert_eq!(missing.unschedulable_reason.map(Unschedulable::code), Some("cdi_missing"));
    unusable(&missing);
    let neither = with_docker(cdi(&[], &["runc"]));
    assert_eq!(states(&neither), [YES, YES, YES, NO, None, YES]);
    assert!(broken(&neither).2.contains("nvidia-ctk runtime configure --runtime=docker"));
    unusable(&neither);
}

/// The GPU is number 3 of the driver, and its node is `/dev/nvidia5`.
fn with_all(all: CdiAll) -> Gpu {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
    let mut gpu = said(A);
    (gpu.index, gpu.minor) = (Reading::Known(3), Reading::Known(5));
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![gpu])), 1)];
    let cdi_devices = vec!["nvidia.com/gpu=all".to_owned()];
    round.docker = Ok(DockerFacts { cdi_devices, cdi_all: Some(all), ..DockerFacts::default() });
    only(round)
}

#[test]
fn the_cdi_device_all_stands_for_what_its_specification_lists() {
    let all = |names: &[&str], minors: &[u32]| CdiAll {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        minors: minors.to_vec(),
    };
    let uuid = said(A).uuid.known().unwrap().to_string();
    for listed in [all(&["0"], &[0, 5]), all(&["0", "3"], &[]), all(&["gpu3"], &[]), all(&[&uuid], &[]), all(&[], &[])]
    {
        let gpu = with_all(listed.clone());
        assert!(gpu.visible_to_runtime && gpu.schedulable, "{listed:?}");
    }
    // Written before this GPU was put in, or taken back from a virtual machine.
    for listed in [all(&["0", "1"], &[0, 1]), all(&["0", "3"], &[0, 1]), all(&["0", "1"], &[]), all(&["GPU-1"], &[])] {
        let gpu = with_all(listed.clone());
        let (link, reason, remedy) = broken(&gpu);
        assert_eq!(link, ChainLink::Cdi, "{listed:?}");
        assert!(reason.contains("not this one") && remedy.contains("nvidia-ctk cdi generate"), "{reason}: {remedy}");
        unusable(&gpu);
    }
}

#[test]
fn a_specification_that_cannot_be_used_is_named_in_the_chain() {
    let problem = "/etc/cdi/nvidia.yaml: it is larger than 1048576 bytes".to_owned();
    let gpu = with_docker(DockerFacts { cdi_problems: vec![problem.clone()], ..DockerFacts::default() });
    assert!(broken(&gpu).1.contains(&problem), "{}", broken(&gpu).1);
}

#[test]
fn podman_gives_gpus_by_cdi_and_gets_no_cure_of_dockers() {
    let podman = |names: &[&str], runtimes: &[&str]| DockerFacts {
        engine: ContainerEngine::Podman,
        cdi_devices: names.iter().map(|name| format!("nvidia.com/gpu={name}")).collect(),
        runtimes: runtimes.iter().map(|name| (*name).to_owned()).collect(),
        ..DockerFacts::default()
    };
    let whole = with_docker(podman(&["3"], &["crun"]));
    assert_eq!(states(&whole), [YES, YES, YES, None, YES, YES]);
    assert!(whole.visible_to_runtime && whole.schedulable);
    for runtimes in [&["crun"][..], &["crun", "nvidia"]] {
        let gpu = with_docker(podman(&[], runtimes));
        assert_eq!(states(&gpu), [YES, YES, YES, None, NO, YES], "{runtimes:?}");
        let (_, reason, remedy) = broken(&gpu);
        assert!(reason.contains("Podman") && remedy.contains("nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"));
        assert!(!remedy.contains("docker"), "{remedy}");
        assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("cdi_missing"));
        unusable(&gpu);
    }
}

#[test]
fn docker_without_root_is_told_of_the_runtime_as_its_user() {
    let gpu = with_docker(DockerFacts { rootless: true, ..DockerFacts::default() });
    let (_, _, remedy) = broken(&gpu);
    for part in ["$HOME/.config/docker/daemon.json", "systemctl --user", "no-cgroups=true"] {
        assert!(remedy.contains(part), "{part}: {remedy}");
    }
    assert!(!remedy.contains("systemctl reload docker"), "{remedy}");
}

#[test]
fn gpus_of_other_vendors_are_mapped_as_devices() {
    for (id, driver) in [("1002:74a1", "amdgpu"), ("8086:56c0", "i915"), ("8086:e20b", "xe")] {
        let gpu = only(raw(vec![function(A, id, driver, 1)], &[]));
        assert_eq!(states(&gpu), [YES, YES, None, YES, None, YES]);
        assert!(gpu.visible_to_runtime && gpu.schedulable);
    }
    let bound = |id, driver| only(raw(vec![function(A, id, driver, 1)], &[]));
    assert_eq!(states(&bound("1002:74a1", "radeon"))[1], NO);
    assert!(broken(&bound("1002:74a1", "")).2.contains("modprobe amdgpu"));
    assert!(broken(&bound("8086:56c0", "")).2.contains("modprobe i915"));
    let mut display = function(A, "1a03:2000", "ast", 1);
    display.drm.render = None;
    let display = only(raw(vec![display], &[]));
    assert_eq!(broken(&display).0, ChainLink::DockerRuntime, "a display controller without a render node");
    unusable(&display);
}

#[test]
fn only_nvidias_gpus_count_as_cuda_gpus() {
    let amd = function("0000:51:00.0", "1002:74a1", "amdgpu", 9);
    let observation = crate::world::judged(raw(vec![nvidia(A, "nvidia", 1), amd], &[A]));
    assert!(observation.gpus.iter().all(|gpu| gpu.schedulable));
    assert_eq!(observation.cuda_gpu_count(), 1);
    assert!(docker().has_nvidia_runtime());
}

#[test]
fn remedies_fit_the_distribution() {
    let remedy = |os: &str, driver: &str| {
        let mut round = raw(vec![nvidia(A, driver, 1)], &[]);
        round.host.os_id = Reading::Known(os.to_owned());
        broken(&only(round)).2
    };
    assert!(remedy("debian", "").contains("apt install nvidia-driver"));
    assert!(remedy("rocky", "nouveau").contains("dracut -f"));
    assert!(remedy("debian", "nouveau").contains("update-initramfs -u"));
}
