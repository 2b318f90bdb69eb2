//! A simulated Docker with NVIDIA's two containers, their images, the entry in its configuration and the driver that they load.

mod nvidia_on_host;
mod sim_containers;
mod sim_docker;
mod sim_docker_cdi;
mod sim_driver_host;
mod sim_gpu_access;
mod sim_images;

pub use sim_containers::{SimContainer, SimContainerRun};
pub use sim_docker::{SimDocker, SimDockerFile, SimPort};
pub use sim_docker_cdi::SimDockerCdi;
pub use sim_driver_host::SimDriverHost;
pub use sim_gpu_access::SimGpuAccess;
pub use sim_images::SimImage;
