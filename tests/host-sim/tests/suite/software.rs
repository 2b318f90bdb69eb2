//! What the real readers find in a tree is what the host in process says: sensors, state, and the driver's software.

use host::front::{FactsRoot, Sysfs};
use host_sim::{Artifacts, write_tree};
use model::absence::Reading;
use model::pci::{Mediated, RuntimeStatus};
use model::stack::{Dkms, StackFacts, StackFile};
use sim::bus::Bus;
use sim::{BUILT_IN, Description, load};
use tempfile::TempDir;

fn tree(description: &Description) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let nvml = Artifacts::beside_this_program().unwrap().nvml;
    let artifacts = Artifacts { smi: env!("CARGO_BIN_EXE_nvidia-smi").into(), nvml };
    write_tree(description, folder.path(), &artifacts).unwrap();
    folder
}

fn software(tree: &TempDir) -> StackFacts {
    let at = |path: &str| tree.path().join(path);
    let root =
        FactsRoot { proc: at("proc"), sys: at("sys"), os_release: vec![at("etc")], files: tree.path().to_owned() };
    root.read(None).stack
}

/// As the simulation has them. Which load of the driver it is, no description has: a tree shows it by a number of its own.
fn facts(description: &Description, tree: &TempDir) -> StackFacts {
    StackFacts { module_load: software(tree).module_load, ..sim::software::facts(description) }
}

#[test]
fn of_every_built_in_host() {
    for (name, _) in BUILT_IN {
        let description = load(name).unwrap();
        let tree = tree(&description);
        let mut expected = facts(&description, &tree);
        if description.faults.nvml.is_some() {
            // The fault takes the library away, or what its name tells of it.
            let found = software(&tree);
            expected.library_version.clone_from(&found.library_version);
            expected.files.clone_from(&found.files);
        }
        assert_eq!(software(&tree), expected, "{name}");
        let sensors = Sysfs::new(tree.path().join("sys")).sensors().unwrap();
        assert_eq!(sensors, sim::sensors::report(&description, &Bus::lay_out(&description).unwrap()), "{name}");
    }
}

#[test]
fn of_hosts_where_something_keeps_the_driver_away() {
    let mut description = load("nouveau-desktop").unwrap();
    description.software.secure_boot = Some(true);
    description.software.lockdown = Some("integrity".to_owned());
    description.software.module_file = Some("updates/dkms/nvidia-current.ko".to_owned());
    description.software.module_barred_by = Some("/etc/modprobe.d/no-nvidia.conf".to_owned());
    let log = "/var/lib/dkms/nvidia/580.82.07/build/make.log".to_owned();
    description.software.dkms = Some(Dkms::Failed { version: "580.82.07".to_owned(), log });
    let tree = tree(&description);
    assert_eq!(software(&tree), facts(&description, &tree));
    assert_eq!(software(&tree).module_signed, Reading::Known(false));
}

#[test]
fn of_a_driver_of_which_a_part_is_missing() {
    let mut description = load("hgx-h100").unwrap();
    description.software.missing = [StackFile::Encode, StackFile::VulkanIcd].into();
    description.software.module_loaded = Some("570.1.2".to_owned());
    let tree = tree(&description);
    let found = software(&tree);
    assert_eq!(found, facts(&description, &tree));
    assert!(found.mismatch().is_some());
}

#[test]
fn of_gpus_that_sleep_or_are_given_away_in_parts() {
    let mut description = load("amd-mi300").unwrap();
    description.gpus[0].state.runtime = RuntimeStatus::Suspended;
    let parts = Mediated {
        types: vec!["amdgpu-1".to_owned(), "amdgpu-2".to_owned()],
        devices: vec!["83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".to_owned()],
        vgpus: Vec::new(),
    };
    description.gpus[1].state.mediated = parts.clone();
    let tree = tree(&description);
    let sysfs = Sysfs::new(tree.path().join("sys"));
    let bus = Bus::lay_out(&description).unwrap();
    assert_eq!(sysfs.sensors().unwrap(), sim::sensors::report(&description, &bus));
    let scan = sysfs.scan().unwrap();
    let expected = sim::scan::scan(&bus, &description.faults);
    for (seen, expected) in scan.gpus.iter().zip(&expected.gpus) {
        assert_eq!((&seen.state, &seen.link), (&expected.state, &expected.link));
    }
    assert!(scan.gpus[0].is_asleep() && scan.gpus[1].state.mediated == parts);
}
