//! What can be asked of `gpuhostctl mig`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `mig …`
#[derive(Debug, Subcommand)]
pub(crate) enum Mig {
    /// Print how to get from one layout to another, or why that is impossible; needs no daemon and no GPU
    Plan(Plan),
    /// List the MIG profiles of a GPU, how many fit and at which placements; needs no daemon and no GPU
    Profiles(Profiles),
    /// Draw a layout; needs no daemon and no GPU
    Show(Show),
    /// Check a configuration file, in mig-parted's format or in gpuhostd's own
    Assert(Assert),
}

/// Of which GPU.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Of {
    /// A30-24GB, A100-40GB, A100-80GB, H100-80GB, H200-141GB, B200-180GB, RTX-PRO-6000-96GB, or a PCI id such as 0x20B010DE
    #[arg(long, value_name = "PRODUCT")]
    pub(crate) product: Option<String>,
    /// Output of `gpuhostctl mig profiles --json` for a GPU; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) profiles: Option<PathBuf>,
}

/// `mig plan`
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing in use is touched. As many instances as possible are kept; then the plan with the most room left \
                  and the\n\
                        lowest starts is chosen. Exit status 11: it cannot be done; the reason and the largest part that fits \
                        are printed."
)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Existing instances, such as 3g.20gb@0:in-use,1g.5gb@4; - for none
    #[arg(long, value_name = "PROFILE@START[:in-use],…", default_value = "-", allow_hyphen_values = true)]
    pub(crate) present: String,
    /// Wanted instances, such as 1g.5gb:3,3g.20gb@4; - for none
    #[arg(long, value_name = "PROFILE[@START][:COUNT],…", allow_hyphen_values = true)]
    pub(crate) want: String,
}

/// `mig profiles`
#[derive(Debug, Args)]
pub(crate) struct Profiles {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Existing instances, such as 3g.20gb@0,1g.5gb@4: how many more of each profile fit beside them
    #[arg(long, value_name = "PROFILE@START,…", default_value = "-", allow_hyphen_values = true)]
    pub(crate) present: String,
}

/// `mig show`
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Existing instances, such as 3g.20gb@0:in-use,1g.5gb@4; - for none
    #[arg(long, value_name = "PROFILE@START[:in-use],…", allow_hyphen_values = true)]
    pub(crate) present: String,
}

/// `mig assert`, with mig-parted's flags
#[derive(Debug, Args)]
#[command(
    after_help = "Environment: MIG_PARTED_CONFIG_FILE, MIG_PARTED_SELECTED_CONFIG and MIG_PARTED_VALID_CONFIG are used for\n\
                        the flags that are not given."
)]
pub(crate) struct Assert {
    /// The file; - for standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// The configuration in it; may be omitted if there is only one
    #[arg(short = 'c', long, value_name = "NAME")]
    pub(crate) selected_config: Option<String>,
    /// Only check that the file is valid and has the configuration; needs no daemon and no GPU
    #[arg(short = 'a', long)]
    pub(crate) valid_config: bool,
    /// mig-parted's hooks are not run
    #[arg(short = 'k', long, value_name = "FILE", hide = true)]
    pub(crate) hooks_file: Option<PathBuf>,
}
