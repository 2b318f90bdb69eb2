//! The two MIG hands: one changes layouts, the other the mode. They are one program in two units, because the mode needs a power
//! (CAP_SYS_ADMIN) that a layout does not.

use acts::mig::{MigPlaces, MigPower, MigTaker};
use files::OwnProgram;
use hands::policy;
use hands::program::{HandPaths, HandSettings, noted};
use hands::registry::{Registry, RegistryBuilder};
use model::mig::MigStep;
use model::policy::Policy;
use nix::unistd::geteuid;
use protocol::hand::mig::{ApplyMigStep, InspectMig, SetMigMode};
use protocol::hand::{MigHand, MigModeHand};
use spawn::Own;
use std::path::{Path, PathBuf};

/// What the hand for layouts serves on this host.
#[must_use]
pub fn layout_registry(settings: HandSettings, paths: &HandPaths) -> Registry {
    let (taker, policy, note) = (taker(&settings, paths, MigPower::Layout), paths.policy.clone(), settings.note());
    let (looking, hanging) = (taker.clone(), taker.clone());
    RegistryBuilder::<MigHand>::new(move || missing_power().map(|why| noted(why, note.as_ref())))
        .serve(move |InspectMig { target }| {
            let taker = looking.clone();
            async move { taker.look(&target).await }
        })
        .serve(move |ApplyMigStep { target, step }| {
            let (taker, policy) = (taker.clone(), policy.clone());
            async move { taker.act(&target, &step, &rules(policy).await).await }
        })
        .stays_while(move || hanging.hangs())
        .build()
}

/// What the hand for the mode serves on this host.
#[must_use]
pub fn mode_registry(settings: HandSettings, paths: &HandPaths) -> Registry {
    let (taker, policy, note) = (taker(&settings, paths, MigPower::Mode), paths.policy.clone(), settings.note());
    let hanging = taker.clone();
    RegistryBuilder::<MigModeHand>::new(move || missing_power().map(|why| noted(why, note.as_ref())))
        .serve(move |SetMigMode { target, to }| {
            let (taker, policy) = (taker.clone(), policy.clone());
            async move { taker.act(&target, &MigStep::SetMode { to }, &rules(policy).await).await }
        })
        .stays_while(move || hanging.hangs())
        .build()
}

fn taker(settings: &HandSettings, paths: &HandPaths, power: MigPower) -> MigTaker {
    let places = MigPlaces { sysfs: paths.sysfs.clone(), proc: "/proc".into(), dev: "/dev".into() };
    MigTaker::new(Own::find(OwnProgram::Child), settings.settings.nvidia.nvml_paths.clone(), places, power)
}

async fn rules(file: PathBuf) -> Policy {
    let read = tokio::task::spawn_blocking(move || policy::read(Path::new(&file))).await;
    read.unwrap_or_else(|_| Policy::strictest())
}

/// Why this process cannot change MIG, where it cannot.
fn missing_power() -> Option<String> {
    let uid = geteuid();
    (!uid.is_root()).then(|| format!("it runs as uid {uid}, but NVIDIA's driver lets only root change MIG"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mig_hands_have_their_power_from_root() {
        assert_eq!(missing_power().is_none(), geteuid().is_root());
    }
}
