//! Why a hand is powerless, found out before anything is tried, in words that say what to do.

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess, geteuid};
use wire::hand::HandRole;

/// Why the hand cannot do its work in this process, where it cannot.
#[must_use]
pub fn why_powerless(role: HandRole, docker_socket: &str) -> Option<String> {
    match role {
        HandRole::Host => {
            let uid = geteuid();
            (!uid.is_root()).then(|| format!("it runs as uid {uid}, but only root may change driver bindings"))
        }
        HandRole::Holders => (!sees_others()).then(|| {
            "it may not inspect other users' processes: it needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH".to_owned()
        }),
        HandRole::Containers => match eaccess(docker_socket, AccessFlags::R_OK | AccessFlags::W_OK) {
            Ok(()) => None,
            Err(Errno::ENOENT) => {
                Some(format!("{docker_socket} does not exist: Docker is not installed or not running"))
            }
            Err(Errno::EACCES) => Some(format!(
                "uid {} may not use {docker_socket}: add this user to the group that owns it (usermod -aG docker) and \
                 restart the hand",
                geteuid()
            )),
            Err(errno) => Some(format!("{docker_socket} cannot be used: {}", errno.desc())),
        },
    }
}

/// The open files of process 1, which is root's and never ours, are readable with both capabilities only.
fn sees_others() -> bool {
    std::fs::read_dir("/proc/1/fd").is_ok_and(|mut files| files.next().is_none_or(|file| file.is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_docker_socket_is_said_with_its_path() {
        let said = why_powerless(HandRole::Containers, "/nonexistent/docker.sock").unwrap();
        assert!(said.contains("/nonexistent/docker.sock does not exist"), "{said}");
    }

    #[test]
    fn a_docker_socket_that_we_may_use_is_no_lack_of_power() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(why_powerless(HandRole::Containers, path.to_str().unwrap()), None);
    }

    #[test]
    fn the_host_hand_has_its_power_from_root_alone() {
        assert_eq!(why_powerless(HandRole::Host, "/unused").is_none(), geteuid().is_root());
    }
}
