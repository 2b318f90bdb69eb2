//! That the tree of a snapshot has what the archive has, and an nvidia-smi with the words of the real one.

use host_sim::write_recorded;
use sim::HostSnapshot;
use sim::archive::ArchiveNode;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn snapshot(nodes: &[(&str, ArchiveNode)]) -> HostSnapshot {
    let nodes = nodes.iter().map(|(path, node)| (PathBuf::from(path), node.clone())).collect();
    HostSnapshot { origin: "made".to_owned(), nodes }
}

fn file(text: &str) -> ArchiveNode {
    ArchiveNode::File(text.as_bytes().to_vec())
}

#[test]
fn files_links_and_the_words_of_nvidia_smi_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = snapshot(&[
        ("sys/bus/pci/devices/0000:01:00.0", ArchiveNode::Link("../../../devices/x".into())),
        ("sys/devices/x/vendor", file("0x10de\n")),
        ("nvidia-smi.xml", file("<nvidia_smi_log/>\n")),
    ]);
    write_recorded(&snapshot, folder.path()).unwrap();
    let vendor = fs::read_to_string(folder.path().join("sys/bus/pci/devices/0000:01:00.0/vendor")).unwrap();
    assert_eq!(vendor, "0x10de\n");
    let said = Command::new("sh").arg(folder.path().join("usr/bin/nvidia-smi")).args(["-q", "-x"]).output().unwrap();
    assert_eq!(said.stdout, b"<nvidia_smi_log/>\n");
}

#[test]
fn a_host_without_words_has_no_nvidia_smi() {
    let folder = tempfile::tempdir().unwrap();
    write_recorded(&snapshot(&[("proc/version", file("Linux\n"))]), folder.path()).unwrap();
    assert!(folder.path().join("proc/version").exists() && !folder.path().join("usr").exists());
}

#[test]
fn a_file_below_a_link_is_not_written_through_it() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let snapshot = snapshot(&[("a", ArchiveNode::Link(outside.path().into())), ("a/b", file("x"))]);
    assert!(write_recorded(&snapshot, folder.path()).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}
