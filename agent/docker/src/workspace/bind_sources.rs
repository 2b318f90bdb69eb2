//! Directories of the host that are mounted: no part of their paths is a symbolic link, which could lead anywhere.

use crate::not_done::NotDone;
use model::policy::HostPolicy;
use model::workspace::WorkspaceContainer;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

/// A start that comes long after the creation finds the policy that is in force now.
pub(crate) fn check_policy(binds: &[(String, bool)], policy: &HostPolicy) -> Result<(), NotDone> {
    binds.iter().try_for_each(|(source, read_only)| {
        let checked = WorkspaceContainer::check_bind(source, *read_only, &policy.workspaces);
        checked.map_err(|why| NotDone::Denied(format!("{source}: {why}")))
    })
}

/// Looks at each part of each path, as far as this process can.
pub(crate) async fn check_links(sources: Vec<String>) -> Result<(), NotDone> {
    let checked = tokio::task::spawn_blocking(move || sources.iter().try_for_each(|source| check_link(source)));
    checked.await.unwrap_or_else(|broken| Err(broken.to_string())).map_err(NotDone::Denied)
}

fn check_link(source: &str) -> Result<(), String> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let open = |at: Option<&OwnedFd>, name: &OsStr| match at {
        Some(at) => openat(at, name, flags, Mode::empty()),
        None => openat(AT_FDCWD, name, flags, Mode::empty()),
    };
    let mut at: Option<OwnedFd> = None;
    let mut reached = std::path::PathBuf::new();
    for part in Path::new(source).components() {
        reached.push(part);
        let shown = reached.display();
        let name = match part {
            Component::RootDir => OsStr::new("/"),
            Component::Normal(name) if at.is_some() => name,
            Component::Normal(_) | Component::CurDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("{source}: it is not an absolute path without '.' and '..'"));
            }
        };
        let opened = open(at.as_ref(), name).map_err(|errno| {
            format!(
                "cannot look whether {shown} is a symbolic link: {}; the container hand must be able to reach it \
                 (see ProtectHome= and PrivateTmp= of gpuhostd-containers.service)",
                errno.desc()
            )
        })?;
        let found = fstat(&opened).map_err(|errno| format!("cannot look at {shown}: {}", errno.desc()))?;
        let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFLNK {
            return Err(format!(
                "{shown} is a symbolic link; list the path that it leads to in the policy, and mount that"
            ));
        }
        if kind != SFlag::S_IFDIR && kind != SFlag::S_IFREG {
            return Err(format!("{shown} is neither a directory nor a regular file"));
        }
        at = Some(opened);
    }
    if at.is_some() { Ok(()) } else { Err(format!("{source:?}: it is not an absolute path")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::policy::WorkspacesPolicy;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn no_part_of_a_path_may_be_a_link_and_the_end_is_a_directory_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(real.join("a/b")).unwrap();
        std::fs::write(real.join("a/file"), "").unwrap();
        symlink(real.join("a"), real.join("link")).unwrap();
        symlink("b", real.join("a/end")).unwrap();
        let _socket = UnixListener::bind(real.join("a/socket")).unwrap();
        let check = |path: &str| check_link(real.join(path).to_str().unwrap());
        for fine in ["a", "a/b", "a/file"] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for (path, why) in [
            ("link", "link is a symbolic link"),
            ("link/b", "link is a symbolic link"),
            ("a/end", "a/end is a symbolic link"),
            ("a/../a", "'..'"),
            ("a/none", "cannot look whether"),
            ("a/socket", "neither a directory nor a regular file"),
            ("a/file/x", "cannot look whether"),
        ] {
            let refused = check(path).unwrap_err();
            assert!(refused.contains(why), "{path}: {refused}");
        }
        for path in ["", "a/b", "."] {
            assert!(check_link(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_policy_that_changed_counts_at_the_next_start() {
        let workspaces = WorkspacesPolicy {
            host_paths: vec!["/srv/models".to_owned()],
            host_paths_writable: vec!["/srv/scratch".to_owned()],
            ..WorkspacesPolicy::default()
        };
        let policy = HostPolicy { workspaces, ..HostPolicy::default() };
        let may = |source: &str, read_only: bool| check_policy(&[(source.to_owned(), read_only)], &policy).is_ok();
        assert!(may("/srv/models", true) && may("/srv/models/x", true));
        assert!(may("/srv/scratch", false) && may("/srv/scratch", true));
        assert!(!may("/srv/scratch/y", false) && !may("/srv/scratch/y", true), "a workspace can replace it");
        assert!(!may("/srv/models", false) && !may("/srv/modelsX", true) && !may("/etc", true));
        assert!(may("/usr/lib/wsl", true) && !may("/usr/lib/wsl", false));
    }
}
