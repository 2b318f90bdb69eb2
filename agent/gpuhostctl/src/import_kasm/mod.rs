//! `import-kasm`: Kasm's `agent.app.config.yaml` as a file of this daemon's settings, and its token in a file of its own. Needs no
//! daemon; nothing that exists is overwritten unless that is asked for.

mod import_args;
mod import_write;

pub(crate) use import_args::ImportKasm;

use crate::failure::{Failure, status_of_code};
use crate::input;
use crate::text::{clean, print, print_json};
use import_write::{Content, Found, found, write};
use model::kasm::{KasmImport, LeftOutKey, MappedKey, import_kasm};
use serde::Serialize;

/// A file is no larger.
const MOST_BYTES: usize = 1 << 20;
/// Everybody may read the settings, and no secret is in them.
const CONFIG_MODE: u32 = 0o644;

/// What was found and done. No token is in it.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    config_file: String,
    /// `None` = Kasm's file has no token.
    token_file: Option<String>,
    /// Something was written, or would be.
    changed: bool,
    dry_run: bool,
    config: String,
    mapped: &'a [MappedKey],
    left_out: &'a [LeftOutKey],
    notes: Vec<String>,
}

/// Imports it.
pub(crate) fn run(how: &ImportKasm, json: bool) -> Result<(), Failure> {
    let text = input::read_text(&how.file, MOST_BYTES)?;
    let wrong = |fault: &dyn std::fmt::Display| Failure::Refused {
        status: status_of_code("invalid_argument"),
        message: format!("{}: {fault}; nothing was written", input::name(&how.file)),
    };
    let import = import_kasm(&text).map_err(|fault| wrong(&fault))?;
    let token_path = how.token_file.display().to_string();
    let config = import.config(&token_path).map_err(|fault| wrong(&fault))?;
    let mut files = Vec::new();
    if let Some(token) = &import.token {
        // Before the settings that name it: no crash leaves settings without their token.
        files.push((&how.token_file, Content::Token(token)));
    }
    files.push((&how.output, Content::Config(&config, CONFIG_MODE)));
    let mut pending = Vec::new();
    for (path, content) in files {
        match found(path, &content)? {
            Found::Same => {}
            Found::Other if !how.force && !how.dry_run => {
                let path = path.display();
                let message = format!("{path} exists with another content; compare it, and give --force to replace it");
                return Err(Failure::Refused { status: status_of_code("conflict"), message });
            }
            Found::Nothing | Found::Other => pending.push((path, content)),
        }
    }
    let mut notes = import.notes.clone();
    if !how.dry_run {
        for (path, content) in &pending {
            notes.extend(write(path, content)?);
        }
    }
    let outcome = Outcome {
        config_file: how.output.display().to_string(),
        token_file: import.token.as_ref().map(|_| token_path),
        changed: !pending.is_empty(),
        dry_run: how.dry_run,
        config,
        mapped: &import.mapped,
        left_out: &import.left_out,
        notes,
    };
    if json { print_json(&outcome) } else { print(&lines(&outcome, &import)) }
}

fn lines(outcome: &Outcome<'_>, import: &KasmImport) -> Vec<String> {
    let token_file = outcome.token_file.as_deref().unwrap_or_default();
    let mapped = import.mapped.iter().map(|key| {
        let value = key.value.as_ref().map_or_else(|| format!("{token_file} (the token is not shown)"), Clone::clone);
        format!("{} -> {} = {}", clean(&key.from), clean(&key.to), clean(&value))
    });
    let left_out = import.left_out.iter().map(|key| {
        let why = key.why.as_deref().unwrap_or("gpuhostd does not know this key");
        format!("{} (line {}) is left out: {why}", clean(&key.key), key.line)
    });
    let mut lines: Vec<String> = mapped.chain(left_out).collect();
    lines.extend(outcome.notes.iter().map(|note| format!("note: {}", clean(note))));
    let files = [outcome.token_file.as_ref(), Some(&outcome.config_file)];
    let files: Vec<String> = files.into_iter().flatten().map(|file| clean(file).into_owned()).collect();
    let files = files.join(" and ");
    lines.push(match (outcome.changed, outcome.dry_run) {
        (false, _) => format!("{files}: the same content is there already."),
        (true, true) => format!("{files} would be written; nothing was."),
        (true, false) => {
            format!("{files} written; check with `gpuhostctl config check`, then `systemctl reload gpuhostd`.")
        }
    });
    lines
}
