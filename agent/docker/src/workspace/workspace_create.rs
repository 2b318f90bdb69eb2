//! The creation of a workspace's container: checked by the hand's own policy, composed here, and nothing is passed on.

use super::workspace_shape::WorkspaceShape;
use super::{bind_sources, networks, volumes};
use crate::client::{CONFLICT, client, status};
use crate::not_done::NotDone;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use model::policy::HostPolicy;
use model::workspace::WorkspaceContainer;
use std::time::Duration;

/// From this version of the API on, a container can join more than one network when it is created (Docker 25).
const API_OF_SEVERAL_NETWORKS: (usize, usize) = (1, 44);

/// Creates it, stopped, with the volumes that it names. Where the same one is there already, it is done.
pub(crate) async fn create(
    socket: &str,
    container: &WorkspaceContainer,
    policy: &HostPolicy,
    within: Duration,
) -> Result<(), NotDone> {
    container.check(policy).map_err(|refused| NotDone::Denied(refused.to_string()))?;
    // What serde reports can have values of the environment in it.
    let body: ContainerCreateBody = serde_json::from_value(container.body())
        .map_err(|_| NotDone::Denied("the request cannot be composed".to_owned()))?;
    networks::check(socket, &container.networks).await?;
    let (mut named, mut sources) = (Vec::new(), Vec::new());
    for mount in &container.mounts {
        if mount.is_volume {
            named.push(mount.source.as_str());
        } else {
            sources.push(mount.source.clone());
        }
    }
    bind_sources::check_links(sources).await?;
    let docker = client(socket, within).await?;
    let version = docker.client_version();
    if container.networks.len() > 1 && (version.major_version, version.minor_version) < API_OF_SEVERAL_NETWORKS {
        let why = "this Docker cannot create a container in more than one network; Docker 25 and later can";
        return Err(NotDone::Denied(why.to_owned()));
    }
    volumes::prepare(socket, &named, within).await?;
    let name = container.name();
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    match docker.create_container(Some(options), body).await {
        Ok(_) => Ok(()),
        Err(error) if status(&error) == Some(CONFLICT) => taken(socket, container, &name).await,
        Err(error) => Err(error.into()),
    }
}

/// The name is taken: by the very container, where an answer was lost; else by another one, which is named.
async fn taken(socket: &str, container: &WorkspaceContainer, name: &str) -> Result<(), NotDone> {
    let Some(found) = WorkspaceShape::find(socket, name).await? else {
        return Err(NotDone::Denied(format!("the name {name} was taken, and is free now")));
    };
    let id = found.id().map(|id| id.short().to_owned()).unwrap_or_default();
    let why = match found.seen() {
        Some(seen) if seen.foreign.is_none() && seen.workspace_id.as_ref() == Some(&container.workspace_id) => {
            if seen.spec_digest.as_ref() == Some(&container.spec_digest) {
                return Ok(());
            }
            "it is of an earlier specification; it is removed first"
        }
        _ => "it was not created by gpuhostd; remove or rename it",
    };
    Err(NotDone::Denied(format!("the name {name} is in use by container {id}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::policy::Requester;
    use model::workspace::{GpuInjection, PortProtocol, PublishedPort, WorkspaceMount, WorkspaceNode};
    use serde_json::Value;
    use std::collections::{BTreeMap, BTreeSet};

    fn is_part_of(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::Object(part), Value::Object(whole)) => {
                part.iter().all(|(key, value)| whole.get(key).is_some_and(|other| is_part_of(value, other)))
            }
            (Value::Array(part), Value::Array(whole)) => {
                part.len() == whole.len() && part.iter().zip(whole).all(|(one, other)| is_part_of(one, other))
            }
            (part, whole) => part == whole,
        }
    }

    #[test]
    fn no_field_of_the_request_is_lost_on_the_way() {
        let mount = |is_volume, source: &str| WorkspaceMount {
            is_volume,
            source: source.to_owned(),
            target: "/data".to_owned(),
            read_only: !is_volume,
        };
        let node = WorkspaceNode { on_host: "/dev/kvm".to_owned(), inside: "/dev/kvm".to_owned() };
        let port = PublishedPort {
            container: 80,
            protocol: PortProtocol::Tcp,
            host: Some(8080),
            listen: "127.0.0.1".parse().unwrap(),
        };
        let mut container = WorkspaceContainer {
            workspace_id: "w-1".parse().unwrap(),
            requester: Requester::Local,
            generation: 7,
            spec_digest: "d".to_owned(),
            security_context: Some("red".to_owned()),
            image: format!("r.example/x@sha256:{}", "a".repeat(64)).parse().unwrap(),
            environment: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            hostname: Some("w".to_owned()),
            ports: vec![port],
            mounts: vec![mount(true, "gpuhost-v"), mount(false, "/srv/x")],
            networks: vec!["one".to_owned(), "two".to_owned()],
            way: GpuInjection::Cdi { devices: vec!["nvidia.com/gpu=GPU-1".to_owned()] },
            capabilities: BTreeSet::from(["compute".to_owned()]),
            gpus: vec!["GPU-1".to_owned()],
            vfio: vec!["0000:41:00.0".to_owned()],
            nodes: vec![node],
            groups: BTreeSet::from([44]),
            nano_cpus: 1_500_000_000,
            memory_bytes: 1 << 33,
            shm_bytes: 1 << 26,
            init: true,
            read_only: true,
        };
        for way in [
            container.way.clone(),
            GpuInjection::None,
            GpuInjection::Runtime { name: "nvidia".to_owned(), visible: vec!["GPU-1".to_owned()] },
        ] {
            container.way = way;
            let body = container.body();
            let typed: ContainerCreateBody = serde_json::from_value(body.clone()).unwrap();
            let sent = serde_json::to_value(&typed).unwrap();
            assert!(is_part_of(&body, &sent), "{body}\n{sent}");
        }
    }
}
