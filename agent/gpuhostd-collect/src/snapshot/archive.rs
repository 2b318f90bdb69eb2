//! Packs a basket as a gzipped tar: plain files and relative links, all private, nothing of the machine that packs.

use super::basket::{Basket, Entry};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io;
use tar::{Builder, EntryType, Header};

/// The archive, in memory: what goes in is bounded.
///
/// # Errors
/// A path that tar has no form for.
pub fn pack(basket: &Basket, taken_at_s: u64) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, entry) in basket.entries() {
        let mut header = Header::new_gnu();
        header.set_mtime(taken_at_s);
        match entry {
            Entry::Text { content, .. } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(0o600);
                header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
                tar.append_data(&mut header, path, content.as_bytes())?;
            }
            Entry::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                tar.append_link(&mut header, path, target)?;
            }
        }
    }
    tar.into_inner()?.finish()
}
