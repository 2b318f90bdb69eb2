//! The objects under the root: they come, change and go with the observation and with the jobs.

use super::Moment;
use super::desired_state::desired_view;
use super::face::Face;
use super::get_all::Gallery;
use super::gpu::GpuMethods;
use super::host::host_view;
use super::job::job_view;
use super::nvidia::NvidiaMethods;
use super::object::{Methods, Object};
use super::shown::Shown;
use super::submit::Submitter;
use super::workspace::WorkspaceMethods;
use super::workspaces::workspaces_view;
use model::nvidia_container::NvidiaRole;
use model::workspace::WorkspaceId;
use model::{IommuGroupId, JobId, PciAddress};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use wire::dbus::desired::DesiredView;
use wire::dbus::gpu::GpuView;
use wire::dbus::group::GroupView;
use wire::dbus::host::HostView;
use wire::dbus::job::JobView;
use wire::dbus::mig::MigView;
use wire::dbus::nvidia::NvidiaContainerView;
use wire::dbus::view::View;
use wire::dbus::workspace::WorkspaceView;
use wire::dbus::workspaces::WorkspacesView;
use wire::dbus::{gpu_path, group_path, job_path, mig_path, nvidia_path, workspace_path};
use zbus::Connection;

/// Where a MIG device is: its GPU, its GPU instance, its compute instance.
type MigPlace = (PciAddress, u32, u32);

/// Where objects are put.
#[derive(Debug)]
pub(super) struct Place {
    /// The connection that serves them.
    pub(super) connection: Connection,
    /// Where their `GetAll` is answered.
    pub(super) gallery: Arc<Gallery>,
}

impl Place {
    async fn put<V: View>(&self, path: &str, object: Object<V>) -> zbus::Result<()> {
        let face = object.face.clone();
        self.connection.object_server().at(path, object).await?;
        self.gallery.put(path, face);
        Ok(())
    }

    async fn remove<V: View>(&self, path: &str) -> zbus::Result<()> {
        self.gallery.remove::<V>(path);
        self.connection.object_server().remove::<Object<V>, _>(path).await?;
        Ok(())
    }
}

/// What the root object shows.
#[derive(Debug)]
pub(super) struct Root {
    /// The host and its check-in.
    pub(super) host: Shown<HostView>,
    /// The desired state.
    pub(super) desired: Shown<DesiredView>,
    /// All workspaces together.
    pub(super) workspaces: Shown<WorkspacesView>,
}

/// Everything that is on the bus.
#[derive(Debug)]
pub(super) struct Tree {
    place: Place,
    root: Root,
    gpus: BTreeMap<PciAddress, Shown<GpuView>>,
    migs: BTreeMap<MigPlace, Shown<MigView>>,
    groups: BTreeMap<IommuGroupId, Shown<GroupView>>,
    nvidia: BTreeMap<NvidiaRole, Shown<NvidiaContainerView>>,
    workspaces: BTreeMap<WorkspaceId, Shown<WorkspaceView>>,
    jobs: BTreeMap<JobId, Shown<JobView>>,
    published: watch::Sender<Option<JobId>>,
    submitter: Submitter,
}

