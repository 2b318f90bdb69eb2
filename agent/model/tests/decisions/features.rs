//! What a GPU can be used for: each rule on a made-up host, and laws that hold for any host.

use crate::world::{at, function, judged, nvidia, only, raw, report, said};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig, DriverSource, MemoryMib, MigMode};
use model::features::{Facts, Feature, FeatureName, Features, Lack, SwitchedOffBy, features, of_mig, switch_off};
use model::metric::Metrics;
use model::observation::RawObservation;
use model::pci::GpuFunction;
use model::settings::{GpuSettings, Settings};
use model::stack::{StackFacts, StackFile};
use proptest::prelude::*;
use std::collections::BTreeSet;

const A: &str = "0000:41:00.0";

fn stack() -> StackFacts {
    let files = StackFile::ALL.iter().copied().filter(|file| *file != StackFile::VaNvidia);
    StackFacts { files: Reading::Known(files.collect()), ..StackFacts::default() }
}

/// A GeForce with everything that NVIDIA's installer brings.
fn host() -> RawObservation {
    of(function(A, "10de:2204", "nvidia", 1), &|_| {})
}

fn of(pci: GpuFunction, change: &dyn Fn(&mut DriverGpu)) -> RawObservation {
    let mut gpu = DriverGpu {
        metrics: Metrics { encoder_pct: Reading::Known(0.0), decoder_pct: Reading::Known(0.0), ..said(A).metrics },
        compute_capability: Reading::Known((8, 6)),
        ..said(A)
    };
    change(&mut gpu);
    let mut round = raw(vec![pci], &[]);
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![gpu])), 1)];
    round.host.stack = stack();
    round
}

/// The features that are enabled, and of the others whether they are supported and why they are not enabled.
fn told(round: RawObservation) -> (Vec<&'static str>, Vec<(&'static str, bool, Lack)>) {
    let features = only(round).features;
    let on = features.iter().filter(|(_, feature)| feature.enabled).map(|(name, _)| name.code()).collect();
    let off = features.iter().filter_map(|(name, f)| Some((name.code(), f.supported, f.reason?))).collect();
    (on, off)
}

fn reason(round: RawObservation, name: FeatureName) -> Option<(bool, Lack)> {
    let feature = only(round).features.remove(&name).unwrap();
    feature.reason.map(|lack| (feature.supported, lack))
}

#[test]
fn a_geforce_with_its_driver_does_all_but_dri3_and_va_api() {
    let (on, off) = told(host());
    assert_eq!(on, ["cuda", "nvenc", "nvdec", "egl", "vulkan"]);
    assert_eq!(off, [("vaapi", false, Lack::File(StackFile::VaNvidia)), ("dri3", false, Lack::NoDriverHasIt)]);
}

#[test]
fn a_missing_drm_node_costs_what_needs_it_and_nothing_else() {
    let mut round = host();
    round.host.stack.files = Reading::Known(StackFile::ALL.iter().copied().collect());
    assert_eq!(reason(round.clone(), FeatureName::Vaapi), None);
    round.scan.as_mut().unwrap().gpus[0].drm.render = None;
    assert_eq!(reason(round.clone(), FeatureName::Vaapi), Some((false, Lack::NoRenderNode)));
    assert_eq!(told(round).0, ["cuda", "nvenc", "nvdec", "egl", "vulkan"]);
}

#[test]
fn compute_chips_have_no_encoder_whatever_their_driver_tells() {
    for chip in ["10de:20b0", "10de:2330", "10de:2901"] {
        let round = of(function(A, chip, "nvidia", 1), &|_| {});
        assert_eq!(reason(round, FeatureName::Nvenc), Some((false, Lack::NoEngine)), "{chip}");
    }
    let silent = |said: &mut DriverGpu| said.metrics.encoder_pct = Reading::Absent(Absence::NotSupported);
    let round = of(function(A, "10de:1c03", "nvidia", 1), &silent);
    assert_eq!(
        reason(round, FeatureName::Nvenc),
        Some((false, Lack::NoEngine)),
        "the driver has no load of it to tell"
    );
    let asleep = |said: &mut DriverGpu| said.metrics.encoder_pct = Reading::Absent(Absence::GpuAsleep);
    assert_eq!(reason(of(function(A, "10de:1c03", "nvidia", 1), &asleep), FeatureName::Nvenc), None);
}

