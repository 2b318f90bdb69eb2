//! Real processes that hold real character devices, found by number.

use super::*;
use model::holders::{Hold, Holder};
use model::ids::{IommuGroupId, PciAddress};
use model::plan::Lane;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const GPU: &str = "0000:41:00.0";

/// A sysfs in which the GPU's driver registered `/dev/full` (1:7) as its render node.
fn world() -> (TempDir, Places, Scope) {
    let folder = TempDir::new().unwrap();
    let node = folder.path().join("bus/pci/devices").join(GPU).join("drm/full");
    std::fs::create_dir_all(&node).unwrap();
    std::fs::write(node.join("dev"), "1:7\n").unwrap();
    let gpu: PciAddress = GPU.parse().unwrap();
    let scope = Scope { lane: Lane::Group(IommuGroupId(0)), gpu, members: vec![gpu] };
    let places = Places::with_sysfs(folder.path());
    (folder, places, scope)
}

struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn hold(script: &str) -> Held {
    use std::io::BufRead;
    let mut command = Command::new("/usr/bin/python3");
    let mut child = command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready", "the holder holds");
    Held(child)
}

fn of(holders: &Holders, pid: u32) -> Vec<&Hold> {
    holders.found.iter().filter(|holder| holder.pid == Some(pid)).map(|holder| &holder.hold).collect()
}

#[test]
fn an_open_device_is_found_by_its_number_under_any_name() {
    let (folder, places, scope) = world();
    let alias = folder.path().join("alias");
    std::os::unix::fs::symlink("/dev/full", &alias).unwrap();
    let script = format!("import time; f = open({:?}); print('ready', flush=True); time.sleep(60)", alias.display());
    let holder = hold(&script.replace('"', "'"));
    let found = holders(&places, &scope);
    let pid = holder.0.id();
    assert_eq!(of(&found, pid), [&Hold::OpenDevice { path: "/dev/full".to_owned() }]);
    let one = found.found.iter().find(|holder| holder.pid == Some(pid)).unwrap();
    assert_eq!((one.command.as_deref(), one.address), (Some("python3"), Some(scope.gpu)));
}

#[test]
fn another_device_is_nobodys_business() {
    let (_folder, places, scope) = world();
    let holder = hold("import time; f = open('/dev/zero'); print('ready', flush=True); time.sleep(60)");
    assert!(of(&holders(&places, &scope), holder.0.id()).is_empty());
}

#[test]
fn a_mapping_holds_after_its_descriptor_is_closed() {
    let folder = TempDir::new().unwrap();
    let node = folder.path().join("bus/pci/devices").join(GPU).join("drm/zero");
    std::fs::create_dir_all(&node).unwrap();
    std::fs::write(node.join("dev"), "1:5\n").unwrap();
    let gpu: PciAddress = GPU.parse().unwrap();
    let scope = Scope { lane: Lane::Gpu(gpu), gpu, members: vec![gpu] };
    let script = "import mmap, os, time; fd = os.open('/dev/zero', os.O_RDWR); \
                  m = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE); os.close(fd); \
                  print('ready', flush=True); time.sleep(60)";
    let holder = hold(script);
    let found = holders(&Places::with_sysfs(folder.path()), &scope);
    let held = of(&found, holder.0.id());
    assert!(held.iter().any(|hold| matches!(hold, Hold::MappedDevice { path } if path == "/dev/zero")), "{held:?}");
}

#[test]
fn a_process_that_cannot_be_read_is_an_unknown_holder() {
    let (folder, mut places, scope) = world();
    places.proc = folder.path().join("proc");
    std::fs::create_dir_all(places.proc.join("4711")).unwrap();
    // A plain file where a folder should be: whatever the kernel says but "it has gone" is no reason to call it free.
    std::fs::write(places.proc.join("4711/fd"), "").unwrap();
    std::fs::write(places.proc.join("4711/comm"), "odd\n").unwrap();
    let found = holders(&places, &scope);
    assert_eq!(found.unreadable.len(), 1);
    assert_eq!((found.unreadable[0].pid, found.unreadable[0].command.as_deref()), (Some(4711), Some("odd")));
    assert!(!found.is_free());
}

#[test]
fn a_process_list_that_cannot_be_read_is_not_an_empty_one() {
    let (folder, mut places, scope) = world();
    places.proc = folder.path().join("nowhere");
    assert!(!holders(&places, &scope).is_free());
}

