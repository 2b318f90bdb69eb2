//! Cases of Docker, the toolkit, CDI, disk and memory.

use super::{Case, absent, case, docker, failed, known, named};
use model::absence::{Absence, Reading};
use model::docker::ContainerEngine;
use model::doctor::doctor_facts::{CdiSpec, DoctorFacts};
use model::driver::ProbeError;

fn config(facts: &mut DoctorFacts) -> &mut model::doctor::doctor_facts::DockerConfig {
    known(&mut facts.docker.config)
}

fn no_way(facts: &mut DoctorFacts) {
    docker(facts).runtimes.retain(|name| name != "nvidia");
    docker(facts).cdi_devices.clear();
}

/// The runtime of old, without CDI.
fn old_way(facts: &mut DoctorFacts) {
    docker(facts).cdi_devices.clear();
}

fn spec(facts: &mut DoctorFacts) -> &mut CdiSpec {
    known(&mut facts.nvidia.cdi).first_mut().unwrap()
}

fn container_driver(facts: &mut DoctorFacts, alive: Reading<bool>) {
    facts.nvidia.container_driver = Reading::Known(true);
    facts.nvidia.container_driver_alive = alive;
}

pub(super) fn cases() -> Vec<Case> {
    [engine(), settings(), toolkit(), cdi(), resources()].into_iter().flatten().collect()
}

fn engine() -> Vec<Case> {
    vec![
        case(
            "docker_not_installed",
            |f| {
                f.host.docker = Err(absent("Docker (/var/run/docker.sock)"));
                f.docker.installed = Reading::Known(false);
            },
            |f| f.docker.installed = Reading::Known(false),
        ),
        case(
            "docker_not_running",
            |f| {
                f.host.docker = Err(absent("Docker (/var/run/docker.sock)"));
                named(f, "docker.service").active = "failed".to_owned();
            },
            |f| f.host.docker = Err(failed("permission denied while trying to connect")),
        ),
        case(
            "docker_does_not_answer",
            |f| f.host.docker = Err(ProbeError::Timeout { what: "Docker".to_owned(), after_ms: 10_000 }),
            |f| f.host.docker = Err(failed("Permission denied (os error 13)")),
        ),
        case(
            "docker_from_snap",
            |f| docker(f).root_dir = Some("/var/snap/docker/common/var-lib-docker".to_owned()),
            |f| docker(f).root_dir = Some("/data/snap/docker".to_owned()),
        ),
        case(
            "podman_behind_docker_socket",
            |f| {
                docker(f).engine = ContainerEngine::Podman;
                // It has none of these, and what stands in Docker's own settings is nothing to it.
                docker(f).runtimes = vec!["crun".to_owned()];
                docker(f).default_runtime = Some("nvidia".to_owned());
                config(f).error = Some("expected value at line 3 column 5".to_owned());
                config(f).missing_runtimes.push(("nvidia".to_owned(), "/usr/bin/x".to_owned()));
            },
            |f| docker(f).rootless = true,
        ),
        case(
            "cgroup_v1",
            |f| f.kernel.cgroup = Reading::Known(1),
            |f| f.kernel.cgroup = Reading::Absent(Absence::NotReported),
        ),
    ]
}

fn settings() -> Vec<Case> {
    vec![
        case(
            "docker_config_invalid",
            |f| config(f).error = Some("expected value at line 3 column 5".to_owned()),
            |f| f.docker.config = Reading::Absent(Absence::None),
        ),
        case(
            "docker_runtime_path_missing",
            |f| config(f).missing_runtimes.push(("nvidia".to_owned(), "/usr/bin/nvidia-container-runtime".to_owned())),
            |f| config(f).cdi = Some(true),
        ),
        case(
            "default_runtime_nvidia",
            |f| docker(f).default_runtime = Some("nvidia".to_owned()),
            |f| docker(f).default_runtime = Some("crun".to_owned()),
        ),
        case(
            "docker_too_old_for_cdi",
            |f| {
                docker(f).runtimes.retain(|name| name != "nvidia");
                docker(f).version = Some("27.5.1".to_owned());
                docker(f).cdi_spec_dirs.clear();
            },
            |f| docker(f).version = Some("24.0.7".to_owned()),
        ),
    ]
}

