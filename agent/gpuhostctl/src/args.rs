//! What can be asked on the command line.

use crate::change_flags::Change;
use crate::events::Events;
use crate::images::Prune;
use crate::import_kasm::ImportKasm;
use crate::nvidia::nvidia_args::NvidiaCommand;
use crate::trust_args::TrustCommand;
use crate::workspaces::workspaces_args::{Drain, Run, WorkspacesCommand};
use clap::{ArgGroup, Args, Parser, Subcommand};
use model::daemon_json::{RuntimeEntry, RuntimeName};
use std::path::PathBuf;

/// See the GPUs of this host, why each can or cannot be used, and control gpuhostd.
#[derive(Debug, Parser)]
#[command(name = "gpuhostctl", version, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 success, 1 internal error, 2 wrong argument, 3 something would change, 4 not authorized, 5 not found, 6 busy,\n\
                        7 conflict, 8 unavailable (the daemon, the manager or another part does not answer),\n\
                        9 timeout, 10 the host refused or failed,\n\
                        11 something blocks the change,\n\
                        20 the doctor found an error or a warning."
)]
pub(crate) struct Arguments {
    /// Print JSON under the names that D-Bus uses; a value that is not known is null
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// D-Bus address of the bus to ask; the environment variable GPUHOSTD_BUS, else the system bus
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) bus: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the state of daemon, GPUs, driver, Docker and manager, and what is wrong
    Status,
    /// List the GPUs: model, state, users, and for an unusable GPU why and what to do
    Gpus,
    /// Show one GPU, or acknowledge that it is gone
    Gpu {
        /// What of it.
        #[command(subcommand)]
        what: GpuCommand,
    },
    /// Watch the GPUs: load, memory, power, temperature, and who uses them
    Top(Top),
    /// Draw the IOMMU groups that hold a GPU
    Iommu,
    /// List the jobs of the daemon, or show one
    #[command(alias = "job")]
    Jobs(Jobs),
    /// List what has happened on this host: to GPUs, workspaces, NVIDIA's containers, and the daemon
    Events(Events),
    /// List what holds on this host that may need a person, with the reason, since when, and what to do
    Conditions,
    /// Scan the host again
    Rescan {
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Enrol this host with a manager
    #[command(alias = "enrol")]
    Enroll {
        /// With whom.
        #[command(flatten)]
        with: Managers,
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Leave the manager and wipe the credential
    Leave {
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Show and change what a manager's certificate is verified by
    Trust {
        /// What of it.
        #[command(subcommand)]
        what: TrustCommand,
    },
    /// Take another token: the shared one, or the one of an enrolment that was refused
    Token {
        /// File with the token, or - for standard input; a token is never given on the command line
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Take over the configuration of a Kasm agent; works without the daemon
    ImportKasm(ImportKasm),
    /// Give a GPU to a virtual machine, or take it back
    Passthrough {
        /// What of it.
        #[command(subcommand)]
        what: Passthrough,
    },
    /// Show, plan and change how GPUs are cut into MIG devices
    Mig {
        /// What of it.
        #[command(subcommand)]
        what: crate::mig::mig_args::Mig,
    },
    /// Run NVIDIA's driver in a container: show, deploy, upgrade, remove it
    Driver {
        /// What of it.
        #[command(subcommand)]
        what: NvidiaCommand,
    },
    /// Run NVIDIA's container toolkit in a container: show, deploy, upgrade, remove it
    Toolkit {
        /// What of it.
        #[command(subcommand)]
        what: NvidiaCommand,
    },
    /// List the GPU workspaces of this host, and start, stop, pause, delete or create them again
    #[command(alias = "workspace")]
    Workspaces {
        /// What of them; by default the list.
        #[command(subcommand)]
        what: Option<WorkspacesCommand>,
    },
    /// List who uses which GPU: workspaces, other containers, virtual machines (vfio), and processes of the host
    Ps,
    /// Have a GPU workspace on this host
    Run(Box<Run>),
    /// Have this host take no new workspaces, and show what still runs
    Drain(Drain),
    /// List the images that Docker has: whose they are, their size, and why each stays
    Images,
    /// Remove images that gpuhostd has pulled and nothing needs
    Prune(Prune),
    /// Look at what gpuhostd would change in Docker's configuration
    Docker {
        /// What of it.
        #[command(subcommand)]
        what: DockerCommand,
    },
    /// Freeze every change of this host that a manager requests
    Lock {
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Allow a manager to request changes again, within the policy
    Unlock {
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Find what is wrong with this host and how to fix it; works without the daemon
    Doctor(Doctor),
    /// Look at the configuration
    Config {
        /// What of it.
        #[command(subcommand)]
        what: Config,
    },
    /// Look at the policy: what may be done to this host, and by whom
    Policy {
        /// What of it.
        #[command(subcommand)]
        what: PolicyCommand,
    },
    /// Look at what is wished of this host: by a manager, and by the files in /etc/gpuhostd/desired.d
    Desired {
        /// What of it.
        #[command(subcommand)]
        what: DesiredCommand,
    },
    /// Tools that work without the daemon
    Debug {
        /// Which one.
        #[command(subcommand)]
        what: Debug,
    },
    /// Print the files of the configuration or of the policy that the daemon reads, in their order, without secrets
    CatConfig {
        /// Which of them; by default both
        #[arg(value_enum)]
        what: Option<CatConfig>,
    },
    /// Print the manual page of a command; for packages
    #[command(hide = true)]
    Man(Man),
    /// Print the completion script of a shell
    Completions {
        /// Which shell.
        shell: crate::complete::shell::Shell,
    },
    /// Print what could complete the last of these words; for the completion scripts
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words after the name of the program
        #[arg(last = true)]
        words: Vec<std::ffi::OsString>,
    },
}

/// `cat-config …`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CatConfig {
    /// Settings of the daemon
    Config,
    /// What may be done to this host
    Policy,
}

/// `man …`
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Print the names of the commands instead, one a line
    #[arg(long)]
    pub(crate) list: bool,
    /// Print the page of a file instead
    #[arg(long, value_enum, conflicts_with_all = ["list", "command"])]
    pub(crate) of_file: Option<CatConfig>,
    /// Which command; without one, the overview page
    #[arg(conflicts_with = "list")]
    pub(crate) command: Vec<String>,
}

/// `doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Check facts printed by `gpuhostd-collect doctor-facts`, possibly on another host; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) facts: Option<PathBuf>,
    /// List all checks
    #[arg(long, conflicts_with = "facts")]
    pub(crate) list: bool,
    /// Read another file system than / (a copy of a host)
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) root: Option<PathBuf>,
    /// Configuration file of the daemon, where it is not in its usual place
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) config: Vec<PathBuf>,
    /// State of the daemon, where it is not in its usual place
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) state: Option<PathBuf>,
}

