//! The host that a driver container runs on, read from files and from nobody: kernel, GPUs, mounts, packages, and what earlier
//! containers have left in `/run/nvidia`.

mod loaded_modules;
mod packages;

use super::stack::libraries;
use super::text::{absence, first_line, read};
use super::{FactsRoot, disk, machine, stack};
use crate::front::sysfs::Sysfs;
use model::absence::{Absence, Reading};
use model::driver_host::{
    DRIVER_ROOT, DriverHostFacts, GpuBinding, HostLibrary, MOUNTINFO_MAX_BYTES, READINESS_FILES, RUN_NVIDIA,
    ReadinessFile, RunNvidiaMounts, SHARED_BY_US, VALIDATIONS,
};
use model::pci::VENDOR_NVIDIA;
use nix::sys::stat::{major, minor};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where this folder is, systemd runs the machine (sd_booted(3)).
const SYSTEMD: &str = "run/systemd/system";
/// Where the entrypoint stores what it has installed.
const STORED_DIGEST: &str = "run/nvidia/nvidia-driver.state";
/// The file that the entrypoint holds a lock on.
const ENTRYPOINT_PID: &str = "run/nvidia/nvidia-driver.pid";
/// Programs that NVIDIA's installer leaves, and packages do not have.
const INSTALLERS: [&str; 2] = ["usr/bin/nvidia-uninstall", "usr/bin/nvidia-installer"];

impl FactsRoot {
    /// Reads them; `docker_root` is Docker's root folder (`/` where unknown). For the host hand: the mounts are those of PID 1, which
    /// the front may not see. Blocking: `statvfs` of a dead network file system can hang.
    #[must_use]
    pub fn driver_host(&self, docker_root: Option<&str>) -> DriverHostFacts {
        let os = machine::os_release(&self.os_release);
        let kernel = first_line(&self.proc.join("sys/kernel/osrelease"));
        let release = kernel.known().map(String::as_str);
        let stack = stack::read(self, release);
        let packages = packages::read(&self.files, os.id.known().map(String::as_str), release);
        let (gpus, nvswitches) = self.nvidia_functions();
        let below = |path: &str| self.below(path);
        DriverHostFacts {
            os_id: os.id,
            os_version_id: os.version_id,
            tool: packages.tool,
            systemd: self.files.join(SYSTEMD).is_dir(),
            gpus,
            nvswitches,
            secure_boot: stack.secure_boot,
            lockdown: stack.lockdown,
            signatures_enforced: read(&self.sys.join("module/module/parameters/sig_enforce"), switch),
            modules: loaded_modules::read(&self.proc),
            module_references: or_none(read(&self.sys.join("module/nvidia/refcnt"), |text| text.parse().ok())),
            module_version: stack.module_loaded,
            module_file: stack.module_file,
            host_library: host_library(&self.files),
            container_library: container_library(&self.files),
            container_dev: below(DRIVER_ROOT).join("dev").is_dir(),
            packages: packages.driver,
            installer: installer(&self.files),
            kernel_build: self.kernel_build(release),
            headers_package: packages.headers,
            kernel_package: packages.kernel,
            disk: disk::usage(docker_root.unwrap_or("/")),
            firmware_path: first_line(&self.sys.join("module/firmware_class/parameters/path")),
            mounts: self.mounts(),
            run_nvidia_is_ours: below(RUN_NVIDIA).join(SHARED_BY_US).symlink_metadata().is_ok(),
            daemons_status: or_none(first_line(&below(VALIDATIONS).join(ReadinessFile::DaemonsStatus.name()))),
            installed_digest: or_none(first_line(&self.files.join(STORED_DIGEST))),
            entrypoint_runs: self.entrypoint_runs(),
            readiness_files: readiness_files(&below(VALIDATIONS)),
            kernel,
        }
    }

    /// An absolute path of the host.
    fn below(&self, path: &str) -> PathBuf {
        self.files.join(path.trim_start_matches('/'))
    }

