//! Writes one attribute of sysfs, from a process that has given up every other write first.

use landlock::{ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// The newest set of rights that we name; an older kernel takes what it knows of them.
const RIGHTS: ABI = ABI::V5;

/// Writes the text in one call, as sysfs wants it.
pub(super) fn sealed(file: &Path, text: &[u8]) -> Result<(), String> {
    seal(Some(file)).map_err(|fault| format!("cannot shut the other files away (Landlock): {fault}"))?;
    let said = |error: std::io::Error| error.to_string();
    let mut attribute = OpenOptions::new().write(true).open(file).map_err(said)?;
    match attribute.write(text).map_err(said)? {
        length if length == text.len() => Ok(()),
        length => Err(format!("the kernel took {length} of {} bytes", text.len())),
    }
}

/// Nothing may be written but this one file, or nothing at all. A kernel without Landlock leaves that to the hand's check alone.
pub(super) fn seal(file: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    let all = AccessFs::from_write(RIGHTS);
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?.create()?;
    let rules = match file {
        Some(file) => rules.add_rule(PathBeneath::new(PathFd::new(file)?, AccessFs::WriteFile | AccessFs::Truncate))?,
        None => rules,
    };
    let _kernel_without_landlock = rules.restrict_self()?;
    Ok(())
}
