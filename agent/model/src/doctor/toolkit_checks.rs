//! Faults of NVIDIA's Container Toolkit and of what is between it and a container.

use super::doctor_facts::DoctorFacts;
use super::rule::{Check, Hit, Ruled, Severity, hit_if, known, only_if};
use crate::docker::{ContainerEngine, DockerFacts, ROOTLESS_RUNTIME};
use crate::driver_host::ToolkitVersion;

pub(super) const CHECKS: [Check; 9] = [
    Check {
        code: "toolkit_missing",
        severity: Severity::Error,
        why: "Docker has no way to give an NVIDIA GPU to a container",
        cure: "install nvidia-container-toolkit, then `nvidia-ctk runtime configure --runtime=docker && systemctl reload docker`",
        rule: missing,
    },
    Check {
        code: "nvidia_runtime_missing",
        severity: Severity::Error,
        why: "the toolkit is installed, but Docker is not configured for it",
        cure: "`nvidia-ctk runtime configure --runtime=docker && systemctl reload docker`",
        rule: runtime,
    },
    Check {
        code: "toolkit_vulnerable",
        severity: Severity::Error,
        why: "a container image can break out to the host through this version of the toolkit",
        cure: "`apt install --only-upgrade nvidia-container-toolkit libnvidia-container1` (`dnf upgrade …`) to 1.17.8 or newer",
        rule: vulnerable,
    },
    Check {
        code: "toolkit_no_cgroups",
        severity: Severity::Error,
        why: "containers are not allowed to open the GPU: 'Failed to initialize NVML: Unknown Error' inside",
        cure: "set `no-cgroups = false` in {}; it is meant for rootless Docker only",
        rule: no_cgroups,
    },
    Check {
        code: "dev_char_links_missing",
        severity: Severity::Warning,
        why: "the next `systemctl daemon-reload` takes the GPUs from running containers ('NVML: Unknown Error')",
        cure: "`nvidia-ctk system create-dev-char-symlinks --create-all`, with a udev rule for each boot",
        rule: char_links,
    },
    Check {
        code: "driver_mount_stale",
        severity: Severity::Warning,
        why: "the root file system of a driver container that no longer runs: programs find libraries there that match no module",
        cure: "`umount -R -l {}`, then start the driver container again",
        rule: stale_mount,
    },
    Check {
        code: "host_and_container_driver",
        severity: Severity::Error,
        why: "a driver of the host and one in a container cannot both own the module",
        cure: "remove the host's packages (`apt purge 'nvidia-driver*' 'libnvidia-compute*'`), or stop the driver container",
        rule: two_drivers,
    },
    Check {
        code: "selinux_denies_devices",
        severity: Severity::Warning,
        why: "SELinux keeps containers from the devices of the GPU",
        cure: "`setsebool -P container_use_devices on`",
        rule: selinux,
    },
    Check {
        code: "container_hand_without_group",
        severity: Severity::Error,
        why: "the daemon's hand for containers may not open Docker's socket",
        cure: "`usermod -aG docker gpuhostd-containers && systemctl restart gpuhostd-containers.service`",
        rule: hand_group,
    },
];

/// Docker answers, the GPUs are on NVIDIA's driver, and there is neither a runtime nor a CDI device. Podman takes CDI alone.
fn no_way(facts: &DoctorFacts) -> Result<bool, super::rule::Skipped> {
    facts.served()?;
    let docker = facts.docker()?;
    let by_runtime = docker.has_nvidia_runtime() && docker.engine == ContainerEngine::Docker;
    Ok(!by_runtime && !docker.has_nvidia_cdi())
}

const BY_CDI: &str = "`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`";

/// What the engine lacks, and how it gets it; a Docker with root as the check reports.
fn without_a_way(hit: Hit, docker: &DockerFacts, install: &str) -> Hit {
    match (docker.engine, docker.rootless) {
        (ContainerEngine::Podman, _) => hit.cure(format!("{install}{BY_CDI}")),
        (ContainerEngine::Docker, true) => hit.cure(format!("{install}{ROOTLESS_RUNTIME}")),
        (ContainerEngine::Docker, false) => hit,
    }
}

fn missing(facts: &DoctorFacts) -> Ruled {
    only_if(no_way(facts)?)?;
    let (gone, docker) = (facts.nvidia.toolkit.is_none(), facts.docker()?);
    let found = match docker.engine {
        ContainerEngine::Docker => "it is not installed, and Docker has neither its runtime nor a CDI device",
        ContainerEngine::Podman => "it is not installed, and Podman has no CDI device",
    };
    let hit = || Hit::of("nvidia-container-toolkit", found);
    hit_if(gone, || without_a_way(hit(), docker, "install nvidia-container-toolkit, then "))
}