/// How to watch.
#[derive(Debug, Clone, Copy, Args)]
#[command(after_help = "Keys: q or Ctrl-C quits; the arrow keys, Page Up, Page Down, Home and End scroll.\n\
                        If the output is not a terminal, one screen is printed, as with --once.")]
pub(crate) struct Top {
    /// Print one screen and exit
    #[arg(long)]
    pub(crate) once: bool,
    /// Seconds between updates
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) interval: u64,
}

/// `jobs`
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// Number of a job, to show all that is known of it: its plan, its step, what blocks it, how it ended
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Wait until it has ended, and end with its exit status
    #[arg(long, requires = "job")]
    pub(crate) wait: bool,
}

/// `gpu …`
#[derive(Debug, Subcommand)]
pub(crate) enum GpuCommand {
    /// Show everything that is known about it
    Show {
        /// PCI address (0000:41:00.0 or 41:00.0) or UUID
        address: String,
    },
    /// Acknowledge that a GPU is gone: it is no longer reported
    Acknowledge {
        /// PCI address that it had (0000:41:00.0 or 41:00.0)
        address: String,
        /// How.
        #[command(flatten)]
        how: Change,
    },
}

/// `passthrough …`
#[derive(Debug, Subcommand)]
pub(crate) enum Passthrough {
    /// Check whether it can be given to a virtual machine, what blocks that, and what would be done; changes nothing
    Check {
        /// PCI address (0000:41:00.0 or 41:00.0) or UUID
        gpu: String,
        /// Memory of the guest in MiB, which must be free
        #[arg(long, value_name = "MIB")]
        guest_memory_mib: Option<u64>,
        /// Never ask for a password; fail if one is needed
        #[arg(long)]
        no_ask: bool,
    },
    /// Give it to a virtual machine: every function of its IOMMU group is bound to vfio-pci
    Bind {
        /// PCI address (0000:41:00.0 or 41:00.0) or UUID
        gpu: String,
        /// Print the plan and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Undo it unless it is confirmed within this time (60s, 5m, 1h, or seconds), even after a crash
        #[arg(long, value_name = "TIME", value_parser = crate::change_flags::seconds)]
        confirm_within: Option<u64>,
        /// Memory of the guest in MiB, which must be free
        #[arg(long, value_name = "MIB")]
        guest_memory_mib: Option<u64>,
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Take it back: every function gets its former driver again
    Release {
        /// PCI address (0000:41:00.0 or 41:00.0) or UUID
        gpu: String,
        /// Print the plan and change nothing
        #[arg(long)]
        dry_run: bool,
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Confirm a change that was made with --confirm-within, so that it is kept
    Confirm {
        /// PCI address (0000:41:00.0 or 41:00.0) or UUID
        gpu: String,
        /// How.
        #[command(flatten)]
        how: Change,
    },
}

/// `docker …`
#[derive(Debug, Subcommand)]
pub(crate) enum DockerCommand {
    /// Print what would be changed in daemon.json for NVIDIA's runtime; works without the daemon and writes nothing
    #[command(after_help = "Exit status: 0 if nothing would be refused, 11 if the file is left as it is.")]
    Check {
        /// Version of the Docker engine, 20.10.24: older ones read no byte order mark
        #[arg(long, value_name = "VERSION")]
        engine: Option<String>,
        /// Another file than /etc/docker/daemon.json, or - for standard input
        file: Option<PathBuf>,
    },
}

/// `config …`
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check configuration files, without a daemon
    Check {
        /// Files to merge in this order; by default the files that the daemon reads
        files: Vec<PathBuf>,
    },
}

/// `policy …`
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print what is allowed, defaults included
    Show {
        /// Another file than /etc/gpuhostd/policy.toml
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check whether an operation is allowed, and which key decides
    #[command(
        after_help = "Exit status: 0 for \"allowed\" and for \"denied\", because the answer covers the local administrator and\n\
                            the manager. A script reads .local.allowed or .manager.allowed of --json."
    )]
    Explain {
        /// passthrough-bind, passthrough-release, mig-layout, mig-mode, or a kind of settings: enable, drain, labels, intervals, overrides, features, nvidia
        operation: String,
        /// PCI address of the GPU (0000:41:00.0 or 41:00.0); not for settings
        gpu: Option<String>,
        /// Another file than /etc/gpuhostd/policy.toml
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// `desired …`
#[derive(Debug, Subcommand)]
pub(crate) enum DesiredCommand {
    /// Find everything in a document that would be refused, without a daemon
    #[command(
        after_help = "A file with an epoch or a revision is checked as a document of a manager, any other one as a file of\n\
                            /etc/gpuhostd/desired.d. JSON and TOML are both read.\n\
                            Exit status: 0 if nothing would be refused, 1 if something would."
    )]
    Check {
        /// File to check, or - for standard input
        file: PathBuf,
    },
    /// Show what is wished of this host, by whom, how far it is so, and what prevents the rest
    Show,
    /// Show what is not as it is wished; with a file, what that file would change if it were installed
    Diff {
        /// File that is not installed yet, or - for standard input; it counts as the last one of /etc/gpuhostd/desired.d
        file: Option<PathBuf>,
    },
    /// Accept the documents of an epoch that this host has left, after a manager was restored on purpose
    Accept {
        /// The epoch; `gpuhostctl desired show` lists those that were left
        epoch: String,
        /// How.
        #[command(flatten)]
        how: Change,
    },
    /// Install a file in /etc/gpuhostd/desired.d, checked before and replaced as a whole; the daemon reads it at once
    #[command(
        after_help = "Exit status: 0 if the file is the same already or was installed, 3 with --check if it would be, 1 if it is\n\
                            wrong, 2 for a wrong argument. A script reads .changed of --json."
    )]
    Apply(Apply),
}

