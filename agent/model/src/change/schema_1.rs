//! Journal entries of schema 1, as version 0.1 wrote them: read for ever, written no more.

use super::id::ChangeId;
use super::journal::{Aftermath, Entry, Phase};
use crate::ids::JobId;
use crate::plan::{Bounds, Disruption, Former, FunctionsWanted, Plan, PlanStep, Postcondition, Scope, Settled, Step};
use crate::policy::Act;
use crate::time::UnixMillis;
use serde::Deserialize;

/// The entry of a document of schema 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryOfSchema1 {
    operation: Act,
    job: JobId,
    actor_uid: Option<u32>,
    began_at: UnixMillis,
    boot_id: String,
    plan: PlanOfSchema1,
    before: Vec<Settled>,
    home: Vec<Settled>,
    confirm_within_ms: Option<u64>,
    phase: Phase,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanOfSchema1 {
    scope: Scope,
    steps: Vec<Step>,
    postcondition: FunctionsWanted,
    disruption: Disruption,
}

impl From<PlanOfSchema1> for Plan {
    fn from(PlanOfSchema1 { scope, steps, postcondition, disruption }: PlanOfSchema1) -> Self {
        Self {
            bounds: Bounds::of_functions(scope),
            steps: steps.into_iter().map(PlanStep::Functions).collect(),
            postcondition: Postcondition::Functions(postcondition),
            disruption,
        }
    }
}

impl From<EntryOfSchema1> for Entry {
    fn from(old: EntryOfSchema1) -> Self {
        Self {
            id: ChangeId::Lane(old.plan.scope.lane),
            operation: old.operation,
            job: old.job,
            actor_uid: old.actor_uid,
            began_at: old.began_at,
            boot_id: old.boot_id,
            plan: old.plan.into(),
            before: Former::Functions(old.before),
            home: Former::Functions(old.home),
            confirm_within_ms: old.confirm_within_ms,
            aftermath: Aftermath::of(old.operation),
            phase: old.phase,
        }
    }
}
