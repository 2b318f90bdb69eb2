//! The doctor's facts out of a tree of files and programs as a host has them, and out of one that has nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails panics")]

use gpuhostd_collect::doctor::{DoctorRequest, take};
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DoctorFacts, GuardedKind};
use model::doctor::{Severity, diagnose};
use model::settings::Settings;
use model::time::UnixMillis;
use spawn::Own;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const GPU: &str = "0000:41:00.0";
const RELEASE: &str = "6.8.0-60-generic";

/// A root of a file system.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// A program that says this.
    fn program(&self, path: &str, says: &str) {
        self.file(path, format!("#!/bin/sh\ncat <<'END'\n{says}\nEND\n"));
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn mode(&self, path: &str, mode: u32) {
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn request(&self) -> DoctorRequest {
        let mut settings = Settings::default();
        settings.docker.socket = self.path("run/docker.sock").display().to_string();
        settings.manager.ca_file = Some("/etc/gpuhostd/ca.pem".to_owned());
        DoctorRequest {
            root: self.0.path().to_owned(),
            settings,
            guarded: vec![
                ("/etc/gpuhostd/token".into(), GuardedKind::Token),
                ("/etc/gpuhostd/policy.toml".into(), GuardedKind::Rules),
                ("/var/lib/gpuhostd/identity".into(), GuardedKind::Credentials),
            ],
            sockets: vec!["/run/gpuhostd/hands/host.sock".into(), "/run/gpuhostd/hands/containers.sock".into()],
            state: "/var/lib/gpuhostd".into(),
            child: Own::at("/nonexistent/gpuhostd-child"),
            version: "0.1.0",
            taken_at: UnixMillis(1_790_000_000_000),
        }
    }

    async fn facts(&self) -> DoctorFacts {
        take(&self.request()).await
    }
}

fn function(tree: &Tree) {
    let port = "sys/devices/pci0000:40/0000:40:01.0";
    let folder = format!("{port}/{GPU}");
    for (file, content) in [
        ("vendor", "0x10de\n"),
        ("device", "0x26b9\n"),
        ("class", "0x030200\n"),
        ("boot_vga", "0\n"),
        ("current_link_width", "8\n"),
        ("max_link_width", "16\n"),
        ("driver_override", "(null)\n"),
        ("resource1_resize", "0000000000007fc0\n"),
        (
            "resource",
            "0x00000000d0000000 0x00000000d0ffffff 0x0000000000040200\n\
             0x0000203000000000 0x000020300fffffff 0x000000000014220c\n",
        ),
    ] {
        tree.file(&format!("{folder}/{file}"), content);
    }
    tree.file(&format!("{port}/max_link_width"), "16\n");
    tree.link(&format!("sys/bus/pci/devices/{GPU}"), &format!("../../../devices/pci0000:40/0000:40:01.0/{GPU}"));
    std::fs::create_dir_all(tree.path("sys/kernel/iommu_groups")).unwrap();
}

fn kernel(tree: &Tree) {
    tree.file("proc/cmdline", "root=/dev/sda2 quiet\n");
    tree.file("proc/modules", "overlay 151552 0 - Live 0x0\nnvidia_uvm 1 0 - Live 0x0\n");
    tree.file("proc/sys/kernel/osrelease", format!("{RELEASE}\n"));
    tree.file("proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu vme hypervisor lahf_lm\n");
    tree.file("proc/driver/nvidia/params", "ResmanDebugLevel: 4294967295\nDeviceFileMode: 438\n");
    tree.file("proc/self/mountinfo", "36 35 98:0 / /run/nvidia/driver rw - overlay overlay rw\n");
    tree.file("proc/4711/comm", "qemu-system-x86\n");
    tree.file("proc/4711/limits", "Limit  Soft  Hard  Units\nMax locked memory         8388608    8388608    bytes\n");
    tree.file("proc/12/comm", "kvm-nx-lpage-recovery-9\n");
    tree.file(&format!("lib/modules/{RELEASE}/updates/dkms/nvidia.ko.zst"), "");
    tree.file("sys/firmware/acpi/tables/DMAR", "");
    let secure_boot = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    tree.file(secure_boot, [6, 0, 0, 0, 1]);
    tree.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
    tree.file("sys/fs/cgroup/cgroup.controllers", "cpu\n");
    tree.file("sys/fs/selinux/enforce", "1");
    tree.file("sys/fs/selinux/booleans/container_use_devices", "0 0");
    tree.file("etc/modprobe.d/gpu.conf", "# comment nvidia\nblacklist   nvidia # here\noptions snd x=1\n");
    tree.file("lib/modprobe.d/gpu.conf", "blacklist nouveau\n");
    tree.file("run/reboot-required.pkgs", "linux-image-6.8.0-62-generic\n");
}

fn software(tree: &Tree) {
    tree.file("dev/nvidia0", "");
    tree.mode("dev/nvidia0", 0o660);
    std::fs::create_dir_all(tree.path("dev/nvidia-caps")).unwrap();
    tree.link("dev/char/195:0", "../nvidia0");
    tree.link("dev/char/1:3", "../null");
    tree.file("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.105.08", "");
    tree.file("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.550.163.01", "");
    tree.link("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", "libnvidia-ml.so.580.105.08");
    tree.file("usr/bin/nvidia-uninstall", "");
    tree.file("usr/bin/unattended-upgrade", "");
    tree.file("etc/apt/apt.conf.d/20auto-upgrades", "APT::Periodic::Unattended-Upgrade \"1\";\n");
    tree.file("etc/apt/apt.conf.d/50u", "Unattended-Upgrade::Package-Blacklist {\n  \"cuda-\";\n};\n");
    tree.file("etc/nvidia-container-runtime/config.toml", "[nvidia-container-cli]\nno-cgroups = true\n");
    tree.file("usr/bin/dockerd", "");
    let runtimes =
        r#""runtimes": {"nvidia": {"path": "nvidia-container-runtime"}, "crun": {"path": "/usr/bin/dockerd"}}"#;
    tree.file(
        "etc/docker/daemon.json",
        format!("{{\"features\": {{\"cdi\": true}}, {runtimes}, \"selinux-enabled\": true}}"),
    );
    tree.file("etc/passwd", "root:x:0:0::/root:/bin/sh\ngpuhostd-containers:x:990:990::/:/bin/false\n");
    tree.file("etc/group", "docker:x:998:alice\ngpuhostd-containers:x:990:\n");
    cdi(tree);
}

fn cdi(tree: &Tree) {
    let yaml = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n    \
                - path: /dev/nvidia0\n    - path: /dev/nvidia7\ncontainerEdits:\n  mounts:\n  - containerPath: /usr/lib/x\n    \
                hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01\n  - hostPath: \
                /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.105.08\n    containerPath: /y\n";
    tree.file("etc/cdi/nvidia.yaml", yaml);
    let json = r#"{"kind": "nvidia.com/gpu", "devices": [{"name": "all", "containerEdits":
        {"deviceNodes": [{"path": "/dev/nvidia9", "hostPath": "/dev/nvidia0"}]}}]}"#;
    tree.file("var/run/cdi/nvidia.json", json);
    tree.file("etc/cdi/other.yaml", "kind: vendor.com/net\ndevices:\n- name: x\n");
}

