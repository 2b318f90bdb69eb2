//! Names of PCI vendors and devices out of udev's hardware database.

use model::ids::PciId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use udev::Hwdb;

type Pair = (Option<String>, Option<String>);

/// Names that were looked up once. The database itself (13 MB, mapped) is open only while a new id is looked up.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: Mutex<HashMap<PciId, Pair>>,
}

impl Names {
    /// Vendor and device name; `None` where the database is missing or does not have them.
    pub(super) fn of(&self, id: PciId) -> Pair {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = known.get(&id) {
            return pair.clone();
        }
        // Without a database nothing is remembered: it may be installed while we run.
        let Ok(database) = Hwdb::new() else { return (None, None) };
        let pair = look_up(&database, id);
        known.insert(id, pair.clone());
        pair
    }
}

fn look_up(database: &Hwdb, id: PciId) -> Pair {
    let modalias = format!("pci:v{:08X}d{:08X}", id.vendor, id.device);
    let name = |key: &str| database.query_one(modalias.as_str(), key).map(|text| text.to_string_lossy().into_owned());
    (name("ID_VENDOR_FROM_DATABASE"), name("ID_MODEL_FROM_DATABASE"))
}
