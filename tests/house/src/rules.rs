//! The rules of the house as tables: which package may use which, and which paths a package may name.

/// A package of the product and the packages of ours that its build may use.
pub struct Floor {
    /// The package.
    pub package: &'static str,
    /// What it may use.
    pub may_use: &'static [&'static str],
}

/// Every package in `agent/`. A new one needs a row here, and with it a decision about its floor.
pub const FLOORS: [Floor; 22] = [
    Floor { package: "model", may_use: &[] },
    Floor { package: "files", may_use: &[] },
    Floor { package: "wire", may_use: &["model"] },
    Floor { package: "protocol", may_use: &["model"] },
    Floor { package: "host", may_use: &["model", "files"] },
    Floor { package: "program", may_use: &["model", "files"] },
    Floor { package: "spawn", may_use: &["model", "files"] },
    Floor { package: "docker", may_use: &["model"] },
    Floor { package: "acts", may_use: &["host", "protocol", "spawn", "model"] },
    Floor { package: "sim", may_use: &["model"] },
    Floor { package: "engine", may_use: &["model"] },
    Floor { package: "hands", may_use: &["program", "protocol", "model", "files"] },
    Floor { package: "gpuhostctl", may_use: &["wire", "model", "files"] },
    Floor {
        package: "gpuhostd",
        may_use: &["engine", "hands", "host", "program", "protocol", "wire", "model", "files"],
    },
    Floor {
        package: "gpuhostd-launcher",
        may_use: &["hands", "spawn", "host", "program", "protocol", "model", "files"],
    },
    Floor { package: "gpuhostd-host", may_use: &["hands", "acts", "spawn", "host", "protocol", "model", "files"] },
    Floor { package: "gpuhostd-containers", may_use: &["hands", "docker", "protocol"] },
    Floor { package: "gpuhostd-holders", may_use: &["hands", "acts", "spawn", "protocol", "files"] },
    Floor { package: "gpuhostd-mig", may_use: &["hands", "acts", "spawn", "protocol", "model", "files"] },
    Floor { package: "gpuhostd-child", may_use: &["host", "protocol", "model", "files"] },
    Floor {
        package: "gpuhostd-collect",
        may_use: &["gpuhostd", "acts", "docker", "spawn", "host", "program", "wire", "model", "files"],
    },
    Floor { package: "gpuhostd-sim", may_use: &["gpuhostd", "program", "sim", "model"] },
];

/// All that the vocabulary may be built on: no runtime, no file system, no process, no clock.
pub const MODEL_IS_BUILT_ON: [&str; 12] = [
    "data-encoding",
    "jiff",
    "quick-xml",
    "saphyr-parser",
    "secrecy",
    "serde",
    "serde_json",
    "serde_norway",
    "strum",
    "thiserror",
    "toml",
    "x509-parser",
];

/// A package of others that only some of ours may use, because it is a way to the outside.
pub struct Kept {
    /// The package of others.
    pub package: &'static str,
    /// Those of ours that may use it.
    pub by: &'static [&'static str],
    /// Why only they.
    pub why: &'static str,
}

/// Packages of others that are kept to some of ours.
pub const KEPT: [Kept; 13] = [
    Kept {
        package: "tokio",
        by: &[
            "host",
            "spawn",
            "docker",
            "acts",
            "hands",
            "engine",
            "gpuhostd",
            "gpuhostd-launcher",
            "gpuhostd-host",
            "gpuhostd-mig",
            "gpuhostd-collect",
            "gpuhostd-sim",
            "gpuhostctl",
        ],
        why: PURE,
    },
    Kept {
        package: "nix",
        by: &[
            "files",
            "host",
            "program",
            "spawn",
            "docker",
            "acts",
            "hands",
            "gpuhostd",
            "gpuhostd-launcher",
            "gpuhostd-host",
            "gpuhostd-containers",
            "gpuhostd-mig",
            "gpuhostd-child",
            "gpuhostd-collect",
        ],
        why: "system calls stay near the host",
    },
    Kept { package: "udev", by: &["host"], why: ADAPTER },
    Kept { package: "bollard", by: &["docker"], why: ADAPTER },
    Kept {
        package: "nvml-wrapper",
        by: &["gpuhostd-child"],
        why: "what may hang or crash runs in the disposable child",
    },
    Kept { package: "landlock", by: &["gpuhostd-child"], why: "the child alone writes, and seals itself first" },
    Kept { package: "procfs", by: &["host"], why: ADAPTER },
    Kept { package: "reqwest", by: &["gpuhostd"], why: "the check-in is the only HTTP client" },
    Kept { package: "rustls", by: &["gpuhostd"], why: "the check-in is the only TLS client" },
    Kept {
        package: "zbus",
        by: &["wire", "gpuhostd", "gpuhostd-collect", "gpuhostctl"],
        why: "the bus is a face, not a part of the core",
    },
    Kept { package: "zbus_polkit", by: &["gpuhostd"], why: "one gate decides every call" },
    Kept { package: "clap", by: &["gpuhostctl"], why: "the daemon's few arguments need no argument parser" },
    Kept { package: "tracing-journald", by: &["program"], why: "one place decides where the log goes" },
];

const PURE: &str = "the vocabulary, the documents and the simulated host run without a runtime";
const ADAPTER: &str = "the adapters to the host are the only way to it";

/// Paths that only some packages may name in what they build into the product.
pub struct Reach {
    /// The paths.
    pub paths: &'static [&'static str],
    /// Who is held to it.
    pub held: Held,
    /// Why.
    pub why: &'static str,
}

