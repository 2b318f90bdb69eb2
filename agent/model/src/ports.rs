//! The ports: what the core asks of a host. The adapters are the Linux host, the hands and the simulated host.

use crate::absence::Reading;
use crate::docker::DockerFacts;
use crate::docker_config::DockerConfigLook;
use crate::driver::{DriverReport, DriverSource, ProbeError};
use crate::health::kernel_log::KernelLogUnavailable;
use crate::holders::Holders;
use crate::host_facts::{DiskUsage, HostFacts};
use crate::ids::ContainerId;
use crate::image_ref::{ImageDigest, ImageRef};
use crate::nvidia_container::{NvidiaAct, NvidiaActAnswer, NvidiaHostAsked, NvidiaHostSeen, NvidiaLook, NvidiaRole};
use crate::os_cause::{CauseSite, OsCause};
use crate::pci::PciScan;
use crate::plan::{Look, PlanStep, Target};
use crate::registry_login::RegistryLoginsSeen;
use crate::time::{BootMillis, UnixMillis};
use crate::workspace_life::{
    CgroupFigures, ContainerUse, ContainerUseAsked, StoredImage, WorkspaceDeed, WorkspaceGpuLook, WorkspaceGpuProbe,
    WorkspaceHostSide, WorkspaceLook,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;

/// A host as seen by an observer that never changes it. No call blocks the caller's thread, and each has its deadline inside.
pub trait HostPort: Send + Sync + 'static {
    /// Scans the PCI bus and the IOMMU groups.
    ///
    /// # Errors
    /// Only where the list itself cannot be read (no `/sys/bus/pci`); one bad function costs itself.
    fn scan_pci(&self) -> impl Future<Output = Result<PciScan, ScanError>> + Send;

    /// Reads the host around the GPUs; `docker_root` is the folder whose file system is measured (`/` where unknown).
    fn read_host(&self, docker_root: Option<String>) -> impl Future<Output = HostFacts> + Send;

    /// Asks one source of driver facts, in a disposable process with a deadline.
    ///
    /// # Errors
    /// Whatever kept the source from answering.
    fn probe_driver(&self, source: DriverSource) -> impl Future<Output = Result<DriverReport, ProbeError>> + Send;

    /// Asks Docker for its facts.
    ///
    /// # Errors
    /// Docker is absent, does not answer in time, or the container hand is unreachable.
    fn read_docker(&self) -> impl Future<Output = Result<DockerFacts, ProbeError>> + Send;
}

/// The PCI bus could not be listed at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("cannot list PCI functions in {path}: {}", cause.with_remedy(CauseSite::Sysfs))]
pub struct ScanError {
    /// The folder.
    pub path: String,
    /// What the host answered.
    #[serde(flatten)]
    pub cause: OsCause,
}

/// Something changed on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostChange {
    /// A PCI function came, went, was bound or unbound, or a DRM node changed.
    Devices,
}

/// Where changes are announced (udev).
pub trait ChangePort: Send + 'static {
    /// Waits for the next change. Where changes cannot be announced at all it never resolves.
    fn next_change(&mut self) -> impl Future<Output = HostChange> + Send;
}

/// Where the kernel log is read (`/dev/kmsg`).
pub trait KernelLogPort: Send + 'static {
    /// Waits for further lines and gives all that have come. It starts with the oldest that the kernel still has.
    ///
    /// # Errors
    /// The log cannot be read (any more); it is not to be asked again.
    fn next_lines(&mut self) -> impl Future<Output = Result<Vec<String>, KernelLogUnavailable>> + Send;
}

/// The clock. All timers run on CLOCK_BOOTTIME; the wall clock is for printing and for skew only.
pub trait Clock: Send + Sync + 'static {
    /// Now, on CLOCK_BOOTTIME.
    fn boot_now(&self) -> BootMillis;

    /// Now, on the wall clock.
    fn wall_now(&self) -> UnixMillis;

    /// Waits until the instant; returns at once where it has passed.
    fn sleep_until(&self, when: BootMillis) -> impl Future<Output = ()> + Send;
}

