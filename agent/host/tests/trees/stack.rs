//! The driver's software from trees that a test builds: where each distribution has it, and what a bad file costs.

use host::front::FactsRoot;
use model::absence::{Absence, Reading};
use model::host_facts::HostFacts;
use model::stack::{Dkms, StackFacts, StackFile};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

const KERNEL: &str = "6.8.0-45-generic";
const SECURE_BOOT: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(TempDir::new().unwrap());
        host.put("proc/sys/kernel/osrelease", format!("{KERNEL}\n"));
        host.put("usr/share/doc/x", "");
        host
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn module(&self, dep: &str) {
        self.put(&format!("lib/modules/{KERNEL}/modules.dep"), dep);
    }

    fn stack(&self) -> StackFacts {
        self.facts().stack
    }

    fn facts(&self) -> HostFacts {
        let at = |path: &str| self.0.path().join(path);
        FactsRoot { proc: at("proc"), sys: at("sys"), os_release: vec![], files: self.0.path().to_owned() }.read(None)
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }
}

fn none<T>() -> Reading<T> {
    Reading::Absent(Absence::None)
}

fn known(text: &str) -> Reading<String> {
    Reading::Known(text.to_owned())
}

#[test]
fn a_host_without_any_of_it() {
    let host = Host::new();
    host.module("kernel/drivers/video/nvidiafb.ko:\nupdates/nvidia-uvm.ko: x\n");
    let expected = StackFacts {
        secure_boot: none(),
        lockdown: Reading::Absent(Absence::NotReported),
        module_loaded: none(),
        module_load: none(),
        module_file: none(),
        module_signed: Reading::default(),
        module_barred_by: none(),
        dkms: none(),
        library_version: none(),
        files: Reading::Known(BTreeSet::new()),
        claims: Vec::new(),
    };
    assert_eq!(host.stack(), expected);
}

#[test]
fn a_mig_manager_counts_where_it_is_enabled_and_not_masked_or_where_its_container_is() {
    let host = Host::new();
    let masters = |host: &Host| host.facts().mig_masters.iter().map(ToString::to_string).collect::<Vec<_>>();
    host.put("usr/lib/systemd/system/nvidia-mig-manager.service", "[Unit]\n");
    host.put("etc/systemd/system/nvidia-mig-manager.service.d/override.conf", "[Service]\n");
    assert_eq!(masters(&host), Vec::<String>::new(), "installed is not enabled");
    let target = "/usr/lib/systemd/system/nvidia-mig-manager.service";
    host.link("etc/systemd/system/multi-user.target.wants/nvidia-mig-manager.service", target);
    let enabled = masters(&host);
    assert!(enabled.len() == 1 && enabled[0].contains("nvidia-mig-manager.service"), "{enabled:?}");
    host.link("etc/systemd/system/nvidia-mig-manager.service", "/dev/null");
    assert_eq!(masters(&host), Vec::<String>::new(), "a masked unit is never started");
    let log = |container: &str| format!("pod-1_gpu-operator_{container}-{}.log", "0a".repeat(32));
    host.link(&format!("var/log/containers/{}", log("nvidia-mig-manager")), "/nowhere/at/all.log");
    assert_eq!(masters(&host), Vec::<String>::new(), "its container is gone");
    host.put(&format!("var/log/containers/{}", log("k8s-mig-manager")), "");
    assert!(masters(&host)[0].contains("pod-1 (gpu-operator)"), "{:?}", masters(&host));
}

#[test]
fn a_module_that_was_loaded_again_is_another_load() {
    let host = Host::new();
    host.put("sys/module/nvidia/version", "580.105.08\n");
    let first = host.stack().module_load;
    assert!(first.get().is_some() && host.stack().module_load == first);
    fs::rename(host.0.path().join("sys/module/nvidia"), host.0.path().join("sys/removed")).unwrap();
    host.put("sys/module/nvidia/version", "580.105.08\n");
    let second = host.stack().module_load;
    assert!(second.get().is_some() && second != first, "the same version, and not the same load");
}

