//! The section `nvidia`: the driver and the toolkit container.

use super::document_reader::Reader;
use super::json_node::Node;
use model::desired::{Desired, DesiredNvidia};
use model::docker_config::DockerRestart;
use model::nvidia_container::{BadNvidiaImage, DriverRootWish, NvidiaImage};

pub(super) fn read<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> DesiredNvidia {
    let mut nvidia = DesiredNvidia::default();
    if node.is_null() {
        return nvidia;
    }
    reader.object(node, |reader, name, value| match name {
        "deploy_driver" => nvidia.deploy_driver = reader.wish_truth(value),
        "driver_image" => nvidia.driver_image = image(reader, value),
        "deploy_toolkit" => nvidia.deploy_toolkit = reader.wish_truth(value),
        "toolkit_image" => nvidia.toolkit_image = image(reader, value),
        "driver_root" => nvidia.driver_root = reader.wish_text(value, driver_root),
        "docker_restart" => nvidia.docker_restart = reader.wish_text(value, docker_restart),
        _ => reader.unknown(value),
    });
    nvidia
}

fn image<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Desired<NvidiaImage> {
    reader.wish_text(node, |text| text.parse().map_err(|fault: BadNvidiaImage| fault.to_string()))
}

fn docker_restart(text: &str) -> Result<DockerRestart, String> {
    text.parse().map_err(|_| format!("expected one of {}", DockerRestart::VALUES.join(", ")))
}

fn driver_root(text: &str) -> Result<DriverRootWish, String> {
    text.parse().map_err(|_| format!("expected one of {}", DriverRootWish::VALUES.join(", ")))
}
