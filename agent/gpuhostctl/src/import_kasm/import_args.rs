//! The arguments of `import-kasm`.

use clap::Args;
use std::path::PathBuf;

/// What is imported, and where it goes.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Exit status: 0 if the files were written, are the same already, or would be written with --dry-run; 2 if the file\n\
                  cannot be read as Kasm's configuration, 7 if a file exists with another content (see --force)."
)]
pub(crate) struct ImportKasm {
    /// Kasm's agent.app.config.yaml, or - for standard input
    pub(crate) file: PathBuf,
    /// File of settings to write
    #[arg(long, value_name = "FILE", default_value = "/etc/gpuhostd/config.d/kasm.toml")]
    pub(crate) output: PathBuf,
    /// File for the manager token, which is written apart from the settings and never printed
    #[arg(long, value_name = "FILE", default_value = "/etc/gpuhostd/token")]
    pub(crate) token_file: PathBuf,
    /// Print what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Replace files that exist with another content
    #[arg(long)]
    pub(crate) force: bool,
}