#[test]
fn a_host_that_hides_its_modules_is_not_taken_for_one_without() {
    let host = Host::new();
    let stack = host.stack();
    assert_eq!(stack.module_file.absence().unwrap().code(), "unreadable", "there is no list of modules at all");
    host.module("updates/dkms/nvidia.ko.zst: x\n");
    let stack = host.stack();
    assert_eq!(stack.module_file, known("updates/dkms/nvidia.ko.zst"));
    assert_eq!(stack.module_signed, Reading::Absent(Absence::NotSupported), "what is compressed cannot be told");
}

#[test]
fn firmware_and_lockdown() {
    let host = Host::new();
    for (content, expected) in [
        (vec![6, 0, 0, 0, 1], Some(true)),
        (vec![6, 0, 0, 0, 0], Some(false)),
        (vec![6, 0, 0, 0, 7], None),
        (vec![6, 0], None),
    ] {
        host.put(SECURE_BOOT, content);
        assert_eq!(host.stack().secure_boot.get(), expected);
    }
    for (content, expected) in [
        ("none [integrity] confidentiality\n", Some("integrity")),
        ("[none] integrity\n", Some("none")),
        ("[x]", None),
        ("", None),
    ] {
        host.put("sys/kernel/security/lockdown", content);
        assert_eq!(host.stack().lockdown.known().map(String::as_str), expected);
    }
}

#[test]
fn signed_and_unsigned_modules() {
    let host = Host::new();
    host.module("kernel/nvidia-580/nvidia.ko: x\n");
    let file = format!("lib/modules/{KERNEL}/kernel/nvidia-580/nvidia.ko");
    for (content, expected) in
        [("\u{7f}ELF…~Module signature appended~\n", Some(true)), ("\u{7f}ELF", Some(false)), ("", Some(false))]
    {
        host.put(&file, content);
        assert_eq!(host.stack().module_signed.get(), expected);
    }
    fs::remove_file(host.0.path().join(&file)).unwrap();
    assert_eq!(host.stack().module_signed.absence().unwrap().code(), "unreadable");
}

#[test]
fn the_first_file_that_bars_the_module_is_named() {
    let host = Host::new();
    host.put("usr/lib/modprobe.d/nvidia.conf", "blacklist nvidia\n");
    host.put("etc/modprobe.d/nouveau.conf", "blacklist nouveau\n# blacklist nvidia\n");
    assert_eq!(host.stack().module_barred_by, known("/usr/lib/modprobe.d/nvidia.conf"));
    host.put("etc/modprobe.d/z.conf", "options x y\ninstall nvidia /bin/false\n");
    host.put("etc/modprobe.d/a.conf~", "blacklist nvidia\n");
    assert_eq!(host.stack().module_barred_by, known("/etc/modprobe.d/z.conf"));
    let other = Host::new();
    other.put("proc/cmdline", "ro quiet modprobe.blacklist=nouveau,nvidia\n");
    assert!(other.stack().module_barred_by.known().unwrap().starts_with("/proc/cmdline"));
}

#[test]
fn dkms_tells_the_newest_version() {
    let host = Host::new();
    let version = |text: &str| text.to_owned();
    host.put("var/lib/dkms/nvidia/570.195.03/source/dkms.conf", "");
    host.put(&format!("var/lib/dkms/nvidia/570.195.03/{KERNEL}/x86_64/module/nvidia.ko"), "");
    host.put("var/lib/dkms/zfs/9.9/source/dkms.conf", "");
    symlink("570.195.03/x", host.0.path().join("var/lib/dkms/nvidia/kernel-6.8.0-45-generic-x86_64")).unwrap();
    assert_eq!(host.stack().dkms, Reading::Known(Dkms::Built { version: version("570.195.03") }));
    host.put("var/lib/dkms/nvidia/580.82.07/source/dkms.conf", "");
    host.put("var/lib/dkms/nvidia/580.82.07/5.4.0-old/x86_64/module/nvidia.ko", "");
    assert_eq!(host.stack().dkms, Reading::Known(Dkms::NotBuilt { version: version("580.82.07") }));
    host.put("var/lib/dkms/nvidia/580.82.07/build/make.log", "error");
    let log = "/var/lib/dkms/nvidia/580.82.07/build/make.log".to_owned();
    assert_eq!(host.stack().dkms, Reading::Known(Dkms::Failed { version: version("580.82.07"), log }));
}

