//! Whether a GPU is well enough to be given away, and what to say before one that is not is taken back.

use crate::blocker::{Blocker, Ill};
use crate::health::HealthState;
use crate::observation::{ChainLink, Gpu};

/// A GPU that is failed, or that does not answer on the bus, is not given away: unbinding one that fell off the bus often hangs for
/// ever, and a guest would get what cannot be relied on.
pub(super) fn fit(gpu: &Gpu) -> Option<Blocker> {
    let ills = ills(gpu);
    (!ills.is_empty()).then_some(Blocker::GpuUnhealthy { ills })
}

/// It is not well enough to be given away: [`fit`] names a reason.
#[must_use]
pub fn is_unhealthy(gpu: &Gpu) -> bool {
    fit(gpu).is_some()
}

/// Everything that makes it failed. What the bus itself shows counts also where nobody has judged its health yet.
pub(super) fn ills(gpu: &Gpu) -> Vec<Ill> {
    let failed = gpu.health.reasons.iter().filter(|reason| reason.state == HealthState::Failed);
    let mut ills: Vec<Ill> = failed
        .map(|reason| Ill {
            reason: reason.code.clone(),
            message: reason.message.clone(),
            to_do: reason.remedy.clone(),
        })
        .collect();
    if ills.is_empty() {
        let off_the_bus = |link: &&crate::observation::CauseLink| link.link == ChainLink::Pci && link.ok == Some(false);
        ills.extend(gpu.cause_chain.iter().find(off_the_bus).map(|link| Ill {
            reason: "not_on_the_bus".to_owned(),
            message: link.reason.clone().unwrap_or_default(),
            to_do: link.remedy.clone().unwrap_or_default(),
        }));
    }
    ills
}
