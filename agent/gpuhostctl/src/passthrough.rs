//! `passthrough check|bind|release|confirm`: what would be done and what prevents it, and the change itself as a job.

use crate::args::Passthrough;
use crate::change_flags::Change;
use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::manage::{finish, finish_as, job_view, options};
use crate::show::{gpu, iommu};
use crate::text::{Look, clean, paint, print};
use crate::verdict;
use wire::dbus::gpu::GpuView;
use wire::dbus::group::GroupView;
use wire::dbus::job::JobView;
use wire::dbus::proxy::{GpuProxy, Options};
use wire::dbus::snapshot::Snapshot;
use zbus::OwnedObjectPath;

/// What a method is called with.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    dry_run: bool,
    confirm_within: Option<u64>,
    guest_memory_mib: Option<u64>,
}

impl Wanted {
    fn options<'a>(self, how: Change) -> Options<'a> {
        let mut options = options(how);
        if self.dry_run {
            options.insert("dry-run", true.into());
        }
        if let Some(seconds) = self.confirm_within {
            options.insert("confirm-within", seconds.into());
        }
        if let Some(mib) = self.guest_memory_mib {
            options.insert("guest-memory-mib", mib.into());
        }
        options
    }
}

/// A GPU of the daemon.
struct Target {
    daemon: Daemon,
    snapshot: Snapshot,
    gpu: GpuView,
    proxy: GpuProxy<'static>,
}

impl Target {
    async fn find(bus: Option<String>, name: &str) -> Result<Self, Failure> {
        let daemon = Daemon::connect(bus).await?;
        let snapshot = daemon.snapshot().await?;
        let gpu = gpu::find(&snapshot, name)?.clone();
        let proxy = daemon.gpu(&gpu.path).await?;
        Ok(Self { daemon, snapshot, gpu, proxy })
    }

    fn group(&self) -> Option<&GroupView> {
        let holds = |group: &&GroupView| group.members.iter().any(|member| member.address == self.gpu.address);
        self.snapshot.iommu_groups.iter().find(holds)
    }

    async fn bind(&self, wanted: Wanted, how: Change) -> Result<OwnedObjectPath, Failure> {
        self.daemon.answer(CHANGE_DEADLINE, self.proxy.bind_passthrough(wanted.options(how))).await
    }

    async fn release(&self, wanted: Wanted, how: Change) -> Result<OwnedObjectPath, Failure> {
        self.daemon.answer(CHANGE_DEADLINE, self.proxy.release_passthrough(wanted.options(how))).await
    }

    /// Waits for a job that only plans, and prints what it found.
    async fn verdict(&self, job: &OwnedObjectPath, json: bool, possible: &str) -> Result<(), Failure> {
        verdict::print_when_planned(&self.daemon, job, json, self.head(), possible).await
    }

    /// Waits for the end of a change, and prints what is worth knowing of it where it was made.
    async fn finish(&self, job: &OwnedObjectPath, how: Change, json: bool, done: &str) -> Result<(), Failure> {
        finish(&self.daemon, job, how, json, done).await?;
        self.note(job, how, json).await
    }

    /// Prints what is worth knowing of a change that was made.
    async fn note(&self, job: &OwnedObjectPath, how: Change, json: bool) -> Result<(), Failure> {
        if json || how.no_wait { Ok(()) } else { print(&verdict::notes(&job_view(&self.daemon, job).await?)) }
    }

    fn head(&self) -> Vec<String> {
        let title = self.gpu.name.as_deref().unwrap_or(&self.gpu.pci_id);
        let mut lines = vec![paint(&format!("{}  {}", self.gpu.address, clean(title)), Look::Bold)];
        lines.extend(self.group().map(iommu::group).unwrap_or_default());
        lines.push(String::new());
        lines
    }
}

/// Runs one of them.
pub(crate) async fn run(bus: Option<String>, what: Passthrough, json: bool) -> Result<(), Failure> {
    match what {
        Passthrough::Check { gpu, guest_memory_mib, no_ask } => {
            let target = Target::find(bus, &gpu).await?;
            let wanted = Wanted { dry_run: true, guest_memory_mib, ..Wanted::default() };
            let job = target.bind(wanted, Change { no_wait: false, no_ask }).await?;
            target.verdict(&job, json, "It can be given to a virtual machine. This would be done:").await
        }
        Passthrough::Bind { gpu, dry_run, confirm_within, guest_memory_mib, how } => {
            let target = Target::find(bus, &gpu).await?;
            let job = target.bind(Wanted { dry_run, confirm_within, guest_memory_mib }, how).await?;
            if dry_run && !how.no_wait {
                return target.verdict(&job, json, "This would be done:").await;
            }
            let mut done = format!("{} is bound to vfio-pci: a virtual machine can use it.", target.gpu.address);
            if let Some(seconds) = confirm_within {
                let confirm = format!("gpuhostctl passthrough confirm {}", target.gpu.address);
                done = format!("{done}\nIt is taken back in {seconds} s unless you confirm it: {confirm}");
            }
            target.finish(&job, how, json, &done).await
        }
        Passthrough::Release { gpu, dry_run, how } => {
            let target = Target::find(bus, &gpu).await?;
            let job = target.release(Wanted { dry_run, ..Wanted::default() }, how).await?;
            if dry_run && !how.no_wait {
                return target.verdict(&job, json, "This would be done:").await;
            }
            let address = target.gpu.address.clone();
            let done = |job: &JobView| match job.plan.as_slice() {
                [] => format!("{address} already belongs to the host; nothing to do."),
                _ => format!("{address} belongs to the host again."),
            };
            finish_as(&target.daemon, &job, how, json, done).await?;
            target.note(&job, how, json).await
        }
        Passthrough::Confirm { gpu, how } => {
            let target = Target::find(bus, &gpu).await?;
            let call = target.proxy.confirm_passthrough(options(how));
            let job = target.daemon.answer(CHANGE_DEADLINE, call).await?;
            let done = format!("{} is confirmed: it stays available to virtual machines.", target.gpu.address);
            finish(&target.daemon, &job, how, json, &done).await
        }
    }
}