#[test]
fn a_file_that_is_missing_costs_its_feature() {
    for (file, name) in [
        (StackFile::Cuda, FeatureName::Cuda),
        (StackFile::Encode, FeatureName::Nvenc),
        (StackFile::Decode, FeatureName::Nvdec),
        (StackFile::EglLibrary, FeatureName::Egl),
        (StackFile::EglVendor, FeatureName::Egl),
        (StackFile::GlxLibrary, FeatureName::Vulkan),
        (StackFile::VulkanIcd, FeatureName::Vulkan),
    ] {
        let mut round = host();
        let mut files = stack().files.into_known().unwrap();
        files.remove(&file);
        round.host.stack.files = Reading::Known(files);
        assert_eq!(reason(round, name), Some((true, Lack::File(file))), "{file:?}");
        assert!(Lack::File(file).sentence().contains(file.file()));
    }
    let mut unread = host();
    unread.host.stack = StackFacts::default();
    assert_eq!(reason(unread, FeatureName::Cuda), Some((true, Lack::FilesUnknown)));
}

#[test]
fn an_old_card_has_no_cuda() {
    let old = |said: &mut DriverGpu| said.compute_capability = Reading::Known((2, 1));
    let round = of(function(A, "10de:1c03", "nvidia", 1), &old);
    assert_eq!(reason(round, FeatureName::Cuda), Some((false, Lack::ComputeCapability)));
}

#[test]
fn a_driver_that_is_bound_and_silent_enables_nothing() {
    let mut round = host();
    round.reports[0].1 = Err(crate::world::timeout());
    let (on, off) = told(round);
    assert!(on.is_empty());
    assert!(off.contains(&("cuda", true, Lack::NotVisible)), "{off:?}");
}

#[test]
fn without_nvidias_driver_its_engines_are_unsupported() {
    for driver in ["", "nouveau", "vfio-pci"] {
        let round = of(nvidia(A, driver, 1), &|_| {});
        let (on, off) = told(RawObservation { reports: Vec::new(), ..round });
        assert!(on.is_empty(), "{driver}: {on:?}");
        assert!(off.contains(&("cuda", false, Lack::KernelDriver)), "{driver}: {off:?}");
        let mesa = if driver == "nouveau" { (true, Lack::NotVisible) } else { (false, Lack::KernelDriver) };
        assert!(off.contains(&("vulkan", mesa.0, mesa.1)), "{driver}: {off:?}");
    }
}

#[test]
fn gpus_on_mesa_bring_their_user_space_in_the_image() {
    let bare = |id: &str, driver: &str, class: u32| {
        let mut gpu = function(A, id, driver, 1);
        gpu.class = model::PciClass(class);
        let mut round = raw(vec![gpu], &[]);
        round.host.stack = StackFacts { files: Reading::Known(BTreeSet::new()), ..StackFacts::default() };
        told(round)
    };
    let all = ["vaapi", "dri3", "egl", "vulkan"];
    assert_eq!(bare("8086:56a0", "xe", 0x03_00_00).0, all);
    assert_eq!(bare("8086:4680", "i915", 0x03_00_00).0, all);
    assert_eq!(bare("1002:744c", "amdgpu", 0x03_00_00).0, all);
    let (on, off) = bare("1002:74a1", "amdgpu", 0x12_00_00);
    assert_eq!(on, ["vaapi"], "an accelerator has video engines and draws nothing");
    assert!(off.contains(&("egl", false, Lack::NoEngine)) && off.contains(&("cuda", false, Lack::NoDriverHasIt)));
    assert!(bare("8086:56a0", "", 0x03_00_00).0.is_empty());
    assert!(bare("1a03:2000", "ast", 0x03_00_00).1.iter().all(|(_, _, lack)| *lack == Lack::NoDriverHasIt));
}

