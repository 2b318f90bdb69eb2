//! Every described host as an operator sees it: `gpuhostctl gpus` on each, compared with its golden text.
//!
//! `UPDATE_GOLDEN=1 cargo test -p e2e --test suite hosts` writes the texts anew; look at the difference before it is committed.

use e2e::ages::with_age;
use e2e::bus::Bus;
use e2e::sim::SimDaemon;
use e2e::world::{World, executable, repository};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// Name, GPUs on the bus, GPUs that a workspace may use, and the name of the first one.
const HOSTS: [(&str, usize, usize, &str); 14] = [
    ("amd-mi300", 8, 8, "Aqua Vanjaram [Instinct MI300X]"),
    ("dgx-a100", 8, 5, "NVIDIA A100-SXM4-40GB"),
    ("gb200", 4, 4, "NVIDIA GB200"),
    ("hgx-b200", 8, 7, "NVIDIA B200"),
    ("hgx-h100", 8, 8, "NVIDIA H100 80GB HBM3"),
    ("intel-arc", 2, 2, "AlderLake-S GT1 [UHD Graphics 770]"),
    ("l40s-server", 5, 4, "Integrated Matrox G200eW3 Graphics Controller"),
    ("mixed-faults", 4, 1, "NVIDIA A10"),
    ("mixed-old-cards", 5, 5, "Tesla K80"),
    ("no-iommu", 2, 2, "NVIDIA GeForce RTX 3090"),
    ("nouveau-desktop", 1, 0, "GP106 [GeForce GTX 1060 6GB]"),
    ("t4-cloud-vm", 1, 1, "Tesla T4"),
    ("vgpu-host-16vf", 1, 0, "NVIDIA A16"),
    ("workstation-rtx", 2, 2, "CoffeeLake-S GT2 [UHD Graphics 630]"),
];

fn golden(name: &str) -> PathBuf {
    repository().join("tests/hosts/golden").join(format!("{name}.txt"))
}

#[test]
fn each_is_told_as_it_is() {
    let mut wrong = Vec::new();
    for (name, count, usable, first) in HOSTS {
        let world = World::new();
        let bus = Bus::start(world.path()).expect("a bus");
        let _daemon = SimDaemon::start(&world, &bus.address, name);
        let gpus = world.ctl_json(&bus.address, &["gpus"]);
        let gpus = gpus.as_array().expect("a list");
        let schedulable = gpus.iter().filter(|gpu| gpu["Schedulable"] == true).count();
        let found = (gpus.len(), schedulable, gpus[0]["Name"].as_str().unwrap_or_default());
        if found != (count, usable, first) {
            wrong.push(format!("{name}: {found:?} and not {:?}", (count, usable, first)));
        }
        let output = world.ctl(&bus.address, &["gpus"]);
        let text = with_age(&String::from_utf8(output.stdout).expect("text"), "0 s");
        let path = golden(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, &text).expect("golden text");
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("{} is not what is shown; look at it, then UPDATE_GOLDEN=1:\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_host_is_left_out() {
    let listed = Command::new(executable("host-sim")).arg("list").output().expect("host-sim");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let built_in: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(built_in, HOSTS.iter().map(|(name, ..)| *name).collect());
    let files = std::fs::read_dir(repository().join("tests/hosts")).expect("the folder of the hosts");
    let files = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let described: BTreeSet<String> = files.filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned())).collect();
    assert_eq!(described.iter().map(String::as_str).collect::<BTreeSet<_>>(), built_in);
}