fn programs(tree: &Tree) {
    std::fs::create_dir_all(tree.path("run/systemd/system")).unwrap();
    let units = "Id=gpuhostd.service\nLoadState=loaded\nActiveState=failed\nResult=exit-code\nUnitFileState=enabled\n\n\
                 Id=docker.service\nLoadState=not-found\nActiveState=inactive\nResult=success\nUnitFileState=\n";
    tree.program("usr/bin/systemctl", units);
    tree.program("usr/bin/timedatectl", "no");
    tree.program("usr/bin/journalctl", "NVRM: Xid (PCI:0000:41:00): 79, pid=1\nnvidia: loaded");
    tree.program("usr/bin/dpkg-query", "ii \tnvidia-driver-580\t580.105.08-0ubuntu1\nrc \tnvidia-driver-470\t470.1-1");
    tree.program("usr/bin/nvidia-ctk", "NVIDIA Container Toolkit CLI version 1.17.4\ncommit: abc");
}

fn own(tree: &Tree) {
    tree.file("etc/gpuhostd/token", "x");
    tree.mode("etc/gpuhostd/token", 0o604);
    tree.file("etc/gpuhostd/policy.toml", "[moon]\n");
    tree.mode("etc/gpuhostd/policy.toml", 0o666);
    tree.file("run/gpuhostd/hands/host.sock", "");
    tree.file("run/dbus/system_bus_socket", "");
}

fn whole() -> Tree {
    let tree = Tree::new();
    function(&tree);
    kernel(&tree);
    software(&tree);
    programs(&tree);
    own(&tree);
    tree
}

