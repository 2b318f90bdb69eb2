//! `__complete`: what could complete the last of some words, for the completion scripts of the shells.
//!
//! The first line that it prints is how the shell goes on, each other line a candidate: the whole word, a tab, and what it is. Nothing
//! is printed on standard error, and the exit status is 0, whatever happens: a shell has no place for either while a word is typed.

mod found;
mod host_values;
pub(crate) mod shell;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::text::clean;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};
use found::{FILES, Found, VALUES};
use shell::Shell;
use std::ffi::OsString;
use std::io::Write;

/// `completions`: prints the script of a shell.
pub(crate) fn print_script(shell: Shell) -> Result<(), Failure> {
    write(shell.script())
}

/// Prints the candidates for the last of these words, which follow the name of the program.
pub(crate) fn run(bus: Option<String>, words: &[OsString]) -> Result<(), Failure> {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut command = Arguments::command();
    command.build();
    let Some((current, before)) = words.split_last() else { return write("values\n") };
    let place = Place::after(&command, before);
    let found = place.candidates(current, bus);
    let mut lines = vec![found.how.to_owned()];
    for (value, what) in &found.values {
        // The first line is enough, and a tab would be the end of it.
        let what = what.lines().next().unwrap_or_default().replace('\t', " ");
        lines.push(format!("{}\t{}", clean(value), clean(&what)));
    }
    write(&(lines.join("\n") + "\n"))
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|source| Failure::Output { source })
}

/// Where on the command line a word is.
#[derive(Debug)]
struct Place<'c> {
    command: &'c Command,
    /// The option whose value it is.
    value_of: Option<&'c Arg>,
    /// How many arguments without a name are before it.
    positionals: usize,
    /// There was `--`: no option follows.
    escaped: bool,
    /// What `--bus` has named.
    bus: Option<String>,
}

impl<'c> Place<'c> {
    fn after(command: &'c Command, words: &[String]) -> Self {
        let mut place = Self { command, value_of: None, positionals: 0, escaped: false, bus: None };
        for word in words {
            place.pass(word);
        }
        place
    }

    fn pass(&mut self, word: &str) {
        if let Some(option) = self.value_of.take() {
            if option.get_id() == "bus" {
                self.bus = Some(word.to_owned());
            }
        } else if self.escaped {
            self.positionals += 1;
        } else if word == "--" {
            self.escaped = true;
        } else if let Some(named) = word.strip_prefix("--") {
            match named.split_once('=') {
                Some(("bus", address)) => self.bus = Some(address.to_owned()),
                Some(_) => {}
                None => self.value_of = self.long(named).filter(|option| takes_value(option)),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            self.value_of = self.waiting(letters);
        } else if let Some(inner) = self.command.find_subcommand(word) {
            (self.command, self.positionals) = (inner, 0);
        } else {
            self.positionals += 1;
        }
    }

    fn long(&self, name: &str) -> Option<&'c Arg> {
        let named = |option: &&Arg| {
            option.get_long() == Some(name) || option.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        };
        self.command.get_arguments().find(named)
    }

    /// The option of the last of some letters, where its value is the next word.
    fn waiting(&self, letters: &str) -> Option<&'c Arg> {
        let of = |letter: char| self.command.get_arguments().find(|option| option.get_short() == Some(letter));
        let (at, option) = letters.char_indices().find_map(|(at, letter)| {
            let option = of(letter).filter(|option| takes_value(option))?;
            Some((at + letter.len_utf8(), option))
        })?;
        // What is behind its letter is its value.
        (at == letters.len()).then_some(option)
    }

    fn candidates(&self, current: &str, bus: Option<String>) -> Found {
        let bus = self.bus.clone().or(bus);
        if let Some(option) = self.value_of {
            return values_of(option, current, bus);
        }
        let option = current.strip_prefix("--").filter(|_| !self.escaped).and_then(|named| named.split_once('='));
        if let Some((name, value)) = option {
            let Some(option) = self.long(name).filter(|option| takes_value(option)) else {
                return Found { how: VALUES, values: Vec::new() };
            };
            let mut found = values_of(option, value, bus);
            for (whole, _) in &mut found.values {
                *whole = format!("--{name}={whole}");
            }
            return found;
        }
        if current.starts_with('-') && !self.escaped {
            let shown = self.command.get_arguments().filter(|option| !option.is_hide_set());
            let named = shown.filter_map(|option| Some((format!("--{}", option.get_long()?), help(option))));
            return Found { how: VALUES, values: named.filter(|(name, _)| name.starts_with(current)).collect() };
        }
        self.word(current, bus)
    }

    /// A command, or an argument without a name.
    fn word(&self, current: &str, bus: Option<String>) -> Found {
        let mut named: Vec<(String, String)> = Vec::new();
        if self.positionals == 0 {
            let shown = self.command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help");
            let about = |one: &Command| one.get_about().map(ToString::to_string).unwrap_or_default();
            named.extend(shown.map(|one| (one.get_name().to_owned(), about(one))));
            named.retain(|(name, _)| name.starts_with(current));
        }
        let all: Vec<&Arg> = self.command.get_positionals().filter(|one| !one.is_hide_set()).collect();
        let last = all.last().filter(|one| matches!(one.get_action(), ArgAction::Append)).copied();
        let Some(positional) = all.get(self.positionals).copied().or(last) else {
            return Found { how: VALUES, values: named };
        };
        let mut found = values_of(positional, current, bus);
        found.values.extend(named);
        found
    }
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

