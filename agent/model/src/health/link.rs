//! What speaks against the PCIe link of a GPU: only what is less than it could be here, never less than the card claims.
//!
//! A card with sixteen lanes in a slot that is wired with eight, on a riser, behind a switch, in an eGPU or in a guest runs narrower
//! than it claims, and is well. So either both ends are known and the link trained down from what both can, or it ran wider
//! before.

use super::against::Against;
use super::lanes::lanes_now;
use super::{HealthState, Teller};
use crate::absence::Reading;
use crate::driver::DriverGpu;
use crate::ids::PciAddress;
use crate::observation::Gpu;
use crate::pci::{GpuFunction, VENDOR_NVIDIA};
use std::ops::RangeInclusive;

/// From this utilization on a GPU in P0 is at work, and its link has no reason to be slow.
const AT_WORK_PERCENT: f64 = 20.0;

/// NVIDIA's chips with eight lanes, whose configuration space claims sixteen: GA107 (RTX 3050, A2), AD106 and AD107 (RTX 4060,
/// RTX 2000 Ada), GB206 and GB207 (RTX 5060, RTX 5050).
const EIGHT_LANES: [RangeInclusive<u16>; 3] = [0x2580..=0x25ff, 0x2800..=0x28ff, 0x2d00..=0x2dff];

/// Products that exchange data with their processor over NVLink-C2C: the width of their PCIe link reports nothing.
const C2C: [&str; 4] = ["GH200", "GB10", "GB200", "GB300"];

/// What of the link speaks against the GPU.
pub(super) fn against(gpu: &Gpu) -> Vec<Against> {
    let (pci, driver) = (&gpu.pci, gpu.driver.as_ref());
    if is_beside_the_point(pci, driver) {
        return Vec::new();
    }
    let remedy = "reseat the card; check slot, riser and cable; `lspci -vv -s ADDRESS` shows the link";
    let against = |(code, message): (&str, String)| Against {
        code: code.to_owned(),
        state: HealthState::Degraded,
        message,
        remedy: remedy.replace("ADDRESS", &pci.address.to_string()),
        first: None,
        told_by: Teller::Driver,
    };
    let width = narrow(gpu).map(|message| ("pcie_width", message));
    let speed = driver.and_then(|driver| slow(pci, driver)).map(|message| ("pcie_speed", message));
    width.into_iter().chain(speed).map(against).collect()
}

fn narrow(gpu: &Gpu) -> Option<String> {
    let driver = gpu.driver.as_ref();
    let now = lanes_now(&gpu.pci, driver)?;
    match both_can(&gpu.pci, driver) {
        Some((lanes, port)) => (now < lanes).then(|| {
            format!(
                "its PCIe link came up with {now} lanes, although the card and the port {port} above it support {lanes}"
            )
        }),
        None => {
            let before = gpu.widest_lanes.filter(|before| now < *before)?;
            Some(format!("its PCIe link has {now} lanes; it had {before} before"))
        }
    }
}

/// The lanes that card and port both can do, and the port; `None` where one of the ends is not known. In a guest the port is one
/// that the hypervisor made up.
pub(crate) fn both_can(pci: &GpuFunction, driver: Option<&DriverGpu>) -> Option<(u32, PciAddress)> {
    let is_told = !is_in_guest(driver) && !is_beside_the_point(pci, driver);
    let port = pci.link.port.as_ref().filter(|_| is_told)?;
    let card = pci.link.max_width.get().or_else(|| driver.and_then(|driver| driver.metrics.pcie_max_width.get()))?;
    let wired = if has_eight_lanes(pci, driver) { 8 } else { u32::MAX };
    Some((card.min(wired).min(port.max_width.get()?), port.address))
}

/// An idle GPU lowers the speed of its link, and one that is at work raises it again: up to what the slower end can do.
fn slow(pci: &GpuFunction, driver: &DriverGpu) -> Option<String> {
    let at_work = driver.metrics.performance_state.known().is_some_and(|state| state == "P0")
        && driver.metrics.utilization_pct.get().is_some_and(|load| load >= AT_WORK_PERCENT);
    if !at_work || is_in_guest(Some(driver)) {
        return None;
    }
    // NVML's own word counts both ends as far as it knows them.
    let port = pci.link.port.as_ref().map(|port| &port.max_generation);
    let ends = [Some(&driver.metrics.pcie_max_generation), Some(&pci.link.max_generation), port];
    let most = ends.into_iter().flatten().filter_map(Reading::get).min()?;
    let now = driver.metrics.pcie_generation.get().filter(|now| *now > 0 && *now < most)?;
    Some(format!("under load its PCIe link runs at generation {now}, although {most} is possible here"))
}

/// The driver reports that its machine is a guest which was given the card.
fn is_in_guest(driver: Option<&DriverGpu>) -> bool {
    let mode = driver.and_then(|driver| driver.virtualization.known());
    mode.is_some_and(|mode| mode == "Pass-Through" || mode == "VGPU")
}

/// The data of the GPU goes another way.
fn is_beside_the_point(pci: &GpuFunction, driver: Option<&DriverGpu>) -> bool {
    let words = |name: &'_ String| name.split(|c: char| !c.is_alphanumeric()).any(|word| C2C.contains(&word));
    names(pci, driver).any(words)
}

/// How driver and hardware database call it.
fn names<'a>(pci: &'a GpuFunction, driver: Option<&'a DriverGpu>) -> impl Iterator<Item = &'a String> {
    driver.and_then(|driver| driver.name.known()).into_iter().chain(pci.name.as_ref())
}

/// The card has eight lanes, whatever it claims: by its chip, or because it is a laptop's.
fn has_eight_lanes(pci: &GpuFunction, driver: Option<&DriverGpu>) -> bool {
    let chip = pci.id.vendor == VENDOR_NVIDIA && EIGHT_LANES.iter().any(|chip| chip.contains(&pci.id.device));
    // A workstation card may be a Max-Q as well, with sixteen.
    let words = ["Laptop", "Mobile", "with Max-Q Design", "Max-Q]"];
    chip || names(pci, driver).any(|name| words.iter().any(|word| name.contains(word)))
}
