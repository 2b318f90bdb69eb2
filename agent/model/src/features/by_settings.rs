//! What the settings of this host and its desired state switch off: features of GPUs, and whole GPUs.

use super::SwitchedOffBy;
use crate::judge::decide;
use crate::observation::HostObservation;
use crate::settings::Settings;

/// Notes what the settings switch off, and has the GPUs decided again where there is anything.
pub fn apply_settings(observation: &mut HostObservation, settings: &Settings) {
    let mut is_any = false;
    for gpu in &mut observation.gpus {
        let set = settings.desired.features_off(gpu.pci.address);
        gpu.features_off = set.into_iter().map(|name| (name, SwitchedOffBy::Manager)).collect();
        // Who has switched it off first is whom a person has to ask.
        let by_files = settings.gpu.get(&gpu.pci.address).into_iter().flat_map(|own| &own.features_off);
        gpu.features_off.extend(by_files.map(|name| (*name, SwitchedOffBy::Config)));
        gpu.is_off = settings.desired.is_off(gpu.pci.address);
        is_any |= gpu.is_off || !gpu.features_off.is_empty();
    }
    if is_any {
        decide(observation);
    }
}
