//! The flags of every command that asks the daemon for a change.

use clap::Args;

/// How a change is asked for.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Change {
    /// Print the job and do not wait for it to finish
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Never ask for a password; fail if one is needed
    #[arg(long)]
    pub(crate) no_ask: bool,
}

/// A time with its unit, in seconds; without a unit it is in seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..=86_400) => Ok(seconds),
        Some(_) | None => Err("expected a time from 1s to 24h, such as 60s, 5m or 1h".to_owned()),
    }
}
