//! That a snapshot holds what may be read and nothing else, wherever a secret is planted and wherever a link leads.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use flate2::read::GzDecoder;
use gpuhostd_collect::snapshot::{Basket, SnapshotRequest, pack, take};
use host::front::Sysfs;
use model::driver::ProbeError;
use model::settings::Settings;
use model::snapshot::Recorded;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use spawn::Own;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

const SECRET: &str = "Zx81kQ0pLw27vB5t";
const GPU: &str = "sys/devices/pci0000:00/0000:01:00.0";

/// A program that is still open for writing cannot be run, and a child of another test that is just being started has
/// it open for a moment: so nobody writes one while another test starts some.
static PROGRAMS: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host with one GPU on the nvidia driver.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(TempDir::new().unwrap());
        for (name, text) in [("vendor", "0x10de"), ("device", "0x2684"), ("class", "0x030000"), ("boot_vga", "1")] {
            host.put(&format!("{GPU}/{name}"), text);
        }
        host.put("sys/kernel/iommu_groups/13/type", "DMA-FQ");
        host.put("sys/bus/pci/drivers/nvidia/module", "");
        host.link("../../../devices/pci0000:00/0000:01:00.0", "sys/bus/pci/devices/0000:01:00.0");
        host.link("../../../../devices/pci0000:00/0000:01:00.0", "sys/kernel/iommu_groups/13/devices/0000:01:00.0");
        host.link("../../../kernel/iommu_groups/13", &format!("{GPU}/iommu_group"));
        host.link("../../../bus/pci/drivers/nvidia", &format!("{GPU}/driver"));
        host
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.path(path), format!("{text}\n")).unwrap();
    }

    fn link(&self, target: &str, path: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    /// A program that prints this.
    fn program(&self, path: &str, says: &str) {
        self.script(path, &format!("cat <<'END'\n{says}\nEND"));
    }

    fn script(&self, path: &str, text: &str) {
        let (path, _turn) = (self.path(path), turn());
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn take(&self) -> (Basket, Recorded) {
        let _turn = turn();
        let mut settings = Settings::default();
        settings.docker.socket = self.0.path().join("no.sock").display().to_string();
        settings.nvidia.smi_paths = vec![self.0.path().join("usr/bin/nvidia-smi").display().to_string()];
        settings.nvidia.probe_timeout_ms = 5_000;
        let request = SnapshotRequest { root: self.0.path().to_owned(), settings, child: Own::at("/nonexistent") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(take(&request))
    }
}

fn names(basket: &Basket) -> Vec<String> {
    basket.listed().into_iter().map(|file| file.path).collect()
}

/// Everything that an archive holds, unpacked, in one string of bytes.
fn content(basket: &Basket) -> Vec<u8> {
    let packed = pack(basket, 0).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

const DOCUMENT: &str = "<?xml version=\"1.0\" ?>\n<nvidia_smi_log><driver_version>580.1</driver_version>\
<attached_gpus>1</attached_gpus><gpu id=\"00000000:01:00.0\"><product_name>NVIDIA L4</product_name><processes>\
<process_info><pid>7</pid><type>C</type><process_name>python --token @@ --port 8000</process_name>\
<used_memory>1 MiB</used_memory></process_info></processes></gpu></nvidia_smi_log>";

#[test]
fn a_secret_planted_anywhere_is_not_in_the_archive() {
    let host = Host::new();
    host.put("proc/cmdline", &format!("root=/dev/sda ipa.password={SECRET} quiet"));
    host.put("proc/driver/nvidia/params", &format!("RegistryDwords: secret={SECRET}"));
    host.put("etc/os-release", &format!("ID=debian\nSUPPORT_URL=\"https://u:{SECRET}@example.org/\""));
    host.put("etc/modprobe.d/x.conf", &format!("options foo api_key={SECRET}"));
    host.put("sys/class/dmi/id/board_name", &format!("token={SECRET}"));
    host.put(&format!("{GPU}/uevent"), &format!("DRIVER=nvidia\nAUTH={SECRET}"));
    host.program("usr/bin/nvidia-smi", &DOCUMENT.replace("@@", SECRET));
    let block = format!("{} PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----", "-----BEGIN");
    let log = format!("gpuhostd[7]: Authorization: Bearer {SECRET}\nproxy http://u:{SECRET}@p refused\n{block}\ndone");
    host.program("usr/bin/journalctl", &log);
    host.program("usr/bin/dpkg-query", &format!("ii docker-ce 28.1 password: {SECRET}"));
    // Files that no snapshot reads at all.
    for path in
        ["var/lib/gpuhostd/identity/key.pem", "etc/gpuhostd/token", "root/.docker/config.json", "proc/1/environ"]
    {
        host.put(path, SECRET);
    }
    let (mut basket, recorded) = host.take();
    basket.json("recorded.json", &recorded);
    let bytes = content(&basket);
    assert!(!holds(&bytes, SECRET), "in one of {:?}", basket.listed());
    // What stands around the secrets is there: nothing was left out instead.
    for text in ["root=/dev/sda", "RegistryDwords", "options foo", "NVIDIA L4", "--port 8000", "done", "docker-ce 28.1"]
    {
        assert!(holds(&bytes, text), "{text} is missing in {:?}", names(&basket));
    }
    let redacted: u32 = basket.listed().iter().map(|file| file.redacted).sum();
    assert!(redacted >= 12, "{redacted}: {:?}", basket.listed());
    assert!(recorded.reports.iter().any(|(_, report)| report.is_ok()), "the plain report is judged before");
}

#[test]
fn only_allowed_names_are_read() {
    let host = Host::new();
    for name in ["rom", "resource", "resource0", "config", "remove", "rescan", "reset", "serial_number", "vpd"] {
        host.put(&format!("{GPU}/{name}"), "FORBIDDEN");
    }
    host.put("sys/class/dmi/id/product_serial", "FORBIDDEN");
    host.put("sys/class/dmi/id/product_uuid", "FORBIDDEN");
    host.put("sys/module/nvidia/parameters/NVreg_Anything", "FORBIDDEN");
    host.put("proc/mounts", "//nas/x /mnt cifs FORBIDDEN");
    host.put("etc/modprobe.d/readme", "FORBIDDEN");
    let (basket, _) = host.take();
    assert!(!holds(&content(&basket), "FORBIDDEN"), "{:?}", names(&basket));
    assert!(names(&basket).contains(&format!("{GPU}/boot_vga")));
}

#[test]
fn no_link_leads_out_and_no_pipe_holds_it_up() {
    let host = Host::new();
    let outside = TempDir::new().unwrap();
    let secret = outside.path().join("shadow");
    fs::write(&secret, "OUTSIDE").unwrap();
    let out = secret.to_str().unwrap();
    host.link(out, &format!("{GPU}/numa_node"));
    host.link(out, "sys/class/dmi/id/board_name");
    host.link(out, "proc/cmdline");
    host.link(out, "etc/modprobe.d/x.conf");
    host.link(outside.path().to_str().unwrap(), "sys/module/nvidia");
    fs::write(outside.path().join("version"), "OUTSIDE").unwrap();
    host.link("../../../../../../../../etc", &format!("{GPU}/physfn"));
    host.link("/etc", "sys/bus/pci/devices/0000:02:00.0");
    host.link("../../../../../../etc", "sys/bus/pci/devices/0000:03:00.0");
    host.put("sys/class/evil/vendor", "OUTSIDE");
    host.link("../../../class/evil", "sys/bus/pci/devices/0000:04:00.0");
    mkfifo(&host.path(&format!("{GPU}/enable")), Mode::S_IRWXU).unwrap();
    let (basket, _) = host.take();
    let bytes = content(&basket);
    assert!(!holds(&bytes, "OUTSIDE"), "{:?}", names(&basket));
    for stranger in ["0000:02:00.0", "0000:03:00.0", "0000:04:00.0"] {
        assert!(!names(&basket).iter().any(|name| name.contains(stranger)), "{stranger}");
    }
    let missed: Vec<&str> = basket.missed().iter().map(|missed| missed.what.as_str()).collect();
    for what in [&format!("/{GPU}/numa_node"), "/proc/cmdline", &format!("/{GPU}/physfn"), &format!("/{GPU}/enable")] {
        assert!(missed.contains(&what), "{what} is not named in {missed:?}");
    }
    assert!(missed.contains(&"/sys/bus/pci/devices/0000:02:00.0"), "{missed:?}");
}

#[test]
fn what_is_not_there_is_named_with_its_reason() {
    let empty = Host(TempDir::new().unwrap());
    let (basket, recorded) = empty.take();
    let missed: Vec<&str> = basket.missed().iter().map(|missed| missed.what.as_str()).collect();
    for what in ["/sys", "Docker", "packages.txt", "journal/gpuhostd.txt", "os-release"] {
        assert!(missed.contains(&what), "{what} is not named in {missed:?}");
    }
    assert!(basket.missed().iter().all(|missed| !missed.why.is_empty()), "{:?}", basket.missed());
    assert!(recorded.scan.is_err() && matches!(recorded.docker, Err(ProbeError::Absent { .. })));
}

#[test]
fn nvidia_smi_is_not_started_where_its_driver_has_no_gpu() {
    let host = Host::new();
    fs::remove_file(host.path(&format!("{GPU}/driver"))).unwrap();
    let trace = host.path("started");
    host.script("usr/bin/nvidia-smi", &format!("touch {}", trace.display()));
    let (basket, recorded) = host.take();
    assert!(!trace.exists() && recorded.reports.is_empty());
    assert!(basket.missed().iter().any(|missed| missed.what.contains("nvidia-smi")), "{:?}", basket.missed());
}

#[test]
fn the_archive_can_be_unpacked_and_scanned_again() {
    let host = Host::new();
    let attributes = [
        ("subsystem_vendor", "0x10de"),
        ("subsystem_device", "0x16c1"),
        ("driver_override", "vfio-pci"),
        ("numa_node", "1"),
        ("power_state", "D0"),
        ("current_link_speed", "16.0 GT/s PCIe"),
        ("max_link_speed", "32.0 GT/s PCIe"),
        ("current_link_width", "8"),
        ("max_link_width", "16"),
        ("drm/card0/dev", "226:0"),
        ("drm/renderD128/dev", "226:128"),
    ];
    for (name, text) in attributes {
        host.put(&format!("{GPU}/{name}"), text);
    }
    // A virtual function and a companion of the card.
    for (address, class) in [("0000:01:00.1", "0x040300"), ("0000:01:00.4", "0x030200")] {
        let folder = format!("sys/devices/pci0000:00/{address}");
        for (name, text) in [("vendor", "0x10de"), ("device", "0x10f7"), ("class", class)] {
            host.put(&format!("{folder}/{name}"), text);
        }
        host.link(&format!("../../../devices/pci0000:00/{address}"), &format!("sys/bus/pci/devices/{address}"));
    }
    host.link("../0000:01:00.4", &format!("{GPU}/virtfn0"));
    host.link("../0000:01:00.0", "sys/devices/pci0000:00/0000:01:00.4/physfn");
    let (basket, recorded) = host.take();
    assert!(names(&basket).contains(&format!("{GPU}/virtfn0")), "{:?}", names(&basket));
    let unpacked = TempDir::new().unwrap();
    let packed = pack(&basket, 0).unwrap();
    tar::Archive::new(GzDecoder::new(packed.as_slice())).unpack(unpacked.path()).unwrap();
    let again = Sysfs::new(unpacked.path().join("sys")).scan().unwrap();
    let scan = recorded.scan.unwrap();
    assert_eq!(again, scan);
    let gpu = &scan.gpus[0];
    assert_eq!((gpu.drm.card.as_deref(), gpu.drm.render.as_deref()), (Some("card0"), Some("renderD128")));
    assert_eq!((gpu.virtual_functions.len(), gpu.companions.len(), scan.functions_total), (1, 1, 3));
    let known = [
        gpu.subsystem.known().is_some(),
        gpu.numa_node.known().is_some(),
        gpu.power_state.known().is_some(),
        gpu.boot_vga.known().is_some(),
        gpu.link.generation.known().is_some() && gpu.link.max_generation.known().is_some(),
        gpu.link.width.known().is_some() && gpu.link.max_width.known().is_some(),
        gpu.driver.known().is_some() && gpu.iommu_group.known().is_some(),
    ];
    assert_eq!(known, [true; 7], "what is unknown here would be equal without being there");
    assert_eq!(scan.groups[0].members.len(), 1);
    let mode = |path: &str| Path::new(path).symlink_metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(unpacked.path().join(format!("{GPU}/vendor")).to_str().unwrap()), 0o600);
}
