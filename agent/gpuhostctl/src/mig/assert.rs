//! `mig assert --valid-config`: whether a file of configurations is right, with mig-parted's flags and variables.

use super::mig_args::Assert;
use super::{read, usage};
use crate::failure::Failure;
use crate::input;
use crate::text::{clean, print, print_json};
use model::mig::files;
use std::path::PathBuf;

/// Exit status of `unavailable`.
const UNAVAILABLE: u8 = 8;

/// Checks the file.
pub(super) fn run(how: &Assert, json: bool) -> Result<(), Failure> {
    if how.hooks_file.is_some() {
        let why = "hooks are not run: gpuhostd itself finds out who uses a GPU, and recreates device nodes and the CDI \
                   specification";
        return Err(usage("--hooks-file", &why));
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = how.config_file.clone().or_else(|| variable("MIG_PARTED_CONFIG_FILE").map(PathBuf::from));
    let name = how.selected_config.clone().or_else(|| variable("MIG_PARTED_SELECTED_CONFIG"));
    let valid_config = match variable("MIG_PARTED_VALID_CONFIG") {
        Some(word) if !how.valid_config => boolean(&word).map_err(|why| usage("MIG_PARTED_VALID_CONFIG", &why))?,
        _ => how.valid_config,
    };
    let missing =
        || Failure::Usage { why: "no file is given: name it with --config-file or MIG_PARTED_CONFIG_FILE".to_owned() };
    let file = file.ok_or_else(missing)?;
    let wrong = |fault: &dyn std::fmt::Display| usage(&input::name(&file), fault);
    let configs = files::read(&read(&file)?).map_err(|fault| wrong(&fault))?;
    let config = configs.select(name.as_deref()).map_err(|why| wrong(&why))?;
    if !valid_config {
        let message =
            "this version does not compare a file with the host; --valid-config checks the file alone".to_owned();
        return Err(Failure::Refused { status: UNAVAILABLE, message });
    }
    if json {
        return print_json(&serde_json::json!({ "valid": true, "selected-config": config.name }));
    }
    print(&[format!("{}: valid, and has the configuration {}", input::name(&file), clean(&config.name))])
}

/// A boolean as mig-parted's variables have it.
fn boolean(word: &str) -> Result<bool, String> {
    match word {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!("{word:?} is neither true nor false")),
    }
}
