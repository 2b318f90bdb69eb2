//! Why a command did not do what it was asked, and the exit status for it.

use files::ReadError;
use model::causes::with_causes;
use model::refusal::Refusal;
use std::path::PathBuf;
use wire::dbus::BUS_NAME;
use wire::dbus::errors::code_of;

/// Exit status where something broke that has no code of its own.
pub(crate) const BROKEN: u8 = 1;
/// Exit status of `invalid_argument`.
const USAGE: u8 = 2;
/// Exit status of `not_authorized`.
const NOT_AUTHORIZED: u8 = 4;
/// Exit status of `unavailable`.
pub(crate) const UNAVAILABLE: u8 = 8;
/// Exit status of everything that prevents a change.
pub(crate) const STANDS_IN_THE_WAY: u8 = 11;
/// Exit status of a doctor who found an error or a warning: none that a refusal has.
const ILL: u8 = 20;
/// Exit status where something would change.
const WOULD_CHANGE: u8 = 3;
/// Exit status of `timeout`.
const TIMEOUT: u8 = 9;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no bus.
    #[error("cannot connect to {bus}; is a D-Bus daemon running there?")]
    NoBus {
        /// Which bus.
        bus: String,
        /// The error as it was reported.
        #[source]
        source: zbus::Error,
    },
    /// Nobody owns the daemon's name.
    #[error("gpuhostd is not running: {BUS_NAME} has no owner on {bus}; start it with: systemctl start gpuhostd")]
    NotRunning {
        /// Which bus.
        bus: String,
    },
    /// The bus does not let us speak to the daemon.
    #[error("{bus} does not allow you to talk to gpuhostd: {said}")]
    BusDenied {
        /// Which bus.
        bus: String,
        /// What it answered.
        said: String,
    },
    /// The daemon did not answer.
    #[error("gpuhostd did not answer within {after_s} s; see: systemctl status gpuhostd")]
    Silent {
        /// Seconds waited.
        after_s: u64,
    },
    /// The daemon went away while a job was under way.
    #[error("gpuhostd stopped while {job} was under way; see: journalctl -u gpuhostd")]
    Vanished {
        /// Object path of the job.
        job: String,
    },
    /// The daemon refused, or what needs no daemon.
    #[error("{message}")]
    Refused {
        /// Exit status of the code.
        status: u8,
        /// The error as it was reported.
        message: String,
    },
    /// The bus or the daemon answered with something unexpected.
    #[error("cannot ask gpuhostd on {bus}")]
    Bus {
        /// Which bus.
        bus: String,
        /// The error as it was reported.
        #[source]
        source: zbus::Error,
    },
    /// The daemon's answer cannot be read.
    #[error("the answer of gpuhostd cannot be read; do gpuhostctl and gpuhostd have the same version?")]
    Answer {
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The daemon's answer has another form.
    #[error("the answer of gpuhostd cannot be read: {why}; do gpuhostctl and gpuhostd have the same version?")]
    Form {
        /// What is wrong with it.
        why: String,
    },
    /// An argument has no meaning.
    #[error("{why}")]
    Usage {
        /// What was expected and what came.
        why: String,
    },
    /// The daemon knows no such thing.
    #[error("there is no {what} {name}; see: {see}")]
    NotFound {
        /// "GPU".
        what: &'static str,
        /// What was asked for.
        name: String,
        /// The command that lists them.
        see: &'static str,
    },
    /// The configuration is wrong.
    #[error("the configuration is wrong\n{faults}")]
    Wrong {
        /// Exit status.
        status: u8,
        /// What is wrong, a line each.
        faults: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] files::ReadError),
    /// Another program of the package could not be started.
    #[error("cannot start {path}; is the package gpuhostd installed as a whole?")]
    Role {
        /// The executable.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: std::io::Error,
    },
    /// The doctor found something; it has been printed.
    #[error("the doctor found an error or a warning")]
    Ill,
    /// A document has something in it that would be refused; it has been printed.
    #[error("something in the document would be refused")]
    Refusable,
    /// The host is not as a file states; it has been printed.
    #[error("the host is not as wanted")]
    NotAsWanted,
    /// A file would be installed, and that was only to be found out; it has been printed.
    #[error("something would change")]
    WouldChange,
    /// The output could not be written.
    #[error("cannot write the output")]
    Output {
        /// What the host answered.
        #[source]
        source: std::io::Error,
    },
}

