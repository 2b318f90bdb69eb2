//! Both ends of a PCIe link: the function's own, and the port above it.

use super::tree::Tree;
use super::{address, only_gpu};
use model::absence::Reading;
use std::fs;
use std::os::unix::fs::symlink;

/// Moves the folder of a function below a bridge, as the kernel lays out its devices.
fn put_below(tree: &Tree, gpu: &str, above: &str) {
    let devices = tree.root().join("devices");
    fs::create_dir_all(devices.join(above)).unwrap();
    fs::rename(devices.join(gpu), devices.join(above).join(gpu)).unwrap();
    let name = tree.root().join("bus/pci/devices").join(gpu);
    fs::remove_file(&name).unwrap();
    symlink(format!("../../../devices/{above}/{gpu}"), name).unwrap();
}

#[test]
fn the_port_above_a_gpu_is_the_other_end_of_its_link() {
    let tree = Tree::new();
    tree.gpu("0000:41:00.0", 17);
    let bridge = tree.function("0000:40:01.1", "060400", "1022", "1483");
    bridge.put("max_link_speed", "8.0 GT/s PCIe").put("max_link_width", "8");
    put_below(&tree, "0000:41:00.0", "0000:40:01.1");
    let port = only_gpu(&tree).link.port.unwrap();
    assert_eq!(port.address, address("0000:40:01.1"));
    assert_eq!((port.max_generation, port.max_width), (Reading::Known(3), Reading::Known(8)));
}

#[test]
fn a_port_that_says_nothing_is_not_known_and_a_root_bus_is_no_port() {
    let tree = Tree::new();
    tree.gpu("0000:41:00.0", 17);
    tree.function("0000:40:01.1", "060400", "1022", "1483").put("max_link_width", "63");
    put_below(&tree, "0000:41:00.0", "0000:40:01.1");
    let port = only_gpu(&tree).link.port.unwrap();
    assert!(port.max_generation.known().is_none() && port.max_width.known().is_none(), "{port:?}");
    let tree = Tree::new();
    tree.gpu("0000:00:1e.0", 17);
    put_below(&tree, "0000:00:1e.0", "pci0000:00");
    assert_eq!(only_gpu(&tree).link.port, None);
}

/// Newer kernels would wake the port to read what it can do.
#[test]
fn the_port_above_a_gpu_that_sleeps_is_not_read() {
    let tree = Tree::new();
    let gpu = tree.gpu("0000:41:00.0", 17);
    fs::create_dir_all(gpu.path.join("power")).unwrap();
    gpu.put("power/runtime_status", "suspended");
    tree.function("0000:40:01.1", "060400", "1022", "1483").put("max_link_width", "16");
    put_below(&tree, "0000:41:00.0", "0000:40:01.1");
    assert_eq!(only_gpu(&tree).link.port, None);
}
