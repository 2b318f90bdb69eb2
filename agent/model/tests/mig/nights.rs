//! Nights that others lost to MIG layouts, each as the pure question that it was.

use crate::host::{catalog, gpu, v1};
use model::mig::files::assert::{Differs, assert, plan_entry};
use model::mig::files::host_gpus::HostGpu;
use model::mig::files::{choose, read};
use model::mig::layout::{read_present, read_wishes};
use model::mig::products::Product;
use model::mig::{GpuProfile, MigCatalog, MigPlan, MigRefusal, MigRefused, plan};

fn ask(product: &MigCatalog, there: &str, wanted: &str) -> Result<MigPlan, MigRefused> {
    plan(product, &read_present(there, product).unwrap(), &read_wishes(wanted, product).unwrap())
}

fn code(product: &str, there: &str, wanted: &str) -> &'static str {
    ask(&catalog(product), there, wanted).unwrap_err().why.code()
}

/// kubernetes-sigs/dra-driver-nvidia-gpu#933: instances were removed from anywhere, and nothing large fitted any more.
#[test]
fn room_that_lies_in_pieces_is_named_for_what_it_is() {
    let h100 = catalog("H100-80GB");
    let refused = ask(&h100, "1g.10gb@0:in-use,1g.10gb@1:in-use,1g.10gb@5:in-use", "1g.10gb:3,3g.40gb:1").unwrap_err();
    assert!(refused.to_string().contains("1g.10gb@0, 1g.10gb@1, 1g.10gb@5 are in use"), "{refused}");
    // Idle ones move out of the way, no more of them than have to.
    let moved = ask(&h100, "1g.10gb@0:in-use,1g.10gb@1:in-use,1g.10gb@5", "1g.10gb:3,3g.40gb:1").unwrap();
    assert_eq!(moved.destroy.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1g.10gb@5"]);
    // And what is made goes where it leaves most room, so that it does not come to this.
    let one = ask(&h100, "-", "1g.10gb").unwrap();
    assert_eq!(one.create[0].instance.start, 6);
}

/// NVIDIA/mig-parted#97: capacity is taken, and no tool shows by what: GPU instances without compute instances.
#[test]
fn a_gpu_instance_that_nobody_can_use_is_seen() {
    let mut host = [gpu(0, "A100-80GB", "1g.10gb@0,2g.20gb@2")];
    host[0].instances[1].compute.clear();
    let wanted = v1("  - {devices: all, mig-enabled: true, mig-devices: {1g.10gb: 1}}\n");
    let asserted = assert(&wanted, &host, false).unwrap();
    assert!(matches!(&asserted.differs[0].1, Differs::NoCompute { instance } if instance.to_string() == "2g.20gb@2"));
    let cured = plan_entry(&catalog("A100-80GB"), &host[0].instances, &wanted.entries[0]).unwrap();
    assert_eq!(cured.destroy[0].to_string(), "2g.20gb@2");
    let completed = ask_present(&catalog("A100-80GB"), &host[0], "1g.10gb,2g.20gb");
    assert_eq!(completed.keep[1].create_compute, [2], "or it gets the compute instance that it lacks");
}

fn ask_present(catalog: &MigCatalog, gpu: &HostGpu, wanted: &str) -> MigPlan {
    plan(catalog, &gpu.instances, &read_wishes(wanted, catalog).unwrap()).unwrap()
}

/// NVIDIA/mig-parted#157, #129, #357: a file about GPU 1 failed for ever, or reached the others as well.
#[test]
fn a_file_about_one_gpu_is_about_one_gpu() {
    let host = [gpu(0, "A30-24GB", "4g.24gb@0"), gpu(1, "A30-24GB", "1g.6gb@0,1g.6gb@1,1g.6gb@2,1g.6gb@3")];
    let wanted = v1("  - devices: [1]\n    mig-enabled: true\n    mig-devices: {1g.6gb: 4}\n");
    let asserted = assert(&wanted, &host, false).unwrap();
    assert!(asserted.holds(false) && !asserted.holds(true));
    assert_eq!(asserted.unnamed, [host[0].address]);
    let chosen = choose(&wanted, &host).unwrap();
    assert!(chosen[0].is_none() && chosen[1].is_some());
}

/// NVIDIA/mig-parted#31, NVIDIA/gpu-operator#351: the same slice is called 3g.39gb or 7g.79gb by another driver.
#[test]
fn names_are_the_drivers_and_a_file_of_another_driver_is_told_those_that_there_are() {
    let renamed = |profile: &GpuProfile| GpuProfile {
        profile: profile.profile.replace("3g.40gb", "3g.39gb").replace("7g.80gb", "7g.79gb"),
        ..profile.clone()
    };
    let odd = catalog("A100-80GB").profiles().iter().map(renamed).collect();
    let odd = MigCatalog::new("A100-80GB on an odd driver", odd).unwrap();
    assert_eq!(ask(&odd, "-", "3g.39gb:2").unwrap().create.len(), 2);
    let refused = ask(&odd, "3g.39gb@0", "3g.40gb:2,7g.80gb:1").unwrap_err();
    let MigRefusal::UnknownProfile { profiles, has } = &refused.why else { panic!("{refused}") };
    assert_eq!(profiles, &["3g.40gb", "7g.80gb"]);
    assert!(has.contains(&"3g.39gb".to_owned()) && refused.to_string().contains("3g.39gb"));
}

/// NVIDIA/mig-parted#18: "applied successfully", and nothing was there: profiles of the 40 GB card on the 80 GB one.
#[test]
fn profiles_of_another_product_are_refused_and_never_passed_over() {
    assert_eq!(code("A100-80GB", "1g.10gb@0", "2g.10gb:3"), "unknown_profile");
    // NVIDIA/mig-parted#227: GB200 boards of one PCI id have 1g.23gb or 1g.24gb.
    assert_eq!(code("B200-180GB", "-", "1g.24gb:7"), "unknown_profile");
    // One known wish beside an unknown one is not done by half; it is told as what would fit.
    let refused = ask(&catalog("A100-80GB"), "-", "2g.10gb:3,1g.10gb:1").unwrap_err();
    assert_eq!(model::mig::layout::wishes_text(&refused.largest), "1g.10gb");
}

/// Project-HAMi/HAMi#2131: a board that a table does not know gave an empty configuration and exit status 0.
#[test]
fn a_product_that_the_table_does_not_know_is_none() {
    for name in ["0x2BB110DE", "RTX-PRO-6000", "GB300", "a100-40gb", "0x20B0"] {
        assert!(Product::find(name).is_none(), "{name}");
    }
}

/// NVIDIA/gpu-operator#281: the ConfigMap was handed in instead of its content, and the default came back.
#[test]
fn a_kubernetes_object_is_told_what_to_hand_in_instead() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: custom\ndata:\n  config.yaml: |\n    version: v1\n";
    let said = read(text).unwrap_err().to_string();
    assert!(said.starts_with("line 1: apiVersion: ") && said.contains("kubectl get configmap"), "{said}");
}

