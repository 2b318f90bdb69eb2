//! What has to be remembered from one record to the next, because a message comes in several: each part bounded.

use super::apei::{Graveness, Part};
use super::device_fault::Fault;
use super::forms::bus::is_vfio;
use crate::PciAddress;
use crate::time::BootMillis;
use std::collections::{BTreeMap, BTreeSet};

/// Messages of one kind that may be under way at a time, on as many processors.
const UNDER_WAY_MAX: usize = 8;
/// Most devices of which something is remembered here.
const DEVICES_MAX: usize = 512;
/// A recovery of a PCIe error speaks of errors this far back: a reset of a bus takes up to a minute.
const RECOVERY_MS: u64 = 120_000;
/// A fault that is younger than this when a driver reports that it has started belongs to that start: no module is unloaded and
/// loaded so fast.
const SAME_START_MS: u64 = 1000;
/// So long after its slot lost the link a GPU is taken from its driver.
const REMOVAL_MS: u64 = 10_000;
/// So long a graphics driver of the kernel may probe one GPU.
const PROBE_MS: u64 = 60_000;

/// One record of the firmware, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Firmware {
    event: Option<Graveness>,
    section: Option<Graveness>,
    is_pcie: bool,
    device: Option<PciAddress>,
}

/// What a part of a record of the firmware reports, with the parts before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// A fault of this device.
    Fault(PciAddress, Fault),
    /// This port leads to this bus.
    Bridge(PciAddress, u8),
}

/// When a driver started, counted in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Start {
    /// Where this start began, if the log shows it.
    began: Option<u64>,
    /// Where the start before ended.
    before: u64,
}

impl Start {
    /// The module begins to load, at this record.
    pub(crate) const fn begins(&mut self, record: u64) {
        self.began = Some(record);
    }

    /// The driver has started, at this record; gives what distinguishes the faults of this start from older ones.
    pub(crate) const fn ends(&mut self, record: u64) -> Self {
        let now = *self;
        *self = Self { began: None, before: record };
        now
    }

    /// The fault was found in the course of this start, which NVIDIA's driver makes for all GPUs.
    pub(crate) fn of_all_holds(self, fault: Fault, order: u64, age_ms: u64) -> bool {
        let recent = fault.kind().belongs_to_a_probe() || age_ms < SAME_START_MS;
        self.began.map_or(order > self.before && recent, |began| order >= began)
    }

    /// The fault was found in the course of this start of another driver, on one GPU.
    pub(crate) const fn of_one_holds(self, fault: Fault, order: u64, age_ms: u64) -> bool {
        let within = if fault.kind().belongs_to_a_probe() { PROBE_MS } else { SAME_START_MS };
        order > self.before && age_ms < within
    }
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Context {
    /// The device of a message of NVIDIA's driver in several records.
    pub(crate) about: Option<PciAddress>,
    /// Starts of NVIDIA's driver.
    pub(crate) nvidia: Start,
    firmware: Vec<(u64, Firmware)>,
    aer: Vec<(PciAddress, u32)>,
    recovering: BTreeMap<PciAddress, BootMillis>,
    gave_up: BTreeSet<PciAddress>,
    given: BTreeSet<PciAddress>,
    lost: BTreeMap<PciAddress, BootMillis>,
    starts: BTreeMap<PciAddress, Start>,
}

impl Context {
    /// The next part of a record of the firmware.
    pub(crate) fn firmware(&mut self, number: u64, part: Part) -> Option<Told> {
        let at = self.firmware.iter().position(|(known, _)| *known == number).unwrap_or_else(|| {
            if self.firmware.len() >= UNDER_WAY_MAX {
                self.firmware.remove(0);
            }
            self.firmware.push((number, Firmware::default()));
            self.firmware.len() - 1
        });
        let (_, record) = self.firmware.get_mut(at)?;
        match part {
            Part::Event(graveness) => *record = Firmware { event: Some(graveness), ..Firmware::default() },
            Part::Section(graveness) => {
                *record = Firmware { event: record.event, section: Some(graveness), ..Firmware::default() }
            }
            Part::IsPcie(is_pcie) => record.is_pcie = is_pcie,
            Part::Device(address) if record.is_pcie => {
                record.device = Some(address);
                let graveness = record.section.or(record.event)?;
                return graveness.fault().map(|fault| Told::Fault(address, fault));
            }
            Part::Device(_) => {}
            Part::BusBelow(bus) => return record.device.map(|port| Told::Bridge(port, bus)),
        }
        None
    }