#[test]
fn unit_and_container_are_told_from_the_control_group() {
    let (folder, mut places, scope) = world();
    places.proc = folder.path().join("proc");
    let id = "a1b2".repeat(16);
    for (pid, cgroup) in [
        ("7", "0::/system.slice/sshd.service\n".to_owned()),
        ("8", format!("0::/system.slice/docker-{id}.scope\n")),
        ("9", format!("12:devices:/docker/{id}\n")),
    ] {
        let process = places.proc.join(pid);
        std::fs::create_dir_all(process.join("fd")).unwrap();
        std::os::unix::fs::symlink("/dev/full", process.join("fd/3")).unwrap();
        std::fs::write(process.join("maps"), "").unwrap();
        std::fs::write(process.join("cgroup"), cgroup).unwrap();
    }
    let found = holders(&places, &scope);
    let whose = |pid| {
        let holder = found.found.iter().find(|holder| holder.pid == Some(pid)).unwrap();
        (holder.unit.as_deref(), holder.container.as_deref())
    };
    assert_eq!(whose(7), (Some("sshd.service"), None));
    assert_eq!(whose(8), (None, Some("a1b2a1b2a1b2")));
    assert_eq!(whose(9), (None, Some("a1b2a1b2a1b2")));
}

/// A process of a container whose `/dev` has nodes of these numbers.
fn contained(proc: &Path, pid: u32, id: &str, nodes: &[(&str, u64, u64)]) {
    let folder = proc.join(pid.to_string());
    for below in ["fd", "root/dev/dri", "root/dev/nvidia-caps"] {
        std::fs::create_dir_all(folder.join(below)).unwrap();
    }
    std::fs::write(folder.join("maps"), "").unwrap();
    std::fs::write(folder.join("cgroup"), format!("0::/system.slice/docker-{id}.scope\n")).unwrap();
    for (name, major, minor) in nodes {
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        let number = nix::sys::stat::makedev(*major, *minor);
        let path = folder.join("root/dev").join(name);
        nix::sys::stat::mknod(&path, nix::sys::stat::SFlag::S_IFCHR, mode, number).expect("mknod needs root");
    }
}

#[test]
fn a_container_that_was_given_a_device_holds_it_without_having_it_open() {
    let (folder, mut places, scope) = world();
    places.proc = folder.path().join("proc");
    let ids = ["ab12", "cd34", "ef56", "0077"].map(|part| part.repeat(16));
    contained(&places.proc, 11, &ids[0], &[("null", 1, 3), ("dri/renderD128", 1, 7)]);
    contained(&places.proc, 12, &ids[0], &[("dri/renderD128", 1, 7)]);
    contained(&places.proc, 13, &ids[1], &[("null", 1, 3)]);
    // Privileged: it has everything, and means nothing by it.
    contained(&places.proc, 14, &ids[2], &[("mem", 1, 1), ("full", 1, 7)]);
    // A link out of the container is not followed.
    contained(&places.proc, 15, &ids[3], &[]);
    std::os::unix::fs::symlink("/dev/full", places.proc.join("15").join("root/dev/full")).unwrap();
    let found = holders(&places, &scope);
    let told: Vec<String> = found.found.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["container ab12ab12ab12 was given /dev/dri/renderD128"]);
    assert_eq!(found.found[0].freed_by(), "docker stop ab12ab12ab12");
    assert!(found.unreadable.is_empty());
}

#[test]
fn of_a_container_with_more_device_files_than_are_looked_at_nothing_is_known() {
    let (folder, ids) = (TempDir::new().unwrap(), ["ab12", "cd34", "ef56"].map(|part| part.repeat(16)));
    let listed = |pid: u32, id: &str| container_nodes(folder.path(), &id.parse().unwrap(), pid);
    contained(folder.path(), 11, &ids[0], &[("null", 1, 3)]);
    assert_eq!(listed(11, &ids[0]).unwrap().len(), 1);
    let names: Vec<String> = (0..4_097).map(|number| format!("made-{number}")).collect();
    let nodes: Vec<(&str, u64, u64)> = names.iter().map(|name| (name.as_str(), 1, 3)).collect();
    contained(folder.path(), 12, &ids[1], &nodes);
    assert!(listed(12, &ids[1]).unwrap_err().said.contains("more device files than are looked at"));
    contained(folder.path(), 13, &ids[2], &[("null", 1, 3)]);
    let device_files = folder.path().join("13").join("root").join("dev");
    for number in 0..16_384 {
        std::fs::write(device_files.join(format!("plain-{number}")), "").unwrap();
    }
    assert!(listed(13, &ids[2]).unwrap_err().said.contains("more device files than are looked at"));
}

