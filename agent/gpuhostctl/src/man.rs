//! `man`: the manual pages, made from the same description as the help.

use crate::args::Arguments;
use crate::failure::Failure;
use clap::{Command, CommandFactory};
use std::io::Write;

/// The names of the commands that have a page of their own.
pub(crate) fn list() -> Result<(), Failure> {
    let names: Vec<String> = shown(&Arguments::command()).map(|name| format!("{name}\n")).collect();
    write(names.concat().as_bytes())
}

/// The page of a command; without a name that of all.
pub(crate) fn page(path: &[String]) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    for name in path {
        let missing = || Failure::Usage { why: format!("there is no command {name}; see: gpuhostctl man --list") };
        command = command.find_subcommand(name).cloned().ok_or_else(missing)?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(|source| Failure::Output { source })?;
    write(&page)
}

fn shown(command: &Command) -> impl Iterator<Item = &str> {
    command.get_subcommands().filter(|one| !one.is_hide_set()).map(Command::get_name)
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| Failure::Output { source })
}
