//! `man`: the manual pages, made from the same description as the help.

use crate::args::{Arguments, Man};
use crate::failure::Failure;
use crate::man_of_file;
use clap::{Command, CommandFactory};
use std::io::Write;

/// Prints a page, or the names of all of them.
pub(crate) fn run(how: &Man) -> Result<(), Failure> {
    match how.of_file {
        Some(file) => write(man_of_file::page(file).as_bytes()),
        None if how.list => list(),
        None => page(&how.command),
    }
}

/// The commands that have a page of their own, at every depth.
fn list() -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    let mut names = Vec::new();
    gather(&command, "", &mut names);
    write((names.join("\n") + "\n").as_bytes())
}

fn gather(command: &Command, path: &str, names: &mut Vec<String>) {
    for inner in command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help") {
        let path = if path.is_empty() { inner.get_name().to_owned() } else { format!("{path} {}", inner.get_name()) };
        names.push(path.clone());
        gather(inner, &path, names);
    }
}

/// The page of a command; without a name that of all.
fn page(path: &[String]) -> Result<(), Failure> {
    let mut command = Arguments::command();
    // Each page lists what follows its command, and no page `help`: that is --help.
    command = command.disable_help_subcommand(true);
    command.build();
    for name in path {
        let missing = || Failure::Usage { why: format!("there is no command {name}; see: gpuhostctl man --list") };
        command = command.find_subcommand(name).cloned().ok_or_else(missing)?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(|source| Failure::Output { source })?;
    write(&page)
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| Failure::Output { source })
}
