//! Faults of Docker itself.

use super::doctor_facts::DoctorFacts;
use super::rule::{Check, Hit, Ruled, Severity, hit_if, known, only_if};
use crate::docker::ContainerEngine;
use crate::driver::ProbeError;
use crate::version::is_older;

pub(super) const CHECKS: [Check; 10] = [
    Check {
        code: "docker_not_installed",
        severity: Severity::Hint,
        why: "workspaces run in Docker; without it GPUs can only be given to virtual machines",
        cure: "`apt install docker.io`, or Docker's own package: docs.docker.com/engine/install",
        rule: absent,
    },
    Check {
        code: "docker_not_running",
        severity: Severity::Error,
        why: "no workspace can run, and no GPU is visible to containers",
        cure: "`systemctl enable --now docker`; where it fails `journalctl -u docker -b -n 50` shows why",
        rule: not_running,
    },
    Check {
        code: "docker_does_not_answer",
        severity: Severity::Error,
        why: "Docker is running and does not answer: no container can be started or stopped",
        cure: "`journalctl -u docker -b -n 50`; then `systemctl restart docker`",
        rule: silent,
    },
    Check {
        code: "docker_config_invalid",
        severity: Severity::Error,
        why: "Docker does not start again with a configuration that it cannot read",
        cure: "correct {}: `python3 -m json.tool {}` names the line; `dockerd --validate` checks the rest",
        rule: config,
    },
    Check {
        code: "docker_runtime_path_missing",
        severity: Severity::Error,
        why: "a container with this runtime cannot be started",
        cure: "install what it names (`apt install nvidia-container-toolkit`), or remove the runtime from /etc/docker/daemon.json",
        rule: runtime_path,
    },
    Check {
        code: "default_runtime_nvidia",
        severity: Severity::Warning,
        why: "every container gets NVIDIA's runtime, and with an image's NVIDIA_VISIBLE_DEVICES=all every GPU",
        cure: "remove `default-runtime` from /etc/docker/daemon.json, then `systemctl reload docker`",
        rule: default_runtime,
    },
    Check {
        code: "docker_too_old_for_cdi",
        severity: Severity::Warning,
        why: "there are CDI specifications, but this Docker cannot use them",
        cure: "upgrade Docker to 28.2 or newer, or install the runtime: `nvidia-ctk runtime configure --runtime=docker`",
        rule: too_old,
    },
    Check {
        code: "docker_from_snap",
        severity: Severity::Warning,
        why: "Docker from a snap does not see the host's toolkit, runtimes and CDI specifications",
        cure: "`snap remove docker`, then install Docker's own package: docs.docker.com/engine/install",
        rule: snap,
    },
    Check {
        code: "podman_behind_docker_socket",
        severity: Severity::Hint,
        why: "Podman speaks Docker's API but has neither its runtimes nor its daemon.json: remedies for Docker have no effect here",
        cure: "use CDI for GPUs: `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
        rule: podman,
    },
    Check {
        code: "cgroup_v1",
        severity: Severity::Warning,
        why: "current systemd and container runtimes drop cgroup v1; limits and device rules differ from what is tested",
        cure: "remove `systemd.unified_cgroup_hierarchy=0` from the kernel command line, and reboot",
        rule: cgroup,
    },
];

fn is_installed(facts: &DoctorFacts) -> Result<bool, super::rule::Skipped> {
    known(&facts.docker.installed, "Docker's executable").copied()
}

fn absent(facts: &DoctorFacts) -> Ruled {
    only_if(!facts.scan()?.gpus.is_empty())?;
    let answers = facts.host.docker.is_ok();
    hit_if(!answers && !is_installed(facts)?, || Hit::of("dockerd", "it is in none of the usual places"))
}

fn not_running(facts: &DoctorFacts) -> Ruled {
    let Err(fault @ ProbeError::Absent { .. }) = &facts.host.docker else { return Ok(Vec::new()) };
    only_if(is_installed(facts)?)?;
    let state =
        facts.unit("docker.service").map(|unit| format!("; docker.service is {} ({})", unit.active, unit.result));
    Ok(vec![Hit::of("docker.service", format!("{fault}{}", state.unwrap_or_default()))])
}

