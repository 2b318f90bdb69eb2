//! Remembers the classes of functions from one scan to the next, so that a scan reads what can change and little else.

use super::attribute::{Miss, Tree};
use super::parse;
use model::ids::{PciAddress, PciClass};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

type Known = BTreeMap<PciAddress, (u64, PciClass)>;

/// Classes by address, each with the inode number of its function's entry. The class of a function never changes; another
/// function at the same address has another entry, and sysfs gives no number twice.
#[derive(Debug, Default)]
pub(super) struct Classes(Mutex<Known>);

/// The classes of one scan: those of the last one to start with, its own to leave behind.
pub(super) struct Round<'a> {
    kept: &'a Classes,
    last: Known,
    now: Known,
    trusted: bool,
}

impl Classes {
    /// Begins a scan.
    pub(super) fn round(&self, tree: &Tree) -> Round<'_> {
        let last = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Round { kept: self, last, now: Known::new(), trusted: tree.numbers_are_unique() }
    }
}

impl Round<'_> {
    /// The class of a function whose entry has this inode number.
    pub(super) fn of(
        &mut self,
        tree: &mut Tree,
        address: PciAddress,
        name: &str,
        inode: u64,
    ) -> Result<PciClass, Miss> {
        let known = self.last.get(&address).filter(|(number, _)| self.trusted && *number == inode);
        let class = match known {
            Some((_, class)) => *class,
            None => tree.parsed(name, "class", parse::class)?,
        };
        self.now.insert(address, (inode, class));
        Ok(class)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        *self.kept.0.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.now);
    }
}
