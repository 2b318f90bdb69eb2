//! Real processes that hold real character devices, found by number.

use super::*;
use model::holders::Hold;
use model::ids::{IommuGroupId, PciAddress};
use model::plan::Lane;
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
    for below in ["fd", "root/dev/dri"] {
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
