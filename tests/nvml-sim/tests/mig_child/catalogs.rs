//! What NVML lists of each product is what the table of products has.

use crate::rig::{Rig, create};
use model::absence::{Absence, Reading};
use model::driver::MigMode;
use model::mig::GpuProfile;
use model::mig::products::PRODUCTS;

fn with_driver(product: &str, version: &str) -> Rig {
    Rig::described(product, |description| description.driver.as_mut().unwrap().version = version.to_owned())
}

/// A profile without what only an instance tells.
fn unprobed(profile: &GpuProfile) -> GpuProfile {
    GpuProfile { compute_profiles: Reading::Absent(Absence::NotProbed), ..profile.clone() }
}

/// As NVML has them: by index.
fn by_index(mut profiles: Vec<GpuProfile>) -> Vec<GpuProfile> {
    profiles.sort_by_key(|profile| profile.index);
    profiles
}

fn listed(rig: &Rig) -> Vec<GpuProfile> {
    rig.look().catalog.known().unwrap().profiles().to_vec()
}

pub fn each_product_is_what_its_table_has() {
    for product in &PRODUCTS {
        let rig = Rig::new(product.name);
        let seen = rig.look();
        let (seen_catalog, table) = (seen.catalog.known().unwrap(), product.catalog().unwrap());
        let expected = by_index(table.profiles().iter().map(unprobed).collect());
        assert_eq!(seen_catalog.profiles(), expected, "{}", product.name);
        assert_eq!((seen_catalog.slots(), seen_catalog.compute_slices()), (table.slots(), table.compute_slices()));
        assert_eq!(seen_catalog.product(), "NVIDIA A100-SXM4-40GB");
        assert_eq!((seen.gpu, seen.minor.clone()), (rig.gpu, Reading::Known(0)));
        assert!(seen.uuid.known().unwrap().as_str().starts_with("GPU-"), "{seen:?}");
        assert_eq!((seen.current, seen.instances), (Reading::Known(MigMode::Enabled), Vec::new()));
        let needs_reset = product.name.starts_with("A100") || product.name.starts_with("A30");
        assert_eq!(seen.switches_without_reset, Reading::Known(!needs_reset), "{}", product.name);
    }
}

pub fn compute_profiles_are_known_where_there_is_an_instance() {
    for product in &PRODUCTS {
        let rig = Rig::new(product.name);
        let table = product.catalog().unwrap();
        let largest = table.profiles().iter().max_by_key(|profile| profile.compute_slices).unwrap();
        rig.build(&[create(&largest.profile, 0)]);
        for (seen, expected) in listed(&rig).iter().zip(by_index(table.profiles().to_vec())) {
            let is_there = expected.profile == largest.profile;
            assert_eq!(seen, &if is_there { expected } else { unprobed(&expected) }, "{}", product.name);
        }
    }
}

pub fn older_structures_give_the_same() {
    let newest = listed(&Rig::new("H100-80GB"));
    assert_eq!(listed(&with_driver("H100-80GB", "550.54.14")), newest, "the second structure");
}

pub fn a_library_without_names_has_those_of_nvidia_smi() {
    // The table does not know the memory of the larger B200 profiles.
    for product in PRODUCTS.iter().filter(|product| product.name != "B200-180GB") {
        let rig = Rig::new(product.name);
        let newest = listed(&rig);
        rig.without("nvmlDeviceGetGpuInstanceProfileInfoV");
        assert_eq!(listed(&rig), newest, "{}", product.name);
    }
}

pub fn an_old_driver_lists_nothing_while_mig_is_off() {
    for (version, is_listed) in [("535.183.06", false), ("550.54.14", true)] {
        let rig = with_driver("A100-40GB", version);
        rig.change(|mig| (mig.current, mig.pending) = (MigMode::Disabled, MigMode::Disabled));
        let seen = rig.look();
        assert_eq!(seen.current, Reading::Known(MigMode::Disabled));
        if is_listed {
            assert_eq!(seen.catalog.known().unwrap().profiles().len(), 7);
        } else {
            assert_eq!(seen.catalog, Reading::Absent(Absence::NotSupported), "never an empty list");
        }
    }
}

pub fn a_gpu_without_mig_has_a_reason_for_each_value() {
    let rig = Rig::described("A100-40GB", |description| {
        let model = description.gpus[0].model.clone();
        description.gpus[0].mig = None;
        description.models.get_mut(&model).unwrap().product.as_mut().unwrap().mig = false;
    });
    let seen = rig.look();
    assert_eq!(seen.current, Reading::Absent(Absence::NotSupported));
    assert_eq!(seen.switches_without_reset, Reading::Absent(Absence::NotSupported));
    assert_eq!(seen.catalog, Reading::Absent(Absence::NotSupported));
    assert!(seen.instances.is_empty());
}
