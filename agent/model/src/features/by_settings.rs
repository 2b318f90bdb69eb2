//! The features that the settings of this host switch off.

use super::{SwitchedOffBy, switch_off};
use crate::observation::HostObservation;
use crate::settings::Settings;

/// Switches off what the settings switch off.
pub fn apply_settings(observation: &mut HostObservation, settings: &Settings) {
    for gpu in &mut observation.gpus {
        if let Some(own) = settings.gpu.get(&gpu.pci.address) {
            switch_off(&mut gpu.features, &own.features_off, SwitchedOffBy::Config);
        }
    }
}
