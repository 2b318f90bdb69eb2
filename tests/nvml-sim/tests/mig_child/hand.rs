//! What the MIG hands make of the child and the library: steps that are checked, and the capability files of what is there.

use crate::rig::{Rig, create, create_compute, destroy, destroy_compute};
use acts::mig::{MigPlaces, MigPower, MigTaker};
use model::driver::MigMode;
use model::mig::MigStep;
use model::plan::{Lane, MigTarget};
use model::policy::Policy;
use spawn::Own;
use std::fs;
use std::os::unix::fs::symlink;

/// A host around the GPU: its driver, and the driver's numbers.
fn host(rig: &Rig) {
    let put = |path: &str, text: &str| {
        let path = rig.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let folder = rig.path(&format!("sys/bus/pci/devices/{}", rig.gpu));
    fs::create_dir_all(&folder).unwrap();
    symlink("../../drivers/nvidia", folder.join("driver")).unwrap();
    put("proc/devices", "Character devices:\n195 nvidia\n509 nvidia-caps\n\nBlock devices:\n");
    let minor = rig.look().minor.get().unwrap();
    let row = |id: u32| format!("gpu{minor}/gi{id}/access {}\ngpu{minor}/gi{id}/ci0/access {}\n", id * 10, id * 10 + 1);
    let table: String = (1..15).map(row).collect();
    put("proc/driver/nvidia-caps/mig-minors", &format!("config 1\nmonitor 2\n{table}"));
    fs::create_dir_all(rig.path("dev")).unwrap();
}

/// By a hand that is fresh each time, so that none of these is one change too many.
fn take(rig: &Rig, power: MigPower, step: &MigStep) -> Result<(), String> {
    let places = MigPlaces { sysfs: rig.path("sys"), proc: rig.path("proc"), dev: rig.path("dev") };
    let taker = MigTaker::new(Own::at(std::env::current_exe().unwrap()), vec![rig.library()], places, power);
    let uuid = rig.look().uuid.known().unwrap().clone();
    let target = MigTarget { lane: Lane::Gpu(rig.gpu), gpu: rig.gpu, uuid };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(taker.act(&target, step, &Policy::default())).map_err(|fault| fault.to_string())
}

fn change(rig: &Rig, step: &MigStep) -> Result<(), String> {
    take(rig, MigPower::Layout, step)
}

/// The files that are there, and those that the instances have by the driver's table.
fn files_fit(rig: &Rig) {
    let listed = fs::read_dir(rig.path("dev/nvidia-caps")).unwrap();
    let mut found: Vec<String> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let seen = rig.look();
    let mut wanted: Vec<String> = seen
        .instances
        .iter()
        .flat_map(|one| {
            let own = format!("nvidia-cap{}", one.id * 10);
            [own].into_iter().chain(one.compute.iter().map(|_| format!("nvidia-cap{}", one.id * 10 + 1)))
        })
        .collect();
    wanted.sort();
    assert_eq!(found, wanted);
}

pub fn a_layout_comes_and_goes_with_its_files() {
    let rig = Rig::new("A100-40GB");
    host(&rig);
    for step in [
        create("3g.20gb", 4),
        create_compute("3g.20gb", 4, 3),
        create("1g.5gb", 0),
        create_compute("1g.5gb", 0, 1),
        destroy_compute("3g.20gb", 4, 0, 3),
        destroy("3g.20gb", 4),
        create("2g.10gb", 4),
    ] {
        change(&rig, &step).unwrap();
        files_fit(&rig);
    }
    let said = change(&rig, &create("1g.5gb", 5)).unwrap_err();
    assert!(said.contains("overlaps 2g.10gb@4"), "{said}");
}

pub fn what_is_in_use_stays_with_its_files() {
    let rig = Rig::new("A100-40GB");
    host(&rig);
    change(&rig, &create("1g.5gb", 0)).unwrap();
    change(&rig, &create_compute("1g.5gb", 0, 1)).unwrap();
    let gone = destroy_compute("1g.5gb", 0, 0, 1);
    rig.change(|mig| mig.instances[0].compute[0].processes = vec![4711]);
    let said = change(&rig, &gone).unwrap_err();
    assert!(said.contains("refused by the hand") && said.contains("process 4711"), "{said}");
    // Nobody is named: the driver's own word.
    rig.change(|mig| {
        mig.instances[0].compute[0].processes.clear();
        mig.instances[0].compute[0].is_haunted = true;
    });
    let said = change(&rig, &gone).unwrap_err();
    assert!(said.contains("In use by another client"), "{said}");
    assert_eq!(rig.look().instances[0].compute.len(), 1);
    files_fit(&rig);
}

pub fn the_mode_is_the_other_hands() {
    let rig = Rig::new("H100-80GB");
    host(&rig);
    let off = MigStep::SetMode { to: MigMode::Disabled };
    assert!(change(&rig, &off).unwrap_err().contains("the mode is the mig-mode hand's"));
    assert!(take(&rig, MigPower::Mode, &create("1g.10gb", 0)).unwrap_err().contains("layouts are the mig hand's"));
    take(&rig, MigPower::Mode, &off).unwrap();
    assert_eq!(rig.look().current.get(), Some(MigMode::Disabled));
    assert!(change(&rig, &create("1g.10gb", 0)).unwrap_err().contains("MIG mode is not on"));
}
