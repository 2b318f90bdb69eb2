//! Features, sensors and cause chains as an operator sees them, on hosts of all three vendors.

use e2e::bus::Bus;
use e2e::sim::SimDaemon;
use e2e::world::World;
use serde_json::Value;

/// A simulated host under the daemon.
struct Seen {
    world: World,
    bus: Bus,
    _daemon: SimDaemon,
}

impl Seen {
    fn new(host: &str, settings: &str) -> Self {
        let world = World::new();
        let bus = Bus::start(world.path()).expect("a bus");
        let daemon = SimDaemon::start_with(&world, &bus.address, host, settings);
        Self { world, bus, _daemon: daemon }
    }

    /// A built-in host with something changed in its description.
    fn changed(name: &str, change: impl FnOnce(&str) -> String) -> Self {
        let folder = World::new();
        let built_in = e2e::world::repository().join("tests/hosts").join(format!("{name}.toml"));
        let text = change(&std::fs::read_to_string(built_in).expect("the description"));
        let path = folder.path().join("changed.toml");
        std::fs::write(&path, text).expect("the changed description");
        Self::new(path.to_str().expect("text"), "")
    }

    fn gpu(&self, address: &str) -> Value {
        self.world.ctl_json(&self.bus.address, &["gpu", "show", address])
    }

    fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.world.ctl(&self.bus.address, arguments).stdout).expect("text")
    }
}

fn enabled(gpu: &Value) -> Vec<&str> {
    let features = gpu["Features"].as_array().expect("a list").iter();
    features.filter(|feature| feature["Enabled"] == true).filter_map(|feature| feature["Feature"].as_str()).collect()
}

fn reason<'a>(gpu: &'a Value, name: &str) -> &'a str {
    let mut features = gpu["Features"].as_array().expect("a list").iter();
    features.find(|feature| feature["Feature"] == name).expect("the feature")["Reason"].as_str().unwrap_or_default()
}

#[test]
fn a_dgx_encodes_nothing_and_its_slices_draw_nothing() {
    let seen = Seen::new("dgx-a100", "");
    let whole = seen.gpu("0000:07:00.0");
    assert_eq!(enabled(&whole), ["cuda", "nvdec", "egl", "vulkan"]);
    assert_eq!(reason(&whole, "nvenc"), "no_engine");
    let all = seen.world.ctl_json(&seen.bus.address, &["gpus"]);
    let is_cut = |gpu: &&Value| gpu["MigMode"] == "enabled";
    let (cut, empty): (Vec<_>, Vec<_>) = all
        .as_array()
        .expect("a list")
        .iter()
        .filter(is_cut)
        .partition(|gpu| gpu["MigDevices"] != Value::Array(vec![]));
    assert_eq!((cut.len(), empty.len()), (2, 1));
    assert!(cut.iter().all(|gpu| reason(gpu, "egl") == "mig_without_engine"), "{cut:?}");
    assert_eq!(reason(empty[0], "cuda"), "mig_without_devices");
}

#[test]
fn an_instinct_tells_its_load_and_does_video_alone() {
    let seen = Seen::new("amd-mi300", "");
    let gpu = seen.gpu("0000:05:00.0");
    let metrics = &gpu["Metrics"];
    let told = [
        "TemperatureCelsius",
        "UtilizationPercent",
        "PowerWatts",
        "PowerLimitWatts",
        "MemoryUsedMib",
        "GraphicsClockMhz",
    ];
    assert_eq!(told.map(|name| metrics[name].as_f64()), [61.0, 97.0, 642.0, 750.0, 171_904.0, 132.0].map(Some));
    assert_eq!(gpu["MemoryTotalMib"], 196_592);
    assert_eq!(metrics["Absent"]["FanPercent"], "not_supported");
    assert_eq!(enabled(&gpu), ["vaapi"]);
    assert_eq!((reason(&gpu, "cuda"), reason(&gpu, "vulkan")), ("no_driver_has_it", "no_engine"));
}