/// A specification that the engine may use is enough, where its devices could not be listed.
fn runtime(facts: &DoctorFacts) -> Ruled {
    only_if(no_way(facts)?)?;
    let version = known(&facts.nvidia.toolkit, "the version of the toolkit")?;
    let docker = facts.docker()?;
    let by_cdi = !docker.cdi_spec_dirs.is_empty() && !known(&facts.nvidia.cdi, "the CDI specifications")?.is_empty();
    let hit = || match docker.engine {
        ContainerEngine::Docker => {
            Hit::of("docker", format!("toolkit {version}; Docker has neither the runtime nvidia nor a CDI device"))
        }
        ContainerEngine::Podman => Hit::of("podman", format!("toolkit {version}; Podman has no CDI device")),
    };
    hit_if(!by_cdi, || without_a_way(hit(), docker, ""))
}

fn vulnerable(facts: &DoctorFacts) -> Ruled {
    let version = known(&facts.nvidia.toolkit, "the version of the toolkit")?;
    // A program may print anything behind its version.
    let end = version.find(|c: char| !c.is_ascii_alphanumeric() && !".-+~".contains(c)).unwrap_or(version.len());
    let read = ToolkitVersion::of_tag(version.get(..end).unwrap_or_default());
    let open: Vec<&str> = read.map(|it| it.open_faults().collect()).unwrap_or_default();
    hit_if(!open.is_empty(), || Hit::of("nvidia-container-toolkit", format!("it is {version}: {}", open.join(", "))))
}

/// An engine without root may set no device rules, and must be configured not to.
fn no_cgroups(facts: &DoctorFacts) -> Ruled {
    let path = "/etc/nvidia-container-runtime/config.toml";
    let no_cgroups = *known(&facts.nvidia.no_cgroups, path)?;
    let docker = facts.host.docker.as_ref().ok();
    if !docker.is_some_and(|docker| docker.rootless) {
        return hit_if(no_cgroups, || Hit::of(path, "no-cgroups = true"));
    }
    let by_runtime = docker.is_some_and(|docker| docker.has_nvidia_runtime() && !docker.has_nvidia_cdi());
    hit_if(by_runtime && !no_cgroups, || {
        let found = "no-cgroups is not true, and Docker runs without root: 'failed to add device rules'";
        Hit::of(path, found).cure("`nvidia-ctk config --set nvidia-container-cli.no-cgroups=true --in-place`")
    })
}

/// Only the old way (runtime without CDI, cgroups by systemd) loses the devices.
fn char_links(facts: &DoctorFacts) -> Ruled {
    facts.served()?;
    let docker = facts.docker()?;
    let old_way = docker.has_nvidia_runtime() && !docker.has_nvidia_cdi() && docker.engine == ContainerEngine::Docker;
    only_if(!docker.rootless)?;
    only_if(old_way && docker.cgroup_driver.as_deref() == Some("systemd"))?;
    let links = known(&facts.nvidia.char_links, "/dev/char")?;
    let nodes = known(&facts.nvidia.nodes, "/dev")?;
    only_if(nodes.iter().any(|node| node.path == "/dev/nvidiactl"))?;
    hit_if(links.is_empty(), || {
        Hit::of("/dev/char", "it has no link to a device of NVIDIA's, and Docker's cgroups are systemd's")
    })
}

fn stale_mount(facts: &DoctorFacts) -> Ruled {
    only_if(*known(&facts.nvidia.container_driver, "/proc/self/mountinfo")?)?;
    let dead =
        facts.nvidia.container_driver_alive.is_none() || facts.nvidia.container_driver_alive.get() == Some(false);
    hit_if(dead, || Hit::of("/run/nvidia/driver", "it is mounted, but no driver container runs"))
}

fn two_drivers(facts: &DoctorFacts) -> Ruled {
    only_if(*known(&facts.nvidia.container_driver, "/proc/self/mountinfo")?)?;
    only_if(facts.nvidia.container_driver_alive.get() == Some(true))?;
    let libraries = known(&facts.nvidia.libraries, "the driver's libraries")?;
    Ok(libraries
        .first()
        .map(|library| Hit::of(&library.path, "the host has the driver's libraries beside a driver container"))
        .into_iter()
        .collect())
}

fn selinux(facts: &DoctorFacts) -> Ruled {
    only_if(*known(&facts.kernel.selinux, "/sys/fs/selinux/enforce")?)?;
    only_if(known(&facts.docker.config, "/etc/docker/daemon.json")?.selinux && !facts.scan()?.gpus.is_empty())?;
    let allowed = *known(&facts.kernel.selinux_devices, "the SELinux boolean container_use_devices")?;
    hit_if(!allowed, || Hit::of("container_use_devices", "off, SELinux enforces, and Docker labels its containers"))
}

fn hand_group(facts: &DoctorFacts) -> Ruled {
    let in_group = *known(&facts.docker.hand_in_group, "/etc/group")?;
    hit_if(!in_group, || Hit::of("gpuhostd-containers", "the user is not in the group docker"))
}