    fn nvidia_functions(&self) -> (Reading<Vec<GpuBinding>>, Vec<model::PciAddress>) {
        match Sysfs::new(&self.sys).scan() {
            Ok(scan) => {
                let own = scan
                    .gpus
                    .into_iter()
                    .filter(|gpu| gpu.id.vendor == VENDOR_NVIDIA && gpu.physical_function.is_none());
                let gpus = own.map(|gpu| GpuBinding { gpu: gpu.address, driver: gpu.driver }).collect();
                (Reading::Known(gpus), scan.nvswitches)
            }
            Err(fault) => (Reading::Absent(Absence::Unreadable(fault.to_string())), Vec::new()),
        }
    }

    /// The link `build`, which packages make before the folder that it leads to is there.
    fn kernel_build(&self, release: Option<&str>) -> Reading<bool> {
        let Some(release) = release.filter(|release| !release.contains('/') && *release != "..") else {
            return Reading::default();
        };
        let build = self.files.join("lib/modules").join(release).join("build");
        Reading::Known(build.exists() || self.resolved(&build).is_some_and(|path| path.exists()))
    }

    /// Where a link leads to, if that is absolute: below another root than `/` it is meant below that root.
    fn resolved(&self, link: &Path) -> Option<PathBuf> {
        let target = std::fs::read_link(link).ok()?;
        target.is_absolute().then(|| self.files.join(target.strip_prefix("/").unwrap_or(&target)))
    }

    fn mounts(&self) -> Reading<RunNvidiaMounts> {
        match files::read(&self.proc.join("1/mountinfo"), MOUNTINFO_MAX_BYTES) {
            Ok(bytes) => Reading::Known(RunNvidiaMounts::read(&bytes)),
            Err(fault) => Reading::Absent(absence(&fault)),
        }
    }

    /// The entrypoint holds a lock on its file for as long as it runs, and leaves the file behind where it is killed: the process
    /// number in it may be another's by then. To ask for the lock could keep an entrypoint that starts just now from it.
    fn entrypoint_runs(&self) -> Reading<bool> {
        let about = match std::fs::symlink_metadata(self.files.join(ENTRYPOINT_PID)) {
            Ok(about) => about,
            Err(error) if error.kind() == ErrorKind::NotFound => return Reading::Absent(Absence::None),
            Err(error) => return Reading::Absent(Absence::Unreadable(error.to_string())),
        };
        let (device, inode) = (about.dev(), about.ino());
        let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
        read(&self.proc.join("locks"), |text| Some(text.lines().any(|line| is_locked(line, &file))))
    }
}

/// `1: FLOCK  ADVISORY  WRITE 1234 00:19:1234 0 EOF`; one that waits for it has `->` in front of its kind (proc_locks(5)).
fn is_locked(line: &str, file: &str) -> bool {
    let mut columns = line.split_ascii_whitespace().skip(1);
    columns.next() == Some("FLOCK") && columns.nth(3) == Some(file)
}

/// A file that is not there is a fact: the host has none of it.
fn or_none<T>(reading: Reading<T>) -> Reading<T> {
    match reading {
        Reading::Absent(Absence::NotReported) => Reading::Absent(Absence::None),
        known @ (Reading::Known(_) | Reading::Absent(_)) => known,
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.trim() {
        "Y" | "1" => Some(true),
        "N" | "0" => Some(false),
        _ => None,
    }
}

fn host_library(root: &Path) -> Reading<HostLibrary> {
    let found = libraries::nvml_below(root).map(|(path, version)| HostLibrary { path: format!("/{path}"), version });
    found.map_or(Reading::Absent(Absence::None), Reading::Known)
}

fn container_library(root: &Path) -> Reading<String> {
    match libraries::nvml_of_container(root) {
        Some((_, Some(version))) => Reading::Known(version),
        Some((_, None)) => Reading::Absent(Absence::NotReported),
        None => Reading::Absent(Absence::None),
    }
}

fn installer(root: &Path) -> Reading<String> {
    let found = INSTALLERS.iter().find(|path| root.join(path).exists());
    found.map_or(Reading::Absent(Absence::None), |path| Reading::Known(format!("/{path}")))
}

fn readiness_files(folder: &Path) -> Vec<String> {
    let is_there = |file: &ReadinessFile| folder.join(file.name()).symlink_metadata().is_ok();
    READINESS_FILES.into_iter().filter(is_there).map(|file| file.name().to_owned()).collect()
}