impl Tree {
    /// A tree with the root object alone, which is on the bus already. `published` carries the number of the newest job whose
    /// object is there; through `submitter` the objects reach the core.
    pub(super) fn new(
        place: Place,
        root: Root,
        (published, submitter): (watch::Sender<Option<JobId>>, Submitter),
    ) -> Self {
        let (gpus, migs) = (BTreeMap::new(), BTreeMap::new());
        let (groups, nvidia, jobs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let workspaces = BTreeMap::new();
        Self { place, root, gpus, migs, groups, nvidia, workspaces, jobs, published, submitter }
    }

    /// Brings the tree to what was so at one instant.
    pub(super) async fn show(&mut self, now: &Moment) -> zbus::Result<()> {
        let at = &self.place;
        let groups = now.seen.groups.iter().map(|group| (group.id, GroupView::from(group))).collect();
        bring(at, &mut self.groups, groups, |id| group_path(*id), no_methods).await?;
        let gpus: BTreeMap<_, _> = now.seen.gpus.iter().map(|gpu| (gpu.pci.address, GpuView::from(gpu))).collect();
        let migs = gpus.iter().flat_map(|(at, gpu)| gpu.mig_devices.iter().map(|mig| (place(*at, mig), mig.clone())));
        bring(at, &mut self.migs, migs.collect(), |(gpu, gi, ci)| mig_path(*gpu, *gi, *ci), no_methods).await?;
        let methods = |face: &Face<GpuView>| -> Methods {
            Some(Box::new(GpuMethods { face: face.clone(), submitter: self.submitter.clone() }))
        };
        bring(at, &mut self.gpus, gpus, |at| gpu_path(*at), methods).await?;
        let nvidia =
            NvidiaRole::ALL.iter().map(|role| (*role, NvidiaContainerView::from(now.nvidia.of(*role)))).collect();
        let methods = |role| -> Methods { Some(Box::new(NvidiaMethods { role, submitter: self.submitter.clone() })) };
        bring_with(at, &mut self.nvidia, nvidia, |role| nvidia_path(*role), |role, _| methods(*role)).await?;
        let workspaces =
            now.workspaces.workspaces.iter().map(|one| (one.id.clone(), WorkspaceView::from(one))).collect();
        let methods = |id: &WorkspaceId, _: &Face<WorkspaceView>| -> Methods {
            Some(Box::new(WorkspaceMethods { id: id.clone(), submitter: self.submitter.clone() }))
        };
        bring_with(at, &mut self.workspaces, workspaces, workspace_path, methods).await?;
        let jobs = now.jobs.iter().map(|job| (job.id, job_view(job))).collect();
        bring(at, &mut self.jobs, jobs, |id| job_path(*id), no_methods).await?;
        self.root.desired.update(&at.connection, desired_view(now)).await?;
        self.root.workspaces.update(&at.connection, workspaces_view(now)).await?;
        self.root.host.update(&at.connection, host_view(now)).await?;
        let newest = now.jobs.iter().map(|job| job.id).max();
        self.published.send_if_modified(|last| {
            let later = newest > *last;
            *last = (*last).max(newest);
            later
        });
        Ok(())
    }
}

fn place(gpu: PciAddress, mig: &MigView) -> MigPlace {
    (gpu, mig.gpu_instance, mig.compute_instance)
}

fn no_methods<V>(_: &Face<V>) -> Methods {
    None
}

/// Removes what is gone, adds what is new, and updates the rest.
async fn bring<K: Ord + Clone, V: View>(
    at: &Place,
    shown: &mut BTreeMap<K, Shown<V>>,
    wanted: BTreeMap<K, V>,
    path_of: impl Fn(&K) -> String,
    methods: impl Fn(&Face<V>) -> Methods,
) -> zbus::Result<()> {
    bring_with(at, shown, wanted, path_of, |_, face| methods(face)).await
}

/// The same, where the methods depend on the key.
async fn bring_with<K: Ord + Clone, V: View>(
    at: &Place,
    shown: &mut BTreeMap<K, Shown<V>>,
    wanted: BTreeMap<K, V>,
    path_of: impl Fn(&K) -> String,
    methods: impl Fn(&K, &Face<V>) -> Methods,
) -> zbus::Result<()> {
    let gone: Vec<K> = shown.keys().filter(|key| !wanted.contains_key(key)).cloned().collect();
    for key in gone {
        if let Some(old) = shown.remove(&key) {
            at.remove::<V>(old.path()).await?;
        }
    }
    for (key, view) in wanted {
        match shown.get_mut(&key) {
            Some(known) => known.update(&at.connection, view).await?,
            None => {
                let (new, face) = Shown::new(path_of(&key), view);
                let object = Object { methods: methods(&key, &face), face };
                at.put(new.path(), object).await?;
                shown.insert(key, new);
            }
        }
    }
    Ok(())
}