fn toolkit() -> Vec<Case> {
    vec![
        case(
            "toolkit_missing",
            |f| {
                no_way(f);
                f.nvidia.toolkit = Reading::Absent(Absence::None);
            },
            // CDI needs no toolkit at run time.
            |f| f.nvidia.toolkit = Reading::Absent(Absence::None),
        ),
        case(
            "nvidia_runtime_missing",
            |f| {
                no_way(f);
                f.nvidia.cdi = Reading::Known(Vec::new());
            },
            |f| docker(f).runtimes.retain(|name| name != "nvidia"),
        ),
        case(
            "toolkit_vulnerable",
            |f| f.nvidia.toolkit = Reading::Known("1.17.7-1".to_owned()),
            |f| f.nvidia.toolkit = Reading::Known("1.17.8-1".to_owned()),
        ),
        case(
            "toolkit_no_cgroups",
            |f| f.nvidia.no_cgroups = Reading::Known(true),
            |f| f.nvidia.no_cgroups = Reading::Absent(Absence::None),
        ),
        case(
            "dev_char_links_missing",
            |f| {
                old_way(f);
                f.nvidia.char_links = Reading::Known(Vec::new());
            },
            |f| f.nvidia.char_links = Reading::Known(Vec::new()),
        ),
        case(
            "driver_mount_stale",
            |f| container_driver(f, Reading::Absent(Absence::None)),
            |f| {
                container_driver(f, Reading::Known(true));
                f.nvidia.libraries = Reading::Known(Vec::new());
            },
        ),
        case(
            "host_and_container_driver",
            |f| container_driver(f, Reading::Known(true)),
            |f| {
                container_driver(f, Reading::Known(true));
                f.nvidia.libraries = Reading::Known(Vec::new());
            },
        ),
        case(
            "selinux_denies_devices",
            |f| {
                f.kernel.selinux = Reading::Known(true);
                f.kernel.selinux_devices = Reading::Known(false);
                config(f).selinux = true;
            },
            |f| {
                f.kernel.selinux = Reading::Known(true);
                f.kernel.selinux_devices = Reading::Known(false);
            },
        ),
        case(
            "container_hand_without_group",
            |f| f.docker.hand_in_group = Reading::Known(false),
            |f| f.docker.hand_in_group = Reading::Absent(Absence::None),
        ),
    ]
}

fn cdi() -> Vec<Case> {
    vec![
        case(
            "cdi_spec_stale",
            |f| spec(f).missing.push("/dev/nvidia2".to_owned()),
            |f| f.nvidia.cdi = Reading::Known(Vec::new()),
        ),
        case(
            "cdi_spec_of_other_driver",
            |f| {
                spec(f).versions = vec!["550.163.01".to_owned()];
                spec(f).missing.push("/usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01".to_owned());
            },
            |f| spec(f).versions.clear(),
        ),
        case(
            "cdi_spec_broken",
            |f| spec(f).broken = Some("invalid type: integer `7`, expected a sequence".to_owned()),
            |f| f.nvidia.cdi = Reading::Absent(Absence::NoPermission),
        ),
        case(
            "cdi_device_defined_twice",
            |f| {
                let twin = CdiSpec { path: "/etc/cdi/nvidia-old.yaml".to_owned(), ..spec(f).clone() };
                known(&mut f.nvidia.cdi).push(twin);
            },
            |f| {
                let over = CdiSpec { path: "/var/run/cdi/nvidia.yaml".to_owned(), ..spec(f).clone() };
                known(&mut f.nvidia.cdi).push(over);
            },
        ),
    ]
}

fn resources() -> Vec<Case> {
    const GIB: u64 = 1 << 30;
    vec![
        case(
            "docker_disk_full",
            |f| known(&mut f.host.host.disk).available_bytes = 20 * GIB,
            // A small part of a large disk is still much.
            |f| {
                known(&mut f.host.host.disk).total_bytes = 40_000 * GIB;
                known(&mut f.host.host.disk).available_bytes = 900 * GIB;
            },
        ),
        case(
            "docker_disk_out_of_inodes",
            |f| known(&mut f.host.host.disk).inodes_free = 20_000,
            |f| {
                // btrfs and others count none.
                known(&mut f.host.host.disk).inodes_total = 0;
                known(&mut f.host.host.disk).inodes_free = 0;
            },
        ),
        case(
            "state_disk_full",
            |f| known(&mut f.service.state_disk).available_bytes = 1 << 20,
            |f| known(&mut f.service.state_disk).available_bytes = 17 << 20,
        ),
        case(
            "memory_low",
            |f| {
                f.host.host.mem_available_bytes = Reading::Known(9 * GIB);
                f.host.host.swap_total_bytes = Reading::Known(8 * GIB);
            },
            |f| {
                f.host.host.mem_available_bytes = Reading::Known(12 * GIB);
                f.host.host.swap_total_bytes = Reading::Known(8 * GIB);
            },
        ),
        case(
            "swap_missing",
            |f| f.host.host.mem_available_bytes = Reading::Known(30 * GIB),
            |f| f.host.host.mem_available_bytes = Reading::Known(40 * GIB),
        ),
    ]
}
