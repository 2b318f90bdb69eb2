//! The features that the settings of this host switch off.

use crate::judge::decide;
use crate::observation::HostObservation;
use crate::settings::Settings;

/// Notes what the settings switch off, and has the GPUs decided again where there is anything.
pub fn apply_settings(observation: &mut HostObservation, settings: &Settings) {
    let mut is_any = false;
    for gpu in &mut observation.gpus {
        gpu.features_off = settings.gpu.get(&gpu.pci.address).map(|own| own.features_off.clone()).unwrap_or_default();
        is_any |= !gpu.features_off.is_empty();
    }
    if is_any {
        decide(observation);
    }
}
