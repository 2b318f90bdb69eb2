//! NVIDIA's containers on the Linux host: Docker through the container hand, its configuration through the host hand.

use crate::installed_toolkit::installed_toolkit;
use crate::linux::LinuxHost;
use model::cdi::{CdiLook, CdiReader};
use model::docker::DockerFacts;
use model::docker_config::DockerConfigLook;
use model::driver_host::{DriverAnswer, DriverHostFacts, DriverPlanned, DriverReadiness, driver_readiness, preflight};
use model::driver_libraries::DriverLibraries;
use model::holders::{Holder, Holders};
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::{
    DriverHostSeen, NvidiaAct, NvidiaActAnswer, NvidiaContainerSeen, NvidiaHostAsked, NvidiaHostSeen, NvidiaLook,
    NvidiaRefused, NvidiaRole, nvidia_runtime_entry,
};
use model::plan::{Lane, Scope};
use model::ports::NvidiaPort;
use protocol::hand::containers::{
    ApplyNvidiaDeed, FindRuntimeUsers, InspectNvidiaContainers, ProbeDriverContainer, ProbeToolkit, ReadDockerFacts,
    ReadNvidiaLog,
};
use protocol::hand::holders::FindHolders;
use protocol::hand::host::{
    ApplyCdiStep, ApplyDockerConfigStep, ApplyDriverHostStep, InspectCdi, InspectDockerConfig, InspectDriverHost,
    InspectDriverLibraries, ProbeToolkitPrograms,
};

impl NvidiaPort for LinuxHost {
    async fn look_at_containers(&self, role: NvidiaRole, image: Option<ImageRef>) -> Result<NvidiaLook, String> {
        self.remote.call(&InspectNvidiaContainers { role, image }).await.map_err(|fault| fault.to_string())
    }

    async fn ask_docker(&self) -> Result<DockerFacts, String> {
        self.remote.call(&ReadDockerFacts {}).await.map_err(|fault| fault.to_string())
    }

    async fn look_at_docker_config(&self, docker_version: Option<String>) -> Result<DockerConfigLook, String> {
        let entry = nvidia_runtime_entry().map_err(|fault| fault.to_string())?;
        self.remote.call(&InspectDockerConfig { entry, docker_version }).await.map_err(|fault| fault.to_string())
    }

    async fn look_at_nvidia_host(&self, asked: NvidiaHostAsked) -> NvidiaHostSeen {
        let facts = self.driver_facts(asked.docker_root.clone()).await;
        let runtime_users = match nvidia_runtime_entry() {
            Ok(entry) => {
                let asked = FindRuntimeUsers { runtime: entry.name };
                self.remote.call(&asked).await.map_err(|fault| fault.to_string())
            }
            Err(fault) => Err(fault.to_string()),
        };
        let refused = match &facts {
            Ok(facts) => refusals(facts, &asked),
            Err(_) => Vec::new(),
        };
        NvidiaHostSeen {
            preflight: refused,
            driver_host: facts.as_ref().map(DriverHostSeen::from).map_err(Clone::clone),
            driver_ready: self.driver_ready(facts).await,
            runtime_answers: self.toolkit_answers().await,
            cdi: self.look_at_cdi(asked.cdi_reader).await,
            holders: self.holders_of(asked.gpus).await,
            runtime_users,
        }
    }

    async fn driver_libraries(&self, pids: Vec<u32>) -> Result<Vec<DriverLibraries>, String> {
        self.remote.call(&InspectDriverLibraries { pids }).await.map_err(|fault| fault.to_string())
    }

    async fn act_on_nvidia(&self, act: &NvidiaAct, docker_version: Option<String>) -> Result<NvidiaActAnswer, String> {
        let done = match act {
            NvidiaAct::Container(deed) => self.remote.call(&ApplyNvidiaDeed { deed: deed.clone() }).await,
            NvidiaAct::DockerConfig(step) => {
                self.remote.call(&ApplyDockerConfigStep { step: step.clone(), docker_version }).await
            }
            NvidiaAct::Cdi(step) => self.remote.call(&ApplyCdiStep { step: step.clone() }).await,
            NvidiaAct::Probe { image, way } => {
                let asked = ProbeToolkit { image: image.clone(), way: *way };
                let seen = self.remote.call(&asked).await.map_err(|fault| fault.to_string())?;
                return Ok(NvidiaActAnswer::Probed(seen));
            }
            NvidiaAct::DriverHost(step) => self.remote.call(&ApplyDriverHostStep { step: step.clone() }).await,
        };
        done.map(|()| NvidiaActAnswer::Done).map_err(|fault| fault.to_string())
    }

    async fn read_container_log(&self, role: NvidiaRole, id: &ContainerId) -> Result<Vec<String>, String> {
        self.remote.call(&ReadNvidiaLog { role, id: id.clone() }).await.map_err(|fault| fault.to_string())
    }
}