#[tokio::test]
async fn the_kernel_and_its_settings_are_read() {
    let tree = whole();
    let kernel = tree.facts().await.kernel;
    assert_eq!(kernel.cmdline, Reading::Known("root=/dev/sda2 quiet".to_owned()));
    assert_eq!(kernel.modules, Reading::Known(vec!["overlay".to_owned(), "nvidia_uvm".to_owned()]));
    assert_eq!(kernel.nvidia_module, Reading::Absent(Absence::None));
    let file = kernel.nvidia_module_file.known().unwrap();
    assert!(file.ends_with("updates/dkms/nvidia.ko.zst"), "{file}");
    assert_eq!(kernel.headers, Reading::Known(false));
    assert_eq!((kernel.virtual_machine.get(), kernel.firmware_iommu.get()), (Some(true), Some(true)));
    assert_eq!((kernel.secure_boot.get(), kernel.noiommu.get()), (Some(true), Some(true)));
    assert_eq!(
        (kernel.selinux.get(), kernel.selinux_devices.get(), kernel.cgroup.get()),
        (Some(true), Some(false), Some(2))
    );
    let lines: Vec<&str> = kernel.modprobe.known().unwrap().iter().map(|setting| setting.line.as_str()).collect();
    assert_eq!(lines, ["blacklist nvidia"], "a file in /etc takes the place of one of the same name in /lib");
    assert_eq!(kernel.log.known().unwrap().len(), 2);
    let guests = kernel.hypervisors.known().unwrap();
    assert_eq!(guests.len(), 1, "a thread of the kernel is no guest: {guests:?}");
    assert_eq!((guests[0].pid, guests[0].memlock_bytes), (4711, Some(8_388_608)));
    let slot = &kernel.slots[0];
    assert_eq!(slot.address.to_string(), GPU);
    assert_eq!((slot.bar1_bytes.get(), slot.bar1_max_bytes.get()), (Some(256 << 20), Some(16 << 30)));
}

#[tokio::test]
async fn the_files_of_nvidia_and_docker_are_read() {
    let facts = whole().facts().await;
    let nvidia = &facts.nvidia;
    let nodes = nvidia.nodes.known().unwrap();
    assert_eq!((nodes.len(), nodes[0].path.as_str(), nodes[0].mode), (1, "/dev/nvidia0", 0o660));
    assert_eq!(nvidia.node_mode.get(), Some(0o666));
    assert_eq!(nvidia.char_links, Reading::Known(vec!["195:0".to_owned()]));
    let libraries = nvidia.libraries.known().unwrap();
    let current: Vec<_> = libraries.iter().map(|library| (library.version.as_str(), library.current)).collect();
    assert_eq!(current, [("550.163.01", false), ("580.105.08", true)]);
    assert_eq!((nvidia.modprobe_tool.get(), nvidia.runfile.get()), (Some(false), Some(true)));
    assert_eq!(
        (nvidia.auto_upgrades.get(), nvidia.upgrade_exceptions.as_slice()),
        (Some(true), &["cuda-".to_owned()][..])
    );
    assert_eq!((nvidia.container_driver.get(), nvidia.container_driver_alive.is_none()), (Some(true), true));
    assert_eq!((nvidia.toolkit.known().unwrap().as_str(), nvidia.no_cgroups.get()), ("1.17.4", Some(true)));
    assert_eq!(nvidia.packages.known().unwrap().len(), 1);
    let config = facts.docker.config.known().unwrap();
    assert_eq!((config.cdi, config.selinux, config.error.as_deref()), (Some(true), true, None));
    assert_eq!(config.missing_runtimes, [("nvidia".to_owned(), "nvidia-container-runtime".to_owned())]);
    assert_eq!((facts.docker.installed.get(), facts.docker.hand_in_group.get()), (Some(true), Some(false)));
}

#[tokio::test]
async fn cdi_specifications_are_read_in_both_forms() {
    let facts = whole().facts().await;
    let specs = facts.nvidia.cdi.known().unwrap();
    let paths: Vec<&str> = specs.iter().map(|spec| spec.path.as_str()).collect();
    assert_eq!(paths, ["/etc/cdi/nvidia.yaml", "/var/run/cdi/nvidia.json"]);
    assert_eq!(specs[0].missing, ["/dev/nvidia7", "/usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01"]);
    assert_eq!(specs[0].versions, ["550.163.01", "580.105.08"]);
    assert_eq!(
        (specs[0].devices.as_slice(), specs[1].devices.as_slice()),
        (&["0".to_owned()][..], &["all".to_owned()][..])
    );
    assert!(specs[1].missing.is_empty(), "a path in the container is none of the host: {:?}", specs[1].missing);
}

