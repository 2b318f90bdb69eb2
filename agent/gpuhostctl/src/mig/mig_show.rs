//! `mig show`: a layout as slots and slices; of this host with ids, who uses each instance and whose it is.

use super::mig_args::Show;
use super::mig_live::{LiveGpu, LiveHost};
use super::{Source, catalog, present, source, usage};
use crate::failure::Failure;
use crate::text::{Cell, Look, Table, clean, paint, print, print_json};
use model::mig::draw;
use wire::dbus::mig_look::{MigHolderView, MigInstanceView, MigLookView};

const TITLES: [&str; 8] = ["INSTANCE", "ID", "SLOTS", "COMPUTE", "UUID", "USE", "CREATED BY", "HELD BY"];

/// Draws it.
pub(super) async fn run(bus: Option<String>, how: &Show, json: bool) -> Result<(), Failure> {
    match source(&how.of, how.present.as_deref())? {
        Source::Table(present_text) => {
            let catalog = catalog(&how.of)?;
            let there = present(present_text, &catalog)?;
            model::mig::check(&catalog, &there).map_err(|refusal| usage("--present", &refusal))?;
            if json { print_json(&there) } else { print(&draw::layout(&catalog, &there)) }
        }
        Source::Host => live(bus, how.of.gpu.as_deref(), json).await,
    }
}

async fn live(bus: Option<String>, name: Option<&str>, json: bool) -> Result<(), Failure> {
    if let Some(name) = name {
        let (_, gpu) = LiveHost::read_one(bus, name).await?;
        let look = gpu.look()?;
        return if json { print_json(look) } else { print(&lines(&gpu, look)) };
    }
    let mut host = LiveHost::read(bus).await?;
    host.gpus.retain(|gpu| gpu.look.is_some());
    // One that does not answer is named, and holds up none of the others.
    let failed = host.gpus.iter().find_map(|gpu| gpu.look().err());
    if json {
        let looks: Vec<&MigLookView> = host.gpus.iter().filter_map(|gpu| gpu.look().ok()).collect();
        print_json(&looks)?;
    } else if host.gpus.is_empty() {
        print(&["There is no GPU that can do MIG.".to_owned()])?;
    } else {
        let mut all = Vec::new();
        for gpu in &host.gpus {
            all.extend((!all.is_empty()).then(String::new));
            match gpu.look() {
                Ok(look) => all.extend(lines(gpu, look)),
                Err(failure) => all.push(paint(&clean(&failure.with_causes()), Look::Bad)),
            }
        }
        print(&all)?;
    }
    failed.map_or(Ok(()), Err)
}

fn lines(gpu: &LiveGpu, look: &MigLookView) -> Vec<String> {
    let mut lines = vec![paint(&gpu.title(), Look::Bold), mode(look)];
    match &look.catalog {
        Some(catalog) if look.is_on() => lines.extend(draw::layout(catalog, &look.present())),
        Some(catalog) => lines.push(draw::title(catalog)),
        None => {
            let why = look.absent.reason("Catalog").unwrap_or("no reason is known");
            lines.push(format!("its profiles are not known ({})", clean(why)));
        }
    }
    if !look.instances.is_empty() {
        lines.extend(table(look).lines());
    }
    lines.extend(look.held_by.iter().map(|by| format!("the GPU as a whole: {}", clean(&by.message))));
    lines.extend(look.unreadable.iter().map(|one| format!("could not be looked into: {}", clean(one))));
    lines
}

/// The mode, and what is to be known of it.
fn mode(look: &MigLookView) -> String {
    let current = look.mode.as_deref().map_or_else(
        || format!("not known ({})", look.absent.reason("Mode").unwrap_or("no reason is known")),
        str::to_owned,
    );
    let pending = match look.pending() {
        Some(true) => ", enabled after the next reset of the GPU",
        Some(false) => ", disabled after the next reset of the GPU",
        None => "",
    };
    let reset = match look.switches_without_reset {
        Some(true) => "; it can be switched without a reset",
        Some(false) => "; to switch it the GPU has to be reset",
        None => "",
    };
    clean(&format!("MIG mode: {current}{pending}{reset}")).into_owned()
}

fn table(look: &MigLookView) -> Table {
    let mut table = Table::new(&TITLES);
    for one in &look.instances {
        table.row(row(one));
    }
    table
}

fn row(one: &MigInstanceView) -> Vec<Cell> {
    let joined = |texts: Vec<String>| if texts.is_empty() { None } else { Some(texts.join(", ")) };
    let compute = joined(one.compute_instances.iter().map(|part| format!("{}c", part.slices)).collect());
    let uuids = joined(one.compute_instances.iter().filter_map(|part| part.uuid.clone()).collect());
    let last = one.start.saturating_add(one.size.saturating_sub(1));
    let slots = if last == one.start { last.to_string() } else { format!("{}-{last}", one.start) };
    let (usage, look) = if one.in_use { ("in use", Look::Plain) } else { ("idle", Look::Dim) };
    vec![
        Cell::plain(Some(&one.instance().to_string())),
        Cell::plain(Some(&one.id.to_string())),
        Cell::plain(Some(&slots)),
        Cell::plain(compute.as_deref().or(Some("none"))),
        Cell::plain(uuids.as_deref()),
        Cell::new(usage, look),
        Cell::plain(Some(if one.ours { "gpuhostd" } else { "foreign" })),
        Cell::plain(joined(held_by(one)).as_deref()),
    ]
}

/// Who has it: by name, else by the process that the driver names.
fn held_by(one: &MigInstanceView) -> Vec<String> {
    let message = |by: &MigHolderView| by.message.clone();
    let known = |pid: &u32| one.held_by.iter().any(|by| by.pid == Some(*pid));
    let pids = one.compute_instances.iter().flat_map(|part| &part.processes).filter(|pid| !known(pid));
    one.held_by.iter().map(message).chain(pids.map(|pid| format!("pid {pid}"))).collect()
}
