//! `mig profiles`: what a GPU can be cut into, as a table or in the form that `--profiles` reads.

use super::mig_args::Profiles;
use super::{catalog, present, usage};
use crate::failure::Failure;
use crate::text::{Cell, Look, Table, clean, paint, print, print_json};
use model::mig::catalog::MigEngine;
use model::mig::{GpuProfile, MigCatalog, draw, free};

const TITLES: [&str; 12] =
    ["PROFILE", "ID", "FREE/MAX", "SLICES", "MEMORY", "SM", "CE", "DEC", "ENC", "JPEG", "OFA", "MEMORY SLOTS"];

/// Prints the profiles.
pub(super) fn run(how: &Profiles, json: bool) -> Result<(), Failure> {
    let catalog = catalog(&how.of)?;
    if json {
        return print_json(&catalog);
    }
    let there = present(&how.present, &catalog)?;
    let free = free(&catalog, &there).map_err(|refusal| usage("--present", &refusal))?;
    let mut table = Table::new(&TITLES);
    for (profile, (_, free)) in catalog.profiles().iter().zip(free) {
        table.row(row(&catalog, profile, free));
    }
    let mut lines = vec![paint(&clean(&draw::title(&catalog)), Look::Bold)];
    lines.extend(table.lines());
    print(&lines)
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
