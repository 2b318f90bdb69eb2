//! Writes what a target's search begins with: its seeds as files, and its words as a dictionary in libFuzzer's form.

use crate::Target;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// Writes the seeds into the folder, and the dictionary beside it as `FOLDER.words`.
///
/// # Errors
/// The folder or a file cannot be written.
pub fn write(target: &Target, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let file = folder.join(format!("seed-{number:02}"));
        fs::write(&file, seed).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let words: String = target.words.iter().map(|word| quoted(word)).collect();
    let file = folder.with_extension("words");
    fs::write(&file, words).with_context(|| format!("cannot write {}", file.display()))
}

/// `"…"` with everything but plain characters as `\xNN`.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let escaped = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("\\x{byte:02X}") };
    format!("\"{}\"\n", word.bytes().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_byte_by_byte() {
        assert_eq!(quoted("a \"\\\n\u{e9}"), "\"a\\x20\\x22\\x5C\\x0A\\xC3\\xA9\"\n");
    }

    #[test]
    fn every_seed_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = crate::target("ids").unwrap();
        write(target, &folder.path().join("ids")).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("ids")).unwrap().count(), (target.seeds)().len());
        assert_eq!(fs::read_to_string(folder.path().join("ids.words")).unwrap().lines().count(), target.words.len());
    }
}
