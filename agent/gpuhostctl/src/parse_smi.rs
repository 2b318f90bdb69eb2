//! `debug parse-smi`: what an nvidia-smi document states, without a daemon and without a GPU.

use crate::failure::Failure;
use crate::input;
use crate::text::print_json;
use model::smi::DOCUMENT_MAX_BYTES;
use std::path::Path;

/// Prints the document as the manager would get it.
pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let bytes = input::read(file, DOCUMENT_MAX_BYTES)?;
    let usage = |fault| Failure::Usage { why: format!("{}: {fault}", input::name(file)) };
    let report = model::smi::parse(&bytes).map_err(usage)?;
    print_json(&wire::parse_smi::document(&report))
}