/// What the core's jobs need beside the host: the check-in with a manager, and what is written down on this host.
pub trait ManagerPort: Send + Sync + 'static {
    /// Enrols, keeps the credential, and starts to check in. Nothing is kept where it fails.
    ///
    /// # Errors
    /// What the manager or the network reported, with what to do.
    fn enrol(&self, spec: crate::enrol::EnrolSpec) -> impl Future<Output = Result<(), crate::refusal::Refusal>> + Send;

    /// Notifies the manager that the host leaves, as far as it answers, and wipes the credential.
    ///
    /// # Errors
    /// The credential could not be wiped.
    fn leave(&self) -> impl Future<Output = Result<crate::enrol::Farewell, crate::refusal::Refusal>> + Send;

    /// Changes the enrolment as an administrator asks for; it is on disk when it returns.
    ///
    /// # Errors
    /// There is no enrolment that could be changed so, the manager in use would be lost, or it could not be written.
    fn edit_enrolment(
        &self,
        edit: crate::enrol::EnrolmentEdit,
    ) -> impl Future<Output = Result<(), crate::refusal::Refusal>> + Send;

    /// Freezes every change that a manager asks for, or lifts that; it is on disk when it returns.
    ///
    /// # Errors
    /// It could not be written down: then it is as it was.
    fn lock(&self, locked: bool) -> impl Future<Output = Result<(), crate::refusal::Refusal>> + Send;

    /// Sets settings over those of the files, all or none; they are on disk and in force when it returns.
    ///
    /// # Errors
    /// They could not be written down: then everything is as it was.
    fn configure(
        &self,
        settings: Vec<crate::settings::HostSetting>,
    ) -> impl Future<Output = Result<(), crate::refusal::Refusal>> + Send;

    /// Forgets the GPU that is gone from this address, because somebody knows; it is on disk when it returns.
    ///
    /// # Errors
    /// None is gone from there, or it could not be written down: then it is as it was.
    fn acknowledge_gone(
        &self,
        gpu: crate::PciAddress,
    ) -> impl Future<Output = Result<(), crate::refusal::Refusal>> + Send;

    /// Has the documents of an epoch that was left judged again as if it had never been left; it is on disk when it returns.
    ///
    /// # Errors
    /// The epoch was not left, or it could not be written down: then it is as it was.
    fn accept_epoch(
        &self,
        epoch: crate::desired::Epoch,
    ) -> impl Future<Output = Result<(), crate::refusal::Refusal>> + Send;
}

/// The part of a host that changes things, one step at a time, and that looks closely at what it changes. Every call has its
/// deadline inside; none decides anything.
pub trait ActPort: Send + Sync + 'static {
    /// Looks at a target afresh. What has gone is left out.
    ///
    /// # Errors
    /// Nothing could be read.
    fn look(&self, target: &Target) -> impl Future<Output = Result<Look, ActError>> + Send;

    /// Looks for everybody who uses a target: the device files of its functions, their driver's, and `/dev/vfio/GROUP`.
    ///
    /// # Errors
    /// Nobody could be looked into.
    fn holders(&self, target: &Target) -> impl Future<Output = Result<Holders, ActError>> + Send;

    /// Takes one step. That it returns without an error does not mean that it had an effect.
    ///
    /// # Errors
    /// What the host answered; [`ActError::Hung`] where the kernel holds the writer and it was given up.
    fn act(&self, target: &Target, step: &PlanStep) -> impl Future<Output = Result<(), ActError>> + Send;
}

/// A step or a look that did not work. It may have had its effect all the same.
#[derive(Debug, Clone, Hash, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActError {
    /// The host refused.
    #[error("{attempted}: {}", cause.with_remedy(CauseSite::Sysfs))]
    Refused {
        /// What was tried, on which path.
        attempted: String,
        /// What the host answered.
        #[serde(flatten)]
        cause: OsCause,
    },
    /// The kernel did not return, and the process that called it was given up. It may yet have its effect.
    #[error("{attempted}: no response from the kernel within {after_ms} ms")]
    Hung {
        /// What was tried, on which path.
        attempted: String,
        /// For how long it was waited for.
        after_ms: u64,
    },
    /// The hand that does it cannot be reached, or refuses it. Whether it was done is not known.
    #[error("{what} cannot be queried: {cause}")]
    Unreachable {
        /// Which hand.
        what: String,
        /// Why.
        #[serde(flatten)]
        cause: OsCause,
    },
}

