//! What can be asked of `trust`.

use crate::change_flags::Change;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `trust …`
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// List what a manager's certificate is verified by
    Show,
    /// Trust a further certificate authority, or a further pinned certificate (two at most)
    Add {
        /// What.
        #[command(flatten)]
        what: Added,
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Stop trusting one; the last one, or the one by which the present manager is trusted, is never removed
    Remove {
        /// Its SHA-256, as `gpuhostctl trust show` prints it
        sha256: String,
        /// How.
        #[command(flatten)]
        how: Change,
    },
}

/// What is added.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Added {
    /// PEM file with the certificate authorities, or - for standard input
    #[arg(long, alias = "ca", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// SHA-256 of the manager's next certificate
    #[arg(long, alias = "pin", value_name = "HEX")]
    pub(crate) pin_sha256: Option<String>,
}
