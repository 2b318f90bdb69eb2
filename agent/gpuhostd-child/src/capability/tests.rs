//! The link on trees of files with real device nodes.

use super::*;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tempfile::TempDir;

const DEVICES: &str = "Character devices:\n  1 mem\n195 nvidia\n241 nvidia-caps\n242 nvidia-caps-imex-channels\n\nBlock devices:\n241 md\n";
const USUAL: &str = "config 1\nmonitor 2\ngpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\n";

/// A host whose driver numbers its capabilities so, with these nodes: name, major, minor.
fn host(minors: &str, nodes: &[(&str, u64, u64)]) -> TempDir {
    let root = TempDir::new().unwrap();
    let caps = root.path().join("proc/driver/nvidia-caps");
    fs::create_dir_all(&caps).unwrap();
    fs::write(caps.join("mig-minors"), minors).unwrap();
    fs::write(root.path().join("proc/devices"), DEVICES).unwrap();
    fs::create_dir_all(root.path().join("dev/nvidia-caps")).unwrap();
    for (name, major, minor) in nodes {
        let mode = Mode::from_bits_truncate(0o400);
        let path = root.path().join("dev").join(name);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(*major, *minor)).expect("mknod needs root");
    }
    root
}

/// Where the link leads, below `/dev`.
fn leads_to(root: &TempDir) -> String {
    let (proc, dev) = (root.path().join("proc"), root.path().join("dev"));
    let target = link(&proc, &dev).unwrap();
    assert_eq!(fs::read_link(dev.join("gpuhostd/mig-monitor")).unwrap(), target);
    assert_eq!(fs::read_dir(dev.join("gpuhostd")).unwrap().count(), 1, "no rubbish");
    target.strip_prefix(&dev).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn it_leads_to_the_monitor_whatever_its_number() {
    let nodes = [("nvidia-caps/nvidia-cap1", 241, 1), ("nvidia-caps/nvidia-cap2", 241, 2)];
    assert_eq!(leads_to(&host(USUAL, &nodes)), "nvidia-caps/nvidia-cap2");
    let nodes = [("nvidia-caps/nvidia-cap2", 241, 2), ("nvidia-caps/nvidia-cap5", 241, 5)];
    assert_eq!(leads_to(&host("monitor 5\nconfig 2\n", &nodes)), "nvidia-caps/nvidia-cap5");
}

#[test]
fn it_follows_a_driver_that_is_exchanged() {
    let nodes = [("nvidia-caps/nvidia-cap1", 241, 1), ("nvidia-caps/nvidia-cap2", 241, 2)];
    let root = host(USUAL, &nodes);
    assert_eq!(leads_to(&root), "nvidia-caps/nvidia-cap2");
    fs::write(root.path().join("proc/driver/nvidia-caps/mig-minors"), "config 2\nmonitor 1\n").unwrap();
    assert_eq!(leads_to(&root), "nvidia-caps/nvidia-cap1");
    fs::remove_dir_all(root.path().join("proc/driver")).unwrap();
    assert_eq!(leads_to(&root), "null", "without the driver there is nothing to monitor");
}

#[test]
fn in_doubt_it_leads_to_nothing() {
    let good = [("nvidia-caps/nvidia-cap2", 241, 2)];
    for minors in
        ["", "monitor\n", "monitor two\n", "config 2\nmonitor 2\n", "monitor 2\nmonitor 3\n", "gpu0/monitor 2\n"]
    {
        assert_eq!(leads_to(&host(minors, &good)), "null", "{minors:?}");
    }
    for nodes in [
        [("nvidia-caps/nvidia-cap2", 241, 1)],
        [("nvidia-caps/nvidia-cap2", 195, 2)],
        [("nvidia-caps/nvidia-cap3", 241, 2)],
    ] {
        assert_eq!(leads_to(&host(USUAL, &nodes)), "null", "{nodes:?}");
    }
    let linked = host(USUAL, &[("nvidia-caps/nvidia-cap1", 241, 1)]);
    symlink("nvidia-cap1", linked.path().join("dev/nvidia-caps/nvidia-cap2")).unwrap();
    assert_eq!(leads_to(&linked), "null");
    let silent = host(USUAL, &good);
    fs::write(
        silent.path().join("proc/devices"),
        "Character devices:\n195 nvidia\n\nBlock devices:\n241 nvidia-caps\n",
    )
    .unwrap();
    assert_eq!(leads_to(&silent), "null");
}

#[test]
fn what_cannot_be_written_is_a_failure() {
    let root = host(USUAL, &[]);
    fs::write(root.path().join("dev/gpuhostd"), "a file in the way").unwrap();
    assert!(link(&root.path().join("proc"), &root.path().join("dev")).is_err());
}
