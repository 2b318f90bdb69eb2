//! What the object of a workspace shows. Nothing of its environment is here: it may be a secret.

use super::absent::Absent;
use super::host::millis;
use super::view::view;
use super::workspace_path;
use crate::manager::workspace_docs::percent;
use model::absence::Absence;
use model::workspace::source_code;
use model::workspace_life::WorkspaceStatus;

view! {
    /// All properties of `org.gpuhost.Agent1.Workspace`.
    pub struct WorkspaceView at WORKSPACE_INTERFACE {
        /// Object path.
        #[dbus(document)]
        path: String,
        /// Its id.
        #[dbus(constant)]
        workspace_id: String,
        /// user, staged (not yet given to a user) or vdi.
        kind: String,
        /// pending, pulling, creating, starting, running, pausing, paused, stopping, stopped, deleting, deleted or failed. Treat an
        /// unknown one as pending.
        state: String,
        /// Since when it has this state, in milliseconds since 1970-01-01 UTC. May have no value.
        since: Option<u64>,
        /// What is wanted: running, paused, stopped or deleted. Has no value if no document and no file lists it any more: then it is
        /// orphaned, stopped and kept.
        desired: Option<String>,
        /// Why it is not as it is wanted: a stable code. Has no value if it is.
        reason_code: Option<String>,
        /// The same in words, with numbers and what to do. Has no value if it is as it is wanted.
        reason: Option<String>,
        /// When it is tried again, in milliseconds since 1970-01-01 UTC. Has no value unless it failed, or if it is not tried again
        /// before something changes or Retry is called.
        retry_at: Option<u64>,
        /// Whose wish it is: manager, or local (this host).
        source: String,
        /// Its container, 64 hexadecimal digits. Has no value if there is none.
        container: Option<String>,
        /// Its image, with its digest. May have no value.
        image: Option<String>,
        /// GPUs and MIG devices that it shares: UUIDs, PCI addresses for GPUs without one.
        gpus: Vec<String>,
        /// PCI addresses of the GPUs that were given to it whole (VFIO).
        vfio: Vec<String>,
        /// True if its GPUs are there inside and can be opened, false if they are lost. Has no value if that is not known, or if it
        /// has none.
        gpu_ok: Option<bool>,
        /// The driver whose libraries it keeps since its start, while another one is loaded: what begins to use a GPU in it fails. Stop it
        /// and start it. Has no value if it does not, or if that is not known.
        stale_driver: Option<String>,
        /// The driver that is loaded. Has no value unless StaleDriver has one.
        loaded_driver: Option<String>,
        /// Its cores.
        cores: f64,
        /// Its memory, in bytes.
        memory_bytes: u64,
        /// Processor time over the last 30 s, in percent of one core; not announced. May have no value.
        #[dbus(silent)]
        cpu_percent: Option<f64>,
        /// Memory in use, in bytes, without caches that the kernel takes back at once; not announced. May have no value.
        #[dbus(silent)]
        memory_used_bytes: Option<u64>,
        /// Bytes read from disks since it was started; not announced. May have no value.
        #[dbus(silent)]
        io_read_bytes: Option<u64>,
        /// Bytes written to disks since it was started; not announced. May have no value.
        #[dbus(silent)]
        io_write_bytes: Option<u64>,
        /// Bytes received over its network since it was started; not announced. May have no value.
        #[dbus(silent)]
        net_received_bytes: Option<u64>,
        /// Bytes sent over its network since it was started; not announced. May have no value.
        #[dbus(silent)]
        net_sent_bytes: Option<u64>,
        /// Memory that its processes have on the GPUs that it shares, in bytes; not announced. May have no value.
        #[dbus(silent)]
        gpu_memory_used_bytes: Option<u64>,
        /// Processes and threads; not announced. May have no value.
        #[dbus(silent)]
        pids: Option<u64>,
        /// The generation of its specification that is wanted, or that its container is of.
        generation: u64,
        /// Its first process on the host. Has no value unless it runs.
        pid: Option<u32>,
        /// When it was last started, in milliseconds since 1970-01-01 UTC. Has no value if it never was.
        started_at: Option<u64>,
        /// Bytes of its image that have been pulled; not announced. Has no value unless it is being pulled.
        #[dbus(silent)]
        pull_done_bytes: Option<u64>,
        /// Bytes of its image, as far as they are known; not announced. Has no value unless it is being pulled.
        #[dbus(silent)]
        pull_total_bytes: Option<u64>,
        /// Properties that have no value now, with the reason.
        absent: Absent,
    }
}

