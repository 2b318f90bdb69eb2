//! The form of the spool on disk: one record to a line, with a CRC-32 in front of it.
//!
//! A record is whole or it is none: what is cut or damaged costs itself, and reading goes on with the next line.

use super::event_facts::{EventFacts, FactsChange};
use super::host_event::HostEvent;
use serde::{Deserialize, Serialize};

/// The form that this version writes.
pub const SPOOL_SCHEMA: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SpoolRecord {
    /// How things were when the spool was written as a whole. Always the first line.
    Head(Box<SpoolHead>),
    /// What one look brought: its events, and what it changed of what the next one is compared with. Both or neither is there.
    Turn(Box<SpoolTurn>),
    /// The manager has all events up to this number.
    Acked(u64),
    /// From here on the events are this identity's.
    Owner(SpoolOwner),
}

/// How things were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SpoolHead {
    pub(super) schema: u32,
    pub(super) last_seq: u64,
    #[serde(default)]
    pub(super) acked: u64,
    #[serde(default)]
    pub(super) owner: Option<SpoolOwner>,
    pub(super) facts: EventFacts,
}

/// What one look brought.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct SpoolTurn {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<HostEvent>,
    #[serde(default, skip_serializing_if = "FactsChange::is_empty")]
    pub(super) facts: FactsChange,
}

/// Whose events they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SpoolOwner {
    /// This host's id with its manager; `None` = it has none any more.
    #[serde(default)]
    pub(super) server_id: Option<String>,
    /// Only events with a larger number.
    pub(super) from: u64,
    /// That manager takes events.
    #[serde(default)]
    pub(super) takes: bool,
}

/// A spool that must not be written over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSpool {
    /// A later version has written it.
    #[error("its schema is {0}, and this version knows {SPOOL_SCHEMA}")]
    Later(u32),
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) records: Vec<SpoolRecord>,
    /// Lines within it that are damaged.
    pub(super) damaged: usize,
    /// Its last line has no end: a write was cut.
    pub(super) is_torn: bool,
}

/// The record as a line; nothing where it has no form in JSON.
pub(super) fn line(record: &SpoolRecord) -> Vec<u8> {
    let Ok(json) = serde_json::to_vec(record) else { return Vec::new() };
    let mut line = checksum(&json).into_bytes();
    line.extend(json);
    line.push(b'\n');
    line
}

/// What is in front of a record.
fn checksum(json: &[u8]) -> String {
    format!("{:08x} ", crc32(json))
}

/// The records of a file.
///
/// # Errors
/// A later version has written it.
pub(super) fn lines(bytes: &[u8]) -> Result<Lines, BadSpool> {
    let mut found = Lines::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.split_first().map(|(_, after)| after).unwrap_or_default();
        found.is_torn |= end.is_none();
        match record(line)? {
            Some(record) => found.records.push(record),
            None => found.damaged += usize::from(end.is_some() && !line.is_empty()),
        }
    }
    Ok(found)
}

/// `None` = it is damaged, or empty.
fn record(line: &[u8]) -> Result<Option<SpoolRecord>, BadSpool> {
    let Some((sum, json)) = line.split_at_checked(9) else { return Ok(None) };
    if sum != checksum(json).as_bytes() {
        return Ok(None);
    }
    let parsed = serde_json::from_slice::<SpoolRecord>(json).ok();
    match (&parsed, schema_of(json)) {
        (Some(SpoolRecord::Head(head)), _) if head.schema > SPOOL_SCHEMA => Err(BadSpool::Later(head.schema)),
        // The head of a later version need not have the form that this one knows.
        (None, Some(schema)) if schema > SPOOL_SCHEMA => Err(BadSpool::Later(schema)),
        (_, _) => Ok(parsed),
    }
}

fn schema_of(json: &[u8]) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    value.get("head")?.get("schema")?.as_u64()?.try_into().ok()
}

/// CRC-32 as Ethernet and gzip have it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        let [low, ..] = sum.to_le_bytes();
        (sum >> 8) ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
    })
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut left: &mut [u32] = &mut table;
    let mut number: u32 = 0;
    while let [first, rest @ ..] = left {
        let (mut sum, mut bit) = (number, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
            bit += 1;
        }
        *first = sum;
        left = rest;
        number += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_everybody_has() {
        assert_eq!((crc32(b"123456789"), crc32(b"")), (0xcbf4_3926, 0));
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_one_that_is_changed_in_any_bit_is_none() {
        let record = SpoolRecord::Acked(7);
        let good = line(&record);
        assert_eq!(lines(&good).unwrap().records, [record]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(lines(&bad).unwrap().records.is_empty() || bit / 8 == good.len() - 1, "bit {bit}");
        }
    }

    #[test]
    fn damage_costs_its_line_and_a_cut_end_is_no_damage() {
        let mut file =
            [line(&SpoolRecord::Acked(1)), b"noise \xff\n\n".to_vec(), line(&SpoolRecord::Acked(2))].concat();
        file.extend_from_slice(&line(&SpoolRecord::Acked(3))[..12]);
        let found = lines(&file).unwrap();
        assert_eq!((found.records.len(), found.damaged, found.is_torn), (2, 1, true));
    }

    #[test]
    fn what_a_later_version_wrote_is_recognised_whatever_its_form() {
        let json = br#"{"head": {"schema": 2, "form": "another"}}"#;
        let file = [checksum(json).as_bytes(), json, b"\n"].concat();
        assert_eq!(lines(&file).unwrap_err(), BadSpool::Later(2));
    }
}