/// The part of a host that NVIDIA's driver and toolkit containers are looked at and changed through. Every call has its deadline
/// inside; none decides anything.
pub trait NvidiaPort: Send + Sync + 'static {
    /// Looks at the containers of a role, and at an image.
    ///
    /// # Errors
    /// Docker, or the hand that asks it, does not answer; for people.
    fn look_at_containers(
        &self,
        role: NvidiaRole,
        image: Option<ImageRef>,
    ) -> impl Future<Output = Result<NvidiaLook, String>> + Send;

    /// What Docker reports about itself, asked afresh.
    ///
    /// # Errors
    /// It does not answer; for people.
    fn ask_docker(&self) -> impl Future<Output = Result<DockerFacts, String>> + Send;

    /// Looks at the configuration file of the Docker of this version.
    ///
    /// # Errors
    /// It cannot be looked at; for people.
    fn look_at_docker_config(
        &self,
        version: Option<String>,
    ) -> impl Future<Output = Result<DockerConfigLook, String>> + Send;

    /// Looks at the host around the containers.
    fn look_at_nvidia_host(&self, asked: NvidiaHostAsked) -> impl Future<Output = NvidiaHostSeen> + Send;

    /// Which driver's libraries these processes have mounted.
    ///
    /// # Errors
    /// They cannot be looked at; for people.
    fn driver_libraries(
        &self,
        pids: Vec<u32>,
    ) -> impl Future<Output = Result<Vec<crate::driver_libraries::DriverLibraries>, String>> + Send;

    /// Does one thing. That it returns without an error does not mean that it had an effect.
    ///
    /// # Errors
    /// What the host answered; for people.
    fn act_on_nvidia(
        &self,
        act: &NvidiaAct,
        docker_version: Option<String>,
    ) -> impl Future<Output = Result<NvidiaActAnswer, String>> + Send;

    /// The last lines of a container, oldest first, printable and without secrets.
    ///
    /// # Errors
    /// They cannot be had; for people.
    fn read_container_log(
        &self,
        role: NvidiaRole,
        id: &crate::ids::ContainerId,
    ) -> impl Future<Output = Result<Vec<String>, String>> + Send;
}

/// The part of a host that workspaces are looked at and changed through. Every call has its deadline inside; none decides anything.
pub trait WorkspacePort: Send + Sync + 'static {
    /// Looks at the containers of all workspaces, and at images.
    ///
    /// # Errors
    /// Docker, or the hand that asks it, does not answer; for people.
    fn look_at_workspaces(&self, images: Vec<ImageRef>) -> impl Future<Output = Result<WorkspaceLook, String>> + Send;

    /// Does one thing. That it returns without an error does not mean that it had an effect.
    ///
    /// # Errors
    /// What the host answered; for people.
    fn act_on_workspace(&self, deed: &WorkspaceDeed) -> impl Future<Output = Result<(), String>> + Send;

    /// Waits until Docker reports that something of our containers or its images changed after `since`, at most a minute.
    ///
    /// # Errors
    /// Docker cannot be asked; for people.
    fn await_workspace_event(&self, since: UnixMillis) -> impl Future<Output = Result<(), String>> + Send;

    /// What the control groups of these containers show. One that cannot be read is missing, and costs nothing else.
    fn read_figures(
        &self,
        containers: Vec<ContainerId>,
    ) -> impl Future<Output = BTreeMap<ContainerId, CgroupFigures>> + Send;

    /// Reads the network counters of containers, and in which of them processes are. What cannot be read is missing.
    ///
    /// # Errors
    /// The hand that reads it does not answer; for people.
    fn read_container_use(&self, asked: ContainerUseAsked)
    -> impl Future<Output = Result<ContainerUse, String>> + Send;

    /// Reads what the planner needs beside an observation. What cannot be read is missing.
    fn read_host_side(&self) -> impl Future<Output = WorkspaceHostSide> + Send;

    /// Looks whether a container that runs has the device files that its GPUs need, and whether its control group lets it open them. No
    /// device is opened: a GPU that sleeps goes on sleeping.
    ///
    /// # Errors
    /// It could not be looked at; for people.
    fn look_at_workspace_gpus(
        &self,
        probe: &WorkspaceGpuProbe,
    ) -> impl Future<Output = Result<WorkspaceGpuLook, String>> + Send;
}

/// A document of the journal as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalDocument {
    /// Its name in the journal.
    pub name: String,
    /// Where it is, for people: the path of the file.
    pub place: String,
    /// Its bytes, or why they could not be read.
    pub content: Result<Vec<u8>, OsCause>,
}

