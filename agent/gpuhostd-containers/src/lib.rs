//! The containers hand: asks Docker for its facts and for containers that map MIG instances, and nvidia-smi in the driver container;
//! creates, starts, stops and removes NVIDIA's two containers and the containers of workspaces, and nothing else.

use docker::{
    LoginSource, NvidiaContainers, PULL_STALLED_AFTER, STALLED_AFTER, WorkspaceContainers, facts, mig_claims,
    runtime_users, smi_in_driver_container,
};
use hands::policy;
use hands::program::{HandPaths, HandSettings, noted, with_note};
use hands::registry::{Registry, RegistryBuilder};
use hands::secret_file;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess, geteuid};
use protocol::hand::ContainersHand;
use protocol::hand::containers::{
    ApplyNvidiaDeed, ApplyWorkspaceDeed, AwaitWorkspaceEvent, FindMigContainers, FindRuntimeUsers,
    InspectNvidiaContainers, InspectWorkspaces, ListStoredImages, ProbeDriverContainer, ProbeToolkit, ReadDockerFacts,
    ReadNvidiaLog, ReadRegistryLogins, RemoveStoredImage,
};
use std::sync::Arc;
use std::time::Duration;

/// Time for Docker's facts; the front waits a little longer.
const DOCKER_WITHIN: Duration = Duration::from_secs(10);
/// Time for a question about each container.
const CONTAINERS_WITHIN: Duration = Duration::from_secs(20);
/// Time for one thing that is done: a container has 120 s to end, and Docker some more.
const DEED_WITHIN: Duration = Duration::from_secs(170);
/// Time for the end of a log.
const LOG_WITHIN: Duration = Duration::from_secs(12);
/// Time for a container that starts, looks and ends.
const PROBE_WITHIN: Duration = Duration::from_secs(80);
/// Time for a look at all workspaces: each is inspected.
const WORKSPACES_WITHIN: Duration = Duration::from_secs(40);
/// The name of the logins among the credentials that systemd hands over.
const REGISTRIES: &str = "registries";
/// Longest wait for an event.
const EVENT_WITHIN: Duration = Duration::from_secs(60);

/// What the containers hand serves on this host.
#[must_use]
pub fn registry(settings: HandSettings, paths: &HandPaths) -> Registry {
    let note = settings.note();
    let probe_within = Duration::from_millis(settings.settings.nvidia.probe_timeout_ms);
    let socket: Arc<str> = settings.settings.docker.socket.into();
    let (degraded_socket, degraded_note) = (Arc::clone(&socket), note.clone());
    let (claims_socket, users_socket) = (Arc::clone(&socket), Arc::clone(&socket));
    let workspace_socket = Arc::clone(&socket);
    let (facts_socket, facts_note) = (Arc::clone(&socket), note.clone());
    let nvidia = NvidiaContainers::with_logins(&facts_socket, STALLED_AFTER, logins(paths));
    let (looking, doing, reading, probing) = (nvidia.clone(), nvidia.clone(), nvidia.clone(), nvidia);
    let (deed_policy, probe_policy) = (paths.policy.clone(), paths.policy.clone());
    let degraded = move || closed_socket(&degraded_socket).map(|why| noted(why, degraded_note.as_ref()));
    let builder = RegistryBuilder::<ContainersHand>::new(degraded);
    workspaces(builder, &workspace_socket, paths)
        .serve(move |ReadDockerFacts {}| {
            let (socket, note) = (Arc::clone(&facts_socket), facts_note.clone());
            async move { with_note(facts(&socket, DOCKER_WITHIN).await, note.as_ref()) }
        })
        .serve(move |ProbeDriverContainer {}| {
            let (socket, note) = (Arc::clone(&socket), note.clone());
            async move { with_note(smi_in_driver_container(&socket, probe_within).await, note.as_ref()) }
        })
        .serve(move |FindMigContainers {}| {
            let socket = Arc::clone(&claims_socket);
            async move { mig_claims(&socket, CONTAINERS_WITHIN).await }
        })
        .serve(move |FindRuntimeUsers { runtime }| {
            let socket = Arc::clone(&users_socket);
            async move { runtime_users(&socket, &runtime, CONTAINERS_WITHIN).await }
        })
        .serve(move |InspectNvidiaContainers { role, image }| {
            let nvidia = looking.clone();
            async move { nvidia.look(role, image.as_ref(), CONTAINERS_WITHIN).await }
        })
        .serve(move |ApplyNvidiaDeed { deed }| {
            let (nvidia, file) = (doing.clone(), deed_policy.clone());
            async move { nvidia.apply(&deed, &policy::read_in_background(file).await.host.nvidia, DEED_WITHIN).await }
        })
        .serve(move |ReadNvidiaLog { role, id }| {
            let nvidia = reading.clone();
            async move { nvidia.log(role, &id, LOG_WITHIN).await }
        })
        .serve(move |ProbeToolkit { image, way }| {
            let (nvidia, file) = (probing.clone(), probe_policy.clone());
            async move {
                let policy = policy::read_in_background(file).await.host.nvidia;
                nvidia.probe_toolkit(&image, way, &policy, PROBE_WITHIN).await
            }
        })
        .build()
}

