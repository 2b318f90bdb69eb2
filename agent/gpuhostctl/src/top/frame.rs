//! All that is shown of one look at the host.

use super::containers::Containers;
use model::host_facts::CpuTicks;
use wire::dbus::load::LoadView;
use wire::dbus::snapshot::Snapshot;

/// All that is shown of one look at the host.
#[derive(Debug)]
pub(crate) struct Frame {
    /// What the daemon answered.
    pub(crate) snapshot: Snapshot,
    /// In which containers the processes are.
    pub(crate) containers: Containers,
    /// CPU load since the look before, in per cent of all CPUs.
    pub(crate) cpu_percent: Option<f64>,
}

impl Frame {
    /// A frame; the CPU load is known where there was a look before.
    pub(crate) fn new(containers: Containers, snapshot: Snapshot, before: Option<&Self>) -> Self {
        let ticks = |load: &LoadView| Some(CpuTicks { total: load.cpu_ticks?, idle: load.cpu_idle_ticks? });
        let now = ticks(&snapshot.load);
        let cpu_percent = before.and_then(|before| {
            // Where the daemon has not read the CPU anew the last known load stands.
            now?.used_pct_since(ticks(&before.snapshot.load)?).or(before.cpu_percent)
        });
        Self { snapshot, containers, cpu_percent }
    }
}
