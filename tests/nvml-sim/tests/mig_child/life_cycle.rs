//! Instances come and go, each step in a process of its own; what is in use stays.

use crate::rig::{Rig, create, create_compute, destroy, destroy_compute, instance};
use model::mig::products::PRODUCTS;
use sim::mig::SimCompute;
use std::collections::BTreeSet;
use std::process::Stdio;

pub fn each_profile_of_each_product_comes_and_goes() {
    for product in &PRODUCTS {
        let rig = Rig::new(product.name);
        let table = product.catalog().unwrap();
        for profile in table.profiles() {
            // The last of its places, so that no first one is taken by itself.
            let place = *profile.placements.last().unwrap();
            let (name, slices) = (profile.profile.as_str(), profile.compute_slices);
            rig.build(&[create(name, place.start)]);
            let empty = rig.look();
            let there = empty.find(&instance(name, place.start)).unwrap();
            assert_eq!((there.size, there.compute.len()), (place.size, 0), "{} {name}", product.name);
            rig.build(&[create_compute(name, place.start, slices)]);
            let seen = rig.look();
            let there = seen.find(&instance(name, place.start)).unwrap();
            assert_eq!((there.slices(), seen.instances.len()), (vec![slices], 1), "{} {name}", product.name);
            let compute = &there.compute[0];
            assert!(compute.uuid.known().unwrap().as_str().starts_with("MIG-"), "{compute:?}");
            rig.build(&[destroy_compute(name, place.start, compute.id, slices), destroy(name, place.start)]);
            assert!(rig.look().instances.is_empty(), "{} {name}", product.name);
        }
    }
}

pub fn an_occupied_place_is_refused_and_named() {
    let rig = Rig::new("A100-40GB");
    rig.build(&[create("3g.20gb", 4)]);
    let before = rig.state();
    let said = rig.act(&create("1g.5gb", 5)).unwrap_err().said;
    assert!(said.contains("create GPU instance 1g.5gb") && said.contains("its place is taken"), "{said}");
    assert!(said.contains("(NVML error 23)"), "{said}");
    assert_eq!(rig.state(), before);
}

fn used(rig: &Rig, change: impl FnOnce(&mut SimCompute)) {
    rig.build(&[create("1g.5gb", 0), create_compute("1g.5gb", 0, 1)]);
    rig.change(|mig| change(&mut mig.instances[0].compute[0]));
}

pub fn what_is_in_use_stays() {
    // Older drivers name no MIG device in a compute instance: it is found among those of the GPU.
    for version in ["595.45.04", "535.183.06"] {
        let rig = Rig::described("A100-40GB", |it| it.driver.as_mut().unwrap().version = version.to_owned());
        used(&rig, |compute| compute.processes = vec![4711, 4712]);
        let before = rig.state();
        assert_eq!(rig.look().instances[0].compute[0].processes, [4711, 4712], "{version}");
        for step in [destroy_compute("1g.5gb", 0, 0, 1), destroy("1g.5gb", 0)] {
            let said = rig.act(&step).unwrap_err().said;
            assert!(said.contains("In use by another client (NVML error 19)"), "{said}");
        }
        assert_eq!(rig.state(), before, "{version}");
    }
}

pub fn what_is_in_use_by_nobody_stays_too() {
    let rig = Rig::new("H200-141GB");
    rig.build(&[create("2g.35gb", 0), create_compute("2g.35gb", 0, 2)]);
    rig.change(|mig| mig.instances[0].compute[0].is_haunted = true);
    assert!(rig.look().instances[0].compute[0].processes.is_empty());
    let said = rig.act(&destroy_compute("2g.35gb", 0, 0, 2)).unwrap_err().said;
    assert!(said.contains("In use by another client"), "{said}");
    assert_eq!(rig.look().instances[0].compute.len(), 1);
}

pub fn a_step_that_names_nothing_there_is_refused() {
    let rig = Rig::new("A100-40GB");
    rig.build(&[create("1g.5gb", 0), create_compute("1g.5gb", 0, 1)]);
    let before = rig.state();
    for (step, why) in [
        (create("1g.10gb+me", 0), "no such profile"),
        (create("2g.10gb", 1), "no placement there"),
        (destroy("1g.5gb", 1), "there is no GPU instance"),
        (destroy("1g.5gb+me", 0), "there is no GPU instance"),
        (create_compute("1g.5gb", 0, 2), "no such compute profile"),
        (create_compute("1g.5gb", 2, 1), "there is no GPU instance"),
        (destroy_compute("1g.5gb", 0, 3, 1), "it is not there"),
        // Another one has taken the id since.
        (destroy_compute("1g.5gb", 0, 0, 2), "it is not there"),
    ] {
        let said = rig.act(&step).unwrap_err().said;
        assert!(said.contains(why) && said.contains(&step.to_string()), "{step}: {said}");
    }
    assert_eq!(rig.state(), before);
}

pub fn two_at_once_for_one_place_get_one_instance() {
    let rig = Rig::new("H100-80GB");
    let start = |profile| rig.command_for(&create(profile, 0)).stderr(Stdio::null()).spawn().unwrap();
    let children = ["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb"].map(start);
    let worked = children.into_iter().map(|mut child| child.wait().unwrap());
    assert_eq!(worked.filter(std::process::ExitStatus::success).count(), 1);
    assert_eq!(rig.look().instances.len(), 1);
}

pub fn holes_in_the_list_of_mig_devices_confuse_no_one() {
    for version in ["595.45.04", "535.183.06"] {
        let rig = Rig::described("A100-40GB", |it| it.driver.as_mut().unwrap().version = version.to_owned());
        for start in 0..3 {
            rig.build(&[create("1g.5gb", start), create_compute("1g.5gb", start, 1)]);
        }
        rig.change(|mig| {
            for (pid, one) in (100..).zip(&mut mig.instances) {
                one.compute[0].processes = vec![pid];
            }
            mig.instances[1].compute[0].processes.clear();
        });
        let uuids = |rig: &Rig| {
            let seen = rig.look().instances;
            seen.iter().map(|one| (one.start, one.compute[0].clone())).collect::<Vec<_>>()
        };
        let before = uuids(&rig);
        let named: BTreeSet<_> = before.iter().map(|(_, one)| one.uuid.known().unwrap().as_str().to_owned()).collect();
        assert_eq!(named.len(), 3, "{version}: {before:?}");
        rig.build(&[destroy_compute("1g.5gb", 1, 0, 1), destroy("1g.5gb", 1)]);
        let expected: Vec<_> = before.into_iter().filter(|(start, _)| *start != 1).collect();
        assert_eq!(uuids(&rig), expected, "{version}: UUIDs and processes of the others are what they were");
    }
}

pub fn a_rule_that_no_sum_reveals_is_the_drivers_word() {
    let rig = Rig::new("RTX-PRO-6000-96GB");
    rig.change(|mig| mig.is_one_of_each = true);
    rig.build(&[create("1g.24gb", 0), create("1g.24gb+gfx", 3)]);
    let said = rig.act(&create("1g.24gb", 6)).unwrap_err().said;
    assert!(said.contains("Insufficient Resources"), "{said}");
    assert_eq!(rig.look().instances.len(), 2);
}