/// Where open and standing changes are kept: one document to a name. A call that returns has reached the disk.
pub trait JournalPort: Send + Sync + 'static {
    /// All documents, by name, also those that cannot be read.
    ///
    /// # Errors
    /// The folder cannot be listed.
    fn read_all(&self) -> impl Future<Output = Result<Vec<JournalDocument>, JournalError>> + Send;

    /// Writes a document as a whole or not at all. It replaces what was read or written under this name, and nothing else.
    ///
    /// # Errors
    /// It could not be written or did not reach the disk, or something that was never read has the name.
    fn put(&self, name: &str, document: Vec<u8>) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Removes a document that was read or written; one that is not there is no error.
    ///
    /// # Errors
    /// It could not be removed, or something that was never read has the name.
    fn remove(&self, name: &str) -> impl Future<Output = Result<(), JournalError>> + Send;
}

/// The journal cannot be used: then nothing is changed.
#[derive(Debug, Clone, Hash, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("journal: cannot {attempted} {}: {}", path.display(), cause.with_remedy(CauseSite::StateFile(path)))]
pub struct JournalError {
    /// What was tried: `write`.
    pub attempted: String,
    /// On which file or folder.
    pub path: PathBuf,
    /// What the host answered.
    pub cause: OsCause,
}

/// Where the desired state of a manager is kept: one document. A call that returns has reached the disk.
pub trait LedgerPort: Send + Sync + 'static {
    /// Where it is, for people: the path of the file.
    fn place(&self) -> String;

    /// The document; `None` where there has never been one.
    ///
    /// # Errors
    /// Something is there and cannot be read: that is never the same as nothing.
    fn read(&self) -> impl Future<Output = Result<Option<Vec<u8>>, LedgerError>> + Send;

    /// Writes the document as a whole or not at all.
    ///
    /// # Errors
    /// It could not be written or did not reach the disk, or something else than a file of ours is in its place.
    fn write(&self, document: Vec<u8>) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Keeps what is there now under another name beside it, so that the next write loses nothing; returns that name, for people.
    /// Where nothing is there, nothing is done. The document itself may be gone afterwards.
    ///
    /// # Errors
    /// It could not be kept: then it must not be written over.
    fn set_aside(&self) -> impl Future<Output = Result<Option<String>, LedgerError>> + Send;
}

/// The ledger of the desired state cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {attempted}: {said}")]
pub struct LedgerError {
    /// What was tried, on which file.
    pub attempted: String,
    /// What the host answered, and what to do.
    pub said: String,
}

/// Where events are kept: one file of lines, to which is appended.
pub trait EventLogPort: Send + Sync + 'static {
    /// Where it is, for people: the path of the file.
    fn place(&self) -> String;

    /// Everything in it; `None` where there has never been one.
    ///
    /// # Errors
    /// Something is there and cannot be read: that is never the same as nothing.
    fn read(&self) -> impl Future<Output = Result<Option<Vec<u8>>, LedgerError>> + Send;

    /// Appends bytes; with `sync` they have reached the disk when it returns.
    ///
    /// # Errors
    /// They were not written, or only a part of them.
    fn append(&self, bytes: Vec<u8>, sync: bool) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Replaces everything in it, as a whole or not at all, and on disk when it returns.
    ///
    /// # Errors
    /// It could not be written or did not reach the disk, or something else than a file of ours is in its place.
    fn replace(&self, bytes: Vec<u8>) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Keeps a copy of it beside it, in place of an earlier copy; returns its name, for people.
    ///
    /// # Errors
    /// It could not be kept.
    fn set_aside(&self) -> impl Future<Output = Result<String, LedgerError>> + Send;
}

/// The part of a host through which the images of Docker are looked at and removed. Every call has its deadline inside.
pub trait ImagePort: Send + Sync + 'static {
    /// Every image that Docker has.
    ///
    /// # Errors
    /// Docker, or the hand that asks it, does not answer; for people.
    fn list_stored_images(&self) -> impl Future<Output = Result<Vec<StoredImage>, String>> + Send;

    /// Removes one by its id, never by force.
    ///
    /// # Errors
    /// What the host answered; for people.
    fn remove_stored_image(&self, id: &ImageDigest) -> impl Future<Output = Result<(), String>> + Send;

    /// For which registries this host has a login, and what is wrong with the file that has them; no secret.
    ///
    /// # Errors
    /// The hand that reads it does not answer; for people.
    fn read_registry_logins(&self) -> impl Future<Output = Result<RegistryLoginsSeen, String>> + Send;

    /// The disk of this directory, Docker's.
    fn read_docker_disk(&self, docker_root: String) -> impl Future<Output = Reading<DiskUsage>> + Send;
}
