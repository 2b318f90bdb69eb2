//! What is remembered of the GPUs of one workspace: what the last look showed, when the next one is due, and how often it was started
//! again for them.

use super::workspace_gpu_look::{GpuVerdict, WorkspaceGpuLook};
use super::workspace_gpu_needs::WorkspaceGpuNeeds;
use super::workspace_gpu_probe::WorkspaceStart;
use super::workspace_look::WorkspaceSeen;
use super::workspace_pace::WorkspacePace;
use crate::printable::printable;
use crate::time::BootMillis;

/// A running workspace is looked at so often although nothing has changed: a `systemctl daemon-reload` is announced to no one.
const LOOK_AGAIN_MS: u64 = 30_000;
/// After a loss that was not seen twice yet.
const CONFIRM_MS: u64 = 5_000;
/// It has had them for so long: how often it was started again for them before does not count any more.
const WELL_MS: u64 = 30 * 60 * 1_000;
/// Longest text that is kept.
const TEXT_MAX_CHARS: usize = 600;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceGpuMemory {
    /// Of which start.
    start: Option<WorkspaceStart>,
    /// What was looked for.
    needs: WorkspaceGpuNeeds,
    /// When.
    looked_at: Option<BootMillis>,
    /// What was found.
    verdict: Option<GpuVerdict>,
    /// So many looks in a row showed a loss, each of another observation where it rests on that.
    losses: u32,
    /// The observation that the last of them was of.
    lost_in: Option<u64>,
    /// Since when each look showed that it has them.
    ok_since: Option<BootMillis>,
    /// The loss was reported.
    is_reported: bool,
    /// How often it was started again for them.
    pub repair: WorkspacePace,
    /// It is being started again for them: what it has is kept for it.
    pub is_repairing: bool,
}

impl WorkspaceGpuMemory {
    /// It runs: what was found of another start does not count.
    pub(super) fn meet(&mut self, seen: &WorkspaceSeen) {
        let start = WorkspaceStart::of(seen);
        if self.start.as_ref() != Some(&start) {
            let is_same = self.start.as_ref().is_none_or(|before| before.container == start.container);
            let repair = if is_same { std::mem::take(&mut self.repair) } else { WorkspacePace::default() };
            *self = Self { start: Some(start), repair, ..Self::default() };
        }
    }

    /// When it is to be looked at again.
    pub(super) fn due_at(&self, now: BootMillis, needs: &WorkspaceGpuNeeds) -> BootMillis {
        let Some(looked_at) = self.looked_at.filter(|_| self.needs.is_as(needs)) else { return now };
        looked_at.plus(if self.losses == 1 { CONFIRM_MS } else { LOOK_AGAIN_MS })
    }

    /// It is looked at now.
    pub(super) fn look(&mut self, now: BootMillis, needs: &WorkspaceGpuNeeds) {
        (self.looked_at, self.needs) = (Some(now), needs.clone());
    }

    /// What was found of that start.
    pub(super) fn verdict(&self, seen: &WorkspaceSeen) -> Option<&GpuVerdict> {
        self.verdict.as_ref().filter(|_| self.start.as_ref() == Some(&WorkspaceStart::of(seen)))
    }

    /// Two looks, one after the other, have shown it.
    pub(super) const fn is_confirmed(&self) -> bool {
        self.losses >= 2
    }

    /// A look has ended. Returns what is lost, where that is news.
    pub(super) fn found(&mut self, start: &WorkspaceStart, look: &Result<WorkspaceGpuLook, String>) -> Option<String> {
        if self.start.as_ref() != Some(start) {
            return None;
        }
        let short = |why: &str| printable(why, TEXT_MAX_CHARS);
        let verdict = match look {
            Ok(look) => self.needs.judge(look),
            Err(why) => GpuVerdict::Unknown { why: short(why) },
        };
        let lost = match &verdict {
            GpuVerdict::Lost { why } => {
                // One observation that is wrong about the GPUs of the host must not confirm itself.
                let is_new = self.needs.gone.is_empty() || self.lost_in != Some(self.needs.sequence);
                self.losses = self.losses.saturating_add(u32::from(is_new));
                (self.lost_in, self.ok_since) = (Some(self.needs.sequence), None);
                (!std::mem::replace(&mut self.is_reported, true)).then(|| short(why))
            }
            GpuVerdict::Ok => {
                (self.losses, self.lost_in, self.is_reported) = (0, None, false);
                self.stays_well();
                None
            }
            GpuVerdict::Unknown { .. } => {
                (self.losses, self.lost_in, self.ok_since) = (0, None, None);
                None
            }
        };
        self.verdict = Some(verdict);
        lost
    }

    fn stays_well(&mut self) {
        let Some(now) = self.looked_at else { return };
        if now.since(*self.ok_since.get_or_insert(now)) >= WELL_MS {
            self.repair = WorkspacePace::default();
        }
    }

    /// It is stopped, to be started again.
    pub(super) fn begin_repair(&mut self, now: BootMillis) {
        self.is_repairing = true;
        self.repair.fail_at_any_pace(now, "gpu_lost", "it was started again, and its GPUs were lost again");
    }
}
