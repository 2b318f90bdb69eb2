//! Sleep, answers, resets and mediated devices of a function, and the sensors of other drivers.

use crate::tree::{Function, Tree};
use host::front::Sysfs;
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverSource};
use model::health::facts::{FactSource, HealthFact};
use model::metric::{Metric, of_driver};
use model::pci::{FunctionState, Mediated, RuntimeStatus};
use std::fs;

const A: &str = "0000:41:00.0";

fn scanned(tree: &Tree) -> FunctionState {
    Sysfs::new(tree.root()).scan().unwrap().gpus.remove(0).state
}

fn put(gpu: &Function, path: &str, value: &str) {
    let file = gpu.path.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, format!("{value}\n")).unwrap();
}

#[test]
fn every_fact_of_a_gpu_that_is_awake() {
    let tree = Tree::new();
    let gpu = tree.gpu(A, 1);
    fs::write(gpu.path.join("config"), [0xde, 0x10, 0x30, 0x23, 0, 0]).unwrap();
    for (path, value) in [
        ("power/runtime_status", "active"),
        ("power/control", "auto"),
        ("d3cold_allowed", "1"),
        ("reset_method", "flr bus"),
        ("mdev_supported_types/nvidia-63/available_instances", "0"),
        ("mdev_supported_types/nvidia-63/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001/x", ""),
        ("mdev_supported_types/nvidia-64/available_instances", "2"),
        ("removable", "removable"),
    ] {
        put(&gpu, path, value);
    }
    let mediated = Mediated {
        types: vec!["nvidia-63".to_owned(), "nvidia-64".to_owned()],
        devices: vec!["83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".to_owned()],
        vgpus: Vec::new(),
    };
    let expected = FunctionState {
        responds: Reading::Known(true),
        runtime: Reading::Known(RuntimeStatus::Active),
        may_sleep: Reading::Known(true),
        d3cold_allowed: Reading::Known(true),
        removable: Reading::Known(true),
        reset_methods: Reading::Known(vec!["flr".to_owned(), "bus".to_owned()]),
        mediated,
    };
    assert_eq!(scanned(&tree), expected);
}

#[test]
fn a_kernel_that_shows_none_of_it_says_so() {
    let tree = Tree::new();
    tree.gpu(A, 1);
    assert_eq!(scanned(&tree), FunctionState::default());
}

#[test]
fn strange_contents_are_no_facts() {
    let tree = Tree::new();
    let gpu = tree.gpu(A, 1);
    fs::write(gpu.path.join("config"), [0xff, 0xff]).unwrap();
    for (path, value) in [
        ("power/runtime_status", "dozing"),
        ("power/control", "maybe"),
        ("d3cold_allowed", "2"),
        ("removable", "unknown"),
        ("reset_method", "f\u{1b}lr"),
    ] {
        put(&gpu, path, value);
    }
    let state = scanned(&tree);
    assert_eq!(state.runtime.absence().unwrap().code(), "garbled");
    assert_eq!(state.may_sleep.absence().unwrap().code(), "garbled");
    assert_eq!(state.d3cold_allowed.absence().unwrap().code(), "garbled");
    assert_eq!(state.reset_methods.absence().unwrap().code(), "garbled");
    assert_eq!(state.removable.absence().unwrap().code(), "not_reported");
    assert_eq!(state.responds.absence().unwrap().code(), "garbled", "two bytes are no answer");
    put(&gpu, "reset_method", "");
    assert_eq!(scanned(&tree).reset_methods, Reading::Known(Vec::new()), "there is no way to reset it");
}

#[test]
fn a_device_that_reads_all_ones_does_not_answer() {
    let tree = Tree::new();
    fs::write(tree.gpu(A, 1).path.join("config"), [0xff; 64]).unwrap();
    assert_eq!(scanned(&tree).responds, Reading::Known(false));
}

