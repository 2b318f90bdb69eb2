//! The mount tables of processes in `/proc`, as far as NVIDIA's libraries are in them.

use model::driver_libraries::{CONTAINER_MOUNTS_MAX_BYTES, DriverLibraries, library_versions};
use std::path::Path;

/// What each of these processes has mounted. One that has ended, or whose table cannot be read, has nothing.
#[must_use]
pub fn driver_libraries(proc: &Path, pids: &[u32]) -> Vec<DriverLibraries> {
    let of = |pid: &u32| {
        let table = files::read(&proc.join(pid.to_string()).join("mountinfo"), CONTAINER_MOUNTS_MAX_BYTES);
        let versions = table.map(|bytes| library_versions(&String::from_utf8_lossy(&bytes))).unwrap_or_default();
        DriverLibraries { pid: *pid, versions }
    };
    pids.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot be set up has failed")]

    use super::*;
    use std::fs;

    #[test]
    fn each_process_has_what_its_own_table_shows() {
        let proc = tempfile::tempdir().unwrap();
        let table = |pid: u32, version: &str| {
            fs::create_dir(proc.path().join(pid.to_string())).unwrap();
            let line = format!("1 2 8:1 /x /usr/lib/libcuda.so.{version} ro - ext4 /dev/sda1 rw\n");
            fs::write(proc.path().join(pid.to_string()).join("mountinfo"), line).unwrap();
        };
        table(7, "550.54.14");
        table(8, "580.126.16");
        let seen = driver_libraries(proc.path(), &[7, 8, 9]);
        let versions: Vec<Vec<&str>> =
            seen.iter().map(|one| one.versions.iter().map(String::as_str).collect()).collect();
        assert_eq!(versions, [vec!["550.54.14"], vec!["580.126.16"], vec![]]);
    }

    #[test]
    fn the_kernel_shows_the_table_of_this_process() {
        let own = std::process::id();
        let path = Path::new("/proc").join(own.to_string()).join("mountinfo");
        let table = files::read_text(&path, CONTAINER_MOUNTS_MAX_BYTES).unwrap();
        // Each line has the mount point as its fifth word, as the rule reads it.
        let points: Vec<_> = table.lines().map(|line| line.split(' ').nth(4).unwrap()).collect();
        assert!(points.contains(&"/proc") && points.iter().all(|point| point.starts_with('/')), "{table}");
        let seen = driver_libraries(Path::new("/proc"), &[own]);
        assert_eq!(seen, [DriverLibraries { pid: own, versions: library_versions(&table) }]);
    }
}
