//! A driver that lies, hangs or crashes costs its facts and nothing else.

use e2e::bus::Bus;
use e2e::daemon::{Daemon, Start};
use e2e::wait::{self, PATIENCE};
use e2e::world::World;
use std::path::Path;

/// Starts on a tree whose driver was spoilt, and returns what the first GPU shows once the probes have ended.
fn with_spoilt(spoil: impl FnOnce(&Path), is: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let world = World::new();
    let tree = world.host_tree("no-iommu");
    spoil(&tree);
    let bus = Bus::start(world.path()).expect("a bus");
    let daemon = Daemon::start(&world, &Start { bus: Some(bus.address.clone()), tree: Some(tree), ..Start::default() });
    let mut last = serde_json::Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait::until("the outcome", PATIENCE, || {
            last = world.ctl_json(&bus.address, &["gpus"]);
            last.as_array().and_then(|gpus| gpus.first().cloned()).filter(|gpu| is(gpu))
        })
    }));
    found.unwrap_or_else(|_| panic!("last seen: {last:#}\n{}", daemon.log()))
}

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::remove_file(path).expect("old file");
    std::fs::write(path, text).expect("script");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
}

#[test]
fn without_nvml_nvidia_smi_answers() {
    let spoil = |tree: &Path| std::fs::remove_file(tree.join("usr/lib/libnvidia-ml.so.1")).expect("library");
    let gpu = with_spoilt(spoil, |gpu| !gpu["Uuid"].is_null());
    assert!(gpu["Metrics"]["TemperatureCelsius"].is_number(), "{gpu:#}");
}

#[test]
fn a_library_that_is_garbage_and_a_smi_that_hangs() {
    let spoil = |tree: &Path| {
        std::fs::write(tree.join("usr/lib/libnvidia-ml.so.1"), "no library").expect("library");
        script(&tree.join("usr/bin/nvidia-smi"), "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n");
    };
    let gpu = with_spoilt(spoil, |gpu| gpu.to_string().contains("probe_timeout"));
    assert_eq!(gpu["Schedulable"], false);
}

#[test]
fn a_smi_that_writes_its_error_to_stdout() {
    let spoil = |tree: &Path| {
        std::fs::remove_file(tree.join("usr/lib/libnvidia-ml.so.1")).expect("library");
        script(
            &tree.join("usr/bin/nvidia-smi"),
            "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n",
        );
    };
    let gpu = with_spoilt(spoil, |gpu| gpu.to_string().contains("mismatch"));
    assert_eq!(gpu["Schedulable"], false);
}
