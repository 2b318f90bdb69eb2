//! Why a step on Docker's configuration file was not taken: the path, what was tried, what the host answered, and what to do.

use model::os_cause::{OsCause, OsCauseKind};
use nix::errno::Errno;
use std::fmt::Display;
use std::io;
use std::path::Path;

/// A sentence for people. The number of the host is in it, not beside it: what to do depends on the file.
#[derive(Debug)]
pub(super) struct ConfigFault(String);

impl ConfigFault {
    /// In words.
    pub(super) fn words(said: impl Into<String>) -> Self {
        Self(said.into())
    }

    /// What is wrong with a path.
    pub(super) fn said(path: &Path, said: impl Display) -> Self {
        Self(format!("{} {said}", path.display()))
    }

    /// It is not the file that was looked at. The caller looks again.
    pub(super) fn changed(path: &Path) -> Self {
        Self::said(path, "has changed since it was looked at, and is left as it is (changed_meanwhile); try again")
    }

    /// A system call failed.
    pub(super) fn host(attempted: &'static str, path: &Path) -> impl Fn(Errno) -> Self {
        let path = path.to_owned();
        move |errno| Self::io(attempted, &path, &errno.into())
    }

    /// A call failed.
    pub(super) fn io(attempted: &'static str, path: &Path, error: &io::Error) -> Self {
        let remedy = remedy(path, error).map(|remedy| format!("; {remedy}")).unwrap_or_default();
        Self(format!("cannot {attempted} {}: {error}{remedy}", path.display()))
    }
}

impl From<ConfigFault> for OsCause {
    fn from(fault: ConfigFault) -> Self {
        Self::found(fault.0)
    }
}

fn remedy(path: &Path, error: &io::Error) -> Option<String> {
    let folder = path.parent().unwrap_or(path).display();
    let path = path.display();
    if error.kind() == io::ErrorKind::NotFound {
        return Some(format!("`install -d -m 0755 {folder} && systemctl restart gpuhostd-host`"));
    }
    match OsCause::from(error).kind() {
        OsCauseKind::ReadOnly if path.to_string().starts_with("/nix/store/") => Some(
            "NixOS writes this file: set virtualisation.docker.daemon.settings.runtimes in the configuration of the system"
                .to_owned(),
        ),
        OsCauseKind::ReadOnly => Some(format!(
            "the unit of the host hand may write in /etc/docker alone, and only if that directory was there when it started. For \
             {folder}: `systemctl edit gpuhostd-host`, add the lines `[Service]` and `ReadWritePaths={folder}`, then `systemctl restart \
             gpuhostd-host`. If that is there, the file system is read-only: `findmnt -T {folder}`"
        )),
        OsCauseKind::NoSpace => Some(format!(
            "free some space, inodes or quota on that file system: `df -h {folder}`, `df -i {folder}`"
        )),
        OsCauseKind::Denied => Some(format!(
            "`lsattr -d {folder} {path}` shows whether it is immutable, `journalctl -k -g 'avc|apparmor'` whether a security module \
             denied it"
        )),
        OsCauseKind::Busy => Some(format!(
            "it is a mount point (`findmnt {path}`), which cannot be replaced: mount its directory instead, or add the runtime to the \
             file that is mounted there"
        )),
        OsCauseKind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_fits_what_the_host_answered() {
        for (errno, path, words) in [
            (Errno::EROFS, "/srv/docker/daemon.json", "ReadWritePaths=/srv/docker"),
            (Errno::EROFS, "/nix/store/x-daemon.json", "virtualisation.docker.daemon.settings"),
            (Errno::ENOENT, "/etc/docker", "install -d -m 0755 /etc "),
            (Errno::ENOSPC, "/etc/docker/daemon.json", "df -i /etc/docker"),
            (Errno::EPERM, "/etc/docker/daemon.json", "lsattr"),
            (Errno::EBUSY, "/etc/docker/daemon.json", "findmnt /etc/docker/daemon.json"),
        ] {
            let said = OsCause::from(ConfigFault::host("replace", Path::new(path))(errno)).said;
            assert!(said.starts_with(&format!("cannot replace {path}: ")) && said.contains(words), "{said}");
        }
        let said = OsCause::from(ConfigFault::host("open", Path::new("/x/y"))(Errno::EIO)).said;
        assert!(!said.contains(';'), "{said}");
    }
}
