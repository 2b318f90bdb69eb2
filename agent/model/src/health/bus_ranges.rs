//! Which buses lie below which PCI port, as far as the kernel log reports it while it scans the bus.

use crate::PciAddress;
use std::collections::BTreeMap;

/// Most ports that are kept; the largest hosts have a few hundred.
const PORTS_MAX: usize = 1024;

/// Ports with the first and the last bus below each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ports(BTreeMap<PciAddress, (u8, u8)>);

impl Ports {
    /// The port leads to these buses.
    pub(crate) fn leads_to(&mut self, port: PciAddress, first: u8, last: u8) {
        if self.0.len() < PORTS_MAX || self.0.contains_key(&port) {
            self.0.insert(port, (first, last));
        }
    }

    /// The port leads to this bus at least; what the kernel reported about it before is.
    pub(crate) fn leads_at_least_to(&mut self, port: PciAddress, bus: u8) {
        if bus > 0 && !self.0.contains_key(&port) {
            self.leads_to(port, bus, bus);
        }
    }

    /// The port leads to the bus of the device and to no other, as far as is known.
    pub(crate) fn leads_only_to(&self, port: PciAddress, device: PciAddress) -> bool {
        port.domain == device.domain && self.0.get(&port) == Some(&(device.bus, device.bus))
    }

    /// The device is below the port.
    pub(crate) fn is_above(&self, port: PciAddress, device: PciAddress) -> bool {
        let within = |(first, last): &(u8, u8)| (*first..=*last).contains(&device.bus);
        port.domain == device.domain && self.0.get(&port).is_some_and(within)
    }
}