/// Which packages a [`Reach`] holds.
pub enum Held {
    /// All of the product.
    Everybody,
    /// All of the product but these.
    AllBut(&'static [&'static str]),
    /// Only these.
    Only(&'static [&'static str]),
}

impl Held {
    /// True where the rule holds this package.
    #[must_use]
    pub fn holds(&self, package: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::AllBut(free) => !free.contains(&package),
            Self::Only(held) => held.contains(&package),
        }
    }
}

/// What may be named by whom.
pub const REACHES: [Reach; 5] = [
    Reach { paths: &STARTS, held: Held::AllBut(&["spawn"]), why: "only the package spawn starts processes" },
    Reach {
        paths: &WRITES,
        held: Held::AllBut(&["host", "spawn", "gpuhostd-child", "gpuhostctl"]),
        why: "only host (the daemon's own state), spawn (its folders), the child (sysfs) and gpuhostctl (the checkpoint that its caller \
              names, with the caller's rights) write to the file system",
    },
    Reach { paths: &LISTENS, held: Held::Everybody, why: "the product opens no TCP listener: it only calls out" },
    Reach { paths: &["std::thread::sleep"], held: Held::Everybody, why: "wait for the event, never for a time" },
    Reach {
        paths: &["tokio::time::sleep", "tokio::time::sleep_until", "tokio::time::interval", "tokio::time::interval_at"],
        held: Held::Only(&["engine", "gpuhostd"]),
        why: "timers of the core and the check-in run on CLOCK_BOOTTIME, through the port Clock",
    },
];

const STARTS: [&str; 11] = [
    "std::process::Command",
    "std::os::unix::process::CommandExt",
    "tokio::process::Command",
    "nix::spawn",
    "nix::unistd::fork",
    "nix::unistd::execv",
    "nix::unistd::execve",
    "nix::unistd::execvp",
    "nix::unistd::execvpe",
    "nix::unistd::fexecve",
    "nix::unistd::execveat",
];

const WRITES: [&str; 46] = [
    "std::fs::write",
    "std::fs::rename",
    "std::fs::remove_file",
    "std::fs::remove_dir",
    "std::fs::remove_dir_all",
    "std::fs::create_dir",
    "std::fs::create_dir_all",
    "std::fs::copy",
    "std::fs::hard_link",
    "std::fs::soft_link",
    "std::fs::set_permissions",
    "std::fs::OpenOptions",
    "std::fs::DirBuilder",
    "std::fs::File::create",
    "std::fs::File::create_new",
    "std::fs::File::options",
    "std::os::unix::fs::symlink",
    "std::os::unix::fs::chown",
    "std::os::unix::fs::lchown",
    "std::os::unix::fs::fchown",
    "tokio::fs::write",
    "tokio::fs::rename",
    "tokio::fs::remove_file",
    "tokio::fs::remove_dir",
    "tokio::fs::remove_dir_all",
    "tokio::fs::create_dir",
    "tokio::fs::create_dir_all",
    "tokio::fs::copy",
    "tokio::fs::hard_link",
    "tokio::fs::symlink",
    "tokio::fs::set_permissions",
    "tokio::fs::OpenOptions",
    "tokio::fs::DirBuilder",
    "tokio::fs::File::create",
    "tokio::fs::File::create_new",
    "tokio::fs::File::options",
    "nix::unistd::unlink",
    "nix::unistd::unlinkat",
    "nix::unistd::mkdir",
    "nix::unistd::mkfifo",
    "nix::unistd::symlinkat",
    "nix::unistd::chown",
    "nix::fcntl::open",
    "nix::fcntl::renameat",
    "nix::mount",
    "tempfile",
];

const LISTENS: [&str; 3] = ["std::net::TcpListener", "tokio::net::TcpListener", "tokio::net::TcpSocket"];

/// One file that may name a path against the rule.
pub struct Exception {
    /// The file, relative to the top.
    pub file: &'static str,
    /// The path that it names.
    pub path: &'static str,
    /// Why it must.
    pub why: &'static str,
}

/// Every exception with its reason. One that is no longer needed fails the test, so the list cannot rot.
pub const EXCEPTIONS: [Exception; 10] = [
    Exception { file: "agent/files/src/lib.rs", path: "nix::fcntl::open", why: READS },
    Exception { file: "agent/docker/src/cdi.rs", path: "std::fs::OpenOptions", why: READS },
    Exception { file: "agent/gpuhostd-collect/src/snapshot/root.rs", path: "nix::fcntl::open", why: READS },
    Exception { file: "agent/files/src/own.rs", path: "nix::fcntl::open", why: "it opens without even reading" },
    Exception { file: "agent/gpuhostd/src/launch.rs", path: "std::process::Command", why: LAUNCHES },
    Exception { file: "agent/gpuhostd/src/launch.rs", path: "std::os::unix::process::CommandExt", why: LAUNCHES },
    Exception { file: "agent/gpuhostctl/src/role.rs", path: "std::process::Command", why: BECOMES },
    Exception { file: "agent/gpuhostctl/src/role.rs", path: "std::os::unix::process::CommandExt", why: BECOMES },
    Exception { file: "agent/gpuhostd/src/bus/executor.rs", path: "std::process::Command", why: FOR_ZBUS },
    Exception { file: "agent/gpuhostd/src/bus/executor.rs", path: "tokio::time::sleep", why: FOR_ZBUS },
];

const LAUNCHES: &str =
    "gpuhostd --with-hands becomes the launcher: another program, before anything of the front has begun";

const READS: &str = "it opens for reading alone";

const FOR_ZBUS: &str =
    "zbus names it in the trait of a runtime: nothing is started, and its timers only bound waiting on the bus";

const BECOMES: &str =
    "the command line becomes or starts another program of the package for what must work with the daemon down";