#[test]
fn a_gpu_without_a_render_node_is_no_use_on_mesa() {
    let mut gpu = function(A, "8086:56a0", "i915", 1);
    gpu.drm.render = None;
    let (on, off) = told(raw(vec![gpu], &[]));
    assert!(on.is_empty() && off.contains(&("vaapi", false, Lack::NoRenderNode)), "{off:?}");
}

fn slice(profile: &str, enc: u32, dec: u32) -> DriverMig {
    DriverMig {
        index: Reading::Known(0),
        gpu_instance: 1,
        compute_instance: 0,
        uuid: Reading::default(),
        profile: Reading::Known(profile.to_owned()),
        memory: MemoryMib::default(),
        sm: Reading::Known(14),
        ce: Reading::Known(1),
        enc: Reading::Known(enc),
        dec: Reading::Known(dec),
        jpeg: Reading::Known(0),
        ofa: Reading::Known(0),
    }
}

/// An RTX PRO 6000 cut into these.
fn cut(slices: Vec<DriverMig>) -> RawObservation {
    let mig_is_on = move |said: &mut DriverGpu| {
        said.mig_current = Reading::Known(MigMode::Enabled);
        said.metrics.encoder_pct = Reading::Absent(Absence::NotSupported);
        said.metrics.decoder_pct = Reading::Absent(Absence::NotSupported);
        said.mig_devices.clone_from(&slices);
    };
    of(function(A, "10de:2bb5", "nvidia", 1), &mig_is_on)
}

#[test]
fn a_mig_device_has_what_its_profile_has() {
    assert_eq!(told(cut(vec![slice("1g.24gb", 0, 1)])).0, ["cuda", "nvdec"]);
    assert_eq!(told(cut(vec![slice("1g.24gb+gfx", 1, 1)])).0, ["cuda", "nvenc", "nvdec", "egl", "vulkan"]);
    let both = vec![slice("1g.24gb", 0, 1), slice("1g.24gb+gfx", 1, 0)];
    assert_eq!(told(cut(both.clone())).0, ["cuda", "nvenc", "nvdec", "egl", "vulkan"], "one of them does");
    assert_eq!(reason(cut(Vec::new()), FeatureName::Cuda), Some((true, Lack::MigEmpty)));
    let observation = judged(cut(both.clone()));
    let gpu = &observation.gpus[0];
    let facts = Facts { pci: &gpu.pci, driver: gpu.driver.as_ref(), stack: &stack(), visible: gpu.visible_to_runtime };
    let on =
        |features: Features| features.into_iter().filter(|(_, f)| f.enabled).map(|(n, _)| n.code()).collect::<Vec<_>>();
    assert_eq!(on(of_mig(&facts, &both[0])), ["cuda", "nvdec"]);
    assert_eq!(on(of_mig(&facts, &both[1])), ["cuda", "nvenc", "egl", "vulkan"]);
}

#[test]
fn settings_switch_off_what_is_supported_on_their_gpu_alone() {
    let other = function("0000:42:00.0", "10de:2204", "nvidia", 2);
    let mut round = host();
    round.scan.as_mut().unwrap().gpus.push(other);
    let mut observation = judged(round);
    let off = GpuSettings { features_off: [FeatureName::Nvenc, FeatureName::Dri3].into() };
    let settings = Settings { gpu: [(at(A), off)].into(), ..Settings::default() };
    let before = observation.gpus[1].clone();
    model::features::by_settings::apply_settings(&mut observation, &settings);
    let features = &observation.gpus[0].features;
    let switched = Feature { supported: true, enabled: false, reason: Some(Lack::SwitchedOff(SwitchedOffBy::Config)) };
    assert_eq!(features[&FeatureName::Nvenc], switched);
    assert_eq!(features[&FeatureName::Dri3].reason, Some(Lack::NoDriverHasIt), "there was nothing to switch off");
    assert!(features[&FeatureName::Cuda].enabled);
    assert_eq!(observation.gpus[1], before);
    assert!(observation.gpus[0].schedulable, "the GPU itself stays");
}

