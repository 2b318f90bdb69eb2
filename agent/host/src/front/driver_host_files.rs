//! The readiness files of a driver below `/run/nvidia/validations`, and the mark of our own mount: for the host hand alone.

use super::store::{StoreError, remove, write_atomic};
use model::driver_host::{READINESS_FILES, SHARED_BY_US, readiness_content};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Readable by all, as NVIDIA's own tools leave them: containers without root read them.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// Below `/run/nvidia`.
const FOLDER: &str = "validations";

/// Writes the files of a ready driver below `run_nvidia` (`/run/nvidia`), each whole or not at all, the one that other containers
/// wait for last. `dev` is whether the driver's root has device files. Blocking, for no longer than a tmpfs takes.
///
/// # Errors
/// What the host answered.
pub fn write_readiness_files(run_nvidia: &Path, dev: bool) -> Result<(), StoreError> {
    let folder = run_nvidia.join(FOLDER);
    make_folder(&folder)?;
    READINESS_FILES.into_iter().try_for_each(|file| match readiness_content(file, dev) {
        Some(content) => write_atomic(&folder, file.name(), content.as_bytes(), FILE_MODE),
        None => Ok(()),
    })
}

/// Removes them, the one that other containers wait for first, and the one that the driver container writes. Files that are not there
/// are no error. Blocking, for no longer than a tmpfs takes.
///
/// # Errors
/// What the host answered to the first that could not be removed; the others are gone.
pub fn remove_readiness_files(run_nvidia: &Path) -> Result<(), StoreError> {
    let folder = run_nvidia.join(FOLDER);
    if !folder.exists() {
        return Ok(());
    }
    let mut files = READINESS_FILES.map(|file| remove(&folder, file.name()));
    files.sort_by_key(Result::is_ok);
    files.into_iter().next().unwrap_or(Ok(()))
}

/// Marks the mount at `/run/nvidia` as ours, or takes the mark away. Blocking, for no longer than a tmpfs takes.
///
/// # Errors
/// What the host answered.
pub fn mark_run_nvidia(run_nvidia: &Path, ours: bool) -> Result<(), StoreError> {
    if ours { write_atomic(run_nvidia, SHARED_BY_US, b"", FILE_MODE) } else { remove(run_nvidia, SHARED_BY_US) }
}

/// The process may have a stricter umask.
fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let refused = |source| StoreError::Host { attempted: "create the directory", path: folder.to_owned(), source };
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE)).map_err(refused),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(refused(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn listed(run_nvidia: &Path) -> Vec<String> {
        let names = fs::read_dir(run_nvidia.join(FOLDER)).unwrap().flatten();
        let mut names: Vec<String> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn they_are_written_whole_for_all_and_removed_again() {
        let host = TempDir::new().unwrap();
        write_readiness_files(host.path(), true).unwrap();
        assert_eq!(listed(host.path()), [".driver-ctr-ready", "driver-ready"]);
        let folder = host.path().join(FOLDER);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("driver-ready"))), (0o755, 0o644));
        let text = fs::read_to_string(folder.join("driver-ready")).unwrap();
        assert!(
            text.starts_with("IS_HOST_DRIVER=false\n") && text.ends_with("DEV_ROOT_CTR_PATH=/driver-root\n"),
            "{text}"
        );
        // Written again, over what another left, and never through its link.
        fs::write(folder.join(".driver-ctr-ready"), "x").unwrap();
        let elsewhere = host.path().join("elsewhere");
        fs::write(&elsewhere, "kept").unwrap();
        fs::remove_file(folder.join("driver-ready")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.join("driver-ready")).unwrap();
        write_readiness_files(host.path(), false).unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
        assert!(fs::read_to_string(folder.join("driver-ready")).unwrap().contains("NVIDIA_DEV_ROOT=/\n"));
        fs::write(folder.join(".driver-daemons-status"), "Ready\n").unwrap();
        fs::write(folder.join("toolkit-ready"), "another's").unwrap();
        remove_readiness_files(host.path()).unwrap();
        assert_eq!(listed(host.path()), ["toolkit-ready"]);
        remove_readiness_files(host.path()).unwrap();
        remove_readiness_files(&host.path().join("no/such/folder")).unwrap();
    }

    #[test]
    fn what_cannot_be_removed_is_named_and_keeps_no_other() {
        let host = TempDir::new().unwrap();
        write_readiness_files(host.path(), true).unwrap();
        let folder = host.path().join(FOLDER);
        fs::remove_file(folder.join(".driver-ctr-ready")).unwrap();
        fs::create_dir(folder.join(".driver-ctr-ready")).unwrap();
        let said = remove_readiness_files(host.path()).unwrap_err().to_string();
        assert!(said.contains(".driver-ctr-ready"), "{said}");
        assert_eq!(listed(host.path()), [".driver-ctr-ready"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_with_its_name() {
        let said = write_readiness_files(Path::new("/no/such/run"), true).unwrap_err().to_string();
        assert!(said.contains("/no/such/run/validations"), "{said}");
    }

    #[test]
    fn the_mark_is_set_and_taken_away() {
        let host = TempDir::new().unwrap();
        mark_run_nvidia(host.path(), true).unwrap();
        assert!(host.path().join(SHARED_BY_US).exists());
        mark_run_nvidia(host.path(), false).unwrap();
        mark_run_nvidia(host.path(), false).unwrap();
        assert!(!host.path().join(SHARED_BY_US).exists());
    }
}
