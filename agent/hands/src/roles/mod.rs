//! The registry of each hand on a real host, one file a hand: a program that serves one of them links nothing of the others.

pub mod containers;
pub mod holders;
pub mod host;

use crate::registry::Registry;
use model::driver::ProbeFault;
use model::settings::Settings;
use std::path::PathBuf;
use wire::hand::HandRole;

/// Where a hand finds what it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandPaths {
    /// `/sys`, or another root where a host is simulated.
    pub sysfs: PathBuf,
    /// The policy file, which the hand reads itself.
    pub policy: PathBuf,
}

/// The settings of a hand, and what is wrong with the files that they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandSettings {
    /// What is right in the files; for the rest the defaults.
    pub settings: Settings,
    /// What is wrong, in short.
    pub wrong: Option<String>,
}

impl HandSettings {
    /// Added to the message where something is not found: it may have been looked for in the wrong place.
    fn note(&self) -> Option<String> {
        let wrong = self.wrong.as_ref()?;
        Some(format!(
            "the configuration is wrong ({wrong}), so that this hand may be looking in the usual place and not in yours"
        ))
    }
}

/// What the hand of this role serves on this host.
#[must_use]
pub fn registry(role: HandRole, settings: HandSettings, paths: &HandPaths) -> Registry {
    match role {
        HandRole::Host => host::registry(settings, paths),
        HandRole::Containers => containers::registry(settings),
        HandRole::Holders => holders::registry(&settings, paths),
    }
}

fn with_note<T>(outcome: Result<T, ProbeFault>, note: Option<&String>) -> Result<T, ProbeFault> {
    outcome.map_err(|fault| match (fault, note) {
        (ProbeFault::Absent { what, said }, Some(note)) => ProbeFault::Absent { what, said: format!("{said}; {note}") },
        (other, _) => other,
    })
}

/// Why a hand is degraded, with the note of a wrong configuration where there is one.
fn noted(why: String, note: Option<&String>) -> String {
    match note {
        Some(note) => format!("{why}; {note}"),
        None => why,
    }
}
