//! NVML's codes in the words of nvidia-smi, so that a reader cannot tell which of the two answered.

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Brand, GpuVirtualizationMode, HostVgpuMode, PerformanceState};
use nvml_wrapper::enums::device::DeviceArchitecture;

/// As in `<product_brand>`.
pub(super) const fn brand(brand: &Brand) -> &'static str {
    match brand {
        Brand::Unknown => "Unknown",
        Brand::Quadro => "Quadro",
        Brand::Tesla => "Tesla",
        Brand::NVS => "NVS",
        Brand::GRID => "Grid",
        Brand::GeForce => "GeForce",
        Brand::Titan => "Titan",
        Brand::VApps => "NVIDIA Virtual Applications",
        Brand::VPC => "NVIDIA Virtual PC",
        Brand::VCS => "NVIDIA Virtual Compute Server",
        Brand::VWS => "NVIDIA RTX Virtual Workstation",
        Brand::CloudGaming | Brand::VGaming => "NVIDIA Cloud Gaming",
        Brand::QuadroRTX => "Quadro RTX",
        Brand::NvidiaRTX => "NVIDIA RTX",
        Brand::Nvidia => "NVIDIA",
        Brand::GeForceRTX => "GeForce RTX",
        Brand::TitanRTX => "Titan RTX",
    }
}

/// As in `<product_architecture>`; `None` where the driver has no name for it.
pub(super) const fn architecture(architecture: &DeviceArchitecture) -> Option<&'static str> {
    match architecture {
        DeviceArchitecture::Kepler => Some("Kepler"),
        DeviceArchitecture::Maxwell => Some("Maxwell"),
        DeviceArchitecture::Pascal => Some("Pascal"),
        DeviceArchitecture::Volta => Some("Volta"),
        DeviceArchitecture::Turing => Some("Turing"),
        DeviceArchitecture::Ampere => Some("Ampere"),
        DeviceArchitecture::Ada => Some("Ada Lovelace"),
        DeviceArchitecture::Hopper => Some("Hopper"),
        DeviceArchitecture::Blackwell => Some("Blackwell"),
        DeviceArchitecture::Unknown => None,
    }
}

/// As in `<virtualization_mode>`.
pub(super) const fn virtualization(mode: &GpuVirtualizationMode) -> &'static str {
    match mode {
        GpuVirtualizationMode::Bare => "None",
        GpuVirtualizationMode::PassThrough => "Pass-Through",
        GpuVirtualizationMode::Vgpu => "VGPU",
        GpuVirtualizationMode::HostVgpu => "Host VGPU",
        GpuVirtualizationMode::HostVsga => "Host VSGA",
    }
}

/// As in `<host_vgpu_mode>`.
pub(super) const fn host_vgpu(mode: &HostVgpuMode) -> &'static str {
    match mode {
        HostVgpuMode::NonSriov => "Non SR-IOV",
        HostVgpuMode::Sriov => "SR-IOV",
    }
}

/// As in `<performance_state>`; `None` for one that the driver does not know itself.
pub(super) const fn performance_state(state: &PerformanceState) -> Option<&'static str> {
    match state {
        PerformanceState::Zero => Some("P0"),
        PerformanceState::One => Some("P1"),
        PerformanceState::Two => Some("P2"),
        PerformanceState::Three => Some("P3"),
        PerformanceState::Four => Some("P4"),
        PerformanceState::Five => Some("P5"),
        PerformanceState::Six => Some("P6"),
        PerformanceState::Seven => Some("P7"),
        PerformanceState::Eight => Some("P8"),
        PerformanceState::Nine => Some("P9"),
        PerformanceState::Ten => Some("P10"),
        PerformanceState::Eleven => Some("P11"),
        PerformanceState::Twelve => Some("P12"),
        PerformanceState::Thirteen => Some("P13"),
        PerformanceState::Fourteen => Some("P14"),
        PerformanceState::Fifteen => Some("P15"),
        PerformanceState::Unknown => None,
    }
}

/// Active reasons by the names of the XML's elements (`clocks_event_reason_…`, before 535 `clocks_throttle_reason_…`),
/// sorted; a bit that has no name yet is left out.
pub(super) fn throttle(reasons: ThrottleReasons) -> Vec<String> {
    let mut names: Vec<String> = [
        (ThrottleReasons::GPU_IDLE, "gpu_idle"),
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "applications_clocks_setting"),
        (ThrottleReasons::SW_POWER_CAP, "sw_power_cap"),
        (ThrottleReasons::HW_SLOWDOWN, "hw_slowdown"),
        (ThrottleReasons::SYNC_BOOST, "sync_boost"),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw_thermal_slowdown"),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw_thermal_slowdown"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake_slowdown"),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display_clocks_setting"),
    ]
    .into_iter()
    .filter(|(reason, _)| reasons.contains(*reason))
    .map(|(_, name)| name.to_owned())
    .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements below `clocks_event_reasons` in the DTDs of 535 to 580, without their prefix.
    const ELEMENTS: [&str; 9] = [
        "applications_clocks_setting",
        "display_clocks_setting",
        "gpu_idle",
        "hw_power_brake_slowdown",
        "hw_slowdown",
        "hw_thermal_slowdown",
        "sw_power_cap",
        "sw_thermal_slowdown",
        "sync_boost",
    ];

    #[test]
    fn reasons_have_the_names_of_the_documents_elements() {
        assert_eq!(throttle(ThrottleReasons::all()), ELEMENTS);
        assert_eq!(throttle(ThrottleReasons::from_bits_truncate(0x40)), ["hw_thermal_slowdown"]);
        assert_eq!(throttle(ThrottleReasons::from_bits_truncate(0x100)), ["display_clocks_setting"]);
        assert!(throttle(ThrottleReasons::empty()).is_empty());
    }

    #[test]
    fn words_of_real_documents() {
        assert_eq!(
            (brand(&Brand::NvidiaRTX), brand(&Brand::GRID), brand(&Brand::Nvidia)),
            ("NVIDIA RTX", "Grid", "NVIDIA")
        );
        assert_eq!(architecture(&DeviceArchitecture::Ada), Some("Ada Lovelace"));
        assert_eq!(architecture(&DeviceArchitecture::Unknown), None);
        assert_eq!(virtualization(&GpuVirtualizationMode::PassThrough), "Pass-Through");
        assert_eq!(virtualization(&GpuVirtualizationMode::HostVsga), "Host VSGA");
        assert_eq!(host_vgpu(&HostVgpuMode::NonSriov), "Non SR-IOV");
        assert_eq!(performance_state(&PerformanceState::Twelve), Some("P12"));
        assert_eq!(performance_state(&PerformanceState::Unknown), None);
    }
}
