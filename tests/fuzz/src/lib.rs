//! Fuzz targets: every place where bytes from outside become values, with what must hold for any bytes whatever.
//!
//! A target is a plain function that panics where something does not hold. `cargo test` runs each over its seeds and over every
//! earlier find; `make fuzz` lets libFuzzer look for new ones, guided by coverage (`run.sh` says how that works on a stable
//! compiler).

pub mod bounds;
pub mod mutated;
pub mod pieces;
pub mod seeds;
pub mod targets;
pub mod tree;

use bounds::Bounds;

/// One place that takes foreign bytes.
pub struct Target {
    /// Its name on the command line, and of its folder of finds.
    pub name: &'static str,
    /// What comes in there.
    pub what: &'static str,
    /// Looks at one input, and panics where something does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of the format, which a mutation may put anywhere.
    pub words: &'static [&'static str],
    /// What one input may cost.
    pub bounds: Bounds,
}

/// All targets, sorted by name.
pub const TARGETS: [Target; 20] = [
    targets::cdi::TARGET,
    targets::checkin::TARGET,
    targets::config::TARGET,
    targets::daemon_json::TARGET,
    targets::description::TARGET,
    targets::desired::TARGET,
    targets::docker::TARGET,
    targets::events::TARGET,
    targets::frame::TARGET,
    targets::ids::TARGET,
    targets::iommu::TARGET,
    targets::kernel_log::TARGET,
    targets::mig_file::TARGET,
    targets::mig_names::TARGET,
    targets::mig_plan::TARGET,
    targets::mountinfo::TARGET,
    targets::pci::TARGET,
    targets::reply::TARGET,
    targets::smi::TARGET,
    targets::workspace::TARGET,
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
