//! The holders hand: looks for every process and container that uses a device.

use super::{HandPaths, HandSettings, noted};
use crate::children::WORKER;
use crate::registry::{Registry, RegistryBuilder};
use host::hand::holders;
use host::hand::process::Supervisor;
use std::path::Path;
use wire::hand::HoldersHand;
use wire::hand::holders::FindHolders;

/// What the holders hand serves on this host.
#[must_use]
pub fn registry(settings: &HandSettings, paths: &HandPaths) -> Registry {
    let (note, sysfs) = (settings.note(), paths.sysfs.clone());
    let lookers = Supervisor::default();
    RegistryBuilder::<HoldersHand>::new(move || missing_capabilities().map(|why| noted(why, note.as_ref())))
        .serve(move |FindHolders { scope }| {
            let (lookers, sysfs) = (lookers.clone(), sysfs.clone());
            async move { holders::look(&lookers, Path::new(WORKER), &sysfs, &scope).await }
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
