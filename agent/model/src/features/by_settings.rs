//! The features that the settings of this host and its desired state switch off.

use super::{SwitchedOffBy, switch_off};
use crate::observation::HostObservation;
use crate::settings::Settings;

/// Switches off what the settings switch off.
pub fn apply_settings(observation: &mut HostObservation, settings: &Settings) {
    for gpu in &mut observation.gpus {
        if let Some(own) = settings.gpu.get(&gpu.pci.address) {
            switch_off(&mut gpu.features, &own.features_off, SwitchedOffBy::Config);
        }
        let set = settings.desired.features_off(gpu.pci.address);
        let by_files = settings.gpu.get(&gpu.pci.address).map(|own| &own.features_off);
        // Who has switched it off first is whom a person has to ask.
        let rest = set.into_iter().filter(|feature| by_files.is_none_or(|off| !off.contains(feature))).collect();
        switch_off(&mut gpu.features, &rest, SwitchedOffBy::Manager);
    }
}
