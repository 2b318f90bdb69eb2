//! What can be asked of NVIDIA's two containers on the command line.

use crate::change_flags::Change;
use clap::{Args, Subcommand};

/// `driver …` and `toolkit …`
#[derive(Debug, Subcommand)]
pub(crate) enum NvidiaCommand {
    /// Show how far it is: image, container, what is waited for, what failed and what to do
    Status,
    /// Deploy it, whatever the configuration files have, or try again what was given up
    #[command(
        after_help = "Exit status: 0 if the wish is recorded; with --wait 0 once it is ready, 10 if it failed, 11 if it is refused."
    )]
    Enable {
        /// What is wished.
        #[command(flatten)]
        wish: Wish,
    },
    /// Stop and remove it as soon as nothing uses it, whatever the configuration files have
    Disable {
        /// Wait until it is removed, and show the progress
        #[arg(long, conflicts_with = "no_wait")]
        wait: bool,
        /// Change nothing: print what would be done, and what would prevent it
        #[arg(long, conflicts_with_all = ["wait", "no_wait"])]
        dry_run: bool,
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Bring it to another image: pulled first, replaced when nothing uses it, and the old one again if the new one fails
    Upgrade {
        /// REGISTRY/PATH:TAG or REGISTRY/PATH@sha256:DIGEST
        image: String,
        /// Wait until it is ready, and show the progress
        #[arg(long, conflicts_with = "no_wait")]
        wait: bool,
        /// Change nothing: print what would be done, and what would prevent it
        #[arg(long, conflicts_with_all = ["wait", "no_wait"])]
        dry_run: bool,
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Print the last lines of the container that failed last
    Logs,
}

/// What is wished.
#[derive(Debug, Args)]
pub(crate) struct Wish {
    /// REGISTRY/PATH:TAG or REGISTRY/PATH@sha256:DIGEST; by default the one that is configured
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// Wait until it is ready, and show the progress
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) wait: bool,
    /// Change nothing: print what would be done, and what would prevent it
    #[arg(long, conflicts_with_all = ["wait", "no_wait"])]
    pub(crate) dry_run: bool,
    /// How.
    #[command(flatten)]
    pub(crate) how: Change,
}
