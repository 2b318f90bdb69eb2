//! `workspaces`, `allocated` and `available` of a heartbeat.

use crate::manager::form::{cut, rfc3339};
use model::desired::Effective;
use model::observation::HostObservation;
use model::policy::Requester;
use model::workspace::WorkspaceKind;
use model::workspace_life::{WorkspaceAllocation, WorkspaceState, WorkspaceStatus, WorkspacesState};
use serde::Serialize;

/// The workspaces of a heartbeat take no more bytes than this.
const WORKSPACES_MAX_BYTES: usize = 100_000;

/// Why a workspace is not as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkspaceReasonDoc {
    /// Stable code.
    pub code: String,
    /// For people.
    pub message: String,
}

/// `Workspace`: how far one is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkspaceDoc {
    /// Its id.
    pub workspace_id: String,
    /// Its container; null where it has none.
    pub container_id: Option<String>,
    /// What it is for.
    pub kind: WorkspaceKind,
    /// What it is.
    pub state: WorkspaceState,
    /// Why it is not as it is wanted, or what it will fail of although it runs; null where it is well.
    pub reason: Option<WorkspaceReasonDoc>,
    /// Its cores.
    pub cores: f64,
    /// Its memory, in bytes.
    pub memory: u64,
    /// GPUs and MIG devices that it shares.
    pub gpus: Vec<String>,
    /// GPUs that it was given whole, by PCI address.
    pub vfio: Vec<String>,
    /// Percent of one core, over the time since the sample before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_pct: Option<f64>,
    /// Memory in use, in bytes, without what the kernel takes back at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_used: Option<u64>,
    /// Bytes read from disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_read: Option<u64>,
    /// Bytes written to disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_write: Option<u64>,
    /// Bytes received over its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_rx: Option<u64>,
    /// Bytes sent over its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_tx: Option<u64>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// Its GPUs are there and can be opened; null where that is not known, or it has none.
    pub gpu_ok: Option<bool>,
    /// When it was last started, RFC 3339.
    pub started_at: Option<String>,
    /// The revision of the manager that it was decided for; left out for a workspace of this host itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_revision: Option<u64>,
}

/// What of this host is given to workspaces, or is left for them. What is not known is left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ShareDoc {
    /// Cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<f64>,
    /// Memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Shares of CUDA GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_gpus: Option<u64>,
}

/// All workspaces; `None` before Docker was asked, for a list without one would report that it is gone, and where they do not fit.
pub(crate) fn workspaces(state: &WorkspacesState) -> Option<Vec<WorkspaceDoc>> {
    let revision = state.document.as_ref().map(|id| u64::from(id.revision));
    let mut docs: Vec<_> = state.workspaces.iter().map(|one| workspace(one, revision)).collect();
    let fits = |docs: &[WorkspaceDoc]| {
        let bytes = docs.iter().map(|doc| serde_json::to_vec(doc).map_or(0, |bytes| bytes.len().saturating_add(1)));
        bytes.sum::<usize>() <= WORKSPACES_MAX_BYTES
    };
    for most in [1024, 256, 64, 0] {
        if fits(&docs) {
            break;
        }
        docs.iter_mut().filter_map(|doc| doc.reason.as_mut()).for_each(|reason| cut(&mut reason.message, most));
    }
    (state.is_looked && fits(&docs)).then_some(docs)
}

fn workspace(status: &WorkspaceStatus, revision: Option<u64>) -> WorkspaceDoc {
    let stale = status.stale_driver.as_ref().map(|stale| stale.reason(&status.id));
    let reason = status.reason.as_ref().or(stale.as_ref());
    let used = status.figures.clone().unwrap_or_default();
    WorkspaceDoc {
        workspace_id: status.id.to_string(),
        container_id: status.container.as_ref().map(|id| id.as_str().to_owned()),
        kind: status.kind,
        state: status.state,
        reason: reason.map(|it| WorkspaceReasonDoc { code: it.code.clone(), message: it.message.clone() }),
        cores: cores(status.nano_cpus.div_ceil(1_000_000)),
        memory: status.memory_bytes,
        gpus: status.gpus.clone(),
        vfio: status.vfio.clone(),
        cpu_pct: used.cpu_hundredths.map(percent),
        mem_used: used.cgroup.memory_bytes,
        io_read: used.cgroup.read_bytes,
        io_write: used.cgroup.write_bytes,
        net_rx: used.network.map(|network| network.received_bytes),
        net_tx: used.network.map(|network| network.sent_bytes),
        pids: used.cgroup.pids,
        gpu_ok: status.gpu_ok,
        started_at: status.started_at.and_then(rfc3339),
        observed_revision: revision.filter(|_| status.requester == Requester::Manager),
    }
}

/// What workspaces that run have, and what is left of what is offered. `None` before Docker was asked.
pub(crate) fn shares(
    state: &WorkspacesState,
    offered: &Effective,
    seen: &HostObservation,
) -> Option<(ShareDoc, ShareDoc)> {
    if !state.is_looked {
        return None;
    }
    let given = state.allocation();
    let WorkspaceAllocation { memory_bytes, cuda_gpus, .. } = given;
    let millicores = given.millicores();
    let has = |offered: Option<u64>, physical: Option<u64>| offered.filter(|it| *it > 0).or(physical);
    let all_millicores = has(offered.millicores, seen.host.cores.get().map(|cores| u64::from(cores) * 1000));
    let all_memory = has(offered.memory_bytes, seen.host.mem_total_bytes.get());
    let all_gpus = has(offered.cuda_gpus.map(u64::from), u64::try_from(seen.cuda_gpu_count()).ok());
    let left = |all: Option<u64>, given: u64| all.map(|all| all.saturating_sub(given));
    let allocated = ShareDoc { cores: Some(cores(millicores)), memory: Some(memory_bytes), cuda_gpus: Some(cuda_gpus) };
    let available = ShareDoc {
        cores: left(all_millicores, millicores).map(cores),
        memory: left(all_memory, memory_bytes),
        cuda_gpus: left(all_gpus, cuda_gpus),
    };
    Some((allocated, available))
}

/// Cores, from thousandths.
fn cores(millicores: u64) -> f64 {
    f64::from(u32::try_from(millicores).unwrap_or(u32::MAX)) / 1000.0
}

/// Percent, from hundredths of it.
pub(crate) fn percent(hundredths: u64) -> f64 {
    f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0
}
