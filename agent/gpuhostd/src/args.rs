//! The command line of the daemon: which role this process plays, and the few switches that no file can hold.

use crate::config::cat::{CatArgs, CatOnly};
use crate::config::check::CheckArgs;
use crate::desired::InstallArgs;
use crate::paths::{DESIRED, POLICY, STATE};
use program::args::ArgsError;
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const USAGE: &str = "\
gpuhostd, the GPU host agent

Usage:
  gpuhostd [OPTIONS]                 the front: observes, serves D-Bus, checks in (under systemd)
  gpuhostd --with-hands [OPTIONS]    the same, and starts the hands itself (where there is no systemd)
  gpuhostd config check [--json] [FILE...]
                                     checks the configuration, and reports everything that is invalid
                                     or that the service could not use
  gpuhostd config cat [config|policy]
                                     prints the files of the configuration and the policy, without secrets
  gpuhostd desired install NAME      installs standard input as a file of the local desired state, for
                                     gpuhostctl desired apply, which checks it first

Options:
  --config FILE        configuration file; may be given several times, later ones win
                       [default: /usr/lib/gpuhostd/config.toml, /etc/gpuhostd/config.toml, /etc/gpuhostd/config.d/*.toml]
  --state DIR          durable state [default: $STATE_DIRECTORY or /var/lib/gpuhostd]
  --run DIR            run-time state and the hands' sockets [default: $RUNTIME_DIRECTORY or /run/gpuhostd]
  --bus ADDRESS        message bus: system, none, or an address such as unix:path=/run/bus [default: system]
  --user NAME          with --with-hands, as root: the user that the front becomes [default: gpuhostd, else nobody]
  --sysfs DIR          with --with-hands: another root for /sys
  --kernel-log FILE    with --with-hands: another place of /dev/kmsg, a named pipe
  --policy FILE        what may be done to this host [default: /etc/gpuhostd/policy.toml]
  --desired DIR        what is wished of this host without a manager [default: /etc/gpuhostd/desired.d]
  -h, --help           this text
  -V, --version        the version
";

/// Words of earlier versions, and what does the same now.
const MOVED: [(&str, &str); 3] = [
    (
        "hand",
        "the hands are programs of their own, /usr/libexec/gpuhostd/gpuhostd-host and so on, which systemd starts",
    ),
    ("snapshot", "use gpuhostctl debug snapshot"),
    ("doctor-facts", "use gpuhostctl doctor, or /usr/libexec/gpuhostd/gpuhostd-collect doctor-facts"),
];

/// Where the kernel shows itself.
const SYSFS: &str = "/sys";

/// Which message bus the daemon serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusChoice {
    /// The system bus.
    System,
    /// None at all.
    None,
    /// A D-Bus address.
    Address(String),
}

/// Options of the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontArgs {
    /// Configuration files; empty = the default places.
    pub config: Vec<PathBuf>,
    /// Durable state.
    pub state: PathBuf,
    /// Run-time state.
    pub run: PathBuf,
    /// Message bus.
    pub bus: BusChoice,
    /// Start the hands.
    pub with_hands: bool,
    /// User to become, with `with_hands` as root.
    pub user: Option<String>,
    /// Root of sysfs.
    pub sysfs: PathBuf,
    /// The kernel log, which the launcher opens for the front.
    pub kernel_log: PathBuf,
    /// The policy file.
    pub policy: PathBuf,
    /// The folder of the local desired state.
    pub desired: PathBuf,
    /// Set by the launcher: its process id, and that the front is its child.
    pub launcher: Option<u32>,
}

impl FrontArgs {
    /// The arguments of the launcher for these options.
    #[must_use]
    pub fn for_launcher(&self) -> Vec<OsString> {
        let bus = match &self.bus {
            BusChoice::System => "system",
            BusChoice::None => "none",
            BusChoice::Address(address) => address,
        };
        let places = [
            ("--state", &self.state),
            ("--run", &self.run),
            ("--kernel-log", &self.kernel_log),
            ("--sysfs", &self.sysfs),
            ("--policy", &self.policy),
            ("--desired", &self.desired),
        ];
        let files = self.config.iter().map(|file| ("--config", file));
        let paths = places.into_iter().chain(files).map(|(name, path)| (name, path.clone().into_os_string()));
        let words = [("--bus", Some(bus)), ("--user", self.user.as_deref())];
        let words = words.into_iter().filter_map(|(name, word)| Some((name, OsString::from(word?))));
        paths.chain(words).flat_map(|(name, value)| [OsString::from(name), value]).collect()
    }
}

/// What this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The front.
    Front(Box<FrontArgs>),
    /// Reads configuration files and reports what is wrong.
    ConfigCheck(CheckArgs),
    /// Prints the files of the configuration and of the policy.
    ConfigCat(CatArgs),
    /// Writes a file of the local desired state.
    DesiredInstall(InstallArgs),
    /// Prints a text and ends.
    Print(&'static str),
}

/// Reads the command line; `env` answers for environment variables.
///
/// # Errors
/// Unknown words and options, and invalid combinations.
pub fn parse(
    args: impl IntoIterator<Item = std::ffi::OsString>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Role, ArgsError> {
    use lexopt::prelude::*;
    let folder = |name: &str, default: &str| PathBuf::from(env(name).unwrap_or_else(|| default.to_owned()));
    let mut front = FrontArgs {
        config: Vec::new(),
        state: folder("STATE_DIRECTORY", STATE),
        run: folder("RUNTIME_DIRECTORY", "/run/gpuhostd"),
        bus: BusChoice::System,
        with_hands: false,
        user: None,
        sysfs: PathBuf::from(SYSFS),
        policy: PathBuf::from(POLICY),
        desired: PathBuf::from(DESIRED),
        kernel_log: PathBuf::from("/dev/kmsg"),
        launcher: None,
    };
    let mut parser = lexopt::Parser::from_args(args);
    let mut first = true;
    while let Some(arg) = parser.next()? {
        match arg {
            Value(word) if first => return subcommand(&word.string()?, &mut parser),
            Long("config") => front.config.push(parser.value()?.into()),
            Long("state") => front.state = parser.value()?.into(),
            Long("run") => front.run = parser.value()?.into(),
            Long("bus") => front.bus = bus_choice(parser.value()?.string()?),
            Long("user") => front.user = Some(parser.value()?.string()?),
            Long("sysfs") => front.sysfs = parser.value()?.into(),
            Long("kernel-log") => front.kernel_log = parser.value()?.into(),
            Long("policy") => front.policy = parser.value()?.into(),
            Long("desired") => front.desired = parser.value()?.into(),
            Long("with-hands") => front.with_hands = true,
            Long("launcher") => front.launcher = Some(parser.value()?.parse()?),
            Short('h') | Long("help") => return Ok(Role::Print(USAGE)),
            Short('V') | Long("version") => {
                return Ok(Role::Print(concat!("gpuhostd ", env!("CARGO_PKG_VERSION"), "\n")));
            }
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
        first = false;
    }
    let alone = !front.with_hands && front.launcher.is_none();
    if alone && front.sysfs.as_os_str() != SYSFS {
        return Err(ArgsError::SysfsAlone);
    }
    if alone && front.kernel_log.as_os_str() != "/dev/kmsg" {
        return Err(ArgsError::KernelLogAlone);
    }
    Ok(Role::Front(Box::new(front)))
}

fn bus_choice(word: String) -> BusChoice {
    match word.as_str() {
        "system" => BusChoice::System,
        "none" => BusChoice::None,
        _ => BusChoice::Address(word),
    }
}

fn subcommand(word: &str, parser: &mut lexopt::Parser) -> Result<Role, ArgsError> {
    if let Some((_, instead)) = MOVED.iter().find(|(moved, _)| *moved == word) {
        return Err(ArgsError::Moved { word: word.to_owned(), instead });
    }
    match word {
        "config" => config(parser),
        "desired" => desired(parser),
        _ => unknown(word, "config or desired"),
    }
}

fn config(parser: &mut lexopt::Parser) -> Result<Role, ArgsError> {
    use lexopt::prelude::*;
    let what = match parser.next()? {
        Some(Value(word)) => word.string()?,
        Some(other @ (Short(_) | Long(_))) => return Err(other.unexpected().into()),
        None => String::new(),
    };
    match what.as_str() {
        "check" => check(parser),
        "cat" => cat(parser),
        other => unknown(other, "config check [FILE...] or config cat"),
    }
}

fn check(parser: &mut lexopt::Parser) -> Result<Role, ArgsError> {
    use lexopt::prelude::*;
    let mut args = CheckArgs { files: Vec::new(), json: false, report: false, state: PathBuf::from(STATE) };
    while let Some(arg) = parser.next()? {
        match arg {
            Value(file) => args.files.push(file.into()),
            Long("json") => args.json = true,
            Long("report") => args.report = true,
            Long("state") => args.state = parser.value()?.into(),
            other @ (Short(_) | Long(_)) => return Err(other.unexpected().into()),
        }
    }
    Ok(Role::ConfigCheck(args))
}

fn cat(parser: &mut lexopt::Parser) -> Result<Role, ArgsError> {
    use lexopt::prelude::*;
    let mut args = CatArgs::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(word) if word == "config" => args.only = Some(CatOnly::Config),
            Value(word) if word == "policy" => args.only = Some(CatOnly::Policy),
            Long("config") => args.config.push(parser.value()?.into()),
            Long("policy") => args.policy = parser.value()?.into(),
            Long("report") => args.report = true,
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    Ok(Role::ConfigCat(args))
}

fn desired(parser: &mut lexopt::Parser) -> Result<Role, ArgsError> {
    use lexopt::prelude::*;
    let (mut what, mut name, mut folder) = (None, None, PathBuf::from(DESIRED));
    while let Some(arg) = parser.next()? {
        match arg {
            Value(value) if what.is_none() => what = Some(value.string()?),
            Value(value) if name.is_none() => name = Some(value.string()?),
            Long("desired") => folder = parser.value()?.into(),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    match (what.as_deref(), name) {
        (Some("install"), Some(name)) => Ok(Role::DesiredInstall(InstallArgs { folder, name })),
        (other, _) => unknown(other.unwrap_or_default(), "desired install NAME"),
    }
}

fn unknown(word: &str, expected: &'static str) -> Result<Role, ArgsError> {
    Err(ArgsError::Word { word: word.to_owned(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(line: &str) -> Result<Role, ArgsError> {
        parse(line.split_whitespace().map(Into::into), |_| None)
    }

    #[test]
    fn without_arguments_it_is_the_front_with_the_usual_places() {
        let Role::Front(front) = role("").unwrap() else { panic!("not the front") };
        assert_eq!(front.state, PathBuf::from("/var/lib/gpuhostd"));
        assert_eq!(front.bus, BusChoice::System);
        assert!(!front.with_hands);
    }

    #[test]
    fn systemd_says_where_state_lies() {
        let env = |name: &str| (name == "STATE_DIRECTORY").then(|| "/x".to_owned());
        let Role::Front(front) = parse([], env).unwrap() else { panic!("not the front") };
        assert_eq!(front.state, PathBuf::from("/x"));
    }

    #[test]
    fn another_sysfs_only_with_our_own_hands() {
        assert!(role("--sysfs /tmp/x").unwrap_err().to_string().contains("--with-hands"));
        assert!(role("--sysfs /tmp/x --with-hands").is_ok());
        assert!(role("--kernel-log /tmp/x").unwrap_err().to_string().contains("StandardInput="));
        assert!(role("--kernel-log /tmp/x --with-hands").is_ok());
    }

    #[test]
    fn words_that_went_to_other_programs_say_where_they_are() {
        for (word, instead) in MOVED {
            assert!(role(word).unwrap_err().to_string().contains(instead));
        }
    }

    #[test]
    fn nonsense_is_named() {
        for (line, named) in [("frobnicate", "frobnicate"), ("--nope", "nope"), ("config", "config check")] {
            let fault = role(line).unwrap_err().to_string();
            assert!(fault.contains(named), "{line}: {fault}");
        }
    }
}
