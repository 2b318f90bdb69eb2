//! What is kept on disk of images: those that gpuhostd has pulled. Only they are ever removed, so that a lost record removes nothing.

use super::image_prune::OurImage;
use crate::image_ref::ImageRef;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema that this version writes.
const SCHEMA: u64 = 1;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesRecord {
    /// Images that gpuhostd has pulled, by their digest.
    pub ours: BTreeMap<ImageRef, OurImage>,
}

/// A record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadImagesRecord {
    /// It is not what any version writes.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Another version wrote it.
    #[error("it has schema {0}, and this version knows {SCHEMA}: install the version that wrote it")]
    Schema(u64),
}

#[derive(Deserialize)]
struct RecordHead {
    schema: u64,
}

#[derive(Serialize, Deserialize)]
struct RecordFile {
    schema: u64,
    images: ImagesRecord,
}

impl ImagesRecord {
    /// As it is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let file = RecordFile { schema: SCHEMA, images: self.clone() };
        // Maps with texts as keys can always be written.
        let mut bytes = serde_json::to_vec(&file).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// What is wrong; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadImagesRecord> {
        let damaged = |fault: serde_json::Error| BadImagesRecord::Damaged(fault.to_string());
        let RecordHead { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
        if schema != SCHEMA {
            return Err(BadImagesRecord::Schema(schema));
        }
        serde_json::from_slice::<RecordFile>(bytes).map(|file| file.images).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    /// As schema 1 is written, for as long as this schema is read.
    const GOLDEN: &str = "{\"schema\":1,\"images\":{\"ours\":{\"r.example/x@sha256:\
                          aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":\
                          {\"pulled_at\":5,\"needed_at\":7,\"is_seen\":true}}}}\n";

    #[test]
    fn schema_1_is_written_and_read_as_ever_and_nothing_else_is_one() {
        let image = format!("r.example/x@sha256:{}", "a".repeat(64)).parse().unwrap();
        let known = OurImage { pulled_at: UnixMillis(5), needed_at: UnixMillis(7), is_seen: true };
        let record = ImagesRecord { ours: BTreeMap::from([(image, known)]) };
        assert_eq!(String::from_utf8(record.encode()).unwrap(), GOLDEN);
        assert_eq!(ImagesRecord::decode(GOLDEN.as_bytes()), Ok(record));
        for end in 0..GOLDEN.trim_end().len() {
            assert!(ImagesRecord::decode(&GOLDEN.as_bytes()[..end]).is_err(), "cut after {end} bytes");
        }
        let other = GOLDEN.replace("\"schema\":1", "\"schema\":2");
        assert_eq!(ImagesRecord::decode(other.as_bytes()), Err(BadImagesRecord::Schema(2)));
    }
}