    /// The errors that the firmware read from the registers of a device, without the masked ones.
    pub(crate) fn aer_status(&mut self, address: PciAddress, errors: u32) {
        self.aer.retain(|(known, _)| *known != address);
        if self.aer.len() >= UNDER_WAY_MAX {
            self.aer.remove(0);
        }
        self.aer.push((address, errors));
    }

    /// Which of them are fatal: the fault that they are.
    pub(crate) fn aer_severity(&mut self, address: PciAddress, fatal: u32) -> Fault {
        let at = self.aer.iter().position(|(known, _)| *known == address);
        let errors = at.map_or(0, |at| self.aer.remove(at).1);
        if errors & fatal == 0 { Fault::PcieNonFatal } else { Fault::PcieFatal }
    }

    /// The device takes part in a recovery that is to come.
    pub(crate) fn recovers(&mut self, address: PciAddress, at: BootMillis) {
        self.recovering.retain(|_, began| at.since(*began) < RECOVERY_MS);
        if self.recovering.len() < DEVICES_MAX {
            self.recovering.insert(address, at);
        }
    }

    /// The devices of the recovery that has ended.
    pub(crate) fn recovered(&mut self, at: BootMillis) -> Vec<PciAddress> {
        let devices = std::mem::take(&mut self.recovering);
        devices.into_iter().filter(|(_, began)| at.since(*began) < RECOVERY_MS).map(|(address, _)| address).collect()
    }

    /// The kernel gave up waiting for the device.
    pub(crate) fn gave_up(&mut self, address: PciAddress) {
        if self.gave_up.len() < DEVICES_MAX {
            self.gave_up.insert(address);
        }
    }

    /// The device is reset again, or it answers.
    pub(crate) fn tries_again(&mut self, address: PciAddress) {
        self.gave_up.remove(&address);
    }

    /// The kernel gave up waiting for the device since it began to reset it.
    pub(crate) fn has_given_up(&self, address: PciAddress) -> bool {
        self.gave_up.contains(&address)
    }

    /// This driver speaks of the device: it has it.
    pub(crate) fn speaks(&mut self, driver: &str, address: PciAddress) {
        if !is_vfio(driver) {
            self.given.remove(&address);
        } else if self.given.len() < DEVICES_MAX {
            self.given.insert(address);
        }
    }

    /// The devices that a VFIO driver has, as far as it has spoken of them.
    pub(crate) fn given(&self) -> BTreeSet<PciAddress> {
        self.given.clone()
    }

    /// The slot below this port lost its link or its card.
    pub(crate) fn lost_card(&mut self, port: PciAddress, at: BootMillis) {
        self.lost.retain(|_, lost| at.since(*lost) < REMOVAL_MS);
        if self.lost.len() < DEVICES_MAX {
            self.lost.insert(port, at);
        }
    }

    /// The port whose slot the device was in that is taken away now: the one that just lost its card, where it is one.
    pub(crate) fn lost_the_card_of(&self, device: PciAddress, at: BootMillis) -> Option<PciAddress> {
        let is_meant = |(port, lost): &(&PciAddress, &BootMillis)| {
            at.since(**lost) < REMOVAL_MS && port.domain == device.domain && port.bus < device.bus
        };
        let mut ports = self.lost.iter().filter(is_meant).map(|(port, _)| *port);
        ports.next().filter(|_| ports.next().is_none())
    }

    /// A driver has started on the device, at this record.
    pub(crate) fn started(&mut self, address: PciAddress, record: u64) -> Start {
        if self.starts.len() >= DEVICES_MAX && !self.starts.contains_key(&address) {
            self.starts.pop_first();
        }
        self.starts.entry(address).or_default().ends(record)
    }
}