#[test]
fn libraries_of_each_distribution_and_of_the_driver_container() {
    for folder in ["usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "run/nvidia/driver/usr/lib64"] {
        let host = Host::new();
        host.put(&format!("{folder}/libnvidia-ml.so.580.82.07"), "");
        host.put(&format!("{folder}/libcuda.so.1"), "");
        let link = host.0.path().join(folder).join("libnvidia-ml.so.1");
        symlink("libnvidia-ml.so.580.82.07", &link).unwrap();
        let stack = host.stack();
        assert_eq!(stack.library_version, known("580.82.07"), "{folder}");
        assert_eq!(stack.files, Reading::Known([StackFile::Nvml, StackFile::Cuda].into()), "{folder}");
        fs::remove_file(&link).unwrap();
        symlink("gone", &link).unwrap();
        assert_eq!(host.stack().library_version, none(), "{folder}: a link to nowhere is no library");
        fs::remove_file(&link).unwrap();
        fs::write(&link, "").unwrap();
        assert_eq!(
            host.stack().library_version,
            Reading::Absent(Absence::NotReported),
            "{folder}: no version in its name"
        );
    }
}

#[test]
fn files_that_name_the_drivers_of_egl_and_vulkan() {
    let host = Host::new();
    host.put("usr/share/glvnd/egl_vendor.d/50_mesa.json", "");
    host.put("usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "");
    assert_eq!(host.stack().files, Reading::Known(BTreeSet::new()), "those are Mesa's");
    host.put("run/nvidia/driver/usr/share/glvnd/egl_vendor.d/10_nvidia.json", "");
    host.put("etc/vulkan/icd.d/nvidia_icd.json", "");
    assert_eq!(host.stack().files, Reading::Known([StackFile::EglVendor, StackFile::VulkanIcd].into()));
}

#[test]
fn the_version_of_the_loaded_module() {
    let host = Host::new();
    host.put("sys/module/nvidia/version", "580.82.07\n");
    assert_eq!(host.stack().module_loaded, known("580.82.07"));
}

#[test]
fn ids_that_vfio_takes_are_found_in_every_place_where_they_can_stand() {
    let host = Host::new();
    host.put("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 vfio_pci.ids=10de:2684 quiet\n");
    host.put("etc/modprobe.d/vfio.conf", "options vfio-pci \\\n  ids=10de:22ba\n");
    // The administrator's file of the same name takes its place.
    host.put("usr/lib/modprobe.d/vfio.conf", "options vfio-pci ids=10de:1111\n");
    host.put("usr/lib/modprobe.d/stub.conf", "options pci_stub ids=\"10de:2222\"\n");
    host.put("etc/modprobe.d/vfio.conf.bak", "options vfio-pci ids=10de:3333\n");
    host.put("etc/initramfs-tools/modules", "# modules\nvfio_pci ids=10de:4444\n");
    nix::unistd::mkfifo(&host.0.path().join("etc/modules"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let found: Vec<String> = host.stack().claims.iter().map(ToString::to_string).collect();
    let wanted = [
        "vfio_pci.ids= in /proc/cmdline",
        "options vfio-pci ids= in /etc/modprobe.d/vfio.conf",
        "options pci_stub ids= in /usr/lib/modprobe.d/stub.conf",
        "vfio_pci ids= in /etc/initramfs-tools/modules",
    ];
    assert_eq!(found, wanted);
}
