//! Reads the fields of a TOML file one by one, and gathers everything that is wrong, each with file, line, column and field.
//!
//! The messages speak of the file, not of this program: "a whole number", "a list of texts". They show no line of the file and no
//! more of a value than is needed, since people paste tokens and passwords where they do not belong.

mod config_error;
mod section;

pub use config_error::{ConfigError, ConfigErrors, ConfigPlace};
pub(crate) use section::{Document, Section, Value};
