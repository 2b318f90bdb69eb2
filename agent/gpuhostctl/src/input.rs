//! Files that are named on the command line; `-` is standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Standard input is meant.
pub(crate) fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

/// What the input is called in messages.
pub(crate) fn name(file: &Path) -> String {
    if is_standard(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// The bytes, at most one more than `most`: so a parser can tell that there are too many, and /dev/zero has an end.
pub(crate) fn read(file: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let input: Box<dyn Read> = if is_standard(file) { Box::new(std::io::stdin()) } else { Box::new(File::open(file)?) };
    input.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
