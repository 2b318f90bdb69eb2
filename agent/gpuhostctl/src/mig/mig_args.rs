//! What can be asked of `gpuhostctl mig`.

use crate::change_flags::Change;
use clap::{ArgGroup, Args, Subcommand};
use std::path::PathBuf;

/// `mig …`
#[derive(Debug, Subcommand)]
pub(crate) enum Mig {
    /// Show the MIG layout of each GPU: slots, slices, ids, what is in use and who created it
    Show(Show),
    /// List the MIG profiles of a GPU, how many more fit and at which placements
    Profiles(Profiles),
    /// Print how to get from one layout to another, or why that is impossible; needs no daemon and no GPU
    Plan(Plan),
    /// Change MIG mode and layouts as a file states, in mig-parted's format or in gpuhostd's own; or one GPU's layout
    Apply(Apply),
    /// Enable MIG mode of an idle GPU
    Enable(Mode),
    /// Disable MIG mode of an idle GPU: the whole GPU can be used again
    Disable(Mode),
    /// Confirm a change that was made with --confirm-within, so that it is kept
    Confirm(Confirm),
    /// Check whether this host is as a configuration file states, or check the file alone
    Assert(Assert),
    /// Print the layouts of this host as a configuration file
    Export(Export),
    /// Write modes and layouts of this host, with the placements, for restore
    Checkpoint(Checkpoint),
    /// Bring back the modes and layouts of a checkpoint
    Restore(Restore),
    /// Print a configuration file with what the GPUs of this host could have
    GenerateConfig(GenerateConfig),
}

/// Of which GPU, where it must not be one of this host.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct OfTable {
    /// A30-24GB, A100-40GB, A100-80GB, H100-80GB, H200-141GB, B200-180GB, RTX-PRO-6000-96GB, or a PCI id such as 0x20B010DE
    #[arg(long, value_name = "PRODUCT")]
    pub(crate) product: Option<String>,
    /// Output of `gpuhostctl mig profiles --json` for a GPU; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) profiles: Option<PathBuf>,
}

/// Of which GPU: of this host, or of none.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Of {
    /// PCI address (0000:41:00.0 or 41:00.0) or UUID of a GPU of this host; by default all of them
    #[arg(value_name = "GPU")]
    pub(crate) gpu: Option<String>,
    /// Instead, without a daemon: A30-24GB, A100-40GB, A100-80GB, H100-80GB, H200-141GB, B200-180GB, RTX-PRO-6000-96GB, or a PCI
    /// id such as 0x20B010DE
    #[arg(long, value_name = "PRODUCT")]
    pub(crate) product: Option<String>,
    /// Instead, without a daemon: output of `gpuhostctl mig profiles --json` for a GPU; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) profiles: Option<PathBuf>,
}

/// `mig plan`
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing in use is touched. As many instances as possible are kept; then the plan with the most room left \
                  and the\n\
                        lowest starts is chosen. Exit status 11: it cannot be done; the reason and the largest part that fits \
                        are printed.\n\
                        A GPU of this host is planned by: gpuhostctl mig apply --gpu GPU --layout LAYOUT --dry-run"
)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) of: OfTable,
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
    /// With --product or --profiles: existing instances, such as 3g.20gb@0,1g.5gb@4: how many more of each profile fit beside them
    #[arg(long, value_name = "PROFILE@START,…", allow_hyphen_values = true)]
    pub(crate) present: Option<String>,
}

/// `mig show`
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) of: Of,
    /// With --product or --profiles: existing instances, such as 3g.20gb@0:in-use,1g.5gb@4; - for none
    #[arg(long, value_name = "PROFILE@START[:in-use],…", allow_hyphen_values = true)]
    pub(crate) present: Option<String>,
}

/// The file with configurations, with mig-parted's flags.
#[derive(Debug, Args)]
pub(crate) struct ConfigFlags {
    /// The file; - for standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// The configuration in it; may be omitted if there is only one
    #[arg(short = 'c', long, value_name = "NAME")]
    pub(crate) selected_config: Option<String>,
    /// mig-parted's hooks are not run
    #[arg(short = 'k', long, value_name = "FILE", hide = true)]
    pub(crate) hooks_file: Option<PathBuf>,
}

/// `mig apply`, with mig-parted's flags
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("one").args(["gpu", "layout"]).multiple(true).conflicts_with_all(["config_file", "selected_config", "mode_only"])),
    after_help = "All layouts are checked before the first GPU is touched. What is there already stays, and nothing in use is \
                  touched.\n\
                        A GPU that no entry of the file names is left alone. Each GPU has its own job: one that fails is as \
                        it was before, and the\n\
                        others go on.\n\
                        Environment: MIG_PARTED_CONFIG_FILE, MIG_PARTED_SELECTED_CONFIG, MIG_PARTED_MODE_CHANGE_ONLY and \
                        MIG_PARTED_SKIP_RESET are used\n\
                        for the flags that are not given.\n\
                        Exit status: 0 done, 3 with --check if something would change, 11 if something blocks it."
)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// Instead of a file: this GPU, by PCI address (0000:41:00.0 or 41:00.0) or UUID
    #[arg(long, value_name = "GPU", requires = "layout")]
    pub(crate) gpu: Option<String>,
    /// All instances that it is to have, such as 1g.5gb:3,3g.20gb@4; - for none
    #[arg(long, value_name = "PROFILE[@START][:COUNT],…", requires = "gpu", allow_hyphen_values = true)]
    pub(crate) layout: Option<String>,
    /// Change MIG mode only, no instances
    #[arg(short = 'm', long)]
    pub(crate) mode_only: bool,
    /// Never reset a GPU; this version never does, and refuses a mode that needs it
    #[arg(short = 's', long)]
    pub(crate) skip_reset: bool,
    /// Also destroy instances that gpuhostd did not create; they are listed first
    #[arg(long)]
    pub(crate) replace_foreign: bool,
    /// Undo each change unless it is confirmed within this time (60s, 5m, 1h, or seconds), even after a crash
    #[arg(long, value_name = "TIME", value_parser = crate::change_flags::seconds)]
    pub(crate) confirm_within: Option<u64>,
    /// Print the plans and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Change nothing: only find out whether something would change
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) check: bool,
    /// Never ask for a password; fail if one is needed
    #[arg(long)]
    pub(crate) no_ask: bool,
}

