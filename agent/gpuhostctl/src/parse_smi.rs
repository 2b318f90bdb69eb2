//! `debug parse-smi`: what an nvidia-smi document says, without a daemon and without a GPU.

use crate::failure::Failure;
use crate::text::print_json;
use model::smi::DOCUMENT_MAX_BYTES;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Prints the document as the manager would get it.
pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let bytes = read(file).map_err(|source| Failure::File { path: file.to_owned(), source })?;
    let name = if is_input(file) { "standard input".to_owned() } else { file.display().to_string() };
    let report = model::smi::parse(&bytes).map_err(|fault| Failure::Usage { why: format!("{name}: {fault}") })?;
    print_json(&wire::parse_smi::document(&report))
}

fn is_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// Whoever pipes /dev/zero is told so by the parser: one byte too many is read, and no more.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let most = u64::try_from(DOCUMENT_MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let input: Box<dyn Read> = if is_input(file) { Box::new(std::io::stdin()) } else { Box::new(File::open(file)?) };
    input.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