impl LinuxHost {
    async fn driver_facts(&self, docker_root: Option<String>) -> Result<DriverHostFacts, String> {
        self.remote.call(&InspectDriverHost { docker_root }).await.map_err(|fault| fault.to_string())
    }

    async fn look_at_cdi(&self, reader: Option<CdiReader>) -> Result<CdiLook, String> {
        let reader = reader.ok_or_else(|| "Docker does not answer".to_owned())?;
        self.remote.call(&InspectCdi { reader }).await.map_err(|fault| fault.to_string())
    }

    /// The programs that the toolkit container installs answer. They outlive the container, and are asked again only when their files are
    /// others than those that have answered.
    async fn toolkit_answers(&self) -> Result<(), String> {
        let now = tokio::task::spawn_blocking(installed_toolkit).await.map_err(|broken| broken.to_string())??;
        let is_known = |known: &Option<_>| known.as_ref() == Some(&now);
        if is_known(&*self.toolkit_answered.lock().await) {
            return Ok(());
        }
        self.remote.call(&ProbeToolkitPrograms {}).await.map_err(|fault| fault.to_string())?;
        *self.toolkit_answered.lock().await = Some(now);
        Ok(())
    }

    async fn driver_ready(&self, facts: Result<DriverHostFacts, String>) -> Result<(), String> {
        let facts = facts?;
        // Nothing is asked of a driver whose module is not there.
        let answer = match facts.module_references.known() {
            Some(_) => self.remote.call(&ProbeDriverContainer {}).await.map_err(|fault| fault.to_string()),
            None => Err("its module is not loaded".to_owned()),
        };
        let answer = answer.map(|report| DriverAnswer::of(&report));
        match driver_readiness(&facts, answer.as_ref().map_err(String::as_str)) {
            DriverReadiness::Ready { .. } => Ok(()),
            DriverReadiness::NotYet { lacks } => Err(lacks.to_string()),
        }
    }

    /// Who has a device file of the driver open, of any of its GPUs. NVIDIA's two containers are privileged and have them all, and the
    /// driver's own services run in one of them: both would hold the driver for ever.
    async fn holders_of(&self, gpus: Vec<model::PciAddress>) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = Vec::new();
        let mut own = Vec::new();
        for role in NvidiaRole::ALL {
            let NvidiaLook { containers, .. } = self.look_at_containers(*role, None).await?;
            own.extend(containers.into_iter().filter(|one| one.foreign.is_none()));
        }
        for gpu in gpus {
            let scope = Scope { lane: Lane::Gpu(gpu), gpu, members: vec![gpu] };
            let Holders { found, unreadable, .. } =
                self.remote.call(&FindHolders { scope }).await.map_err(|fault| fault.to_string())?;
            if let Some(process) = unreadable.first() {
                return Err(process.said.clone());
            }
            names.extend(found.iter().filter(|holder| !is_in(holder, &own)).map(ToString::to_string));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// It is a process in one of these containers, or one of them itself. The control group shows the id, or its beginning.
fn is_in(holder: &Holder, containers: &[NvidiaContainerSeen]) -> bool {
    let Some(container) = holder.container.as_deref() else { return false };
    let is_it = |one: &NvidiaContainerSeen| container.len() >= 12 && one.id.as_str().starts_with(container);
    containers.iter().any(is_it)
}

fn refusals(facts: &DriverHostFacts, asked: &NvidiaHostAsked) -> Vec<NvidiaRefused> {
    if !asked.wish.deploy_driver {
        return Vec::new();
    }
    let planned = DriverPlanned {
        image: asked.wish.driver_image.image(),
        config_digest: asked.driver_config.as_deref(),
        is_pulled: asked.is_driver_pulled,
    };
    let found = preflight(facts, &planned);
    found.refused.iter().map(|one| NvidiaRefused { code: one.code().to_owned(), why: one.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::holders::Hold;
    use model::nvidia_container::ContainerRun;

    #[test]
    fn what_runs_in_the_driver_container_does_not_keep_the_driver_from_being_replaced() {
        let id: String = "ab12".repeat(16);
        let own = [NvidiaContainerSeen {
            id: id.parse().unwrap(),
            name: "gpuhostd-driver-1".to_owned(),
            foreign: None,
            spec_digest: None,
            image_digests: Vec::new(),
            run: ContainerRun::Running,
            started_at: None,
        }];
        let holder = |container: Option<&str>| Holder {
            pid: Some(7),
            command: Some("nvidia-persiste".to_owned()),
            unit: None,
            container: container.map(str::to_owned),
            address: None,
            instance: None,
            hold: Hold::OpenDevice { path: "/dev/nvidia0".to_owned() },
        };
        assert!(is_in(&holder(Some(&id)), &own) && is_in(&holder(id.get(..12)), &own));
        for other in [None, Some("ab12"), Some("cd34cd34cd34"), Some("gpuhostd-driver-1")] {
            assert!(!is_in(&holder(other), &own), "{other:?}");
        }
    }
}