/// D-Bus errors that mean: nobody is there (any more) to answer.
const GONE: [&str; 5] = [
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.Disconnected",
    "org.freedesktop.DBus.Error.UnknownObject",
];

impl Failure {
    /// An error of a call to the daemon, seen for what it is.
    pub(crate) fn of_call(bus: &str, error: zbus::Error) -> Self {
        let bus = bus.to_owned();
        if let zbus::Error::MethodError(name, said, _) = &error {
            let said = said.clone().unwrap_or_default();
            return match code_of(name.as_str()) {
                Some((_, status)) => Self::Refused { status, message: said },
                // What the bus reports for a daemon that ended before it answered, and a daemon that is just ending.
                None if GONE.contains(&name.as_str()) => Self::NotRunning { bus },
                None => Self::Refused { status: BROKEN, message: format!("{name}: {said}") },
            };
        }
        if let zbus::Error::FDO(inner) = &error {
            if let zbus::fdo::Error::ServiceUnknown(_)
            | zbus::fdo::Error::NameHasNoOwner(_)
            | zbus::fdo::Error::NoReply(_)
            | zbus::fdo::Error::Disconnected(_)
            | zbus::fdo::Error::UnknownObject(_) = &**inner
            {
                return Self::NotRunning { bus };
            }
            if let zbus::fdo::Error::AccessDenied(said) = &**inner {
                return Self::BusDenied { bus, said: said.clone() };
            }
        }
        Self::Bus { bus, source: error }
    }

    /// A daemon that ends, starts or is busy answers so: it may answer again.
    pub(crate) const fn is_of_a_restart(&self) -> bool {
        matches!(self.exit_status(), UNAVAILABLE | TIMEOUT)
    }

    /// The exit status.
    pub(crate) const fn exit_status(&self) -> u8 {
        match self {
            Self::NoBus { .. } | Self::NotRunning { .. } | Self::Vanished { .. } => UNAVAILABLE,
            Self::BusDenied { .. } => NOT_AUTHORIZED,
            Self::Silent { .. } => TIMEOUT,
            Self::Refused { status, .. } | Self::Wrong { status, .. } => *status,
            // What was named is there, and is nothing that could be meant.
            Self::Usage { .. }
            | Self::File(ReadError::NotPlain { .. } | ReadError::TooLarge { .. } | ReadError::NotText { .. }) => USAGE,
            Self::NotFound { .. } => 5,
            Self::Ill => ILL,
            Self::WouldChange => WOULD_CHANGE,
            Self::Bus { .. }
            | Self::Answer { .. }
            | Self::Form { .. }
            | Self::File(_)
            | Self::Role { .. }
            | Self::Refusable
            | Self::NotAsWanted
            | Self::Output { .. } => BROKEN,
        }
    }

    /// The failure with all its causes.
    pub(crate) fn with_causes(&self) -> String {
        with_causes(self)
    }
}

/// The exit status of a refusal code that came in a job; 1 where the code is not known here.
pub(crate) fn status_of_code(code: &str) -> u8 {
    Refusal::codes().find(|(known, _)| *known == code).map_or(BROKEN, |(_, status)| status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_statuses_are_those_of_the_table() {
        for (code, status) in [
            ("invalid_argument", USAGE),
            ("not_authorized", NOT_AUTHORIZED),
            ("unavailable", UNAVAILABLE),
            ("timeout", TIMEOUT),
            ("not_found", 5),
        ] {
            assert_eq!(status_of_code(code), status, "{code}");
        }
        assert_eq!(status_of_code("a_code_of_a_newer_daemon"), BROKEN);
    }

    #[test]
    fn a_failure_is_told_with_its_cause() {
        let source = std::io::Error::other("no such device");
        let failure = Failure::Role { path: "/x".into(), source };
        assert!(failure.with_causes().ends_with("installed as a whole?: no such device"), "{}", failure.with_causes());
        let error = std::io::Error::other("no such device");
        let failure = Failure::File(files::ReadError::Host { path: "/x".into(), error });
        assert_eq!(failure.with_causes(), "cannot read /x: no such device");
    }
}
