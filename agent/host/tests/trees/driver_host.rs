//! The host of a driver container from trees that a test builds: what is read where, and what one missing or bad file costs.

use host::front::FactsRoot;
use model::absence::{Absence, Reading};
use model::driver_host::{DriverHostFacts, DriverPlanned, PackageTool, PreflightRefused, preflight};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use tempfile::TempDir;

const KERNEL: &str = "6.8.0-45-generic";
const GPU: &str = "0000:41:00.0";
const HOST_MOUNTS: &str =
    "28 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n31 28 0:25 / /run rw shared:5 - tmpfs tmpfs rw\n";

struct Host(TempDir);

impl Host {
    /// An Ubuntu server with one GPU that no driver has, and nothing of NVIDIA's.
    fn new() -> Self {
        let host = Self(TempDir::new().unwrap());
        host.put("proc/sys/kernel/osrelease", format!("{KERNEL}\n"));
        host.put("proc/modules", "ext4 1 1 - Live 0x0\n");
        host.put("proc/1/mountinfo", HOST_MOUNTS);
        host.put("etc/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n");
        host.put(&format!("lib/modules/{KERNEL}/modules.dep"), "kernel/fs/ext4.ko:\n");
        host.put("var/lib/dpkg/status", package(&format!("linux-image-{KERNEL}"), "install ok installed"));
        host.put("sys/module/module/parameters/sig_enforce", "N\n");
        host.put("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        host.put("sys/module/firmware_class/parameters/path", "\n");
        host.put("run/systemd/system/x", "");
        host.put("usr/share/doc/x", "");
        host.function(GPU, "0x030200");
        host
    }

    fn function(&self, address: &str, class: &str) {
        for (file, value) in [("vendor", "0x10de"), ("device", "0x2330"), ("class", class)] {
            self.put(&format!("sys/bus/pci/devices/{address}/{file}"), format!("{value}\n"));
        }
    }

    fn bind(&self, driver: &str) {
        let folder = self.0.path().join("sys/bus/pci/drivers").join(driver);
        fs::create_dir_all(&folder).unwrap();
        symlink(&folder, self.0.path().join(format!("sys/bus/pci/devices/{GPU}/driver"))).unwrap();
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap();
    }

    fn library(&self, folder: &str, version: &str) {
        self.put(&format!("{folder}/libnvidia-ml.so.{version}"), "");
        symlink(format!("libnvidia-ml.so.{version}"), self.0.path().join(folder).join("libnvidia-ml.so.1")).unwrap();
    }

    fn facts(&self) -> DriverHostFacts {
        let at = |path: &str| self.0.path().join(path);
        let root = FactsRoot {
            proc: at("proc"),
            sys: at("sys"),
            os_release: vec![at("etc")],
            files: self.0.path().to_owned(),
        };
        root.driver_host(Some(self.0.path().to_str().unwrap()))
    }

    fn codes(&self) -> Vec<&'static str> {
        let mut facts = self.facts();
        // The disk of the test's own machine is no part of the case.
        facts.disk = Reading::Absent(Absence::None);
        let image = "nvcr.io/nvidia/driver:580.126.16".parse().unwrap();
        let planned = DriverPlanned { image: &image, config_digest: None, is_pulled: false };
        let found = preflight(&facts, &planned);
        found.refused.iter().map(PreflightRefused::code).chain(found.cautions.iter().map(|it| it.code())).collect()
    }
}

fn package(name: &str, status: &str) -> String {
    format!("Package: {name}\nStatus: {status}\nPriority: optional\nVersion: 1:580.1-1\nDescription: x\n more\n\n")
}

fn none<T>() -> Reading<T> {
    Reading::Absent(Absence::None)
}

fn known(text: &str) -> Reading<String> {
    Reading::Known(text.to_owned())
}

#[test]
fn a_server_without_a_driver_lacks_only_the_headers() {
    let host = Host::new();
    let facts = host.facts();
    assert_eq!((facts.os_id.clone(), facts.os_version_id.clone()), (known("ubuntu"), known("24.04")));
    assert_eq!((facts.kernel.clone(), facts.tool, facts.systemd), (known(KERNEL), PackageTool::Apt, true));
    assert_eq!(facts.gpus.known().unwrap().first().unwrap().driver, none());
    assert_eq!((facts.secure_boot.clone(), facts.lockdown.clone()), (none(), known("none")));
    assert_eq!(facts.signatures_enforced, Reading::Known(false));
    assert_eq!((facts.modules.clone(), facts.module_references.clone()), (Reading::Known(vec![]), none()));
    assert_eq!(
        (facts.module_version.clone(), facts.module_file.clone(), facts.installer.clone()),
        (none(), none(), none())
    );
    assert_eq!((facts.host_library.clone(), facts.container_library.clone()), (none(), none()));
    assert_eq!(facts.packages, Reading::Known(vec![]));
    let headers = (facts.kernel_build.get(), facts.headers_package.get(), facts.kernel_package.get());
    assert_eq!(headers, (Some(false), Some(false), Some(true)));
    assert!(facts.disk.known().is_some());
    assert_eq!((facts.firmware_path.clone(), facts.daemons_status.clone()), (none(), none()));
    assert_eq!((facts.installed_digest.clone(), facts.entrypoint_runs.clone()), (none(), none()));
    assert_eq!(facts.mounts.known().unwrap().is_shared(), Some(true));
    assert!(!facts.is_module_loaded() && !facts.has_container_trace() && facts.readiness_files.is_empty());
    assert_eq!(host.codes(), ["headers_from_mirror"]);
}