fn help(option: &Arg) -> String {
    option.get_help().map(ToString::to_string).unwrap_or_default()
}

/// What the value of an argument could be.
fn values_of(argument: &Arg, current: &str, bus: Option<String>) -> Found {
    let possible = argument.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        let named = shown.map(|value| {
            let what = value.get_help().map(ToString::to_string).unwrap_or_default();
            (value.get_name().to_owned(), what)
        });
        return Found { how: VALUES, values: named.filter(|(name, _)| name.starts_with(current)).collect() };
    }
    if let Some(found) = host_values::of(argument.get_id().as_str(), current, bus) {
        return found;
    }
    let is_path = matches!(argument.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath);
    Found { how: if is_path { FILES } else { VALUES }, values: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> (&'static str, Vec<String>) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut command = Arguments::command();
        command.build();
        let (current, before) = words.split_last().unwrap();
        let found = Place::after(&command, before).candidates(current, Some("unix:path=/nonexistent".to_owned()));
        (found.how, found.values.into_iter().map(|(value, _)| value).collect())
    }

    #[test]
    fn commands_options_and_values_are_those_of_the_description() {
        assert_eq!(found("pass").1, ["passthrough"]);
        assert_eq!(found("passthrough ").1, ["check", "bind", "release", "confirm"]);
        assert_eq!(found("passthrough bind --conf").1, ["--confirm-within"]);
        assert_eq!(found("completions ").1, ["bash", "zsh", "fish"]);
        assert_eq!(found("run --kind s").1, ["staged"]);
        assert_eq!(found("run --kind=s").1, ["--kind=staged"]);
        assert_eq!(found("--json --bus x mig sh").1, ["show"], "options before the command, with their values");
        assert!(found("").1.iter().all(|name| !["man", "__complete", "help"].contains(&name.as_str())));
        assert!(found("workspaces start web ").1.is_empty(), "there is no second id");
        assert!(found("status -- --js").1.is_empty(), "no option is behind --");
    }

    #[test]
    fn a_file_is_left_to_the_shell() {
        for line in
            ["mig apply -f ", "mig apply -mf ", "mig apply --config-file=x", "config check a ", "desired diff x"]
        {
            assert_eq!(found(line), ("files", Vec::new()), "{line}");
        }
        assert_eq!(found("mig apply -fx --gp").1, ["--gpu"], "the value of -f is behind its letter");
    }

    #[test]
    fn without_a_daemon_there_are_no_candidates_from_it() {
        for line in ["gpu show ", "passthrough bind 41", "workspaces show ", "mig apply --gpu ", "mig apply --layout "]
        {
            assert!(found(line).1.is_empty(), "{line}: {:?}", found(line));
        }
    }

    /// Each argument that is completed from the host is one that a command has: a new name of it would be found here.
    #[test]
    fn what_is_completed_from_the_host_is_an_argument_of_a_command() {
        fn all<'c>(command: &'c Command, ids: &mut Vec<&'c str>) {
            ids.extend(command.get_arguments().map(|argument| argument.get_id().as_str()));
            command.get_subcommands().for_each(|inner| all(inner, ids));
        }
        let mut command = Arguments::command();
        command.build();
        let mut ids = Vec::new();
        all(&command, &mut ids);
        for id in host_values::ARGUMENTS {
            assert!(ids.contains(&id), "no command has the argument {id}");
        }
    }
}