/// Reading the configuration space or the link of a sleeping device wakes it: they are folders here, which would show.
#[test]
fn a_gpu_that_sleeps_is_not_touched() {
    let tree = Tree::new();
    let gpu = tree.gpu(A, 1);
    for touching in ["config", "current_link_speed", "current_link_width", "max_link_width"] {
        let path = gpu.path.join(touching);
        let _was_there = fs::remove_file(&path);
        fs::create_dir(path).unwrap();
    }
    for status in ["suspended", "suspending"] {
        put(&gpu, "power/runtime_status", status);
        let seen = Sysfs::new(tree.root()).scan().unwrap().gpus.remove(0);
        assert!(seen.is_asleep());
        assert_eq!(seen.state.responds, Reading::Absent(Absence::GpuAsleep));
        for reading in [&seen.link.generation, &seen.link.width, &seen.link.max_width] {
            assert_eq!(reading.absence(), Some(&Absence::GpuAsleep));
        }
        assert_eq!(seen.link.max_generation.get(), Some(5), "the kernel knows it without asking the device");
    }
}

#[test]
fn virtual_functions_with_a_type_are_vgpus() {
    let tree = Tree::new();
    let card = tree.gpu(A, 1);
    for (index, kind) in ["558", "0", "x"].into_iter().enumerate() {
        let address = format!("0000:41:00.{}", index + 4);
        let part = tree.function(&address, "030200", "10de", "2330");
        part.link("physfn", A);
        card.link(&format!("virtfn{index}"), &address);
        put(&part, "nvidia/current_vgpu_type", kind);
    }
    assert_eq!(scanned(&tree).mediated.vgpus, ["0000:41:00.4".parse().unwrap()]);
}

fn sensed(tree: &Tree) -> Vec<DriverGpu> {
    Sysfs::new(tree.root()).sensors().unwrap().gpus
}

/// A function on a driver, with its link in the driver's folder.
fn bound(tree: &Tree, address: &str, driver: &str) -> Function {
    let gpu = tree.function(address, "030000", "1002", "744c").bind(driver);
    let home = tree.root().join("bus/pci/drivers").join(driver);
    std::os::unix::fs::symlink(&gpu.path, home.join(address)).unwrap();
    for file in ["bind", "new_id", "module"] {
        fs::write(home.join(file), "").unwrap();
    }
    gpu
}

#[test]
fn amdgpu_tells_load_memory_temperature_power_fan_and_clock() {
    let tree = Tree::new();
    let gpu = bound(&tree, A, "amdgpu");
    for (path, value) in [
        ("gpu_busy_percent", "37"),
        ("mem_busy_percent", "0"),
        ("mem_info_vram_total", "25753026560"),
        ("mem_info_vram_used", "1073741824"),
        ("hwmon/hwmon4/temp1_input", "54000"),
        ("hwmon/hwmon4/power1_average", "143000000"),
        ("hwmon/hwmon4/power1_cap", "327000000"),
        ("hwmon/hwmon4/pwm1", "51"),
        ("hwmon/hwmon4/pwm1_max", "255"),
        ("hwmon/hwmon4/freq1_input", "2304000000"),
    ] {
        put(&gpu, path, value);
    }
    let [said] = sensed(&tree).try_into().unwrap();
    let measured = [
        &said.metrics.utilization_pct,
        &said.metrics.memory_utilization_pct,
        &said.metrics.temperature_c,
        &said.metrics.power_w,
        &said.metrics.power_limit_w,
        &said.metrics.fan_pct,
        &said.metrics.graphics_clock_mhz,
    ];
    assert_eq!(measured.map(Reading::get), [37.0, 0.0, 54.0, 143.0, 327.0, 20.0, 2304.0].map(Some));
    for metric in Metric::ALL {
        assert_eq!(of_driver(*metric, &said).known().is_some(), metric.row().sysfs.name().is_some(), "{metric:?}");
    }
    let memory = &said.memory;
    assert_eq!((memory.total.get(), memory.used.get(), memory.free.get()), (Some(24_560), Some(1024), Some(23_536)));
    assert_eq!(memory.reserved.absence(), Some(&Absence::NotSupported));
}

