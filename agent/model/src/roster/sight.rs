//! What one scan of the bus shows of the GPUs, as far as they can be recognised again by it.

use crate::ids::{GpuUuid, PciAddress, PciId};
use crate::observation::{Gpu, HostObservation};
use crate::pci::PciScan;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// A GPU as it can be recognised again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: PciId,
    /// What it is called.
    #[serde(default)]
    pub name: Option<String>,
    /// What its driver reports that it is.
    #[serde(default)]
    pub uuid: Option<GpuUuid>,
    /// Number on the board.
    #[serde(default)]
    pub serial: Option<String>,
    /// It is in a port from which it may be unplugged.
    #[serde(default)]
    pub removable: bool,
}

impl Card {
    fn of(gpu: &Gpu) -> Self {
        let driver = gpu.driver.as_ref();
        Self {
            address: gpu.pci.address,
            id: gpu.pci.id,
            name: gpu.name().map(str::to_owned),
            uuid: driver.and_then(|said| said.uuid.known().cloned()),
            serial: driver.and_then(|said| said.serial.known().cloned()),
            removable: gpu.pci.state.removable.get() == Some(true),
        }
    }

    /// This, and of what it does not say now what was known: its driver may not be loaded, or have no answer.
    pub(super) fn or(&self, before: &Self) -> Self {
        let knows = self.uuid.is_some();
        Self {
            name: if knows { self.name.clone() } else { before.name.clone().or_else(|| self.name.clone()) },
            uuid: self.uuid.clone().or_else(|| before.uuid.clone()),
            serial: self.serial.clone().or_else(|| before.serial.clone()),
            ..self.clone()
        }
    }
}

/// What a scan that worked showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// When it was looked at.
    pub at: UnixMillis,
    /// GPUs. Virtual functions come and go with a number in sysfs and are none of them.
    pub cards: Vec<Card>,
    /// Functions that are there and could not be read.
    pub unreadable: Vec<PciAddress>,
}

impl Sight {
    /// The sight of a scan, and of what was reported about its GPUs.
    #[must_use]
    pub fn of(scan: &PciScan, seen: &HostObservation) -> Self {
        let cards = seen.gpus.iter().filter(|gpu| gpu.pci.physical_function.is_none()).map(Card::of);
        let unreadable = scan.unreadable.iter().filter_map(|function| function.name.parse().ok());
        Self { at: seen.observed_at, cards: cards.collect(), unreadable: unreadable.collect() }
    }
}