#[test]
fn headers_are_there_by_their_package_or_their_folder() {
    let host = Host::new();
    host.put("var/lib/dpkg/status", package(&format!("linux-headers-{KERNEL}"), "install ok installed"));
    assert_eq!(host.codes(), [""; 0]);
    host.put("var/lib/dpkg/status", package("linux-headers-6.8.0-44-generic", "install ok installed"));
    assert_eq!(host.codes(), ["no_kernel_headers"], "those of another kernel");
    let build = host.0.path().join(format!("lib/modules/{KERNEL}/build"));
    symlink(format!("/usr/src/linux-headers-{KERNEL}"), &build).unwrap();
    assert_eq!(host.codes(), ["no_kernel_headers"], "the link is there before what it leads to");
    host.put(&format!("usr/src/linux-headers-{KERNEL}/Makefile"), "");
    assert_eq!(host.codes(), [""; 0]);
}

#[test]
fn an_rpm_host_is_judged_by_the_name_of_its_kernel() {
    let host = Host::new();
    host.remove("var/lib/dpkg/status");
    host.put("etc/os-release", "ID=rocky\nVERSION_ID=9.4\n");
    let of = |release: &str| {
        host.put("proc/sys/kernel/osrelease", format!("{release}\n"));
        host.put(&format!("lib/modules/{release}/modules.dep"), "");
        host.codes()
    };
    assert_eq!(of("5.14.0-427.13.1.el9_4.x86_64"), ["headers_from_mirror"]);
    assert_eq!(of("6.9.3-1.el9.elrepo.x86_64"), ["no_kernel_headers"]);
    host.put("usr/src/kernels/6.9.3-1.el9.elrepo.x86_64/Makefile", "");
    assert_eq!(of("6.9.3-1.el9.elrepo.x86_64"), [""; 0]);
    assert_eq!((host.facts().tool, host.facts().packages), (PackageTool::Dnf, Reading::Absent(Absence::NotSupported)));
}

#[test]
fn a_driver_of_the_host_is_found_by_each_of_its_traces() {
    let found = |change: &dyn Fn(&Host)| {
        let host = Host::new();
        change(&host);
        let codes = host.codes();
        codes.into_iter().filter(|code| *code != "headers_from_mirror").collect::<Vec<_>>()
    };
    let list = |name: &str, status: &str| {
        format!("{}{}", package(&format!("linux-image-{KERNEL}"), "install ok installed"), package(name, status))
    };
    let one = ["host_driver_present"];
    assert_eq!(found(&|host| host.put("sys/module/nvidia/version", "580.1\n")), one);
    assert_eq!(found(&|host| host.put("sys/module/nvidia/refcnt", "0\n")), one);
    assert_eq!(found(&|host| host.put("proc/modules", "nvidia 1 0 - Live 0x0\n")), one);
    assert_eq!(found(&|host| host.library("usr/lib/x86_64-linux-gnu", "580.126.16")), one);
    assert_eq!(found(&|host| host.put("usr/lib64/libnvidia-ml.so.1", "")), one, "without a version");
    assert_eq!(found(&|host| host.put("usr/bin/nvidia-uninstall", "")), one);
    assert_eq!(found(&|host| host.put("var/lib/dpkg/status", list("nvidia-driver-580", "install ok installed"))), one);
    assert_eq!(
        found(&|host| host.put("var/lib/dpkg/status", list("linux-modules-nvidia-580-generic", "hold ok installed"))),
        one
    );
    let kept = format!("lib/modules/{KERNEL}/modules.dep");
    assert_eq!(found(&|host| host.put(&kept, "updates/dkms/nvidia.ko.zst: x\n")), one);
    for other in ["libnvidia-container1", "nvidia-container-toolkit", "nvidia-settings", "nvidia-modprobe"] {
        let status = list(other, "install ok installed");
        assert_eq!(found(&|host| host.put("var/lib/dpkg/status", &status)), [""; 0], "{other}");
    }
    assert_eq!(
        found(&|host| host.put("var/lib/dpkg/status", list("nvidia-driver-580", "deinstall ok config-files"))),
        [""; 0]
    );
    assert_eq!(
        found(&|host| host.library("run/nvidia/driver/usr/lib/x86_64-linux-gnu", "580.1")),
        [""; 0],
        "the container's"
    );
}

