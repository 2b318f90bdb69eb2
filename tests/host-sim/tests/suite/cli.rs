//! The command `host-sim`: lists, shows and writes hosts, and says what is wrong with a wish.

use std::path::Path;
use std::process::{Command, Output};

fn host_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-sim")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn functions(root: &Path) -> usize {
    root.join("sys/bus/pci/devices").read_dir().unwrap().count()
}

#[test]
fn it_lists_every_built_in_host_with_its_summary() {
    let text = stdout(&host_sim(&["list"]));
    assert_eq!(text.lines().count(), sim::BUILT_IN.len());
    assert!(text.contains("dgx-a100") && text.contains("6 NVSwitches"), "{text}");
}

#[test]
fn what_it_shows_can_be_changed_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let (file, root) = (folder.path().join("mine.toml"), folder.path().join("root"));
    let text = stdout(&host_sim(&["show", "t4-cloud-vm"])).replace("Tesla T4", "Tesla T4 of mine");
    std::fs::write(&file, text).unwrap();
    stdout(&host_sim(&["tree", file.to_str().unwrap(), root.to_str().unwrap()]));
    assert_eq!(functions(&root), 3);
    let said = Command::new(root.join("usr/bin/nvidia-smi")).args(["-q", "-x"]).output().unwrap();
    assert!(stdout(&said).contains("<product_name>Tesla T4 of mine</product_name>"));
}

#[test]
fn it_writes_hosts_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    stdout(&host_sim(&["tree", "--gpus", "8", "--functions", "64", root.to_str().unwrap()]));
    assert_eq!(functions(&root), 64);
}

#[test]
fn it_says_what_is_wrong() {
    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("file"), "").unwrap();
    let full = full.path().to_str().unwrap();
    let wishes: [(&[&str], &str); 4] = [
        (&["tree", "dgx-a100", full], "not empty"),
        (&["tree", "dgx-a1000", "/nonexistent/x"], "intel-arc"),
        (&["grow"], "usage"),
        (&["tree", "--gpus", "eight", "--functions", "9", "/nonexistent/x"], "eight"),
    ];
    for (arguments, word) in wishes {
        let output = host_sim(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(word), "{arguments:?}: {said}");
    }
}
