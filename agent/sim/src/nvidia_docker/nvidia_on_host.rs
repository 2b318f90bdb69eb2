//! NVIDIA's containers on a simulated host: its Docker goes on by some seconds whenever it is looked at.

use super::sim_docker::SimDocker;
use crate::host::SimHost;
use crate::recorded::RecordedHost;
use model::docker::DockerFacts;
use model::docker_config::DockerConfigLook;
use model::driver_libraries::DriverLibraries;
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::{NvidiaAct, NvidiaActAnswer, NvidiaHostAsked, NvidiaHostSeen, NvidiaLook, NvidiaRole};
use model::ports::{HostPort, NvidiaPort};
use std::future::{Future, ready};

/// So long it takes from one look to the next: a simulated host has no clock.
const LOOK_TAKES_MS: u64 = 5_000;

impl NvidiaPort for SimHost {
    async fn look_at_containers(&self, role: NvidiaRole, image: Option<ImageRef>) -> Result<NvidiaLook, String> {
        let _facts = self.read_docker().await.map_err(|fault| fault.to_string())?;
        self.nvidia_docker(|docker| {
            docker.asked += 1;
            if role == NvidiaRole::Driver {
                docker.advance_to(docker.now.plus(LOOK_TAKES_MS));
            }
            docker.look(role, image.as_ref())
        })
    }

    async fn ask_docker(&self) -> Result<DockerFacts, String> {
        let facts = self.read_docker().await.map_err(|fault| fault.to_string())?;
        let with = self.nvidia_docker(|docker| {
            docker.asked += 1;
            docker.gpu_access.reads_cdi |= !facts.cdi_spec_dirs.is_empty();
            docker.facts()
        })?;
        let mut runtimes: Vec<String> = facts.runtimes.iter().chain(&with.runtimes).cloned().collect();
        runtimes.sort();
        runtimes.dedup();
        let cdi_files = facts.cdi_files.iter().chain(&with.cdi_files).cloned().collect();
        let cdi_devices = facts.cdi_devices.iter().chain(&with.cdi_devices).cloned().collect();
        let own = facts.cdi_spec_dirs.iter();
        let others = with.cdi_spec_dirs.iter().filter(|path| !facts.cdi_spec_dirs.contains(path));
        let cdi_spec_dirs = own.chain(others).cloned().collect();
        Ok(DockerFacts { runtimes, cdi_spec_dirs, cdi_devices, cdi_files, ..facts })
    }

    fn look_at_docker_config(
        &self,
        _version: Option<String>,
    ) -> impl Future<Output = Result<DockerConfigLook, String>> + Send {
        ready(self.nvidia_docker(|docker| {
            docker.asked += 1;
            docker.config()
        }))
    }

    fn look_at_nvidia_host(&self, _asked: NvidiaHostAsked) -> impl Future<Output = NvidiaHostSeen> + Send {
        ready(self.nvidia_docker(|docker| {
            docker.asked += 1;
            host_seen(docker)
        }))
    }

    fn driver_libraries(&self, pids: Vec<u32>) -> impl Future<Output = Result<Vec<DriverLibraries>, String>> + Send {
        let of = |docker: &mut SimDocker, pid| DriverLibraries { pid, versions: docker.libraries.clone() };
        ready(Ok(self.nvidia_docker(|docker| pids.into_iter().map(|pid| of(docker, pid)).collect())))
    }

    fn act_on_nvidia(
        &self,
        act: &NvidiaAct,
        _docker_version: Option<String>,
    ) -> impl Future<Output = Result<NvidiaActAnswer, String>> + Send {
        ready(self.nvidia_docker(|docker| docker.act(act)))
    }

    fn read_container_log(
        &self,
        _role: NvidiaRole,
        id: &ContainerId,
    ) -> impl Future<Output = Result<Vec<String>, String>> + Send {
        ready(Ok(vec![format!("container {} of a simulated host writes nothing", id.short())]))
    }
}

fn host_seen(docker: &SimDocker) -> NvidiaHostSeen {
    NvidiaHostSeen {
        preflight: Vec::new(),
        driver_ready: docker.driver_ready(),
        runtime_answers: docker.runtime_answers(),
        holders: Ok(docker.holders.clone()),
        runtime_users: Ok(docker.runtime_users.clone()),
        cdi: Ok(docker.cdi_look()),
        driver_host: Ok(docker.driver_host_seen()),
    }
}

/// A picture has no containers that could be changed.
impl NvidiaPort for RecordedHost {
    fn look_at_containers(
        &self,
        _role: NvidiaRole,
        _image: Option<ImageRef>,
    ) -> impl Future<Output = Result<NvidiaLook, String>> + Send {
        ready(Err(picture()))
    }

    async fn ask_docker(&self) -> Result<DockerFacts, String> {
        self.read_docker().await.map_err(|fault| fault.to_string())
    }

    fn look_at_docker_config(
        &self,
        _version: Option<String>,
    ) -> impl Future<Output = Result<DockerConfigLook, String>> + Send {
        ready(Err(picture()))
    }

    fn look_at_nvidia_host(&self, _asked: NvidiaHostAsked) -> impl Future<Output = NvidiaHostSeen> + Send {
        ready(NvidiaHostSeen {
            preflight: Vec::new(),
            driver_ready: Err(picture()),
            runtime_answers: Err(picture()),
            holders: Err(picture()),
            runtime_users: Err(picture()),
            cdi: Err(picture()),
            driver_host: Err(picture()),
        })
    }

    fn driver_libraries(&self, _pids: Vec<u32>) -> impl Future<Output = Result<Vec<DriverLibraries>, String>> + Send {
        ready(Err(picture()))
    }

    fn act_on_nvidia(
        &self,
        _act: &NvidiaAct,
        _docker_version: Option<String>,
    ) -> impl Future<Output = Result<NvidiaActAnswer, String>> + Send {
        ready(Err(picture()))
    }

    fn read_container_log(
        &self,
        _role: NvidiaRole,
        _id: &ContainerId,
    ) -> impl Future<Output = Result<Vec<String>, String>> + Send {
        ready(Err(picture()))
    }
}

fn picture() -> String {
    "the host is a snapshot, which has no containers".to_owned()
}
