//! The disposable children of the hands: short-lived processes that make the calls which may hang or crash.

use host::hand::change;
use host::hand::{capability, holders, probe};
use std::ffi::OsString;
use std::process::ExitCode;

/// The executable that plays the children: our own.
pub(crate) const WORKER: &str = "/proc/self/exe";

/// Bounds what this process and its children take, and lets it end what a child leaves behind. For a process that starts no child
/// but through a hand's registry or the doctor's facts.
///
/// # Errors
/// What the host said; the process works all the same.
pub fn prepare() -> std::io::Result<()> {
    host::hand::process::prepare()
}

/// Whether a first argument makes this process a disposable child of a hand, or what comes before one.
#[must_use]
pub fn is_child(word: &str) -> bool {
    [probe::ROLE, change::ROLE, change::LOOK_ROLE, holders::ROLE, capability::ROLE].contains(&word)
}

/// A disposable child of a hand, with its own first argument: `probe`, `act`, `close-up`, `look-for-holders`; or what runs before the
/// host hand starts, `name-mig-monitor`. `None` where the word names none. Blocking; what the process exits with.
#[must_use]
pub fn child(word: &str, rest: &[OsString]) -> Option<ExitCode> {
    let texts = || rest.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
    match word {
        probe::ROLE => Some(probe::child_main(&texts())),
        change::ROLE => Some(change::child_main(rest)),
        change::LOOK_ROLE => Some(change::look_main(rest)),
        holders::ROLE => Some(holders::child_main(rest)),
        capability::ROLE => Some(capability::main(rest)),
        _ => None,
    }
}
