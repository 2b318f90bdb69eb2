//! `mig apply`, `mig restore`, `mig enable`, `mig disable` and `mig confirm`: the goals of GPUs, from a file or from the command line.

use super::mig_args::{Apply, Confirm, Mode, Restore};
use super::mig_decide::MigGoal;
use super::mig_jobs::{self, Manner};
use super::mig_live::LiveHost;
use super::mig_variables::{flag, no_hooks, selected, variable};
use super::{read, usage};
use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::manage::{finish, finish_as, options};
use crate::show::gpu;
use crate::text::{Look, clean, paint};
use crate::{input, verdict};
use model::mig::files::assert::wishes_of;
use model::mig::files::{checkpoint, choose};
use model::mig::{MigCatalog, Wish};
use std::path::PathBuf;
use wire::dbus::job::JobView;

/// `mig apply`.
pub(super) async fn apply(bus: Option<String>, how: &Apply, json: bool) -> Result<(), Failure> {
    let mode_only = flag(how.mode_only, "MIG_PARTED_MODE_CHANGE_ONLY")?;
    // Nothing is ever reset by this version, so that there is nothing to skip; a wrong value is still refused.
    flag(how.skip_reset, "MIG_PARTED_SKIP_RESET")?;
    let manner = Manner {
        dry_run: how.dry_run,
        check: how.check,
        replace_foreign: how.replace_foreign,
        confirm_within: how.confirm_within,
        no_ask: how.no_ask,
        json,
    };
    if let (Some(name), Some(layout)) = (&how.gpu, &how.layout) {
        let (daemon, gpu) = LiveHost::read_one(bus, name).await?;
        let goal = MigGoal { index: gpu.index, enabled: None, layout: Some(layout.clone()) };
        return mig_jobs::run(&LiveHost { daemon, gpus: vec![gpu] }, &[goal], manner).await;
    }
    let (file, config) = selected(&how.config)?;
    let live = LiveHost::read(bus).await?;
    let host = live.as_files_have_it()?;
    let chosen = choose(&config, &host).map_err(|fault| usage(&file, &fault))?;
    let goals = chosen.into_iter().zip(&host).enumerate().filter_map(|(index, (entry, gpu))| {
        let entry = entry?;
        let layout = (entry.enabled && !mode_only).then(|| text_of(&wishes_of(&gpu.instances, entry)));
        Some(MigGoal { index, enabled: Some(entry.enabled), layout })
    });
    mig_jobs::run(&live, &goals.collect::<Vec<_>>(), manner).await
}

/// `mig restore`.
pub(super) async fn restore(bus: Option<String>, how: &Restore, json: bool) -> Result<(), Failure> {
    let mode_only = flag(how.mode_only, "MIG_PARTED_MODE_CHANGE_ONLY")?;
    flag(how.skip_reset, "MIG_PARTED_SKIP_RESET")?;
    no_hooks(how.hooks_file.as_ref())?;
    let file = how.checkpoint_file.clone().or_else(|| variable("MIG_PARTED_CHECKPOINT_FILE").map(PathBuf::from));
    let missing = || Failure::Usage {
        why: "no checkpoint is given: name it with --checkpoint-file or MIG_PARTED_CHECKPOINT_FILE".to_owned(),
    };
    let file = file.ok_or_else(missing)?;
    let text = read(&file)?;
    let live = LiveHost::read(bus).await?;
    let catalog = |at: usize| live.gpus.get(at).and_then(|gpu| gpu.catalog().ok()).cloned();
    let host = live.as_files_have_it()?.into_iter().enumerate();
    let host: Vec<(_, Option<MigCatalog>)> = host.map(|(at, gpu)| (gpu, catalog(at))).collect();
    let restored = checkpoint::read(&text, &host).map_err(|why| usage(&input::name(&file), &why))?;
    let goals = restored.into_iter().map(|one| {
        let layout = (one.enabled && !mode_only).then(|| text_of(&one.wishes));
        MigGoal { index: one.gpu, enabled: Some(one.enabled), layout }
    });
    let manner = Manner {
        dry_run: how.dry_run,
        check: how.check,
        replace_foreign: how.replace_foreign,
        confirm_within: how.confirm_within,
        no_ask: how.no_ask,
        json,
    };
    mig_jobs::run(&live, &goals.collect::<Vec<_>>(), manner).await
}

/// Wishes in their syntax; `-` where there is none.
fn text_of(wishes: &[Wish]) -> String {
    let entries: Vec<String> = wishes.iter().map(ToString::to_string).collect();
    if entries.is_empty() { "-".to_owned() } else { entries.join(",") }
}

/// `mig enable` and `mig disable`.
pub(super) async fn mode(bus: Option<String>, enabled: bool, how: &Mode, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let snapshot = daemon.snapshot().await?;
    let gpu = gpu::find(&snapshot, &how.gpu)?;
    let proxy = daemon.gpu(&gpu.path).await?;
    let mut options = options(how.how);
    if how.dry_run {
        options.insert("dry-run", true.into());
    }
    if let Some(seconds) = how.confirm_within {
        options.insert("confirm-within", seconds.into());
    }
    let job = daemon.answer(CHANGE_DEADLINE, proxy.set_mig_mode(enabled, options)).await?;
    if how.dry_run && !how.how.no_wait {
        let name = gpu.name.as_deref().unwrap_or(&gpu.pci_id);
        let head = vec![paint(&format!("{}  {}", gpu.address, clean(name)), Look::Bold)];
        return verdict::print_when_planned(&daemon, &job, json, head, "This would be done:").await;
    }
    let done = done(gpu.address.clone(), enabled);
    let on_trial = how.confirm_within.map(|seconds| mig_jobs::on_trial(&gpu.address, seconds));
    let done = |job: &JobView| {
        let done = done(job);
        match on_trial.filter(|_| !job.plan.is_empty()) {
            Some(on_trial) => format!("{done}\n{on_trial}"),
            None => done,
        }
    };
    finish_as(&daemon, &job, how.how, json, done).await
}

/// `mig confirm`.
pub(super) async fn confirm(bus: Option<String>, how: &Confirm, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let snapshot = daemon.snapshot().await?;
    let gpu = gpu::find(&snapshot, &how.gpu)?;
    let proxy = daemon.gpu(&gpu.path).await?;
    let job = daemon.answer(CHANGE_DEADLINE, proxy.confirm_mig(options(how.how))).await?;
    let done = format!("The change of MIG of {} is confirmed and is kept.", gpu.address);
    finish(&daemon, &job, how.how, json, &done).await
}

fn done(address: String, enabled: bool) -> impl FnOnce(&JobView) -> String {
    move |job: &JobView| match (job.plan.is_empty(), enabled) {
        (true, true) => format!("MIG mode of {address} is enabled already; nothing to do."),
        (true, false) => format!("MIG mode of {address} is disabled already; nothing to do."),
        (false, true) => format!(
            "MIG mode of {address} is enabled. It has no instance yet: gpuhostctl mig apply --gpu {address} --layout LAYOUT"
        ),
        (false, false) => format!("MIG mode of {address} is disabled: the whole GPU can be used again."),
    }
}
