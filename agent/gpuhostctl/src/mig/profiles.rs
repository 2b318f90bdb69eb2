//! `mig profiles`: what a GPU can be cut into, as a table or in the form that `--profiles` reads.

use super::mig_args::Profiles;
use super::mig_live::LiveHost;
use super::{Source, catalog, present, source, usage};
use crate::failure::Failure;
use crate::text::{Cell, Look, Table, clean, paint, print, print_json};
use model::mig::catalog::MigEngine;
use model::mig::{GpuProfile, MigCatalog, Present, draw, free};

const TITLES: [&str; 12] =
    ["PROFILE", "ID", "FREE/MAX", "SLICES", "MEMORY", "SM", "CE", "DEC", "ENC", "JPEG", "OFA", "MEMORY SLOTS"];

/// Prints the profiles.
pub(super) async fn run(bus: Option<String>, how: &Profiles, json: bool) -> Result<(), Failure> {
    match source(&how.of, how.present.as_deref())? {
        Source::Table(present_text) => {
            let catalog = catalog(&how.of)?;
            let there = present(present_text, &catalog)?;
            if json { print_json(&catalog) } else { print(&lines(None, &catalog, &there)?) }
        }
        Source::Host => live(bus, how.of.gpu.as_deref(), json).await,
    }
}

async fn live(bus: Option<String>, name: Option<&str>, json: bool) -> Result<(), Failure> {
    let gpus = match name {
        Some(name) => vec![LiveHost::read_one(bus, name).await?.1],
        None => LiveHost::read(bus).await?.gpus.into_iter().filter(|gpu| gpu.look.is_some()).collect(),
    };
    if json {
        return print_json(only_catalog(&gpus)?);
    }
    if gpus.is_empty() {
        return print(&["There is no GPU that can do MIG.".to_owned()]);
    }
    let (mut all, mut failed) = (Vec::new(), None);
    for gpu in &gpus {
        all.extend((!all.is_empty()).then(String::new));
        match gpu.catalog() {
            Ok(catalog) => all.extend(lines(Some(gpu.title()), catalog, &gpu.look()?.present())?),
            Err(failure) => {
                all.push(paint(&clean(&failure.with_causes()), Look::Bad));
                failed.get_or_insert(failure);
            }
        }
    }
    print(&all)?;
    failed.map_or(Ok(()), Err)
}

/// The one catalog of all of them: what `--profiles` reads is about one kind of GPU.
fn only_catalog(gpus: &[super::mig_live::LiveGpu]) -> Result<&MigCatalog, Failure> {
    let none = || Failure::Refused {
        status: crate::failure::UNAVAILABLE,
        message: "there is no GPU that can do MIG".to_owned(),
    };
    let catalog = gpus.first().ok_or_else(none)?.catalog()?;
    for gpu in gpus {
        if gpu.catalog()? != catalog {
            let why =
                "the GPUs of this host have different MIG profiles; name one: gpuhostctl mig profiles ADDRESS --json";
            return Err(Failure::Usage { why: why.to_owned() });
        }
    }
    Ok(catalog)
}

fn lines(title: Option<String>, catalog: &MigCatalog, there: &[Present]) -> Result<Vec<String>, Failure> {
    let free = free(catalog, there).map_err(|refusal| usage("--present", &refusal))?;
    let mut table = Table::new(&TITLES);
    for (profile, (_, free)) in catalog.profiles().iter().zip(free) {
        table.row(row(catalog, profile, free));
    }
    let mut lines: Vec<String> = title.map(|title| paint(&title, Look::Bold)).into_iter().collect();
    lines.push(paint(&clean(&draw::title(catalog)), Look::Bold));
    lines.extend(table.lines());
    Ok(lines)
}

fn row(catalog: &MigCatalog, profile: &GpuProfile, free: u32) -> Vec<Cell> {
    let number = |value: Option<u32>| Cell::plain(value.map(|value| value.to_string()).as_deref());
    let engine = |engine| number(profile.engines.of(engine));
    // Hundredths of a GiB, cut off as nvidia-smi does.
    let gib = |mib: u64| format!("{}.{:02} GiB", mib / 1024, mib % 1024 * 100 / 1024);
    vec![
        Cell::plain(Some(&profile.profile)),
        number(profile.id),
        Cell::plain(Some(&format!("{free}/{}", profile.instances))),
        number(Some(profile.compute_slices)),
        Cell::plain(profile.memory_mib.map(gib).as_deref()),
        number(profile.multiprocessors),
        engine(MigEngine::Copy),
        engine(MigEngine::Decoder),
        engine(MigEngine::Encoder),
        engine(MigEngine::Jpeg),
        engine(MigEngine::OpticalFlow),
        Cell::plain(Some(draw::places(profile, catalog.slots()).trim_end())),
    ]
}
