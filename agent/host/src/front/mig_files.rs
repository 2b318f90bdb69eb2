//! Makes and removes the capability files of a GPU's MIG instances in `/dev/nvidia-caps`: for the MIG hand alone.

use model::absence::Reading;
use model::mig::MigOnGpu;
use model::mig::capability_files::{MigMinors, capability_files, caps_major, device_minor};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The folder below `/dev`.
const FOLDER: &str = "nvidia-caps";
/// The table below `/proc`.
const TABLE: &str = "driver/nvidia-caps/mig-minors";

/// Why the files are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum MigFilesError {
    /// A file could not be read, made or removed.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The number of the GPU's own device file is not known.
    #[error(
        "the driver does not report the device minor of {0}, by which the capability files of its MIG instances are found"
    )]
    NoMinor(model::PciAddress),
    /// The driver's table lacks an instance.
    #[error("{} has no capability of GPU instance {gpu_instance}", table.display())]
    NotInTable {
        /// The table.
        table: PathBuf,
        /// Id of the instance.
        gpu_instance: u32,
    },
}

/// Makes the files of the instances that are there, readable by all as the driver has them, and removes those of this GPU that no
/// instance has any more. A driver without such files needs none. Blocking, for no longer than `/dev` takes.
///
/// # Errors
/// What could not be made or removed; the others are as they must be.
pub fn keep_mig_files(proc: &Path, dev: &Path, seen: &MigOnGpu) -> Result<(), MigFilesError> {
    let Some(major) = caps_major(&read(&proc.join("devices"))?) else { return Ok(()) };
    let table = proc.join(TABLE);
    let minors = MigMinors::read(&read(&table)?);
    let gpu = match &seen.minor {
        Reading::Known(minor) => *minor,
        Reading::Absent(_) => {
            let file = proc.join("driver/nvidia/gpus").join(seen.gpu.to_string()).join("information");
            device_minor(&fs::read_to_string(file).unwrap_or_default()).ok_or(MigFilesError::NoMinor(seen.gpu))?
        }
    };
    let folder = dev.join(FOLDER);
    let files = capability_files(&minors, gpu, &seen.instances, &present(&folder, major)?);
    let mut first = None;
    for number in files.remove {
        let path = file(&folder, number);
        first = first.or(removed(&path).map_err(|source| MigFilesError::File { what: "remove", path, source }).err());
    }
    if !files.make.is_empty() {
        let made = fs::create_dir(&folder).and_then(|()| set_mode(&folder, 0o755));
        let made = made.or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) });
        made.map_err(|source| MigFilesError::File { what: "make", path: folder.clone(), source })?;
    }
    for number in files.make {
        let path = file(&folder, number);
        let made = make(&folder, &path, major, number);
        first = first.or(made.map_err(|source| MigFilesError::File { what: "make", path, source }).err());
    }
    let unknown = files.unknown.first();
    let unknown = unknown.map(|place| MigFilesError::NotInTable { table, gpu_instance: place.gpu_instance });
    first.or(unknown).map_or(Ok(()), Err)
}

fn read(path: &Path) -> Result<String, MigFilesError> {
    fs::read_to_string(path).map_err(|source| MigFilesError::File { what: "read", path: path.to_owned(), source })
}

fn file(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("nvidia-cap{number}"))
}

/// The files by the number in their names, each with whether it leads to that capability. Links are not followed.
fn present(folder: &Path, major: u64) -> Result<BTreeMap<u64, bool>, MigFilesError> {
    let unreadable = |source| MigFilesError::File { what: "list", path: folder.to_owned(), source };
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut present = BTreeMap::new();
    for entry in listed {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("nvidia-cap")?.parse::<u64>().ok());
        let Some(number) = number.filter(|number| file(folder, *number) == entry.path()) else { continue };
        let is_it = |about: fs::Metadata| about.file_type().is_char_device() && about.rdev() == makedev(major, number);
        present.insert(number, entry.metadata().is_ok_and(is_it));
    }
    Ok(present)
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Under another name first: nobody finds a file that is not ready.
fn make(folder: &Path, path: &Path, major: u64, minor: u64) -> io::Result<()> {
    let draft = folder.join(".gpuhostd.new");
    removed(&draft)?;
    mknod(&draft, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(major, minor))?;
    set_mode(&draft, 0o444)?;
    fs::rename(&draft, path)
}

