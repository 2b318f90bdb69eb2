//! Writes how a function sleeps, answers, is reset, and is given away in parts.

use crate::place::{attribute, link};
use model::pci::FunctionState;
use sim::bus::Function;
use std::fs;
use std::path::Path;

/// Writes the files of a function that has a state (the GPUs) into its folder.
///
/// # Errors
/// A file cannot be written; the text names it.
pub(crate) fn write(function: &Function, folder: &Path) -> anyhow::Result<()> {
    let now = function.state_now();
    let FunctionState { responds, runtime, may_sleep, d3cold_allowed, removable, reset_methods, mediated } = &now;
    let Some(runtime) = runtime.get() else { return Ok(()) };
    // What a device that sleeps would say when it is woken.
    let [vendor, device] = [function.id.vendor.to_le_bytes(), function.id.device.to_le_bytes()];
    let word = if responds.get() == Some(false) { [0xff; 4] } else { [vendor[0], vendor[1], device[0], device[1]] };
    fs::write(folder.join("config"), [word.as_slice(), &[0; 60]].concat())?;
    attribute(&folder.join("power/runtime_status"), runtime.code())?;
    attribute(&folder.join("power/control"), if may_sleep.get() == Some(true) { "auto" } else { "on" })?;
    attribute(&folder.join("d3cold_allowed"), if d3cold_allowed.get() == Some(false) { "0" } else { "1" })?;
    if let Some(removable) = removable.get() {
        attribute(&folder.join("removable"), if removable { "removable" } else { "fixed" })?;
    }
    attribute(&folder.join("reset_method"), &reset_methods.known().cloned().unwrap_or_default().join(" "))?;
    for kind in &mediated.types {
        fs::create_dir_all(folder.join("mdev_supported_types").join(kind).join("devices"))?;
    }
    if let Some(kind) = mediated.types.first() {
        for device in &mediated.devices {
            let own = folder.join(device);
            fs::create_dir_all(&own)?;
            link(&own, &folder.join("mdev_supported_types").join(kind).join("devices").join(device))?;
        }
    }
    Ok(())
}
