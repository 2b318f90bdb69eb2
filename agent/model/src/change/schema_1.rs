//! Journal entries of schema 1, as version 0.1 wrote them: read for ever, written no more.

use super::journal::{Aftermath, Entry, Phase};
use crate::ids::JobId;
use crate::plan::{Plan, Settled};
use crate::policy::Operation;
use crate::time::UnixMillis;
use serde::Deserialize;

/// The entry of a document of schema 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryOfSchema1 {
    operation: Operation,
    job: JobId,
    actor_uid: Option<u32>,
    began_at: UnixMillis,
    boot_id: String,
    plan: Plan,
    before: Vec<Settled>,
    home: Vec<Settled>,
    confirm_within_ms: Option<u64>,
    phase: Phase,
}

impl From<EntryOfSchema1> for Entry {
    fn from(old: EntryOfSchema1) -> Self {
        let EntryOfSchema1 {
            operation,
            job,
            actor_uid,
            began_at,
            boot_id,
            plan,
            before,
            home,
            confirm_within_ms,
            phase,
        } = old;
        Self {
            operation,
            job,
            actor_uid,
            began_at,
            boot_id,
            plan,
            before,
            home,
            confirm_within_ms,
            aftermath: Aftermath::of(operation),
            phase,
        }
    }
}
