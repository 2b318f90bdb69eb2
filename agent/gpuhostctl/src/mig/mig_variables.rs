//! mig-parted's environment variables, for the flags that are not given.

use super::mig_args::ConfigFlags;
use super::{read, usage};
use crate::failure::Failure;
use crate::input;
use model::mig::files::{self, MigConfig};
use std::path::PathBuf;

/// The value of a variable; an empty one is none.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A flag that is given, or that its variable sets.
pub(super) fn flag(given: bool, name: &str) -> Result<bool, Failure> {
    match variable(name) {
        Some(word) if !given => boolean(&word).map_err(|why| usage(name, &why)),
        Some(_) | None => Ok(given),
    }
}

/// A boolean as mig-parted's variables have it.
fn boolean(word: &str) -> Result<bool, String> {
    match word {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!("{word:?} is neither true nor false")),
    }
}

/// Hooks are refused, with what replaces them.
pub(super) fn no_hooks(given: Option<&PathBuf>) -> Result<(), Failure> {
    let variable = variable("MIG_PARTED_HOOKS_FILE").map(|_| "MIG_PARTED_HOOKS_FILE");
    match given.map(|_| "--hooks-file").or(variable) {
        None => Ok(()),
        Some(argument) => {
            let why = "hooks are not run: gpuhostd itself finds out who uses a GPU, and recreates device nodes and the CDI \
                       specification";
            Err(usage(argument, &why))
        }
    }
}

/// The file, how messages name it, and the configuration that is selected in it.
pub(super) fn selected(flags: &ConfigFlags) -> Result<(String, MigConfig), Failure> {
    no_hooks(flags.hooks_file.as_ref())?;
    let file = flags.config_file.clone().or_else(|| variable("MIG_PARTED_CONFIG_FILE").map(PathBuf::from));
    let name = flags.selected_config.clone().or_else(|| variable("MIG_PARTED_SELECTED_CONFIG"));
    let missing =
        || Failure::Usage { why: "no file is given: name it with --config-file or MIG_PARTED_CONFIG_FILE".to_owned() };
    let file = file.ok_or_else(missing)?;
    let wrong = |fault: &dyn std::fmt::Display| usage(&input::name(&file), fault);
    let configs = files::read(&read(&file)?).map_err(|fault| wrong(&fault))?;
    let config = configs.select(name.as_deref()).map_err(|why| wrong(&why))?;
    Ok((input::name(&file), config.clone()))
}