/// A tree in which the GPU is bound to this driver, with an empty list of processes that tests add to.
fn bound_to(driver: &str) -> (TempDir, Places, Scope) {
    let folder = TempDir::new().unwrap();
    let gpu: PciAddress = GPU.parse().unwrap();
    let sysfs = folder.path().join("sys");
    let function = sysfs.join("bus/pci/devices").join(GPU);
    std::fs::create_dir_all(&function).unwrap();
    std::os::unix::fs::symlink(format!("../../drivers/{driver}"), function.join("driver")).unwrap();
    let places = Places { sysfs, proc: folder.path().join("proc"), dev: folder.path().join("dev") };
    std::fs::create_dir_all(&places.proc).unwrap();
    (folder, places, Scope { lane: Lane::Gpu(gpu), gpu, members: vec![gpu] })
}

fn put(path: std::path::PathBuf, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A process of the tree that has these nodes open.
fn opens(folder: &Path, places: &Places, pid: &str, nodes: &[(u64, u64)]) {
    let process = places.proc.join(pid);
    std::fs::create_dir_all(process.join("fd")).unwrap();
    put(process.join("maps"), "");
    for (index, (major, minor)) in nodes.iter().enumerate() {
        let node = folder.join(format!("node-{pid}-{index}"));
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        let number = nix::sys::stat::makedev(*major, *minor);
        nix::sys::stat::mknod(&node, nix::sys::stat::SFlag::S_IFCHR, mode, number).expect("mknod needs root");
        std::os::unix::fs::symlink(node, process.join("fd").join(index.to_string())).unwrap();
    }
}

fn pids(found: &Holders) -> Vec<u32> {
    let mut pids: Vec<u32> = found.found.iter().filter_map(|holder| holder.pid).collect();
    pids.sort_unstable();
    pids
}

#[test]
fn nodes_of_every_child_of_the_function_are_found_however_deep() {
    let (folder, places, scope) = bound_to("amdgpu");
    let function = places.sysfs.join("bus/pci/devices").join(GPU);
    for (path, number) in [
        ("drm/card0/dev", "226:0"),
        ("drm/card0/card0-DP-1/drm_dp_aux0/dev", "237:0"),
        ("drm/card0/card0-DP-1/i2c-7/i2c-dev/i2c-7/dev", "89:7"),
        ("sound/card1/pcmC1D3p/dev", "116:9"),
        ("i915.mei-gsc.768/mei/mei1/dev", "511:1"),
        ("vfio-dev/vfio3/dev", "244:3"),
        ("usb5/5-1/5-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb/dev", "8:16"),
    ] {
        put(function.join(path), &format!("{number}\n"));
    }
    let nodes = [(226, 0), (237, 0), (89, 7), (116, 9), (511, 1), (244, 3)];
    for (pid, node) in (11u32..).zip(nodes) {
        opens(folder.path(), &places, &pid.to_string(), &[node]);
    }
    // The number of a disk is no character device's.
    opens(folder.path(), &places, "99", &[(8, 16)]);
    assert_eq!(pids(&holders(&places, &scope)), [11, 12, 13, 14, 15, 16]);
}

#[test]
fn a_gpu_whose_minor_number_nvidias_driver_does_not_tell_may_be_any_of_its() {
    let (folder, places, scope) = bound_to("nvidia");
    opens(folder.path(), &places, "11", &[(195, 3)]);
    opens(folder.path(), &places, "12", &[(195, 254), (195, 255)]);
    assert_eq!(pids(&holders(&places, &scope)), [11], "modeset and nvidiactl are no GPU");
    put(places.proc.join("driver/nvidia/gpus").join(GPU).join("information"), "Device Minor: \t 2\n");
    assert_eq!(pids(&holders(&places, &scope)), [0u32; 0]);
    opens(folder.path(), &places, "13", &[(195, 2)]);
    assert_eq!(pids(&holders(&places, &scope)), [13]);
}

#[test]
fn whoever_uses_a_partition_of_a_gpu_uses_the_gpu() {
    let (folder, places, scope) = bound_to("amdgpu");
    let node = |number: u32, location: u32, minor: u32| {
        let text = format!("cpu_cores_count 0\nlocation_id {location}\ndomain 0\ndrm_render_minor {minor}\n");
        put(places.sysfs.join(format!("class/kfd/kfd/topology/nodes/{number}/properties")), &text);
    };
    // 41:00.0 in two partitions and c1:00.0 in one more; the number of the partition stands above the address.
    node(1, 0x4100, 128);
    node(2, 0x1000_4100, 129);
    node(3, 0x1000_c100, 162);
    for (device, minor) in [("amdgpu_xcp.0", 129), ("amdgpu_xcp_1", 162), ("amdgpu_xcp.2", 170)] {
        put(places.sysfs.join(format!("devices/platform/{device}/drm/renderD{minor}/dev")), &format!("226:{minor}\n"));
    }
    for (pid, minor) in [("11", 129), ("12", 162), ("13", 170)] {
        opens(folder.path(), &places, pid, &[(226, minor)]);
    }
    assert_eq!(pids(&holders(&places, &scope)), [11, 13], "of 170 nobody says whose it is");
}

/// A driver whose GPU has the number 2, with the capabilities of two instances and of another GPU's.
fn mig_world() -> (TempDir, Places, PciAddress) {
    let (folder, places, scope) = bound_to("nvidia");
    let driver = places.proc.join("driver");
    put(driver.join("nvidia/gpus").join(GPU).join("information"), "Device Minor: \t 2\n");
    put(
        driver.join("nvidia-caps/mig-minors"),
        "config 1\nmonitor 2\ngpu2/gi1/access 12\ngpu2/gi1/ci0/access 13\ngpu2/gi3/access 30\ngpu0/gi1/access 112\n",
    );
    put(places.proc.join("devices"), "Character devices:\n195 nvidia\n509 nvidia-caps\n\nBlock devices:\n");
    (folder, places, scope.gpu)
}

/// GPU instance and compute instance.
type Place = (u32, Option<u32>);

/// Each holder: its process and its instance.
fn instances(found: &Holders) -> Vec<(Option<u32>, Option<Place>)> {
    let place = |holder: &Holder| holder.instance.map(|place| (place.gpu_instance, place.compute_instance));
    let mut rows: Vec<_> = found.found.iter().map(|holder| (holder.pid, place(holder))).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn who_has_the_capability_of_an_instance_open_holds_that_instance() {
    let (folder, places, gpu) = mig_world();
    opens(folder.path(), &places, "11", &[(509, 12), (509, 13)]);
    opens(folder.path(), &places, "12", &[(509, 30)]);
    opens(folder.path(), &places, "13", &[(195, 2)]);
    // The monitor, another GPU's instance, another driver's device of the same number, the control device.
    opens(folder.path(), &places, "14", &[(509, 2), (509, 112), (508, 12), (195, 255), (195, 0)]);
    let found = mig_holders(&places.proc, gpu);
    let expected = [(Some(11), Some((1, Some(0)))), (Some(12), Some((3, None))), (Some(13), None)];
    assert_eq!(instances(&found), expected);
    assert!(found.unreadable.is_empty() && found.found.iter().all(|holder| holder.address == Some(gpu)), "{found:?}");
}

#[test]
fn a_capability_of_the_older_form_is_known_by_its_path() {
    let (folder, places, gpu) = mig_world();
    let process = places.proc.join("11");
    std::fs::create_dir_all(process.join("fd")).unwrap();
    put(process.join("maps"), "");
    let of = |gpu: u32| format!("/proc/driver/nvidia/capabilities/gpu{gpu}/mig/gi3/access");
    std::os::unix::fs::symlink(of(2), process.join("fd/5")).unwrap();
    std::os::unix::fs::symlink(of(1), process.join("fd/6")).unwrap();
    assert_eq!(instances(&mig_holders(&places.proc, gpu)), [(Some(11), Some((3, None)))]);
    drop(folder);
}

#[test]
fn a_container_that_was_given_an_instance_holds_it() {
    let (_folder, places, gpu) = mig_world();
    let ids = ["ab12", "cd34"].map(|part| part.repeat(16));
    contained(&places.proc, 11, &ids[0], &[("nvidia2", 195, 2), ("nvidia-caps/nvidia-cap30", 509, 30)]);
    contained(
        &places.proc,
        12,
        &ids[1],
        &[("nvidia-caps/nvidia-cap12", 509, 12), ("nvidia-caps/nvidia-cap13", 509, 13)],
    );
    let found = mig_holders(&places.proc, gpu);
    assert_eq!(instances(&found), [(None, None), (None, Some((1, Some(0)))), (None, Some((3, None)))], "{found:?}");
    assert!(found.found.iter().all(|holder| holder.freed_by().starts_with("docker stop ")));
}

#[test]
fn where_the_numbers_are_not_known_anybody_may_hold_it() {
    for missing in ["driver/nvidia-caps/mig-minors", "devices", &format!("driver/nvidia/gpus/{GPU}/information")] {
        let (_folder, places, gpu) = mig_world();
        std::fs::remove_file(places.proc.join(missing)).unwrap();
        let found = mig_holders(&places.proc, gpu);
        assert!(!found.is_free() && found.unreadable[0].said.contains(missing), "{missing}: {found:?}");
    }
    // A driver without such devices has none to look for.
    let (folder, places, gpu) = mig_world();
    put(places.proc.join("devices"), "Character devices:\n195 nvidia\n\nBlock devices:\n");
    std::fs::remove_file(places.proc.join("driver/nvidia-caps/mig-minors")).unwrap();
    opens(folder.path(), &places, "13", &[(195, 2)]);
    assert_eq!(instances(&mig_holders(&places.proc, gpu)), [(Some(13), None)]);
}