/// `mig restore`, with mig-parted's flags
#[derive(Debug, Args)]
#[command(
    after_help = "A checkpoint of other GPUs is refused as a whole, before anything is touched. A GPU that it does not name is \
                  left alone.\n\
                        Environment: MIG_PARTED_CHECKPOINT_FILE, MIG_PARTED_MODE_CHANGE_ONLY and MIG_PARTED_SKIP_RESET are \
                        used for the flags\n\
                        that are not given."
)]
pub(crate) struct Restore {
    /// The checkpoint; - for standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) checkpoint_file: Option<PathBuf>,
    /// mig-parted's hooks are not run
    #[arg(short = 'k', long, value_name = "FILE", hide = true)]
    pub(crate) hooks_file: Option<PathBuf>,
    /// Change MIG mode only, no instances
    #[arg(short = 'm', long)]
    pub(crate) mode_only: bool,
    /// Never reset a GPU; this version never does, and refuses a mode that needs it
    #[arg(short = 's', long)]
    pub(crate) skip_reset: bool,
    /// Also destroy instances that gpuhostd did not create; they are listed first
    #[arg(long)]
    pub(crate) replace_foreign: bool,
    /// Undo each change unless it is confirmed within this time (60s, 5m, 1h, or seconds), even after a crash
    #[arg(long, value_name = "TIME", value_parser = crate::change_flags::seconds)]
    pub(crate) confirm_within: Option<u64>,
    /// Print the plans and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Change nothing: only find out whether something would change
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) check: bool,
    /// Never ask for a password; fail if one is needed
    #[arg(long)]
    pub(crate) no_ask: bool,
}

/// `mig enable` and `mig disable`
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing may use the GPU. With the mode its instances go. A GPU whose driver switches the mode only with a \
                  reset is refused."
)]
pub(crate) struct Mode {
    /// PCI address (0000:41:00.0 or 41:00.0) or UUID
    pub(crate) gpu: String,
    /// Undo it unless it is confirmed within this time (60s, 5m, 1h, or seconds), even after a crash
    #[arg(long, value_name = "TIME", value_parser = crate::change_flags::seconds)]
    pub(crate) confirm_within: Option<u64>,
    /// Print the plan and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How.
    #[command(flatten)]
    pub(crate) how: Change,
}

/// `mig confirm`
#[derive(Debug, Args)]
pub(crate) struct Confirm {
    /// PCI address (0000:41:00.0 or 41:00.0) or UUID
    pub(crate) gpu: String,
    /// How.
    #[command(flatten)]
    pub(crate) how: Change,
}

/// `mig assert`, with mig-parted's flags
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 if the host is as the file states, 1 if it is not.\n\
                        Environment: MIG_PARTED_CONFIG_FILE, MIG_PARTED_SELECTED_CONFIG, MIG_PARTED_MODE_CHANGE_ONLY and\n\
                        MIG_PARTED_VALID_CONFIG are used for the flags that are not given.")]
pub(crate) struct Assert {
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// Compare MIG mode only, no instances
    #[arg(short = 'm', long)]
    pub(crate) mode_only: bool,
    /// Only check that the file is valid and has the configuration; needs no daemon and no GPU
    #[arg(short = 'a', long)]
    pub(crate) valid_config: bool,
    /// A GPU that no entry names does not hold
    #[arg(long)]
    pub(crate) all_gpus: bool,
}

/// `mig export`, with mig-parted's flags
#[derive(Debug, Args)]
#[command(
    after_help = "Environment: MIG_PARTED_OUTPUT_FORMAT and MIG_PARTED_CONFIG_LABEL are used for the flags that are not given."
)]
pub(crate) struct Export {
    /// yaml or json
    #[arg(short = 'o', long, value_name = "FORMAT")]
    pub(crate) output_format: Option<String>,
    /// Name of the configuration; by default current
    #[arg(short = 'l', long, value_name = "NAME")]
    pub(crate) config_label: Option<String>,
}

/// `mig checkpoint`, with mig-parted's flags
#[derive(Debug, Args)]
#[command(after_help = "Environment: MIG_PARTED_CHECKPOINT_FILE is used for the flag that is not given.")]
pub(crate) struct Checkpoint {
    /// The file to write, which is replaced as a whole; - for standard output
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) checkpoint_file: Option<PathBuf>,
}

/// `mig generate-config`, with mig-parted's flags
#[derive(Debug, Args)]
pub(crate) struct GenerateConfig {
    #[command(flatten)]
    pub(crate) of: Of,
    /// yaml or json
    #[arg(short = 'o', long, value_name = "FORMAT")]
    pub(crate) output_format: Option<String>,
}
