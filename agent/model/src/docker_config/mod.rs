//! The configuration file of the Docker that runs: how it is found, what it reports about the runtime that is wanted, and what can be
//! done to it. How its bytes are edited is in [`crate::daemon_json`].

mod docker_config_look;
mod docker_config_step;
mod docker_restart;

pub use docker_config_look::{DockerConfigLook, DockerConfigSeen, EntrySeen, FeatureSeen, WhyUnusable};
pub use docker_config_step::DockerConfigStep;
pub use docker_restart::{DockerRestart, DockerRunning, NoDockerRestart};
