//! `images` and `prune`: the images that Docker has, whose they are and why each stays.

use crate::change_flags::Change;
use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::manage::{finish_as, options};
use crate::text::{Cell, Look, Table, ago, clean, paint, print, print_json};
use clap::Args;
use wire::dbus::images::{ImageView, ImagesView};
use wire::dbus::job::JobView;
use wire::dbus::proxy::{Options, WorkspacesProxy};
use zbus::proxy::CacheProperties;

/// `prune`
#[derive(Debug, Args)]
#[command(
    after_help = "Only images that gpuhostd has pulled are removed; `gpuhostctl images` shows why each of the others stays."
)]
pub(crate) struct Prune {
    /// Remove also what was needed within the last day
    #[arg(long)]
    pub(crate) all: bool,
    /// Only show what would be removed
    #[arg(long, conflicts_with_all = ["no_wait", "no_ask"])]
    pub(crate) dry_run: bool,
    /// How.
    #[command(flatten)]
    pub(crate) how: Change,
}

/// `images`
pub(crate) async fn list(bus: Option<String>, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let view = read(&daemon, None).await?;
    if json { print_json(&view) } else { print(&lines(&view)) }
}

/// `prune`
pub(crate) async fn prune(bus: Option<String>, Prune { all, dry_run, how }: Prune, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let mode = if all { "aggressive" } else { "normal" };
    if dry_run {
        let view = read(&daemon, Some(mode)).await?;
        return if json { print_json(&removed(&view)) } else { print(&removal_lines(&view)) };
    }
    let mut options = options(how);
    options.insert("mode", mode.into());
    let job = daemon.answer(CHANGE_DEADLINE, proxy(&daemon).await?.prune_images(options)).await?;
    finish_as(&daemon, &job, how, json, said).await
}

/// What the job reports, as a sentence.
fn said(job: &JobView) -> String {
    let mut chars = job.remark.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

async fn proxy(daemon: &Daemon) -> Result<WorkspacesProxy<'static>, Failure> {
    let builder = WorkspacesProxy::builder(&daemon.connection).cache_properties(CacheProperties::No);
    builder.build().await.map_err(|error| Failure::of_call(&daemon.bus, error))
}

async fn read(daemon: &Daemon, mode: Option<&str>) -> Result<ImagesView, Failure> {
    let mut options = Options::new();
    if let Some(mode) = mode {
        options.insert("mode", mode.into());
    }
    let text = daemon.answer(CHANGE_DEADLINE, proxy(daemon).await?.list_images(options)).await?;
    serde_json::from_str(&text).map_err(|source| Failure::Answer { source })
}

/// In MiB, and in GiB from 10 of them on.
fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mib if mib >= 10 << 10 => format!("{} GiB", mib >> 10),
        mib => format!("{mib} MiB"),
    }
}

/// How it is named: as it was pulled, by a tag, else by its id.
fn name(image: &ImageView) -> &str {
    let tag = || image.tags.first().map(String::as_str);
    image.image.as_deref().or_else(tag).unwrap_or(&image.id)
}

/// Why it stays, for people.
fn why(image: &ImageView) -> String {
    match image.kept.as_deref() {
        None => "removed next".to_owned(),
        Some("not_ours") => "not pulled by gpuhostd".to_owned(),
        Some("in_use") => match image.containers.len() {
            1 => "1 container".to_owned(),
            count => format!("{count} containers"),
        },
        Some("wished") => "the desired state or an NVIDIA container names it".to_owned(),
        Some("tagged") => "it has a tag".to_owned(),
        Some("pulled_just_now") => "pulled within the last hour".to_owned(),
        Some("needed_recently") => "needed within the last day".to_owned(),
        Some("wish_unknown") => "a document of the desired state cannot be read".to_owned(),
        Some("not_removed") => "Docker did not remove it".to_owned(),
        Some("prune_is_off") => "images.prune is off".to_owned(),
        Some("disk_has_room") => "the disk has room".to_owned(),
        Some(other) => other.to_owned(),
    }
}

fn lines(view: &ImagesView) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(fault) = &view.docker_fault {
        lines.push(format!("{} {}", paint("Docker shows nothing now:", Look::Bad), clean(fault)));
    }
    if view.images.is_empty() {
        lines.push("Docker has no image, as far as is known.".to_owned());
    } else {
        let mut table = Table::new(&["IMAGE", "SIZE", "PULLED BY", "NEEDED", "KEPT"]);
        for image in &view.images {
            let needed = image.needed_at.and_then(|at| u64::try_from(at).ok()).map(ago);
            table.row(vec![
                Cell::plain(Some(name(image))),
                Cell::plain(Some(&size(image.size_bytes))),
                Cell::plain(Some(if image.ours { "gpuhostd" } else { "others" })),
                Cell::plain(needed.as_deref()),
                Cell::plain(Some(&why(image))),
            ]);
        }
        lines.extend(table.lines());
    }
    lines.extend(disk(view));
    lines
}

/// The room of the disk, in one line.
fn disk(view: &ImagesView) -> Option<String> {
    let (free, reserve) = (view.disk_available_bytes?, view.disk_reserve_bytes?);
    let is_short = free < reserve;
    let path = view.disk.as_deref().unwrap_or("?");
    let words = format!("{} free in {}, reserve {}", size(free), clean(path), size(reserve));
    let look = if is_short { Look::Bad } else { Look::Good };
    Some(format!("{} {}; images.prune = {}", paint("Disk:", Look::Bold), paint(&words, look), clean(&view.mode)))
}

fn removed(view: &ImagesView) -> Vec<&ImageView> {
    view.images.iter().filter(|image| image.kept.is_none()).collect()
}

fn removal_lines(view: &ImagesView) -> Vec<String> {
    let removed = removed(view);
    if removed.is_empty() {
        return vec!["No image would be removed; `gpuhostctl images` shows why each stays.".to_owned()];
    }
    let mut table = Table::new(&["IMAGE", "SIZE"]);
    for image in &removed {
        table.row(vec![Cell::plain(Some(name(image))), Cell::plain(Some(&size(image.size_bytes)))]);
    }
    let bytes = removed.iter().map(|image| image.size_bytes).fold(0, u64::saturating_add);
    let mut lines = table.lines();
    lines.push(format!("{} images would be removed, {} at most: they can share layers.", removed.len(), size(bytes)));
    lines
}
