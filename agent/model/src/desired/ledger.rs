//! The ledger: what is on disk of a manager's documents. One JSON document of a numbered schema that belongs to one server id.

use super::epoch::Epoch;
use crate::json;
use serde::{Deserialize, Serialize};

/// The schema that this version writes.
const SCHEMA: u64 = 1;
/// Deepest nesting of a manager's document.
pub const DOCUMENT_MAX_DEPTH: usize = 32;
/// Most bytes of a manager's document.
pub const DOCUMENT_MAX_BYTES: usize = 1024 * 1024;
/// Most bytes of the ledger: a document and what belongs to it.
pub const LEDGER_MAX_BYTES: usize = DOCUMENT_MAX_BYTES + 64 * 1024;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The identity that it belongs to; no other one inherits it.
    pub server_id: String,
    /// Epochs that were left, the newest last.
    pub epochs_left: Vec<Epoch>,
    /// The document in force, as it came.
    pub document: String,
}

/// Why a ledger cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerDamage {
    /// It has no content, as after a power failure on a file system that lost it.
    #[error("it is empty")]
    Empty,
    /// It is not what any version writes.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Another version wrote it.
    #[error("it has schema {found}, and this version knows {SCHEMA}: install the version that wrote it")]
    Schema {
        /// Its number.
        found: u64,
    },
}

/// As much as shows how to read the rest.
#[derive(Deserialize)]
struct Head {
    schema: u64,
}

#[derive(Serialize, Deserialize)]
struct Body {
    schema: u64,
    server_id: String,
    epochs_left: Vec<Epoch>,
}

impl Ledger {
    /// As it is written: the document stays letter for letter as it came.
    ///
    /// # Errors
    /// Never for a value of this type; the encoder's own words.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Self { server_id, epochs_left, document } = self;
        let body = Body { schema: SCHEMA, server_id: server_id.clone(), epochs_left: epochs_left.clone() };
        let mut text = serde_json::to_string(&body)?;
        // The closing bracket makes room for the last member.
        text.pop();
        text.push_str(",\"document\":");
        text.push_str(document);
        text.push_str("}\n");
        Ok(text.into_bytes())
    }

    /// Reads what was written. Nothing is guessed: where anything is wrong there is no document.
    ///
    /// # Errors
    /// What is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerDamage> {
        if bytes.is_empty() {
            return Err(LedgerDamage::Empty);
        }
        let damaged = |why: String| LedgerDamage::Damaged(why);
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(damaged("it holds zeros only".to_owned()));
        }
        let text = std::str::from_utf8(bytes).map_err(|fault| damaged(fault.to_string()))?;
        json::check(text, DOCUMENT_MAX_DEPTH + 1).map_err(|fault| damaged(fault.to_string()))?;
        let head: Head = serde_json::from_str(text).map_err(|fault| damaged(fault.to_string()))?;
        if head.schema != SCHEMA {
            return Err(LedgerDamage::Schema { found: head.schema });
        }
        let body: Body = serde_json::from_str(text).map_err(|fault| damaged(fault.to_string()))?;
        let members = json::members(text, json::skip_space(text, 0));
        let document = members.iter().find(|member| text.get(member.name.clone()) == Some("\"document\""));
        let document = document.and_then(|member| text.get(member.value.clone()));
        let document = document.ok_or_else(|| damaged("it has no document".to_owned()))?;
        Ok(Self { server_id: body.server_id, epochs_left: body.epochs_left, document: document.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As schema 1 is written, for as long as this schema is read.
    const GOLDEN: &str = concat!(
        r#"{"schema":1,"server_id":"5f0c2f0e","epochs_left":["a","b"],"document":{ "epoch": "c", "revision": 30.0,"#,
        "\n \"new\": [1, {}] }}\n"
    );

    fn ledger() -> Ledger {
        let epoch = |text: &str| Epoch::try_from(text.to_owned()).unwrap();
        Ledger {
            server_id: "5f0c2f0e".to_owned(),
            epochs_left: vec![epoch("a"), epoch("b")],
            document: "{ \"epoch\": \"c\", \"revision\": 30.0,\n \"new\": [1, {}] }".to_owned(),
        }
    }

    #[test]
    fn schema_1_is_written_and_read_as_ever() {
        assert_eq!(String::from_utf8(ledger().encode().unwrap()).unwrap(), GOLDEN);
        assert_eq!(Ledger::decode(GOLDEN.as_bytes()), Ok(ledger()));
    }

    #[test]
    fn a_ledger_that_is_cut_anywhere_is_no_ledger() {
        let whole = GOLDEN.trim_end();
        for end in 0..whole.len() {
            assert!(Ledger::decode(&whole.as_bytes()[..end]).is_err(), "cut after {end} bytes");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let deep = format!(r#"{{"schema":1,"document":{}}}"#, "[".repeat(100_000));
        for (bytes, said) in [
            (b"".as_slice(), "it is empty"),
            (&[0; 4096], "it is damaged: it holds zeros only"),
            (b"\xff\xfe", "invalid utf-8"),
            (b"[]", "it is damaged: "),
            (b"{}", "missing field `schema`"),
            (
                br#"{"schema":2,"new_shape":true}"#,
                "it has schema 2, and this version knows 1: install the version that wrote it",
            ),
            (br#"{"schema":1,"server_id":"x","epochs_left":[]}"#, "it has no document"),
            (br#"{"schema":1,"server_id":"x","epochs_left":["a b"],"document":{}}"#, "an epoch is 1 to 128"),
            (deep.as_bytes(), "nested deeper than 33 levels"),
        ] {
            let fault = Ledger::decode(bytes).unwrap_err().to_string();
            assert!(fault.contains(said), "{fault}");
        }
    }
}
