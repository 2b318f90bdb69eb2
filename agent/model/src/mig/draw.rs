//! Pictures of layouts: memory slots as boxes, compute slices as squares, before and after with what stays.

use super::catalog::{GpuProfile, MigCatalog};
use super::layout::{Instance, Present};
use super::plan::MigPlan;

/// Narrowest a slot is drawn, in characters.
const NARROWEST: usize = 3;

/// One instance as it is drawn.
#[derive(Debug, Clone)]
struct Cell {
    start: usize,
    size: usize,
    /// Compute slices of the GPU instance.
    slices: u32,
    /// Lines in the box: its name, what becomes of it, its compute instances.
    lines: Vec<String>,
}

impl Cell {
    fn of(catalog: &MigCatalog, instance: &Instance, compute: &[u32], mark: &str) -> Option<Self> {
        let profile = catalog.profile(catalog.find(&instance.profile)?)?;
        let placement = profile.placement(instance.start)?;
        let compute = match compute {
            [] => "no compute".to_owned(),
            [whole] if *whole == profile.compute_slices => String::new(),
            parts => parts.iter().map(|slices| format!("{slices}c")).collect::<Vec<_>>().join(" "),
        };
        Some(Self {
            start: usize::try_from(placement.start).ok()?,
            size: usize::try_from(placement.size).ok()?,
            slices: profile.compute_slices,
            lines: vec![profile.profile.clone(), mark.to_owned(), compute],
        })
    }

    /// How wide a slot has to be for the longest line.
    fn slot_width(&self) -> usize {
        let longest = self.lines.iter().map(String::len).max().unwrap_or(0);
        (longest + 1).saturating_sub(self.size).div_ceil(self.size.max(1))
    }
}

/// What a GPU has: its instances in their slots, and what is free.
#[must_use]
pub fn layout(catalog: &MigCatalog, present: &[Present]) -> Vec<String> {
    let cells = present.iter().filter_map(|one| {
        let compute: Vec<u32> = one.compute.iter().map(|compute| compute.slices).collect();
        Cell::of(catalog, &one.instance, &compute, if one.in_use { "in use" } else { "idle" })
    });
    let cells: Vec<Cell> = cells.collect();
    let mut lines = vec![title(catalog)];
    lines.extend(picture(catalog, &cells, width(&cells)));
    lines
}

/// A plan: what is there and what will be, with what stays.
#[must_use]
pub fn plan(catalog: &MigCatalog, present: &[Present], plan: &MigPlan) -> Vec<String> {
    let kept = |instance: &Instance| plan.keep.iter().find(|kept| kept.instance == *instance);
    let before: Vec<Cell> = present
        .iter()
        .filter_map(|one| {
            let compute: Vec<u32> = one.compute.iter().map(|compute| compute.slices).collect();
            let mark = match (one.in_use, kept(&one.instance)) {
                (true, _) => "in use",
                (false, Some(_)) => "stays",
                (false, None) => "goes",
            };
            Cell::of(catalog, &one.instance, &compute, mark)
        })
        .collect();
    let inside = |instance: &Instance| {
        let there = present.iter().find(|one| one.instance == *instance);
        let mut compute: Vec<u32> = there.map(|one| one.compute.iter().map(|c| c.slices).collect()).unwrap_or_default();
        if let Some(kept) = kept(instance) {
            for gone in &kept.destroy_compute {
                if let Some(at) = compute.iter().position(|slices| slices == gone) {
                    compute.remove(at);
                }
            }
            compute.extend(&kept.create_compute);
        }
        compute
    };
    let stay = plan.keep.iter().filter_map(|kept| {
        let mark = if kept.in_use { "in use" } else { "stays" };
        Cell::of(catalog, &kept.instance, &inside(&kept.instance), mark)
    });
    let new = plan.create.iter().filter_map(|made| Cell::of(catalog, &made.instance, &made.compute, "new"));
    let after: Vec<Cell> = stay.chain(new).collect();
    let width = width(&before).max(width(&after));
    let mut lines = vec![title(catalog), "before".to_owned()];
    lines.extend(picture(catalog, &before, width));
    lines.push("after".to_owned());
    lines.extend(picture(catalog, &after, width));
    lines.extend(summary(plan));
    lines
}

