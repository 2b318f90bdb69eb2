//! Why a `daemon.json` is not edited: a closed list of codes, each with the place in the file and what to do.

use crate::json::JsonPlace;
use serde::{Deserialize, Serialize};

/// Why the file is left as it is.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, strum::VariantNames, strum::IntoStaticStr,
)]
#[serde(tag = "code", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Refused {
    /// It cannot be read.
    #[error("it cannot be read: {said}")]
    Unreadable {
        /// What the host answered.
        said: String,
    },
    /// There is something else at the path than a file.
    #[error("it is {found}, not a regular file")]
    NotAFile {
        /// What there is.
        found: String,
    },
    /// It is longer than any such file should be.
    #[error("it is longer than {most} bytes")]
    TooLarge {
        /// Bytes allowed.
        most: usize,
    },
    /// It has no content.
    #[error(
        "it is {what}: most likely another program's write was cut off. Docker 20.10 does not start on it; put the content back, \
         write {{}} into it, or remove it"
    )]
    EmptyFile {
        /// `empty` or `blank`.
        what: String,
    },
    /// It is not in UTF-8.
    #[error("{at}: {what}; Docker 20.10 reads only UTF-8: save the file as UTF-8")]
    Encoding {
        /// Where.
        at: JsonPlace,
        /// What was found.
        what: String,
    },
    /// It begins with a byte order mark, which this Docker does not read.
    #[error(
        "line 1, column 1: it begins with a byte order mark, and Docker before 23.0 does not start on it: save it without one"
    )]
    Bom,
    /// It is not JSON.
    #[error(
        "{at}: {why}; Docker 23.0 and newer do not start on it, and 20.10 only where text follows the object: correct it first"
    )]
    InvalidJson {
        /// Where.
        at: JsonPlace,
        /// What was found.
        why: String,
    },
    /// It nests deeper than any such file should.
    #[error("{at}: nested deeper than {most} levels")]
    TooDeep {
        /// Where.
        at: JsonPlace,
        /// Levels allowed.
        most: usize,
    },
    /// A value is of another type than Docker expects there.
    #[error("{at}: {what} is {found}, not an object: correct it first")]
    WrongType {
        /// Where.
        at: JsonPlace,
        /// `the file`, `runtimes`, `runtimes.nvidia`.
        what: String,
        /// What is there, `an array`.
        found: String,
    },
    /// A runtime of that name is there already, and is not ours.
    #[error("{at}: a runtime {name} already exists and is kept as it is: {why}")]
    RuntimeExists {
        /// Where.
        at: JsonPlace,
        /// Its name.
        name: String,
        /// How it differs.
        why: String,
    },
    /// `features.cdi` is set already, and not by us.
    #[error("{at}: features.cdi is set already and is kept as it is: {why}")]
    FeatureSet {
        /// Where.
        at: JsonPlace,
        /// How it differs.
        why: String,
    },
}

impl Refused {
    /// Every code, in the order of the enum.
    pub const CODES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}
