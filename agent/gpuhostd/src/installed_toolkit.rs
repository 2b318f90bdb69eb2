//! Which programs NVIDIA's toolkit container has installed: known again by their files, so that they are not run at each look.

use model::nvidia_container::NvidiaSpec;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Device, inode and time of the last change (seconds, nanoseconds) of the installed programs: by these a new installation is known.
pub(crate) type InstalledToolkit = Vec<Option<(u64, u64, i64, i64)>>;

/// The installed programs. Blocking.
///
/// # Errors
/// The runtime is not installed.
pub(crate) fn installed_toolkit() -> Result<InstalledToolkit, String> {
    let runtime = NvidiaSpec::TOOLKIT_RUNTIME;
    let file = std::fs::metadata(runtime);
    if !file.map_err(|fault| format!("{runtime}: {fault}; the toolkit container installs it"))?.is_file() {
        return Err(format!("{runtime} is not a program"));
    }
    let folder = Path::new(runtime).parent().unwrap_or_else(|| Path::new("/"));
    let real = format!("{runtime}.real");
    let each =
        [folder.to_owned(), runtime.into(), real.into(), folder.join("nvidia-ctk"), folder.join("nvidia-ctk.real")];
    let identity = |path: &std::path::PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.ctime(), file.ctime_nsec()))
    };
    Ok(each.iter().map(identity).collect())
}
