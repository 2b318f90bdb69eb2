//! What is written to the log: a level for everything, and others for single targets.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing, not even errors.
    Off,
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what happens in normal operation.
    Info,
    /// And what helps to find a fault.
    Debug,
    /// And everything else.
    Trace,
}

impl LogLevel {
    const ALL: [Self; 6] = [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// A level by its own name, or by the name that it has in syslog and elsewhere.
    fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Self::ALL.into_iter().find(|level| level.word() == word).or(match word.as_str() {
            "warning" => Some(Self::Warn),
            // What is above an error in syslog is an error here.
            "err" | "crit" | "critical" | "alert" | "emerg" | "panic" | "fatal" => Some(Self::Error),
            "notice" | "informational" => Some(Self::Info),
            _ => None,
        })
    }
}

/// `info,zbus=warn`: the level of everything, and those of single targets. Only the word `off` silences errors: where no level
/// is alone, what is not named is at `info`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LogFilter {
    /// The level of what is not named.
    pub default: LogLevel,
    /// Those of single targets: the packages and modules of the program, `zbus`, `gpuhostd::checkin`.
    pub targets: BTreeMap<String, LogLevel>,
}

impl Default for LogFilter {
    fn default() -> Self {
        Self { default: LogLevel::Info, targets: BTreeMap::from([("zbus".to_owned(), LogLevel::Warn)]) }
    }
}

impl Display for LogFilter {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.default.word())?;
        self.targets.iter().try_for_each(|(target, level)| write!(out, ",{target}={}", level.word()))
    }
}

impl From<LogFilter> for String {
    fn from(filter: LogFilter) -> Self {
        filter.to_string()
    }
}

impl TryFrom<String> for LogFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for LogFilter {
    type Err = String;

    /// The error shows what was expected.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut filter = Self { default: LogLevel::Info, targets: BTreeMap::new() };
        let mut alone = false;
        for part in text.split(',').map(str::trim) {
            match part.split_once('=').map(|(target, level)| (target.trim(), level.trim())) {
                None => {
                    filter.default = LogLevel::from_word(part).ok_or_else(no_level)?;
                    if std::mem::replace(&mut alone, true) {
                        return Err("expected one level alone, and others as target=level".to_owned());
                    }
                }
                Some((target, level)) if is_target(target) => {
                    let level = LogLevel::from_word(level).ok_or_else(no_level)?;
                    filter.targets.insert(target.to_owned(), level);
                }
                Some(_) => return Err("expected the name of a target before each =, as in info,zbus=warn".to_owned()),
            }
        }
        Ok(filter)
    }
}

fn no_level() -> String {
    format!("expected one of {}, also by target as in info,zbus=warn", LogLevel::ALL.map(LogLevel::word).join(", "))
}

/// A path of Rust modules.
fn is_target(text: &str) -> bool {
    text.split("::").all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_syslog_are_understood() {
        for (text, normal) in [
            ("warning", "warn"),
            ("WARN", "warn"),
            ("critical", "error"),
            ("err", "error"),
            ("notice", "info"),
            ("off", "off"),
            (" info , zbus = Warning ", "info,zbus=warn"),
            ("info,gpuhostd::checkin=debug,zbus=off", "info,gpuhostd::checkin=debug,zbus=off"),
        ] {
            assert_eq!(text.parse::<LogFilter>().unwrap().to_string(), normal);
        }
        assert_eq!(LogFilter::default().to_string(), "info,zbus=warn");
    }

    #[test]
    fn what_is_no_level_is_refused_and_the_levels_are_named() {
        for text in ["", "verbose", "none", "wran", "3", "info,", "info,zbus", "zbus=loud", "info,zbus="] {
            let said = text.parse::<LogFilter>().unwrap_err();
            assert!(said.contains("error, warn, info, debug, trace"), "{text}: {said}");
        }
        for text in ["info,=warn", "info,a b=warn", "info,a::=warn", "info,[x]=warn", "info,warn"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_off_silences_errors() {
        let filter: LogFilter = "zbus=debug".parse().unwrap();
        assert_eq!(filter.default, LogLevel::Info, "what is not named is not silent");
    }
}
