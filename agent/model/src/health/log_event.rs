//! What one record reports about a device, or of what is reported about a device in the records around it.

use super::apei::Part;
use super::device_fault::{Fault, Recovery};
use super::over::Evidence;
use crate::PciAddress;

/// What a record states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEvent {
    /// Something befell the device at the address. Where the record names a card without a function, that is function 0.
    Fault(PciAddress, Fault),
    /// NVIDIA's driver wants this done with the GPU, in place of what it wanted before.
    Wants(PciAddress, Recovery),
    /// Something is over for the device at the address.
    Over(PciAddress, Evidence),
    /// NVIDIA's driver reports that it has been loaded, after it probed every GPU.
    NvidiaLoaded,
    /// NVIDIA's module begins to load, or has gone: what follows belongs to another load.
    NvidiaBegins,
    /// First part of a message in several records: this device, and what of it follows.
    About(PciAddress),
    /// Later part of such a message: the device of the part before has fallen off the bus.
    ItHasFallenOff,
    /// The kernel begins to reset the device.
    ResetBegins(PciAddress),
    /// The kernel reports that a reset of the device is done, also where it gave up waiting for it.
    ResetDone(PciAddress, Reset),
    /// A port, and the first and last bus below it.
    Bridge(PciAddress, u8, u8),
    /// Part of a record of the firmware, by its number.
    Firmware(u64, Part),
    /// Status and mask of AER registers that the firmware read.
    AerStatus(PciAddress, u32, u32),
    /// Which of these errors are fatal: the error was not corrected.
    AerSeverity(PciAddress, u32),
    /// The device takes part in the recovery of a PCIe error, and its driver cannot.
    CannotRecover(PciAddress),
    /// The recovery that this port led has ended, with success or without.
    Recovered(PciAddress, bool),
    /// The port cut off what is below it; the device that sent the error, where it is known.
    Contained(PciAddress, Option<(PciAddress, Fault)>),
}

/// Under which driver a device was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// A VFIO driver, which has no state of its own in the device.
    Vfio,
    /// Another driver, which was not notified of it.
    Unaware,
}