/// What a plan does and leaves, in words.
#[must_use]
pub fn summary(plan: &MigPlan) -> Vec<String> {
    if plan.is_done() {
        return vec!["the GPU already has this layout: nothing to do".to_owned()];
    }
    let inside = |list: fn(&super::plan::KeptInstance) -> &Vec<u32>| {
        plan.keep.iter().map(|kept| list(kept).len()).sum::<usize>()
    };
    let (gone, made) = (inside(|kept| &kept.destroy_compute), inside(|kept| &kept.create_compute));
    let mut lines =
        vec![format!("{} kept, {} destroyed, {} created", plan.keep.len(), plan.destroy.len(), plan.create.len())];
    if gone + made > 0 {
        lines.push(format!("inside those kept: {gone} compute instances destroyed, {made} created"));
    }
    let rest: Vec<String> =
        plan.rest.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} x {name}")).collect();
    let room = if rest.is_empty() {
        "no further instance fits".to_owned()
    } else {
        format!("room for {}", rest.join(", or "))
    };
    lines.push(room);
    lines
}

/// One line: what it is, its compute slices and memory slots.
#[must_use]
pub fn title(catalog: &MigCatalog) -> String {
    format!("{}: {} compute slices, {} memory slots", catalog.product(), catalog.compute_slices(), catalog.slots())
}

/// Where instances of a profile can stand: `[--][--][--]    `, two characters a slot.
#[must_use]
pub fn places(profile: &GpuProfile, slots: u32) -> String {
    let at = |slot: u32| {
        let starts = profile.placements.iter().any(|placement| placement.start == slot);
        let ends = profile.placements.iter().any(|placement| placement.start + placement.size == slot + 1);
        let inside = profile.placements.iter().any(|placement| placement.mask() >> slot & 1 == 1);
        match (inside, starts, ends) {
            (false, _, _) => "  ",
            (true, true, true) => "[]",
            (true, true, false) => "[-",
            (true, false, true) => "-]",
            (true, false, false) => "--",
        }
    };
    (0..slots).map(at).collect()
}

fn width(cells: &[Cell]) -> usize {
    cells.iter().map(Cell::slot_width).max().unwrap_or(0).max(NARROWEST)
}

/// The boxes under the numbers of their slots, and the squares of the compute slices.
fn picture(catalog: &MigCatalog, cells: &[Cell], width: usize) -> Vec<String> {
    let slots = usize::try_from(catalog.slots()).unwrap_or(0);
    let row = row_of(slots, cells);
    let numbers: String = (0..slots).map(|slot| format!(" {:^width$}", slot.to_string())).collect();
    let rule = |left: char, between: char, right: char| {
        let parts: Vec<String> = row.iter().map(|part| "─".repeat(inner(part.size, width))).collect();
        format!("  {left}{}{right}", parts.join(&between.to_string()))
    };
    let deepest = cells.iter().flat_map(|cell| cell.lines.iter().rposition(|line| !line.is_empty())).max();
    let line = |number: usize| {
        let text = |part: &Part| {
            let text = part.cell.and_then(|cell| cell.lines.get(number)).map_or("", String::as_str);
            format!("{text:^width$}", width = inner(part.size, width))
        };
        format!("  │{}│", row.iter().map(text).collect::<Vec<_>>().join("│"))
    };
    let mut lines = vec![format!("  {}", numbers.trim_end()), rule('┌', '┬', '┐')];
    lines.extend((0..=deepest.unwrap_or(0)).map(line));
    lines.push(rule('└', '┴', '┘'));
    lines.push(squares(catalog, cells));
    lines
}

/// An instance, or one free slot.
struct Part<'a> {
    size: usize,
    cell: Option<&'a Cell>,
}

fn row_of(slots: usize, cells: &[Cell]) -> Vec<Part<'_>> {
    let (mut row, mut slot) = (Vec::new(), 0);
    while slot < slots {
        let cell = cells.iter().find(|cell| cell.start == slot);
        let size = cell.map_or(1, |cell| cell.size.max(1));
        row.push(Part { size, cell });
        slot += size;
    }
    row
}

fn inner(size: usize, width: usize) -> usize {
    size * width + size.saturating_sub(1)
}

/// `■ ■ ■■ □□□  4 of 7 compute slices`: one group for each instance, by start.
fn squares(catalog: &MigCatalog, cells: &[Cell]) -> String {
    let mut cells: Vec<&Cell> = cells.iter().collect();
    cells.sort_by_key(|cell| cell.start);
    let used: u32 = cells.iter().map(|cell| cell.slices).sum();
    let total = catalog.compute_slices();
    let times = |square: &str, count: u32| square.repeat(usize::try_from(count).unwrap_or(0));
    let mut groups: Vec<String> = cells.iter().map(|cell| times("■", cell.slices)).collect();
    if used < total {
        groups.push(times("□", total - used));
    }
    format!("   {}  {used} of {total} compute slices", groups.join(" "))
}