#[test]
fn an_arc_draws_and_has_a_temperature() {
    let seen = Seen::new("intel-arc", "");
    let gpu = seen.gpu("0000:03:00.0");
    assert_eq!(enabled(&gpu), ["vaapi", "dri3", "egl", "vulkan"]);
    assert_eq!(
        (&gpu["Metrics"]["TemperatureCelsius"], &gpu["Metrics"]["GraphicsClockMhz"]),
        (&31.0.into(), &600.0.into())
    );
    assert_eq!(gpu["Metrics"]["Absent"]["UtilizationPercent"], "not_supported");
}

#[test]
fn nouveau_serves_no_workspace() {
    let seen = Seen::new("nouveau-desktop", "");
    let gpu = seen.gpu("0000:01:00.0");
    assert!(enabled(&gpu).is_empty());
    assert_eq!((reason(&gpu, "cuda"), reason(&gpu, "vulkan")), ("kernel_driver", "not_visible_to_runtime"));
    assert_eq!(gpu["Metrics"]["TemperatureCelsius"], 31.0);
    let text = seen.text(&["gpu", "show", "0000:01:00.0"]);
    let line = text.lines().find(|line| line.starts_with("cuda ")).expect("a line for CUDA");
    assert!(
        line.contains("no ") && line.ends_with("it needs another kernel driver than the one that is bound"),
        "{line}"
    );
}

#[test]
fn what_the_configuration_switches_off_is_off() {
    let settings = "[gpu.\"0000:0f:00.0\"]\nfeatures_off = [\"nvdec\", \"cuda\"]\n";
    let seen = Seen::new("dgx-a100", settings);
    let gpu = seen.gpu("0000:0f:00.0");
    assert_eq!(enabled(&gpu), ["egl", "vulkan"]);
    assert_eq!(reason(&gpu, "nvdec"), "off_by_config");
    assert_eq!(enabled(&seen.gpu("0000:07:00.0")), ["cuda", "nvdec", "egl", "vulkan"]);
}

#[test]
fn a_gpu_that_sleeps_keeps_its_name_and_has_no_metrics() {
    let seen = Seen::changed("no-iommu", |text| {
        text.replace("driver = \"nvidia\"\n", "driver = \"nvidia\"\nstate = { runtime = \"suspended\" }\n")
    });
    let gpus = seen.world.ctl_json(&seen.bus.address, &["gpus"]);
    let gpu = &gpus[0];
    assert_eq!((&gpu["Name"], &gpu["RuntimeStatus"]), (&"NVIDIA GeForce RTX 3090".into(), &"suspended".into()));
    assert_eq!(gpu["Metrics"]["Absent"]["TemperatureCelsius"], "gpu_asleep");
    assert_eq!(gpu["Schedulable"], true);
}

#[test]
fn the_chain_names_what_keeps_the_driver_away() {
    let without_driver = |more: &str| {
        let software = format!("{more}\n[models.gtx1060]\n");
        Seen::changed("nouveau-desktop", |text| {
            text.replace("driver = \"nouveau\"\n", "").replace("[models.gtx1060]\n", &software)
        })
    };
    for (software, reason, remedy) in [
        ("", "the module nvidia is not installed for 6.1.0-26-amd64", "apt install nvidia-driver"),
        (
            "[software]\nsecure_boot = true\nmodule_file = \"updates/dkms/nvidia.ko\"",
            "Secure Boot is on, and the module updates/dkms/nvidia.ko is not signed",
            "mokutil --import",
        ),
        (
            "[software]\nlibrary_version = \"550.1\"\n[software.dkms]\nstate = \"failed\"\nversion = \"550.1\"\nlog = \"/var/lib/dkms/nvidia/550.1/build/make.log\"",
            "DKMS could not build nvidia 550.1 for 6.1.0-26-amd64",
            "linux-headers-$(uname -r)",
        ),
    ] {
        let text = without_driver(software).text(&["gpus"]);
        println!("{text}");
        assert!(text.contains(reason) && text.contains(remedy), "{text}");
    }
}