/// `desired apply`
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// File to install, or - for standard input
    pub(crate) file: PathBuf,
    /// Name in the directory, ending in .json or .toml; by default that of the file
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Change nothing: only find out whether the file would be installed
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the lines that change
    #[arg(long)]
    pub(crate) diff: bool,
    /// Another directory than /etc/gpuhostd/desired.d
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) directory: Option<PathBuf>,
}

/// `debug …`
#[derive(Debug, Subcommand)]
pub(crate) enum Debug {
    /// Parse the output of nvidia-smi -q -x and print it as the manager would receive it
    ParseSmi {
        /// The file, or - for standard input
        file: PathBuf,
    },
    /// Explain each record of a kernel log, and print the health of each device at its end
    KernelLog {
        /// The log, in the format of /dev/kmsg, dmesg (best with -r) or journalctl -k; - for standard input
        file: PathBuf,
    },
    /// Print Docker's daemon.json with a runtime added or removed; writes no file
    #[command(group(ArgGroup::new("edit").required(true).args(["add", "remove"])))]
    DaemonJson {
        /// The runtime to add, such as nvidia=nvidia-container-runtime
        #[arg(long, value_name = "NAME=PATH")]
        add: Option<RuntimeEntry>,
        /// The runtime to remove
        #[arg(long, value_name = "NAME")]
        remove: Option<RuntimeName>,
        /// Version of the Docker that reads the file; before 23.0 Docker does not accept a byte order mark
        #[arg(long, value_name = "VERSION")]
        engine: Option<String>,
        /// The file, or - for standard input; a file that does not exist is allowed
        file: PathBuf,
    },
    /// Print for each workspace of a desired state the request that would create it on a described host, or why not
    WorkspacePlan {
        /// The host, as JSON: docker, cores, memory, gpus, running, policy; - for standard input
        #[arg(long, value_name = "FILE")]
        host: PathBuf,
        /// The desired state, as a manager sends it; - for standard input
        #[arg(long, value_name = "FILE")]
        document: PathBuf,
    },
    /// Write a snapshot of this host to an archive, without secrets; works without the daemon
    Snapshot {
        /// The archive; - for standard output; by default a name made of host and time, in the current directory
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Read another file system than / (a copy of a host)
        #[arg(long, value_name = "DIR", hide = true)]
        root: Option<PathBuf>,
        /// Configuration file of the daemon, where it is not in its usual place
        #[arg(long, value_name = "FILE", hide = true)]
        config: Vec<PathBuf>,
    },
}

