//! Client proxies of the interfaces that have methods.

use std::collections::HashMap;
use zbus::{Fd, OwnedObjectPath, OwnedVariant, Variant};

/// Options of a method: `auth.no-user-interaction` (b), and what the method names itself.
pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// `org.gpuhost.Agent1.Host` on the root object.
#[zbus::proxy(
    interface = "org.gpuhost.Agent1.Host",
    default_service = "org.gpuhost.Agent1",
    default_path = "/org/gpuhost/Agent1"
)]
pub trait Host {
    /// Everything that the objects show at one instant: [`super::snapshot::Snapshot`] as JSON.
    fn get_observation(&self, options: Options<'_>) -> zbus::Result<String>;

    /// The same after a look at what changes with time, at most one a second: for who watches.
    fn sample(&self, options: Options<'_>) -> zbus::Result<String>;

    /// A page of the kept events: [`super::event::EventPageView`] as JSON.
    fn read_events(&self, after: u64, options: Options<'_>) -> zbus::Result<String>;

    /// There are events up to this number.
    #[zbus(signal)]
    fn events_happened(&self, newest: u64) -> zbus::Result<()>;

    /// Scans the PCI bus and asks all sources again; returns the job.
    #[zbus(allow_interactive_auth)]
    fn rescan(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Enrols with a manager; the token is read from the descriptor. Returns the job.
    #[zbus(allow_interactive_auth)]
    fn enroll(&self, token: Fd<'_>, urls: &[&str], options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Leaves the manager and wipes the credential; returns the job.
    #[zbus(allow_interactive_auth)]
    fn leave(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Trusts a further authority (PEM) or certificate (its SHA-256); returns the job.
    #[zbus(allow_interactive_auth)]
    fn add_trust(&self, trust: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Trusts one no more; returns the job.
    #[zbus(allow_interactive_auth)]
    fn remove_trust(&self, sha256: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Takes another token, which is read from the descriptor; returns the job.
    #[zbus(allow_interactive_auth)]
    fn set_token(&self, token: Fd<'_>, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Freezes what a manager asks for; returns the job.
    #[zbus(allow_interactive_auth)]
    fn lock(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Lifts that; returns the job.
    #[zbus(allow_interactive_auth)]
    fn unlock(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Forgets a GPU that is gone; returns the job.
    #[zbus(allow_interactive_auth)]
    fn acknowledge_gone_gpu(&self, address: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
}

/// `org.gpuhost.Agent1.DesiredState` on the root object.
#[zbus::proxy(
    interface = "org.gpuhost.Agent1.DesiredState",
    default_service = "org.gpuhost.Agent1",
    default_path = "/org/gpuhost/Agent1"
)]
pub trait DesiredState {
    /// Everything that it shows: [`super::desired::DesiredView`] as JSON.
    fn read(&self, options: Options<'_>) -> zbus::Result<String>;

    /// What a file of this host would change: a list of [`super::desired::DesiredChangeView`] as JSON.
    fn preview(&self, document: &str, options: Options<'_>) -> zbus::Result<String>;

    /// Has the documents of a left epoch judged again; returns the job.
    #[zbus(allow_interactive_auth)]
    fn accept_epoch(&self, epoch: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
}

/// `org.gpuhost.Agent1.Gpu`.
#[zbus::proxy(interface = "org.gpuhost.Agent1.Gpu", default_service = "org.gpuhost.Agent1", assume_defaults = false)]
pub trait Gpu {
    /// Measured values; keys without a value are left out.
    fn get_metrics(&self, options: Options<'_>) -> zbus::Result<HashMap<String, OwnedVariant>>;

    /// Gives it to a virtual machine; returns the job.
    #[zbus(allow_interactive_auth)]
    fn bind_passthrough(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Takes it back; returns the job.
    #[zbus(allow_interactive_auth)]
    fn release_passthrough(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Lets a change stand that was made with `confirm-within`; returns the job.
    #[zbus(allow_interactive_auth)]
    fn confirm_passthrough(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// MIG of it as it is now: [`super::mig_look::MigLookView`] as JSON.
    fn read_mig(&self, options: Options<'_>) -> zbus::Result<String>;

    /// Lets a change of MIG stand that was made with `confirm-within`; returns the job.
    #[zbus(allow_interactive_auth)]
    fn confirm_mig(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Changes how it is cut into MIG devices; returns the job.
    #[zbus(allow_interactive_auth)]
    fn set_mig_layout(&self, layout: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Switches its MIG mode; returns the job.
    #[zbus(allow_interactive_auth)]
    fn set_mig_mode(&self, enabled: bool, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
}

/// `org.gpuhost.Agent1.NvidiaContainer`.
#[zbus::proxy(
    interface = "org.gpuhost.Agent1.NvidiaContainer",
    default_service = "org.gpuhost.Agent1",
    assume_defaults = false
)]
pub trait NvidiaContainer {
    /// Wishes it; returns the job.
    #[zbus(allow_interactive_auth)]
    fn enable(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Wishes it no more; returns the job.
    #[zbus(allow_interactive_auth)]
    fn disable(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
}

/// `org.gpuhost.Agent1.Workspaces` on the root object.
#[zbus::proxy(
    interface = "org.gpuhost.Agent1.Workspaces",
    default_service = "org.gpuhost.Agent1",
    default_path = "/org/gpuhost/Agent1"
)]
pub trait Workspaces {
    /// Has a workspace on this host, which is read from the descriptor; returns the job.
    #[zbus(allow_interactive_auth)]
    fn create_workspace(&self, workspace: Fd<'_>, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Removes what the newest revision removes; returns the job.
    #[zbus(allow_interactive_auth)]
    fn confirm_removals(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Deletes every staged workspace; returns the job.
    #[zbus(allow_interactive_auth)]
    fn delete_staged(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// The images that Docker has, as JSON.
    #[zbus(allow_interactive_auth)]
    fn list_images(&self, options: Options<'_>) -> zbus::Result<String>;

    /// Removes images that gpuhostd has pulled and nothing needs; returns the job.
    #[zbus(allow_interactive_auth)]
    fn prune_images(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Has this host take no new workspaces, or take them again; returns the job.
    #[zbus(allow_interactive_auth)]
    fn set_draining(&self, draining: bool, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
}

/// `org.gpuhost.Agent1.Workspace`.
#[zbus::proxy(
    interface = "org.gpuhost.Agent1.Workspace",
    default_service = "org.gpuhost.Agent1",
    assume_defaults = false
)]
pub trait Workspace {
    /// Has it run; returns the job.
    #[zbus(allow_interactive_auth)]
    fn start(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Has it stopped, with its files kept; returns the job.
    #[zbus(allow_interactive_auth)]
    fn stop(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Has it frozen; returns the job.
    #[zbus(allow_interactive_auth)]
    fn pause(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Has it run on; returns the job.
    #[zbus(allow_interactive_auth)]
    fn resume(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Deletes it with its files; returns the job.
    #[zbus(allow_interactive_auth)]
    fn delete(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Creates its container again; returns the job.
    #[zbus(allow_interactive_auth)]
    fn recreate(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Tries again what failed; returns the job.
    #[zbus(allow_interactive_auth)]
    fn retry(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
}
