//! What is done to our own specification: written, left as it is, or removed.

use super::cdi_file::CdiFile;
use super::cdi_look::OURS;
use super::generated::Generated;
use std::collections::BTreeSet;

/// What is done to our file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecPlan {
    /// It is as it must be.
    Keep,
    /// It is written with this content.
    Write(Vec<u8>),
    /// It is removed: other files define all that it would.
    Remove,
}

/// What is done to our file that has this content now, or is not there.
#[must_use]
pub fn spec_plan(present: Option<&[u8]>, generated: Option<&Generated>) -> SpecPlan {
    match (present, generated) {
        (Some(present), Some(generated)) if present == generated.bytes => SpecPlan::Keep,
        (_, Some(generated)) => SpecPlan::Write(generated.bytes.clone()),
        (Some(_), None) => SpecPlan::Remove,
        (None, None) => SpecPlan::Keep,
    }
}

/// Devices that our file must not define: another file of its directory defines them, and an engine then has neither. A file that is
/// too new for the engine of today counts as well: with the next engine it is read.
#[must_use]
pub fn names_of_others(files: &[CdiFile], ours: &str) -> BTreeSet<String> {
    let is_beside = |file: &&CdiFile| directory(&file.path) == directory(ours) && real(&file.path) != real(ours);
    files.iter().filter(is_beside).flat_map(|file| &file.devices).map(|device| device.name.clone()).collect()
}

/// It is our own file, by either of the two paths of its directory.
#[must_use]
pub fn is_ours(path: &str) -> bool {
    real(path) == real(OURS)
}

fn directory(path: &str) -> &str {
    real(path).rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// `/var/run` is a link to `/run` on every distribution with systemd.
fn real(path: &str) -> &str {
    path.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(path)
}