/// With whom to enrol.
#[derive(Debug, Clone, Args)]
#[command(after_help = "For an unattended start (cloud-init, an autoscaler's script):\n\n  \
                  printf %s \"$TOKEN\" | gpuhostctl enroll --manager HOST --server-id ID --provider NAME \\\n    \
                  --public-hostname NAME --token-file - --wait 10m\n\n\
                  Empty values and None, which a template leaves, count as not given. A host that is enrolled already with that manager,\n\
                  under that id, is left as it is, with exit status 0.\n\
                  Exit status: 2 a value or the token is refused, 7 enrolled elsewhere or the token was used, 8 no manager answers,\n\
                  9 not accepted within the time of --wait.")]
pub(crate) struct Managers {
    /// Address of a manager, https://manager.example:443; several are tried in the given order
    #[arg(required_unless_present = "manager", value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// The same for unattended use: without https:// as well, and a host that is enrolled already is left as it is
    #[arg(long, value_name = "HOST", conflicts_with = "urls")]
    pub(crate) manager: Vec<String>,
    /// Id of this host with the manager, from an autoscaler
    #[arg(long, value_name = "UUID")]
    pub(crate) server_id: Option<String>,
    /// Provider of this host, from an autoscaler
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// Name under which users reach this host
    #[arg(long, value_name = "NAME")]
    pub(crate) public_hostname: Option<String>,
    /// Wait until the manager accepts a heartbeat, at most so long (60s, 10m, 1h): also for the daemon, the network and an approval
    #[arg(long, value_name = "TIME", value_parser = crate::change_flags::seconds, conflicts_with = "no_wait")]
    pub(crate) wait: Option<u64>,
    /// File with the token, or - for standard input; a token is never given on the command line
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// PEM file with the only certificate authorities to trust
    #[arg(long, alias = "ca", value_name = "FILE", conflicts_with = "pin_sha256")]
    pub(crate) ca_file: Option<PathBuf>,
    /// SHA-256 of the manager's certificate, to trust instead of an authority; give it twice while a certificate is being replaced
    #[arg(long, alias = "pin", value_name = "HEX")]
    pub(crate) pin_sha256: Vec<String>,
    /// The token is a shared one: it is kept and sent with each heartbeat
    #[arg(long)]
    pub(crate) shared: bool,
}
