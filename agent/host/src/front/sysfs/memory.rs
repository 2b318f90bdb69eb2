//! Remembers from one scan to the next what of a function cannot change while it stays, so that a scan reads what can change and little
//! else.

use super::attribute::{Miss, Tree};
use model::ids::{PciAddress, PciClass, PciId};
use model::pci::PciePort;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What cannot change while a function stays, each as soon as it has been read. What could not be read is read again.
#[derive(Debug, Clone, Default)]
pub(super) struct Fixed {
    pub(super) class: Option<PciClass>,
    pub(super) id: Option<PciId>,
    pub(super) subsystem: Option<PciId>,
    /// The highest speed and the most lanes are wired into the chip, as are those of the port above, which cannot go without
    /// what is below it.
    pub(super) max_generation: Option<u32>,
    pub(super) max_width: Option<u32>,
    pub(super) port: Option<PciePort>,
}

/// The functions of the last scan by address, each with the inode number of its entry in the list of the bus. Another function at
/// the same address, or the same one put in again, has another entry, and sysfs gives no number twice.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<BTreeMap<PciAddress, (u64, Fixed)>>);

/// What was remembered when a scan began.
pub(super) struct Remembered(BTreeMap<PciAddress, (u64, Fixed)>);

impl Memory {
    /// Begins a scan. On a file system that gives numbers out again nothing is believed.
    pub(super) fn take(&self, tree: &Tree) -> Remembered {
        let last = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Remembered(if tree.numbers_are_unique() { last } else { BTreeMap::new() })
    }

    /// Ends a scan: what has gone is forgotten.
    pub(super) fn keep(&self, functions: BTreeMap<PciAddress, (u64, Fixed)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = functions;
    }
}

impl Remembered {
    /// What is known of the function whose entry has this inode number.
    pub(super) fn of(&mut self, address: PciAddress, inode: u64) -> Fixed {
        let known = self.0.remove(&address).filter(|(number, _)| *number == inode);
        known.map(|(_, fixed)| fixed).unwrap_or_default()
    }
}

/// The value that was read before, or that is read now.
pub(super) fn once<T: Clone>(slot: &mut Option<T>, read: impl FnOnce() -> Result<T, Miss>) -> Result<T, Miss> {
    match slot {
        Some(value) => Ok(value.clone()),
        None => {
            let value = read()?;
            *slot = Some(value.clone());
            Ok(value)
        }
    }
}