#[test]
fn what_a_killed_container_left_is_read() {
    let host = Host::new();
    let layer = "50 31 0:60 / /run/nvidia/driver rw shared:9 - overlay overlay rw\n";
    host.put("proc/1/mountinfo", format!("{HOST_MOUNTS}{layer}{layer}"));
    host.put(
        "proc/modules",
        "nvidia 1 3 nvidia_uvm,gdrdrv, Live 0x0\nnvidia_uvm 1 0 - Live 0x0\ngdrdrv 1 0 - Live 0x0\n",
    );
    host.put("sys/module/nvidia/refcnt", "3\n");
    host.put("sys/module/nvidia/version", "580.1\n");
    host.library("run/nvidia/driver/usr/lib64", "580.1");
    host.put("run/nvidia/driver/dev/null", "");
    host.put("run/nvidia/nvidia-driver.state", "gpuhost1-ab\n");
    host.put("run/nvidia/nvidia-driver.pid", "4242\n");
    host.put("proc/locks", "");
    host.put("run/nvidia/validations/.driver-daemons-status", "NotReady\n");
    host.put("run/nvidia/validations/driver-ready", "");
    let facts = host.facts();
    assert_eq!(facts.module_references, Reading::Known(3));
    assert_eq!(facts.module("nvidia").unwrap().used_by, ["nvidia_uvm", "gdrdrv"]);
    assert_eq!(facts.mounts.known().unwrap().layers("/run/nvidia/driver"), 2);
    assert_eq!((facts.container_library.clone(), facts.container_dev), (known("580.1"), true));
    assert_eq!(
        (facts.installed_digest.clone(), facts.daemons_status.clone()),
        (known("gpuhost1-ab"), known("NotReady"))
    );
    assert_eq!(facts.entrypoint_runs, Reading::Known(false));
    assert_eq!(facts.readiness_files, ["driver-ready", ".driver-daemons-status"]);
    assert_eq!(host.codes(), ["modules_in_the_way", "headers_from_mirror"]);
}

#[test]
fn bindings_switches_and_locks_are_read() {
    let host = Host::new();
    host.bind("nouveau");
    host.function("0000:07:00.0", "0x068000");
    host.put("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", [6, 0, 0, 0, 1]);
    host.put("sys/module/firmware_class/parameters/path", "/opt/firmware");
    host.put("proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n");
    let facts = host.facts();
    assert_eq!(facts.nvswitches.len(), 1);
    assert_eq!((facts.secure_boot.get(), facts.firmware_path.clone()), (Some(true), known("/opt/firmware")));
    assert_eq!(host.codes(), ["wsl", "nouveau_bound", "secure_boot", "no_kernel_headers", "firmware_path_set"]);
}

#[test]
fn a_bad_file_costs_its_fact_alone() {
    let host = Host::new();
    host.put("run/nvidia/nvidia-driver.pid", "4242\n");
    for path in ["proc/modules", "proc/1/mountinfo", "var/lib/dpkg/status", "sys/module/nvidia/refcnt", "proc/locks"] {
        host.put(path, [0xff, 0xfe, b'\n', 0, b' ', b'x', b'\n']);
    }
    let facts = host.facts();
    assert!(facts.modules.known().is_none() && facts.module_references.known().is_none());
    assert_eq!(facts.mounts.known().unwrap().skipped, 2);
    assert_eq!(facts.packages, Reading::Known(vec![]));
    assert_eq!(facts.entrypoint_runs.absence().unwrap().code(), "garbled");
    for path in ["proc/modules", "proc/1/mountinfo", "var/lib/dpkg/status"] {
        host.remove(path);
        nix_pipe(&host.0.path().join(path));
    }
    let facts = host.facts();
    for absence in [facts.modules.absence(), facts.mounts.absence(), facts.packages.absence()] {
        assert_eq!(absence.unwrap().code(), "unreadable", "a pipe is not waited for");
    }
}

#[test]
fn an_entrypoint_runs_while_it_holds_its_lock() {
    let host = Host::new();
    host.put("run/nvidia/nvidia-driver.pid", "4242\n");
    host.put("proc/4242/stat", "another process with that number by now");
    let about = fs::metadata(host.0.path().join("run/nvidia/nvidia-driver.pid")).unwrap();
    let (major, minor) = (nix::sys::stat::major(about.dev()), nix::sys::stat::minor(about.dev()));
    let lock =
        |kind: &str, inode: u64| format!("1: {kind}  ADVISORY  WRITE 4242 {major:02x}:{minor:02x}:{inode} 0 EOF\n");
    let other = format!("1: POSIX  ADVISORY  READ 1 00:19:7 0 EOF\n{}", lock("FLOCK", about.ino() + 1));
    for (locks, runs) in [
        (lock("FLOCK", about.ino()), Some(true)),
        (format!("{other}{}", lock("FLOCK", about.ino())), Some(true)),
        (other, Some(false)),
        (lock("POSIX", about.ino()), Some(false)),
        (String::new(), Some(false)),
    ] {
        host.put("proc/locks", &locks);
        assert_eq!(host.facts().entrypoint_runs.get(), runs, "{locks}");
    }
    host.remove("proc/locks");
    assert_eq!(host.facts().entrypoint_runs, Reading::default(), "not known");
}

fn nix_pipe(path: &std::path::Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
}
