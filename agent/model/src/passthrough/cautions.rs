//! All that is worth knowing before one change of a GPU.

use super::{Caution, fitness, persistence};
use crate::ids::PciAddress;
use crate::observation::HostObservation;
use crate::policy::Act;

/// All of them for one change of a GPU.
#[must_use]
pub fn cautions(host: &HostObservation, operation: Act, gpu: PciAddress) -> Vec<Caution> {
    let Some(gpu) = host.gpu(gpu) else { return Vec::new() };
    match operation {
        Act::PassthroughBind => persistence::caution(host, gpu).into_iter().collect(),
        Act::MigLayout | Act::MigMode => {
            let masters = host.host.mig_masters.clone();
            (!masters.is_empty()).then_some(Caution::MigSecondMaster { masters }).into_iter().collect()
        }
        Act::PassthroughRelease => {
            let ills = fitness::ills(gpu);
            (!ills.is_empty()).then_some(Caution::Unhealthy { ills }).into_iter().collect()
        }
    }
}