#[tokio::test]
async fn units_clock_and_the_daemons_files_are_read() {
    let service = whole().facts().await.service;
    let units = service.units.known().unwrap();
    assert_eq!((units.len(), units[0].active.as_str(), units[1].load.as_str()), (2, "failed", "not-found"));
    assert_eq!(service.clock_synchronised.get(), Some(false));
    assert_eq!((service.bus_socket.get(), service.polkit.get()), (Some(true), Some(false)));
    let modes: Vec<(&str, u32)> = service.guarded.iter().map(|file| (file.path.as_str(), file.mode)).collect();
    assert_eq!(modes, [("/etc/gpuhostd/token", 0o604), ("/etc/gpuhostd/policy.toml", 0o666)]);
    assert!(service.policy_error.known().is_some_and(|said| said.contains("moon")), "{:?}", service.policy_error);
    assert_eq!(service.missing_sockets, Reading::Known(vec!["/run/gpuhostd/hands/containers.sock".to_owned()]));
    assert_eq!(service.missing_files, [("manager.ca_file".to_owned(), "/etc/gpuhostd/ca.pem".to_owned())]);
    assert!(service.state_disk.known().is_some_and(|disk| disk.total_bytes > 0));
}

#[tokio::test]
async fn a_broken_host_is_told_in_its_own_words() {
    let diagnosis = diagnose(&whole().facts().await);
    let found: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.code.as_str()).collect();
    for code in [
        "daemon_failed",
        "docker_runtime_path_missing",
        "driver_mount_stale",
        "noiommu_mode",
        "rules_writable_by_others",
        "secret_readable_by_others",
        "selinux_denies_devices",
        "toolkit_no_cgroups",
        "toolkit_vulnerable",
        "two_driver_installations",
        "xid_logged",
    ] {
        assert!(found.contains(&code), "{code}: {found:?}");
    }
}

#[tokio::test]
async fn an_empty_root_is_no_fault_of_any_host() {
    let tree = Tree::new();
    let mut request = tree.request();
    request.settings.manager.ca_file = None;
    let diagnosis = diagnose(&take(&request).await);
    let found: Vec<_> = diagnosis.findings.iter().filter(|finding| finding.severity != Severity::Hint).collect();
    let codes: Vec<&str> = found.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["pci_scan_failed"], "there is no PCI bus in it");
}

#[tokio::test]
async fn what_is_damaged_costs_itself_only() {
    let tree = whole();
    for (file, content) in [
        ("etc/docker/daemon.json", ""),
        ("etc/cdi/nvidia.yaml", "kind: [nvidia"),
        ("var/run/cdi/nvidia.json", "{"),
        ("proc/driver/nvidia/params", "DeviceFileMode: many\n"),
        ("run/nvidia/nvidia-driver.pid", "self\n"),
    ] {
        tree.file(file, content);
    }
    tree.file("sys/fs/selinux/enforce", "?");
    tree.program("usr/bin/systemctl", "");
    let facts = tree.facts().await;
    assert_eq!(facts.docker.config.known().unwrap().error.as_deref(), Some("it is empty"));
    let specs = facts.nvidia.cdi.known().unwrap();
    assert!(specs.len() == 2 && specs.iter().all(|spec| spec.broken.is_some() && spec.devices.is_empty()), "{specs:?}");
    let garbled = |absence: Option<&Absence>| matches!(absence, Some(Absence::Garbled(_)));
    assert!(garbled(facts.nvidia.node_mode.absence()) && garbled(facts.kernel.selinux.absence()));
    assert!(garbled(facts.nvidia.container_driver_alive.absence()));
    assert_eq!(facts.kernel.noiommu.get(), Some(true));
}

/// A pipe where a file is expected must not be waited for.
#[tokio::test]
async fn a_pipe_is_not_read() {
    let tree = whole();
    let pipe = tree.path("etc/docker/daemon.json");
    std::fs::remove_file(&pipe).unwrap();
    make_pipe(&pipe);
    assert!(matches!(tree.facts().await.docker.config.absence(), Some(Absence::Unreadable(_))));
}

/// One in the folder of modprobe's settings kept doctor and snapshot for 20 s.
#[test]
fn no_part_waits_for_a_pipe_wherever_it_lies() {
    let tree = whole();
    let mut folders = vec![tree.0.path().to_owned()];
    let mut pipes = 0;
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if !path.starts_with(tree.path("usr/bin")) {
                std::fs::remove_file(&path).unwrap();
                make_pipe(&path);
                pipes += 1;
            }
        }
    }
    assert!(pipes > 20, "{pipes}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let facts = runtime.block_on(tree.facts());
    // A thread that waits for a writer would keep the test from failing.
    runtime.shutdown_background();
    let pipe = |absence: Option<&Absence>| matches!(absence, Some(Absence::Unreadable(_)));
    assert!(pipe(facts.kernel.modprobe.absence()) && pipe(facts.kernel.cmdline.absence()), "{:?}", facts.kernel);
    let stack = &facts.host.host.stack;
    assert!(pipe(stack.secure_boot.absence()), "the facts of the host came: {stack:?}");
    let told = format!("{facts:?}");
    assert!(!told.contains("ProbeTimeout") && !told.contains("did not answer"), "{told}");
}

fn make_pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}
