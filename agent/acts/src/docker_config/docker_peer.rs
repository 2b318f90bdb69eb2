//! The process that answers at Docker's socket, held by a pidfd: a number may be another process's by the time it is signalled.

use super::docker_unit;
use model::docker_config::WhyUnusable;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use spawn::Supervisor;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A connection is made by the kernel; only a full queue of a process that hangs makes it wait.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// The unit whose socket systemd listens on for Docker.
const UNIT: &str = "docker.service";

/// A process that runs.
pub(super) struct DockerPeer {
    /// Its id.
    pub(super) pid: u32,
    handle: OwnedFd,
}

impl DockerPeer {
    fn open(pid: u32) -> Result<Self, WhyUnusable> {
        let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let opened = known.map(|pid| pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from));
        match opened {
            Some(Ok(handle)) => Ok(Self { pid, handle }),
            Some(Err(error)) => Err(unknown(format!("process {pid} cannot be held: {error}"))),
            None => Err(unknown(format!("{pid} is not the id of a process"))),
        }
    }

    /// Whether it has exited; what cannot be known counts as exited.
    pub(super) fn has_exited(&self) -> bool {
        let mut watched = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::ZERO) != Ok(0)
    }

    /// Has it read its configuration again: SIGHUP, which dockerd answers with a reload in all versions.
    pub(super) fn signal_reload(&self) -> Result<(), String> {
        pidfd_send_signal(&self.handle, Signal::HUP).map_err(|errno| {
            format!("cannot send SIGHUP to dockerd (process {}): {}", self.pid, io::Error::from(errno))
        })
    }
}

fn unknown(said: String) -> WhyUnusable {
    WhyUnusable::DockerUnknown { said }
}

/// Finds it. Where systemd listens in Docker's place it is the main process of `docker.service`.
pub(super) async fn find(supervisor: &Supervisor, socket: &Path) -> Result<DockerPeer, WhyUnusable> {
    let name = socket.display().to_string();
    if socket.canonicalize().is_ok_and(|real| real.to_string_lossy().contains("podman")) {
        return Err(WhyUnusable::NotDocker { program: "podman".to_owned() });
    }
    match listener(socket).await {
        Ok(Some(1)) => match docker_unit::main_process(supervisor, UNIT).await {
            Some(unit) if unit.pid != 0 => DockerPeer::open(unit.pid),
            _ => Err(WhyUnusable::DockerNotRunning { socket: name }),
        },
        Ok(Some(pid)) => DockerPeer::open(pid),
        Ok(None) => Err(unknown(format!("the process that listens at {name} is in another PID namespace"))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            Err(WhyUnusable::DockerNotRunning { socket: name })
        }
        Err(error) => Err(unknown(format!("cannot connect to {name}: {error}"))),
    }
}

/// The process that called listen(2) on the socket (`SO_PEERCRED`); `None` where it is not one of this PID namespace.
async fn listener(socket: &Path) -> io::Result<Option<u32>> {
    let connected = timeout(CONNECT_WITHIN, UnixStream::connect(socket)).await;
    let stream = connected.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
    let pid = stream.peer_cred()?.pid();
    Ok(pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0))
}