/// openshift/instaslice-operator#478: 2g.12gb was asked for, and 2g.12gb+me was made: slices and memory are the same.
#[test]
fn an_attribute_is_part_of_a_profile() {
    let made = ask(&catalog("A30-24GB"), "2g.12gb+me@0", "2g.12gb:1").unwrap();
    assert_eq!(made.create[0].instance.profile, "2g.12gb");
    assert_eq!(made.destroy[0].profile, "2g.12gb+me");
}

/// openshift/instaslice-operator#285: 7g.40gb was counted as seven slots, and takes all eight.
#[test]
fn slots_are_not_slices() {
    let a100 = catalog("A100-40GB");
    let seven = a100.profile(a100.find("7g.40gb").unwrap()).unwrap();
    assert_eq!((seven.compute_slices, seven.slots()), (7, 8));
    assert_eq!(code("A100-40GB", "-", "3g.20gb:2,1g.5gb:1"), "memory", "6 of 7 slices, and no slot is left");
    let rtx = ask(&catalog("RTX-PRO-6000-96GB"), "-", "1g.24gb:4").unwrap();
    assert_eq!(rtx.create.iter().map(|one| one.instance.start).collect::<Vec<_>>(), [0, 3, 6, 9]);
}

/// NVIDIA/mig-parted#100, #29: "does 4g + 3g work, before I try it on the node?"
#[test]
fn a_layout_is_tried_without_a_gpu() {
    let both = ask(&catalog("A100-40GB"), "-", "4g.20gb,3g.20gb").unwrap();
    let places: Vec<String> = both.create.iter().map(|one| one.instance.to_string()).collect();
    assert_eq!(places, ["4g.20gb@0", "3g.20gb@4"]);
    assert_eq!(code("A100-40GB", "-", "4g.20gb:2"), "maximum");
}

/// NVIDIA/mig-parted#343: two boards with one PCI id, and the entry of the other one was taken.
#[test]
fn boards_with_one_pci_id_are_told_apart() {
    let host = [gpu(0, "H100-80GB", "off"), gpu(1, "H100-80GB", "off")];
    let wanted = v1(
        "  - {device-filter: '0x233010DE:0x140010DE', devices: all, mig-enabled: true, mig-devices: {1g.10gb: 7}}\n  \
         - {device-filter: '0x233010DE:0x140110DE', devices: all, mig-enabled: false}\n",
    );
    let chosen = choose(&wanted, &host).unwrap();
    assert_eq!(chosen.iter().map(|entry| entry.unwrap().enabled).collect::<Vec<_>>(), [true, false]);
}

/// One wish more beside a running job: the idle neighbours were destroyed first, and then it failed.
#[test]
fn nothing_idle_is_destroyed_for_a_wish_that_cannot_be() {
    let a100 = catalog("A100-40GB");
    let grown = ask(&a100, "1g.5gb@0,1g.5gb@1,2g.10gb@2:in-use", "1g.5gb:3,2g.10gb:1").unwrap();
    assert_eq!((grown.keep.len(), grown.destroy.len(), grown.create.len()), (3, 0, 1));
    assert_eq!(code("A100-40GB", "1g.5gb@0,2g.10gb@2:in-use", "7g.40gb"), "in_use_not_wanted");
}

/// Integrated GPUs have instances without memory of their own, and a rule that no sum tells: the driver has the last word.
#[test]
fn what_stands_is_possible_whatever_the_numbers_say() {
    let rtx = catalog("RTX-PRO-6000-96GB");
    let profile = |number: usize, name: &str| GpuProfile {
        profile: name.to_owned(),
        instances: 1,
        ..rtx.profiles()[number].clone()
    };
    let thor =
        MigCatalog::new("integrated", vec![profile(0, "1g.0gb"), profile(5, "2g.0gb"), profile(2, "1g.0gb+gfx")])
            .unwrap();
    let made = ask(&thor, "-", "1g.0gb,1g.0gb+gfx").unwrap();
    assert_eq!(made.create.len(), 2);
    // Two of a profile of which the numbers allow one: they are there, so they can stay.
    let two = ask(&thor, "1g.0gb@0,1g.0gb@3", "1g.0gb:2").unwrap();
    assert!(two.is_done());
    assert_eq!(ask(&thor, "-", "1g.0gb:2").unwrap_err().why.code(), "maximum");
}
