//! What is done to NVIDIA's containers. The create request is composed here, and what is started, stopped or removed has to be ours.

use super::shape::Shape;
use crate::client::{CONFLICT, NOT_FOUND, client, status};
use crate::inspected::inspect;
use crate::json::Json;
use crate::not_done::{NotDone, do_within};
use crate::pulls::Pulls;
use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::{NvidiaDeed, NvidiaRole, NvidiaSpec};
use model::policy::NvidiaPolicy;
use model::ports::ActError;
use std::sync::Arc;
use std::time::Duration;

pub(crate) async fn apply(
    socket: &str,
    pulls: &Arc<Pulls>,
    deed: &NvidiaDeed,
    policy: &NvidiaPolicy,
    deadline: Duration,
) -> Result<(), ActError> {
    let doing = async {
        match deed {
            NvidiaDeed::Pull { role, image } => {
                allowed(policy, *role, image)?;
                pulls.begin(socket, image, None).map_err(NotDone::Denied)
            }
            NvidiaDeed::Create(spec) => create(socket, spec, policy, deadline).await,
            NvidiaDeed::Start { role, id } => start(socket, *role, id, policy, deadline).await,
            NvidiaDeed::Stop { role, id } => stop(socket, *role, id, deadline).await,
            NvidiaDeed::Remove { role, id } => remove(socket, *role, id, deadline).await,
        }
    };
    do_within(socket, deed, deadline, doing).await
}

fn allowed(policy: &NvidiaPolicy, role: NvidiaRole, image: &ImageRef) -> Result<(), NotDone> {
    policy.allows(role, image).map_err(|(key, why)| NotDone::Denied(format!("{key} in the policy: {why}")))
}

async fn create(socket: &str, spec: &NvidiaSpec, policy: &NvidiaPolicy, within: Duration) -> Result<(), NotDone> {
    allowed(policy, spec.role(), &spec.image)?;
    if spec.image.digest().is_none() {
        return Err(NotDone::Denied(format!("{} has no digest: a tag can change after it was pulled", spec.image)));
    }
    let unfit = |error: serde_json::Error| NotDone::Denied(format!("the request cannot be composed: {error}"));
    let body: ContainerCreateBody = serde_json::from_value(spec.body()).map_err(unfit)?;
    let docker = client(socket, within).await?;
    let options = CreateContainerOptionsBuilder::new().name(&spec.container_name()).build();
    match docker.create_container(Some(options), body).await {
        Ok(_) => Ok(()),
        // An answer that was lost: it was created by an earlier request.
        Err(error) if status(&error) == Some(CONFLICT) && is_there(&docker, socket, spec).await? => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The container of this name is ours, and of this specification.
async fn is_there(docker: &Docker, socket: &str, spec: &NvidiaSpec) -> Result<bool, NotDone> {
    let named = docker.inspect_container(&spec.container_name(), None).await?;
    let Some(id) = named.id.and_then(|id| id.parse().ok()) else { return Ok(false) };
    let Some(found) = inspect(socket, &id).await? else { return Ok(false) };
    let shape = Shape(&found);
    Ok(shape.has_role(spec.role())
        && shape.foreign(spec.role()).is_none()
        && shape.spec_digest() == Some(&spec.digest()))
}

/// The container, where it is ours; none where it is gone.
async fn ours(socket: &str, role: NvidiaRole, id: &ContainerId) -> Result<Option<Json>, NotDone> {
    let Some(found) = inspect(socket, id).await? else { return Ok(None) };
    let shape = Shape(&found);
    if !shape.has_role(role) {
        return Err(NotDone::Denied(format!("it does not have the label {}={role}", NvidiaSpec::ROLE_LABEL)));
    }
    match shape.foreign(role) {
        None => Ok(Some(found)),
        Some(why) => {
            let why = format!("it has gpuhostd's label, and was created by something else ({why:?} differs)");
            Err(NotDone::Denied(why))
        }
    }
}

async fn start(
    socket: &str,
    role: NvidiaRole,
    id: &ContainerId,
    policy: &NvidiaPolicy,
    within: Duration,
) -> Result<(), NotDone> {
    let Some(found) = ours(socket, role, id).await? else {
        return Err(NotDone::Denied("it is gone".to_owned()));
    };
    let image = found.get("Config").get("Image").text().and_then(|image| image.parse::<ImageRef>().ok());
    let image = image.ok_or_else(|| NotDone::Denied("Docker does not show which image it is from".to_owned()))?;
    allowed(policy, role, &image)?;
    let docker = client(socket, within).await?;
    Ok(docker.start_container(id.as_str(), None::<StartContainerOptions>).await?)
}

async fn stop(socket: &str, role: NvidiaRole, id: &ContainerId, within: Duration) -> Result<(), NotDone> {
    if ours(socket, role, id).await?.is_none() {
        return Ok(());
    }
    let seconds = i32::try_from(NvidiaSpec::STOP_WITHIN_S).unwrap_or(i32::MAX);
    let docker = client(socket, within).await?;
    let options = StopContainerOptionsBuilder::new().t(seconds).build();
    gone_is_done(docker.stop_container(id.as_str(), Some(options)).await)
}

/// Docker refuses it while it runs.
async fn remove(socket: &str, role: NvidiaRole, id: &ContainerId, within: Duration) -> Result<(), NotDone> {
    if ours(socket, role, id).await?.is_none() {
        return Ok(());
    }
    let docker = client(socket, within).await?;
    let options = RemoveContainerOptionsBuilder::new().force(false).v(true).build();
    gone_is_done(docker.remove_container(id.as_str(), Some(options)).await)
}

fn gone_is_done(answer: Result<(), bollard::errors::Error>) -> Result<(), NotDone> {
    match answer {
        Err(error) if status(&error) == Some(NOT_FOUND) => Ok(()),
        answer => Ok(answer?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::nvidia_container::{DriverOptions, DriverRootKind, KernelModuleType, NvidiaOptions, ToolkitOptions};
    use serde_json::Value;

    fn is_part_of(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::Object(part), Value::Object(whole)) => {
                part.iter().all(|(key, value)| whole.get(key).is_some_and(|other| is_part_of(value, other)))
            }
            (part, whole) => part == whole,
        }
    }

    #[test]
    fn no_field_of_the_request_is_lost_on_the_way() {
        let image: ImageRef = format!("r.example/x@sha256:{}", "a".repeat(64)).parse().unwrap();
        let options = [
            NvidiaOptions::Driver(DriverOptions {
                kernel_modules: KernelModuleType::Open,
                config_digest: "1".to_owned(),
            }),
            NvidiaOptions::Toolkit(ToolkitOptions { driver_root: DriverRootKind::Host, knows_no_runtime_config: true }),
        ];
        for options in options {
            let body = NvidiaSpec { image: image.clone(), options }.body();
            let typed: ContainerCreateBody = serde_json::from_value(body.clone()).unwrap();
            let sent = serde_json::to_value(&typed).unwrap();
            assert!(is_part_of(&body, &sent), "{body}\n{sent}");
        }
    }
}
