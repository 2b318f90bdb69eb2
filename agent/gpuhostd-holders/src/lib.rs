//! The holders hand: looks for every process and container that uses a device, and at the device files of a container.

use acts::{container_devices, device_groups, holders};
use files::OwnProgram;
use hands::program::{HandPaths, HandSettings, noted};
use hands::registry::{Registry, RegistryBuilder};
use protocol::hand::HoldersHand;
use protocol::hand::holders::{FindHolders, FindMigHolders, ListContainerNodes, ListDeviceGroups};
use spawn::{Own, Supervisor};

/// What the holders hand serves on this host.
#[must_use]
pub fn registry(settings: HandSettings, paths: &HandPaths) -> Registry {
    let (note, sysfs) = (settings.note(), paths.sysfs.clone());
    let (lookers, child) = (Supervisor::default(), Own::find(OwnProgram::Child));
    let (mig_lookers, mig_child) = (lookers.clone(), child.clone());
    let (listers, node_child) = (lookers.clone(), child.clone());
    RegistryBuilder::<HoldersHand>::new(move || missing_capabilities().map(|why| noted(why, note.as_ref())))
        .serve(move |FindHolders { scope }| {
            let (lookers, child, sysfs) = (lookers.clone(), child.clone(), sysfs.clone());
            async move { holders::look(&lookers, &child, &sysfs, &scope).await }
        })
        .serve(move |FindMigHolders { target }| {
            let (lookers, child) = (mig_lookers.clone(), mig_child.clone());
            async move { holders::look_at_mig(&lookers, &child, &target).await }
        })
        .serve(move |ListDeviceGroups {}| device_groups::list("/dev".into()))
        .serve(move |ListContainerNodes { container, pid }| {
            let (listers, child) = (listers.clone(), node_child.clone());
            async move { container_devices::list(&listers, &child, &container, pid).await }
        })
        .build()
}

/// Why this process cannot look into others, where it cannot. The open files of process 1, which is root's and never ours, are
/// readable with both capabilities only.
fn missing_capabilities() -> Option<String> {
    let sees_others =
        std::fs::read_dir("/proc/1/fd").is_ok_and(|mut files| files.next().is_none_or(|file| file.is_ok()));
    (!sees_others).then(|| {
        "it may not inspect other users' processes: it needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH".to_owned()
    })
}
