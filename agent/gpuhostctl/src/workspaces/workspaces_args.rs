//! What can be asked of workspaces on the command line.

use crate::change_flags::Change;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `workspaces …`
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesCommand {
    /// List the workspaces: kind, state, cores, memory, GPUs, and why one is not as it is wanted
    List,
    /// Show everything that is known about one
    Show {
        /// Its id
        id: String,
    },
    /// Start one: its image is pulled and its container created if need be
    Start(One),
    /// Stop one; its files are kept
    Stop(One),
    /// Freeze one: its processes stay in memory and get no processor time
    Pause(One),
    /// Let a frozen one run on
    Resume(One),
    /// Delete one: its container, and the volumes that were created for it
    Delete(One),
    /// Create the container of one again; its volumes are kept, what is only in its container is lost
    Recreate(One),
    /// Try again now what failed or was given up
    Retry(One),
    /// Delete every staged workspace: none of them was given to a user yet
    DeleteStaged {
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Delete what the newest revision of the manager's document deletes, although that is more than one revision may delete
    ConfirmRemovals {
        /// How.
        #[command(flatten)]
        how: Change,
    },
}

/// One workspace.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id
    pub(crate) id: String,
    /// How to wait.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How.
    #[command(flatten)]
    pub(crate) how: Change,
}

/// How to wait.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Waiting {
    /// Wait until it is as it is wanted or cannot be, and show the progress
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) wait: bool,
    /// Wait no longer than this with --wait (60s, 5m, 1h, or seconds)
    #[arg(long, value_name = "TIME", value_parser = crate::change_flags::seconds, default_value = "30m", requires = "wait")]
    pub(crate) timeout: u64,
}

/// `run`
#[derive(Debug, Args)]
#[command(
    after_help = "A value of an environment variable is never given on the command line, where every user could read it.\n\
                        Exit status: 0 if the workspace is wanted; with --wait 0 once it runs, 9 if it does not within the time,\n\
                        10 if it failed, 11 if it is refused."
)]
pub(crate) struct Run {
    /// Id of the workspace: letters, digits, '_', '.' and '-'
    #[arg(long, value_name = "ID")]
    pub(crate) name: String,
    /// REGISTRY/PATH@sha256:DIGEST; the policy of this host lists the registries
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: String,
    /// Cores, such as 2 or 0.5
    #[arg(long, value_name = "N")]
    pub(crate) cores: f64,
    /// Memory: bytes, or with a unit (512MiB, 8GiB)
    #[arg(long, value_name = "SIZE", value_parser = super::run_values::size)]
    pub(crate) memory: u64,
    /// Size of /dev/shm: bytes, or with a unit
    #[arg(long, value_name = "SIZE", value_parser = super::run_values::size)]
    pub(crate) shm_size: Option<u64>,
    /// GPUs: a number, all, or UUIDs and PCI addresses with commas between them; by default none
    #[arg(long, value_name = "N|all|GPU,...")]
    pub(crate) gpus: Option<String>,
    /// Give the GPUs whole, to a virtual machine in the container (VFIO)
    #[arg(long, requires = "gpus")]
    pub(crate) passthrough: bool,
    /// Feature that each of the GPUs must have (cuda, nvenc, …); may be repeated
    #[arg(long, value_name = "FEATURE", requires = "gpus")]
    pub(crate) feature: Vec<String>,
    /// File with environment variables, NAME=VALUE a line, or - for standard input; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Volume of gpuhostd by its name, or folder of the host that the policy lists, and where it is inside; may be repeated
    #[arg(long, value_name = "NAME|/PATH:/TARGET[:ro]", value_parser = super::run_values::volume)]
    pub(crate) volume: Vec<serde_json::Value>,
    /// Port inside, and optionally the address and the port of the host; by default 127.0.0.1 and a free one; may be repeated
    #[arg(long, value_name = "[[ADDRESS:]HOST:]PORT[/udp]", value_parser = super::run_values::port)]
    pub(crate) port: Vec<serde_json::Value>,
    /// Docker network that the policy lists; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Vec<String>,
    /// A GPU serves one security context at a time
    #[arg(long, value_name = "NAME")]
    pub(crate) security_context: Option<String>,
    /// What it is for
    #[arg(long, value_name = "KIND", default_value = "user")]
    pub(crate) kind: Kind,
    /// How to wait.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How.
    #[command(flatten)]
    pub(crate) how: Change,
}

/// What a workspace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// For a user
    User,
    /// Not yet given to a user
    Staged,
    /// A virtual desktop
    Vdi,
}

impl Kind {
    /// As it is in a document.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Staged => "staged",
            Self::Vdi => "vdi",
        }
    }
}

/// `drain`
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 if it is recorded; with --wait 0 once the host is drained, 9 if it is not within the time."
)]
pub(crate) struct Drain {
    /// Take new workspaces again
    #[arg(long, conflicts_with = "wait")]
    pub(crate) off: bool,
    /// Only show whether the host is drained and what still runs
    #[arg(long, conflicts_with_all = ["off", "wait", "no_wait", "no_ask"])]
    pub(crate) status: bool,
    /// How to wait.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How.
    #[command(flatten)]
    pub(crate) how: Change,
}
