//! How many lanes the PCIe link of a GPU has now.

use crate::driver::DriverGpu;
use crate::pci::GpuFunction;

/// Lanes of the link now: the driver's word is as fresh as the last sample, that of sysfs as the last scan.
pub(crate) fn lanes_now(pci: &GpuFunction, driver: Option<&DriverGpu>) -> Option<u32> {
    let told = driver.and_then(|driver| driver.metrics.pcie_width.get());
    told.or_else(|| pci.link.width.get()).filter(|lanes| *lanes > 0)
}