/// A refusal for want of permission is the caller's, and no fault of Docker's.
fn silent(facts: &DoctorFacts) -> Ruled {
    match &facts.host.docker {
        Ok(_) | Err(ProbeError::Absent { .. } | ProbeError::NotAsked { .. } | ProbeError::HandUnavailable { .. }) => {
            Ok(Vec::new())
        }
        Err(ProbeError::Failed { what, said, .. }) if said.to_ascii_lowercase().contains("permission denied") => {
            Err(super::rule::Skipped::Unknown(format!("{what}: {said}")))
        }
        Err(
            fault @ (ProbeError::Timeout { .. }
            | ProbeError::Stuck { .. }
            | ProbeError::Failed { .. }
            | ProbeError::Crashed { .. }
            | ProbeError::Garbled { .. }),
        ) => Ok(vec![Hit::of("docker.service", fault.to_string())]),
    }
}

/// Podman reads none of Docker's settings.
fn only_docker(facts: &DoctorFacts) -> Result<(), super::rule::Skipped> {
    only_if(!facts.host.docker.as_ref().is_ok_and(|docker| docker.engine == ContainerEngine::Podman))
}

fn podman(facts: &DoctorFacts) -> Ruled {
    let docker = facts.docker()?;
    let version = docker.version.as_deref().unwrap_or("of an unknown version");
    let rootless = if docker.rootless { ", without root" } else { "" };
    hit_if(docker.engine == ContainerEngine::Podman, || Hit::of("podman", format!("it is {version}{rootless}")))
}

fn config(facts: &DoctorFacts) -> Ruled {
    only_docker(facts)?;
    let config = known(&facts.docker.config, "/etc/docker/daemon.json")?;
    Ok(config.error.as_ref().map(|error| Hit::of(&config.path, error)).into_iter().collect())
}

fn runtime_path(facts: &DoctorFacts) -> Ruled {
    only_docker(facts)?;
    let config = known(&facts.docker.config, "/etc/docker/daemon.json")?;
    let missing = config.missing_runtimes.iter();
    Ok(missing.map(|(name, path)| Hit::of(name, format!("{} names {path}, which is not there", config.path))).collect())
}

fn default_runtime(facts: &DoctorFacts) -> Ruled {
    only_docker(facts)?;
    let runtime = facts.docker()?.default_runtime.as_deref();
    hit_if(runtime.is_some_and(|name| name.starts_with("nvidia")), || {
        Hit::of("default-runtime", runtime.unwrap_or_default())
    })
}

fn too_old(facts: &DoctorFacts) -> Ruled {
    facts.served()?;
    only_docker(facts)?;
    let docker = facts.docker()?;
    only_if(!docker.has_nvidia_runtime() && !known(&facts.nvidia.cdi, "the CDI specifications")?.is_empty())?;
    let version = docker.version.as_deref().unwrap_or_default();
    let enabled =
        facts.docker.config.known().and_then(|config| config.cdi) == Some(true) || !docker.cdi_spec_dirs.is_empty();
    if is_older(version, &[25]) {
        return Ok(vec![Hit::of("docker", format!("it is {version}; CDI needs 25 or newer"))]);
    }
    let found = || Hit::of("docker", format!("it is {version}; before 28.2 CDI has to be switched on"));
    let on = r#"add `"features": {"cdi": true}` to /etc/docker/daemon.json, then `systemctl restart docker`"#;
    hit_if(is_older(version, &[28, 2]) && !enabled, || found().cure(on))
}

fn snap(facts: &DoctorFacts) -> Ruled {
    let root = facts.docker()?.root_dir.as_deref().unwrap_or_default();
    hit_if(root.starts_with("/var/snap/"), || Hit::of("docker", format!("its root is {root}")))
}

fn cgroup(facts: &DoctorFacts) -> Ruled {
    let version = *known(&facts.kernel.cgroup, "/sys/fs/cgroup")?;
    hit_if(version == 1, || Hit::of("/sys/fs/cgroup", "cgroup v1 is mounted"))
}
