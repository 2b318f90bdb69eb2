//! What nvml-wrapper reads off the loaded library is what the description says, for every built-in host.

use crate::common::{gpu, installed, nvml};
use model::absence::Reading;
use model::driver::{DriverGpu, DriverSource};
use model::health::facts::HealthFacts;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::NVML_FI_DEV_POWER_INSTANT;
use sim::bus::Bus;
use sim::driver::report;
use sim::{BUILT_IN, load};

/// The described GPU with the words that NVML tells as numbers in nvml-wrapper's spelling.
fn in_nvml_words(mut gpu: DriverGpu) -> DriverGpu {
    gpu.brand = gpu.brand.map(|text| match text.as_str() {
        "GeForce" => "GeForce".to_owned(),
        "NVIDIA" => "Nvidia".to_owned(),
        same @ ("Tesla" | "Quadro") => same.to_owned(),
        other => panic!("no built-in host has the brand {other}"),
    });
    gpu.architecture = gpu.architecture.map(|text| if text == "Ada Lovelace" { "Ada".to_owned() } else { text });
    gpu.virtualization = gpu.virtualization.map(|text| match text.as_str() {
        "None" => "Bare".to_owned(),
        "Pass-Through" => "PassThrough".to_owned(),
        "Host VGPU" => "HostVgpu".to_owned(),
        other => panic!("no built-in host has the mode {other}"),
    });
    gpu.metrics.performance_state = gpu.metrics.performance_state.map(|text| text.trim_start_matches('P').to_owned());
    gpu.metrics.throttle = gpu.metrics.throttle.map(|reasons| {
        let bit = |reason: &String| match reason.as_str() {
            "gpu_idle" => 0x1,
            "sw_power_cap" => 0x4,
            "sw_thermal_slowdown" => 0x20,
            "hw_thermal_slowdown" => 0x40,
            other => panic!("no built-in host has the reason {other}"),
        };
        vec![format!("{:#x}", reasons.iter().map(bit).sum::<u64>())]
    });
    // What has no number is read through structures of its own.
    gpu.health_facts = HealthFacts {
        channel_repair_pending: Reading::default(),
        tpc_repair_pending: Reading::default(),
        sram_threshold_exceeded: Reading::default(),
        unrepairable_memory: Reading::default(),
        fabric_state: Reading::default(),
        fabric_status: Reading::default(),
        fabric_health: Reading::default(),
        fabric_faults: Reading::default(),
        ..gpu.health_facts
    };
    gpu
}

#[test]
fn every_value_of_every_built_in_host_is_the_described_one() {
    let mut read = 0;
    for (name, _) in BUILT_IN {
        let description = load(name).unwrap();
        let Some(driver) = &description.driver else { continue };
        let folder = tempfile::tempdir().unwrap();
        let nvml = nvml(&installed(&description, folder.path())).unwrap();
        assert_eq!(nvml.sys_driver_version().unwrap(), driver.version);
        let cuda = nvml.sys_cuda_driver_version().unwrap();
        assert_eq!(format!("{}.{}", cuda / 1000, cuda % 1000 / 10), driver.cuda);
        let expected = report(&description, &Bus::lay_out(&description).unwrap(), DriverSource::Nvml).gpus;
        assert_eq!(usize::try_from(nvml.device_count().unwrap()).unwrap(), expected.len(), "{name}");
        for (index, expected) in (0..).zip(expected) {
            assert_eq!(gpu(&nvml, index), in_nvml_words(expected), "{name}, GPU {index}");
            read += 1;
        }
    }
    assert!(read > 20, "only {read} GPUs were read");
}

#[test]
fn a_gpu_is_found_by_address_and_uuid_and_a_mig_device_knows_its_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let nvml = nvml(&installed(&load("dgx-a100").unwrap(), folder.path())).unwrap();
    let by_address = nvml.device_by_pci_bus_id("00000000:47:00.0").unwrap();
    assert_eq!(by_address.index().unwrap(), 2);
    let uuid = by_address.uuid().unwrap();
    assert_eq!(nvml.device_by_uuid(uuid).unwrap().index().unwrap(), 2);
    let mig = by_address.mig_device_by_index(1).unwrap();
    assert_eq!(mig.mig_parent_device().unwrap().index().unwrap(), 2);
    assert_eq!(mig.attributes().unwrap().gpu_instance_slice_count, 3);
    assert!(matches!(by_address.mig_device_by_index(2), Err(NvmlError::NotFound)), "a hole is not found");
    assert!(matches!(nvml.device_by_index(8), Err(NvmlError::InvalidArg)));
    assert!(matches!(nvml.device_by_pci_bus_id("0000:01:00.0"), Err(NvmlError::NotFound)));
}

#[test]
fn a_function_that_the_driver_lacks_is_one_that_the_library_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let nvml = nvml(&installed(&load("t4-cloud-vm").unwrap(), folder.path())).unwrap();
    let error = nvml.device_by_index(0).unwrap().board_id().unwrap_err();
    assert!(matches!(error, NvmlError::FailedToLoadSymbol(_)), "{error:?}");
}

#[test]
fn the_power_of_the_moment_is_a_field_and_other_fields_are_not_supported() {
    let folder = tempfile::tempdir().unwrap();
    let nvml = nvml(&installed(&load("t4-cloud-vm").unwrap(), folder.path())).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    let mut values = gpu.field_values_for(&[FieldId(NVML_FI_DEV_POWER_INSTANT), FieldId(1)]).unwrap();
    assert!(matches!(values.pop().unwrap().unwrap().value, Err(NvmlError::NotSupported)));
    assert!(matches!(values.pop().unwrap().unwrap().value, Ok(SampleValue::U32(38_120))));
}

#[test]
fn before_470_a_mig_devices_uuid_names_its_place() {
    let mut description = load("dgx-a100").unwrap();
    description.driver.as_mut().unwrap().version = "460.106.00".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let nvml = nvml(&installed(&description, folder.path())).unwrap();
    let gpu = nvml.device_by_index(3).unwrap();
    let mig = gpu.mig_device_by_index(1).unwrap().uuid().unwrap();
    assert_eq!(mig, format!("MIG-{}/3/0", gpu.uuid().unwrap()));
}
