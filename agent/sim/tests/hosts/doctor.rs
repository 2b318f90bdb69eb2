//! The doctor on the built-in hosts: no false alarm on those that are healthy, and the fault of those that are not.

#[path = "../../../model/tests/doctor/world.rs"]
mod doctor_world;

use doctor_world::around;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::DoctorFacts;
use model::doctor::{Severity, diagnose};
use model::driver::DriverSource;
use model::judge::serves_any;
use model::ports::HostPort;
use model::snapshot::Recorded;
use sim::{SimHost, load};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a call of the simulated host does not wait"),
    }
}

/// The host's ports answer as they do in the daemon; what stands in files around it is as on a healthy host.
fn facts(name: &str) -> DoctorFacts {
    let host = SimHost::new(load(name).unwrap()).unwrap();
    let scan = now(host.scan_pci());
    let docker = now(host.read_docker());
    let sources = [DriverSource::Nvml, DriverSource::Smi, DriverSource::SmiInDriverContainer];
    let ask = |source| (source, now(host.probe_driver(source)));
    let asked = scan.as_ref().is_ok_and(serves_any);
    let reports = if asked { sources.map(ask).to_vec() } else { Vec::new() };
    let root = docker.as_ref().ok().and_then(|docker| docker.root_dir.clone());
    let host =
        Recorded { name: name.to_owned(), scan, reports, docker, host: now(host.read_host(root)), kernel_log: None };
    let mut facts = around(host);
    surroundings(name, &mut facts);
    facts
}

/// Where this machine differs from the others.
fn surroundings(name: &str, facts: &mut DoctorFacts) {
    match name {
        // The driver lives in a container, and nothing of it on the host.
        "l40s-server" => {
            facts.nvidia.container_driver = Reading::Known(true);
            facts.nvidia.container_driver_alive = Reading::Known(true);
            facts.nvidia.libraries = Reading::Known(Vec::new());
            facts.nvidia.packages = Reading::Known(Vec::new());
        }
        "t4-cloud-vm" => {
            facts.kernel.virtual_machine = Reading::Known(true);
            facts.kernel.firmware_iommu = Reading::Known(false);
        }
        "vgpu-host-16vf" => facts.docker.installed = Reading::Known(false),
        "no-iommu" => facts.kernel.firmware_iommu = Reading::Known(false),
        // nvidia-driver of the distribution, and Docker of the same age: the runtime, no CDI.
        "mixed-old-cards" => facts.nvidia.cdi = Reading::Known(Vec::new()),
        "nouveau-desktop" => facts.nvidia.cdi = Reading::Absent(Absence::None),
        _ => {}
    }
}

fn found(name: &str, least: Severity) -> Vec<String> {
    let findings = diagnose(&facts(name)).findings.into_iter().filter(|finding| finding.severity <= least);
    let mut codes: Vec<String> = findings.map(|finding| finding.code).collect();
    codes.dedup();
    codes
}

/// Hosts where nothing is wrong, with the hints that are true of them.
const HEALTHY: [(&str, &[&str]); 11] = [
    ("amd-mi300", &[]),
    ("dgx-a100", &[]),
    ("gb200", &[]),
    ("hgx-b200", &[]),
    ("hgx-h100", &[]),
    ("intel-arc", &[]),
    ("l40s-server", &[]),
    ("no-iommu", &["display_link_width_reduced", "iommu_off_in_firmware"]),
    ("t4-cloud-vm", &["persistence_off"]),
    ("vgpu-host-16vf", &["docker_not_installed"]),
    ("workstation-rtx", &["persistence_off"]),
];

#[test]
fn no_false_alarm_on_eleven_healthy_hosts() {
    for (name, _) in HEALTHY {
        assert_eq!(found(name, Severity::Warning), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_hint_is_given_only_where_it_is_true() {
    for (name, hints) in HEALTHY {
        assert_eq!(found(name, Severity::Hint), hints, "{name}");
    }
}

#[test]
fn the_hosts_with_faults_are_ill_of_just_these() {
    let ill = [
        ("nouveau-desktop", &["nouveau_bound"][..]),
        ("mixed-faults", &["gpu_without_driver", "gpu_lost", "pci_function_unreadable"][..]),
        // Every container on it gets NVIDIA's runtime.
        ("mixed-old-cards", &["default_runtime_nvidia"][..]),
    ];
    for (name, codes) in ill {
        assert_eq!(found(name, Severity::Warning), codes, "{name}");
    }
}
