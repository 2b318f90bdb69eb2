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