#[test]
fn names_go_to_codes_and_back() {
    for name in FeatureName::ALL.iter().copied() {
        assert_eq!(FeatureName::from_code(name.code()), Some(name));
        assert_eq!(serde_json::to_value(name).unwrap(), name.code());
    }
    assert_eq!(FeatureName::from_code("nvnec"), None);
}

fn any_reading() -> impl Strategy<Value = Reading<f64>> {
    let absences = [Absence::NotSupported, Absence::NotReported, Absence::GpuAsleep, Absence::GpuLost];
    prop_oneof![Just(Reading::Known(0.0)), prop::sample::select(absences.to_vec()).prop_map(Reading::Absent)]
}

fn any_driver() -> impl Strategy<Value = DriverGpu> {
    let slices = prop::collection::vec((any::<bool>(), 0u32..2, 0u32..2), 0..3);
    let capability = prop::option::of((0u32..10, 0u32..9));
    (any_reading(), any_reading(), prop::option::of(any::<bool>()), slices, capability).prop_map(
        |(encoder, decoder, mig, slices, capability)| DriverGpu {
            metrics: Metrics { encoder_pct: encoder, decoder_pct: decoder, ..said(A).metrics },
            mig_current: mig.map(|on| if on { MigMode::Enabled } else { MigMode::Disabled }).into(),
            mig_devices: slices
                .into_iter()
                .map(|(gfx, enc, dec)| slice(if gfx { "1g+gfx" } else { "1g" }, enc, dec))
                .collect(),
            compute_capability: capability.into(),
            ..said(A)
        },
    )
}

fn any_pci() -> impl Strategy<Value = GpuFunction> {
    let ids = prop::sample::select(vec!["10de:2204", "10de:20b0", "1002:74a1", "1002:744c", "8086:56a0", "1a03:2000"]);
    let drivers = vec!["", "nvidia", "nouveau", "vfio-pci", "amdgpu", "radeon", "i915", "xe", "ast"];
    let classes = prop::sample::select(vec![0x03_00_00, 0x03_02_00, 0x12_00_00]);
    (ids, prop::sample::select(drivers), classes, any::<bool>()).prop_map(|(id, driver, class, render)| {
        let mut gpu = function(A, id, driver, 1);
        gpu.class = model::PciClass(class);
        gpu.drm.render = gpu.drm.render.filter(|_| render);
        gpu
    })
}

fn any_stack() -> impl Strategy<Value = StackFacts> {
    let files = prop::collection::btree_set(prop::sample::select(StackFile::ALL.to_vec()), 0..9);
    prop::option::of(files).prop_map(|files| StackFacts { files: files.into(), ..StackFacts::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_enabled_is_supported_and_has_no_reason(
        pci in any_pci(), driver in prop::option::of(any_driver()), stack in any_stack(), visible in any::<bool>(),
        off in prop::collection::btree_set(prop::sample::select(FeatureName::ALL.to_vec()), 0..7),
    ) {
        let facts = Facts { pci: &pci, driver: driver.as_ref(), stack: &stack, visible };
        let whole = features(&facts);
        let mut all = vec![whole.clone()];
        all.extend(driver.iter().flat_map(|said| &said.mig_devices).map(|mig| of_mig(&facts, mig)));
        let mut less = whole.clone();
        switch_off(&mut less, &off.iter().map(|name| (*name, SwitchedOffBy::Manager)).collect());
        for (name, feature) in &less {
            prop_assert!(!off.contains(name) || !feature.enabled);
            prop_assert!(off.contains(name) || *feature == whole[name]);
        }
        all.push(less);
        for features in all {
            prop_assert_eq!(features.len(), FeatureName::ALL.len());
            for (name, feature) in features {
                prop_assert!(!feature.enabled || feature.supported, "{:?}", name);
                prop_assert_eq!(feature.enabled, feature.reason.is_none(), "{:?}", name);
                prop_assert!(!feature.enabled || visible, "{:?}", name);
            }
        }
    }
}
