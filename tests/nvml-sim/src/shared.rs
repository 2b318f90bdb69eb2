//! MIG as all processes share it: a file beside the description, which replaces what the description says of MIG once it exists.
//!
//! It is written whole by rename under a lock file of its own. Where a file `mig-state.calls` is beside it, each call of the library
//! adds a line with the function's name.

use crate::codes::{Code, NO_PERMISSION, UNKNOWN};
use crate::library::Library;
use model::PciAddress;
use sim::mig::{MigCallError, SimMig};
use sim::mig_on_host::{MIG_STATE_FILE, MigOnHost};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Which file it is, and when it was written: another one is another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(u64, u64, Option<SystemTime>);

/// Where the state of a description is.
#[must_use]
pub fn path(description: &Path) -> PathBuf {
    std::env::var_os("GPUHOSTD_SIM_MIG_STATE").map_or_else(|| description.with_file_name(MIG_STATE_FILE), PathBuf::from)
}

/// The file as it is now; `None` where there is none.
#[must_use]
pub fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some(Stamp(file.ino(), file.size(), file.modified().ok()))
}

/// The shared state; `None` where nobody has written one.
///
/// # Errors
/// It cannot be read, or means nothing.
pub fn read(path: &Path) -> io::Result<Option<MigOnHost>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a process has to be able to open to change layouts and to list all instances: the driver's capability `mig/config`.
pub const MIG_CONFIG: &str = "mig-config";
/// What stands for CAP_SYS_ADMIN, which the mode needs.
pub const SYS_ADMIN: &str = "sys-admin";

/// Whether the process may do it: a file of that name beside the state has to open. Where none is there, everybody may.
///
/// # Errors
/// It cannot be opened.
pub fn may(library: &Library, what: &str) -> Result<(), Code> {
    let path = library.state.with_file_name(what);
    if fs::symlink_metadata(&path).is_err() {
        return Ok(());
    }
    File::open(&path).map(drop).map_err(|_| NO_PERMISSION)
}

/// Changes MIG of a GPU for all processes.
///
/// # Errors
/// The GPU has no MIG, the driver refuses, or the state cannot be kept.
pub fn change<T>(
    library: &Library,
    gpu: PciAddress,
    what: impl FnOnce(&mut SimMig) -> Result<T, MigCallError>,
) -> Result<T, Code> {
    let kept = |error: io::Error| {
        eprintln!("simulated libnvidia-ml: {}: {error}", library.state.display());
        UNKNOWN
    };
    let lock = File::create(library.state.with_extension("lock")).map_err(kept)?;
    lock.lock().map_err(kept)?;
    let mut all = read(&library.state).map_err(kept)?.unwrap_or_else(|| library.mig.clone());
    let mig = all.gpus.get_mut(&gpu).ok_or(Code(MigCallError::NotSupported.code()))?;
    let answer = what(mig).map_err(|error| Code(error.code()))?;
    write(&library.state, &all).map_err(kept)?;
    Ok(answer)
}

fn write(path: &Path, all: &MigOnHost) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(all)?)?;
    fs::rename(&new, path)
}

/// Writes a call down, and returns how many of this function were there before; `None` where calls are not written down.
#[must_use]
pub fn count(state: &Path, call: &str) -> Option<u32> {
    let path = state.with_extension("calls");
    let mut file = OpenOptions::new().append(true).open(&path).ok()?;
    let before = fs::read_to_string(&path).ok()?.lines().filter(|line| *line == call).count();
    file.write_all(format!("{call}\n").as_bytes()).ok()?;
    u32::try_from(before).ok()
}