/// The logins to registries: what systemd hands over, or a file. They are read at each pull, and kept nowhere.
fn logins(paths: &HandPaths) -> LoginSource {
    let file = secret_file::place(REGISTRIES, &paths.registries);
    LoginSource::new(&file.display().to_string(), {
        let file = file.clone();
        move || secret_file::read(&file)
    })
}

/// The verbs of workspaces.
fn workspaces(
    builder: RegistryBuilder<ContainersHand>,
    socket: &str,
    paths: &HandPaths,
) -> RegistryBuilder<ContainersHand> {
    let workspaces = WorkspaceContainers::with_logins(socket, PULL_STALLED_AFTER, logins(paths));
    let (looking, doing, waiting) = (workspaces.clone(), workspaces.clone(), workspaces.clone());
    let (listing, removing) = (workspaces.clone(), workspaces);
    let reading = logins(paths);
    let (policy_file, image_policy) = (paths.policy.clone(), paths.policy.clone());
    builder
        .serve(move |InspectWorkspaces { images }| {
            let workspaces = looking.clone();
            async move { workspaces.look(&images, WORKSPACES_WITHIN).await }
        })
        .serve(move |ApplyWorkspaceDeed { deed }| {
            let (workspaces, file) = (doing.clone(), policy_file.clone());
            async move { workspaces.apply(&deed, &policy::read_in_background(file).await.host, DEED_WITHIN).await }
        })
        .serve(move |AwaitWorkspaceEvent { since }| {
            let workspaces = waiting.clone();
            async move { workspaces.await_event(since, EVENT_WITHIN).await }
        })
        .serve(move |ReadRegistryLogins {}| {
            let logins = reading.clone();
            async move { Ok(logins.seen().await) }
        })
        .serve(move |ListStoredImages {}| {
            let workspaces = listing.clone();
            async move { workspaces.stored_images(WORKSPACES_WITHIN).await }
        })
        .serve(move |RemoveStoredImage { id }| {
            let (workspaces, file) = (removing.clone(), image_policy.clone());
            async move {
                let policy = policy::read_in_background(file).await.host;
                workspaces.remove_stored_image(&id, &policy, DEED_WITHIN).await
            }
        })
}

/// Why this process cannot use Docker's socket, where it cannot.
fn closed_socket(socket: &str) -> Option<String> {
    match eaccess(socket, AccessFlags::R_OK | AccessFlags::W_OK) {
        Ok(()) => None,
        Err(Errno::ENOENT) => Some(format!("{socket} does not exist: Docker is not installed or not running")),
        Err(Errno::EACCES) => Some(format!(
            "uid {} may not use {socket}: add this user to the group that owns it (usermod -aG docker) and restart the \
             hand",
            geteuid()
        )),
        Err(errno) => Some(format!("{socket} cannot be used: {}", errno.desc())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_docker_socket_is_said_with_its_path() {
        let said = closed_socket("/nonexistent/docker.sock").unwrap();
        assert!(said.contains("/nonexistent/docker.sock does not exist"), "{said}");
    }

    #[test]
    fn a_docker_socket_that_we_may_use_is_no_lack_of_power() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(closed_socket(path.to_str().unwrap()), None);
    }
}
