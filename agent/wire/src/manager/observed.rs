//! `observed` and `effective` of a heartbeat: which desired state is in force, what of it is not met, and what is in effect.

use crate::manager::form::{cut, rfc3339};
use crate::manager::heartbeat::{EffectiveDoc, ObservedDoc, UnmetDoc};
use model::desired::{DocumentId, Effective, Observed, UNMET_MAX, UnmetItem};

/// The unmet items of a heartbeat take no more bytes than this.
const UNMET_MAX_BYTES: usize = 24_000;

/// The document in force and how far it is applied. The items go with the optional parts; their number always does.
pub(crate) fn observed(in_force: Option<&DocumentId>, observed: &Observed, optional: bool) -> ObservedDoc {
    let (epoch, revision) =
        in_force.map_or_else(|| ("none".to_owned(), 0), |id| (id.epoch.to_string(), u64::from(id.revision)));
    // What was applied of an epoch that was left is nothing of this one.
    let applied = observed.applied.as_ref().filter(|id| id.epoch.as_str() == epoch);
    ObservedDoc {
        epoch,
        revision,
        applied_revision: applied.map_or(0, |id| u64::from(id.revision)),
        unmet: optional.then(|| bounded(&observed.unmet)),
        unmet_total: Some(observed.unmet_total.max(observed.unmet.len())),
    }
}

/// As many items as the contract allows; messages are cut until all fit, and then the last items are left out.
fn bounded(items: &[UnmetItem]) -> Vec<UnmetDoc> {
    let mut docs: Vec<_> = items.iter().take(UNMET_MAX).map(unmet).collect();
    let bytes = |docs: &[UnmetDoc]| -> usize {
        docs.iter().map(|doc| serde_json::to_vec(doc).map_or(0, |bytes| bytes.len().saturating_add(1))).sum()
    };
    for most in [1024, 256, 64] {
        if bytes(&docs) <= UNMET_MAX_BYTES {
            break;
        }
        docs.iter_mut().for_each(|doc| cut(&mut doc.message, most));
    }
    while bytes(&docs) > UNMET_MAX_BYTES {
        docs.pop();
    }
    docs
}

fn unmet(item: &UnmetItem) -> UnmetDoc {
    UnmetDoc {
        path: item.path.clone(),
        code: item.code.clone(),
        message: item.message.clone(),
        since: rfc3339(item.since),
        retry_at: item.retry_at.and_then(rfc3339),
    }
}

/// What is in effect. Work may be placed here as a document has set it, else as the last `reply` has.
pub(crate) fn effective(effective: &Effective, reply_enabled: bool) -> EffectiveDoc {
    EffectiveDoc {
        cores: effective.millicores.map(cores),
        memory: effective.memory_bytes,
        cuda_gpus: effective.cuda_gpus,
        labels: effective.labels.clone(),
        zone: effective.zone.clone(),
        pool: effective.pool.clone(),
        enabled: effective.enabled.unwrap_or(reply_enabled),
        draining: effective.draining,
    }
}

/// Cores, from thousandths.
fn cores(millicores: u64) -> f64 {
    f64::from(u32::try_from(millicores).unwrap_or(u32::MAX)) / 1000.0
}