/// Each health fact that the table promises of sysfs, and no other.
#[test]
fn amdgpu_tells_its_bad_pages() {
    let pages = |lines: &str| {
        let tree = Tree::new();
        put(&bound(&tree, A, "amdgpu"), "ras/gpu_vram_bad_pages", lines);
        sensed(&tree).remove(0).health_facts
    };
    let facts = pages("0x00000001 : 0x00001000 : R\n0x0000abcd : 0x00001000 : R\n0x0000abce : 0x00001000 : P");
    for fact in HealthFact::ALL.iter().copied() {
        let promised = matches!(fact.asked(DriverSource::Sysfs), FactSource::By(_));
        assert_eq!(fact.is_known(&facts), promised, "{}", fact.name());
    }
    assert_eq!((facts.pages_retired_double_bit.get(), facts.retirement_pending.get()), (Some(2), Some(true)));
    let facts = pages("0x00000001 : 0x00001000 : R");
    assert_eq!((facts.pages_retired_double_bit.get(), facts.retirement_pending.get()), (Some(1), Some(false)));
    assert_eq!(pages("0x00000001 : 0x00001000 : F").retirement_pending.get(), Some(true));
    assert_eq!(pages("").pages_retired_double_bit.get(), Some(0));
    let tree = Tree::new();
    put(&bound(&tree, A, "radeon"), "ras/gpu_vram_bad_pages", "0x00000001 : 0x00001000 : R");
    assert!(!HealthFact::PagesRetiredDoubleBit.is_known(&sensed(&tree)[0].health_facts), "only amdgpu's");
}

#[test]
fn newer_chips_have_other_files_for_the_same() {
    let tree = Tree::new();
    let gpu = bound(&tree, A, "amdgpu");
    put(&gpu, "hwmon/hwmon0/temp2_input", "61000");
    put(&gpu, "hwmon/hwmon0/power1_input", "642000000");
    let [said] = sensed(&tree).try_into().unwrap();
    assert_eq!((said.metrics.temperature_c.get(), said.metrics.power_w.get()), (Some(61.0), Some(642.0)));
}

#[test]
fn intels_drivers_have_their_clock_elsewhere_and_no_load() {
    let tree = Tree::new();
    put(&bound(&tree, "0000:00:02.0", "i915"), "drm/card1/gt_act_freq_mhz", "350");
    put(&bound(&tree, "0000:03:00.0", "xe"), "tile0/gt0/freq0/act_freq", "600");
    let said = sensed(&tree);
    assert_eq!(
        said.iter().map(|gpu| gpu.metrics.graphics_clock_mhz.get()).collect::<Vec<_>>(),
        [Some(350.0), Some(600.0)]
    );
    for gpu in &said {
        for reading in [&gpu.metrics.utilization_pct, &gpu.metrics.temperature_c, &gpu.metrics.power_w] {
            assert_eq!(reading.absence(), Some(&Absence::NotSupported));
        }
    }
}

#[test]
fn a_bad_value_costs_itself() {
    let tree = Tree::new();
    let gpu = bound(&tree, A, "amdgpu");
    put(&gpu, "gpu_busy_percent", "101");
    put(&gpu, "hwmon/hwmon4/temp1_input", "hot");
    put(&gpu, "hwmon/hwmon4/power1_average", "-1");
    put(&gpu, "hwmon/hwmon4/power1_input", "7000000");
    put(&gpu, "mem_info_vram_total", "99999999999999999999999");
    put(&gpu, "mem_info_vram_used", "1048576");
    fs::create_dir_all(gpu.path.join("mem_busy_percent")).unwrap();
    let [said] = sensed(&tree).try_into().unwrap();
    assert_eq!(said.metrics.utilization_pct.absence().unwrap().code(), "garbled");
    assert_eq!(said.metrics.temperature_c.absence().unwrap().code(), "garbled");
    assert_eq!(said.metrics.power_w.get(), Some(7.0), "the other file has it");
    assert_eq!((said.memory.total.get(), said.memory.used.get()), (None, Some(1)));
    assert_eq!(said.memory.free.absence().unwrap().code(), "garbled");
    assert_eq!(said.metrics.memory_utilization_pct.absence().unwrap().code(), "unreadable");
}

#[test]
fn sensors_of_a_sleeping_gpu_are_not_read_and_other_drivers_have_none() {
    let tree = Tree::new();
    let gpu = bound(&tree, A, "amdgpu");
    put(&gpu, "gpu_busy_percent", "37");
    put(&gpu, "power/runtime_status", "suspended");
    bound(&tree, "0000:42:00.0", "nvidia");
    bound(&tree, "0000:43:00.0", "ast");
    let [said] = sensed(&tree).try_into().unwrap();
    assert_eq!(said.metrics.utilization_pct.absence(), Some(&Absence::GpuAsleep));
    assert_eq!(said.memory.total.absence(), Some(&Absence::GpuAsleep));
    assert!(Sysfs::new(tree.root().join("nowhere")).sensors().is_err());
}