/// Cores, from billionths; exact up to the thousandth.
pub(super) fn cores(nano_cpus: u64) -> f64 {
    f64::from(u32::try_from(nano_cpus.div_ceil(1_000_000)).unwrap_or(u32::MAX)) / 1000.0
}

impl From<&WorkspaceStatus> for WorkspaceView {
    fn from(status: &WorkspaceStatus) -> Self {
        let mut absent = Absent::default();
        let reason = status.reason.as_ref();
        let mut text = |name: &str, value: Option<String>| absent.option(name, value, &Absence::None);
        let desired = text("Desired", status.desired.map(|desired| desired.code().to_owned()));
        let reason_code = text("ReasonCode", reason.map(|reason| reason.code.clone()));
        let reason = text("Reason", reason.map(|reason| reason.message.clone()));
        let container = text("Container", status.container.as_ref().map(|id| id.as_str().to_owned()));
        let stale = status.stale_driver.as_ref();
        let stale_driver = text("StaleDriver", stale.map(|stale| stale.has.clone()));
        let loaded_driver = text("LoadedDriver", stale.map(|stale| stale.loaded.clone()));
        let image = text("Image", status.image.clone());
        let mut number = |name: &str, value: Option<u64>| absent.option(name, value, &Absence::None);
        let since = number("Since", millis(status.since));
        let retry_at = number("RetryAt", status.retry_at.and_then(millis));
        let started_at = number("StartedAt", status.started_at.and_then(millis));
        let pull_done_bytes = number("PullDoneBytes", status.pull_progress.map(|(done, _)| done));
        let pull_total_bytes = number("PullTotalBytes", status.pull_progress.map(|(_, total)| total));
        let why_used = if status.is_live() { Absence::NotProbed } else { Absence::None };
        let used = status.figures.clone().unwrap_or_default();
        let mut used_number = |name: &str, value: Option<u64>| absent.option(name, value, &why_used);
        let memory_used_bytes = used_number("MemoryUsedBytes", used.cgroup.memory_bytes);
        let io_read_bytes = used_number("IoReadBytes", used.cgroup.read_bytes);
        let io_write_bytes = used_number("IoWriteBytes", used.cgroup.write_bytes);
        let net_received_bytes = used_number("NetReceivedBytes", used.network.map(|network| network.received_bytes));
        let net_sent_bytes = used_number("NetSentBytes", used.network.map(|network| network.sent_bytes));
        let pids = used_number("Pids", used.cgroup.pids);
        let cpu_percent = absent.option("CpuPercent", used.cpu_hundredths.map(percent), &why_used);
        let gpu_memory_used_bytes = match &status.figures {
            Some(figures) => absent.value("GpuMemoryUsedBytes", figures.gpu_memory_bytes.clone()),
            None => absent.option("GpuMemoryUsedBytes", None, &why_used),
        };
        let why_gpu = match &status.gpu_unknown {
            Some(why) => Absence::Unreadable(why.clone()),
            None if status.gpus.is_empty() && status.vfio.is_empty() => Absence::None,
            None => Absence::NotProbed,
        };
        Self {
            path: workspace_path(&status.id),
            workspace_id: status.id.to_string(),
            kind: status.kind.code().to_owned(),
            state: status.state.code().to_owned(),
            since,
            desired,
            reason_code,
            reason,
            retry_at,
            source: source_code(status.requester).to_owned(),
            container,
            image,
            gpus: status.gpus.clone(),
            vfio: status.vfio.clone(),
            gpu_ok: absent.option("GpuOk", status.gpu_ok, &why_gpu),
            stale_driver,
            loaded_driver,
            cores: cores(status.nano_cpus),
            memory_bytes: status.memory_bytes,
            cpu_percent,
            memory_used_bytes,
            io_read_bytes,
            io_write_bytes,
            net_received_bytes,
            net_sent_bytes,
            gpu_memory_used_bytes,
            pids,
            generation: status.generation,
            pid: absent.option("Pid", status.pid, &Absence::None),
            started_at,
            pull_done_bytes,
            pull_total_bytes,
            absent,
        }
    }
}