/// The process may have a stricter umask.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::absence::Absence;
    use model::mig::{MigComputeInstance, MigGpuInstance};
    use tempfile::TempDir;

    const GPU: &str = "0000:41:00.0";
    /// A major number that no driver here has: the files are never opened.
    const MAJOR: u64 = 509;

    fn host(devices: &str, table: Option<&str>) -> TempDir {
        let folder = TempDir::new().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/devices", devices);
        put(&format!("proc/driver/nvidia/gpus/{GPU}/information"), "Device Minor: \t 0\n");
        if let Some(table) = table {
            put("proc/driver/nvidia-caps/mig-minors", table);
        }
        fs::create_dir(folder.path().join("dev")).unwrap();
        folder
    }

    fn seen(minor: Reading<u32>, instances: &[(u32, &[u32])]) -> MigOnGpu {
        let absent = || Absence::NotReported;
        let compute = |ids: &[u32]| {
            let one = |id: &u32| MigComputeInstance {
                id: *id,
                slices: 1,
                uuid: Reading::Absent(absent()),
                processes: Vec::new(),
            };
            ids.iter().map(one).collect()
        };
        let instance = |(id, ids): &(u32, &[u32])| MigGpuInstance {
            id: *id,
            profile: "1g.5gb".to_owned(),
            start: *id,
            size: 1,
            compute: compute(ids),
        };
        MigOnGpu {
            gpu: GPU.parse().unwrap(),
            uuid: Reading::Absent(absent()),
            minor,
            current: Reading::Absent(absent()),
            pending: Reading::Absent(absent()),
            switches_without_reset: Reading::Absent(absent()),
            catalog: Reading::Absent(absent()),
            instances: instances.iter().map(instance).collect(),
            driver_load: None,
        }
    }

    fn keep(folder: &TempDir, seen: &MigOnGpu) -> Result<(), MigFilesError> {
        keep_mig_files(&folder.path().join("proc"), &folder.path().join("dev"), seen)
    }

    fn files(folder: &TempDir) -> Vec<String> {
        let listed = fs::read_dir(folder.path().join("dev/nvidia-caps")).into_iter().flatten().flatten();
        let row = |entry: fs::DirEntry| {
            let about = entry.metadata().unwrap();
            let number = about.rdev();
            format!(
                "{} {}:{} {:o}",
                entry.file_name().to_string_lossy(),
                nix::sys::stat::major(number),
                nix::sys::stat::minor(number),
                about.permissions().mode() & 0o777
            )
        };
        let mut rows: Vec<String> = listed.map(row).collect();
        rows.sort();
        rows
    }

    const DEVICES: &str = "Character devices:\n195 nvidia\n509 nvidia-caps\n\nBlock devices:\n";
    const TABLE_TEXT: &str =
        "config 1\nmonitor 2\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\ngpu0/gi2/access 21\ngpu1/gi1/access 147\n";

    #[test]
    fn files_follow_the_instances() {
        let folder = host(DEVICES, Some(TABLE_TEXT));
        let unknown = || Reading::Absent(Absence::NotReported);
        keep(&folder, &seen(unknown(), &[(1, &[0]), (2, &[])])).expect("mknod needs root");
        assert_eq!(files(&folder), ["nvidia-cap12 509:12 444", "nvidia-cap13 509:13 444", "nvidia-cap21 509:21 444"]);
        // One of another GPU, one that leads elsewhere, and a file of somebody's.
        let caps = folder.path().join("dev/nvidia-caps");
        mknod(&caps.join("nvidia-cap147"), SFlag::S_IFCHR, Mode::S_IRUSR, makedev(MAJOR, 147)).unwrap();
        fs::remove_file(caps.join("nvidia-cap21")).unwrap();
        std::os::unix::fs::symlink("nvidia-cap12", caps.join("nvidia-cap21")).unwrap();
        fs::write(caps.join("nvidia-cap0013"), "").unwrap();
        keep(&folder, &seen(Reading::Known(0), &[(2, &[])])).unwrap();
        let expected =
            ["nvidia-cap0013 0:0 600", "nvidia-cap147 509:147 400", "nvidia-cap21 509:21 444"].map(str::to_owned);
        let found = files(&folder);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[1..], expected[1..]);
    }

    #[test]
    fn a_driver_without_such_files_needs_none() {
        let folder = host("Character devices:\n195 nvidia\n\nBlock devices:\n", None);
        keep(&folder, &seen(Reading::Known(0), &[(1, &[0])])).unwrap();
        assert!(files(&folder).is_empty());
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let folder = host(DEVICES, Some(TABLE_TEXT));
        let said = keep(&folder, &seen(Reading::Known(0), &[(9, &[])])).unwrap_err().to_string();
        assert!(said.contains("mig-minors") && said.contains("GPU instance 9"), "{said}");
        let missing = host(DEVICES, None);
        let said = keep(&missing, &seen(Reading::Known(0), &[(1, &[])])).unwrap_err().to_string();
        assert!(said.contains("mig-minors"), "{said}");
    }
}
