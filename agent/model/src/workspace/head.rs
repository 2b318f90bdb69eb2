//! What identifies a workspace of a document and what is wanted of it, which has to be read also where the rest is wrong: what is to
//! be stopped or deleted needs no valid image.

use super::fields::{Fields, shown};
use super::refused::WorkspaceRefused;
use super::workspace_id::WorkspaceId;
use crate::desired::WishText;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is wanted of a workspace.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DesiredRun {
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It does not run; its files are kept.
    Stopped,
    /// It is gone, with its files.
    Deleted,
}

impl DesiredRun {
    /// As it is in a document.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// What a workspace is for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WorkspaceKind {
    /// Of a user.
    #[default]
    User,
    /// Not yet given to a user.
    Staged,
    /// A virtual desktop.
    Vdi,
}

impl WorkspaceKind {
    /// As it is in a document.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// The head of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceHead {
    /// Its id.
    pub id: WorkspaceId,
    /// What is wanted.
    pub desired: DesiredRun,
    /// What it is for.
    pub kind: WorkspaceKind,
    /// The generation of its specification.
    pub generation: u64,
}

impl WorkspaceHead {
    /// Reads it from an entry of `workspaces`, whatever the rest of the entry is.
    ///
    /// # Errors
    /// The entry is too long or no JSON object, or a field of the head is missing or invalid.
    pub fn of_text(text: &WishText) -> Result<Self, WorkspaceRefused> {
        let unread = |why: crate::desired::UnreadWish| WorkspaceRefused::invalid("workspace", why.to_string());
        Self::read(&text.value().map_err(unread)?)
    }

    /// Reads it.
    pub(super) fn read(value: &Value) -> Result<Self, WorkspaceRefused> {
        Self::of(&mut Fields::of(value, "")?)
    }

    /// Reads it from the fields of the whole.
    pub(super) fn of(fields: &mut Fields<'_>) -> Result<Self, WorkspaceRefused> {
        let id = fields.text("workspace_id")?.unwrap_or_default();
        let wrong = |why| WorkspaceRefused::invalid("workspace_id", format!("{:?}: {why}", shown(id)));
        let id = id.parse().map_err(wrong)?;
        let codes = <DesiredRun as strum::VariantArray>::VARIANTS.iter().map(|one| one.code());
        let desired = one_of(fields, "desired", &codes.collect::<Vec<_>>())?.and_then(|word| word.parse().ok());
        let desired = desired.ok_or_else(|| WorkspaceRefused::invalid("desired", "it is missing"))?;
        let codes = <WorkspaceKind as strum::VariantArray>::VARIANTS.iter().map(|one| one.code());
        let kind = one_of(fields, "kind", &codes.collect::<Vec<_>>())?.and_then(|word| word.parse().ok());
        let generation = fields.count("generation")?.unwrap_or(0);
        Ok(Self { id, desired, kind: kind.unwrap_or_default(), generation })
    }
}

/// One of the words that are known.
pub(super) fn one_of<'a>(
    fields: &mut Fields<'a>,
    name: &'static str,
    known: &[&str],
) -> Result<Option<&'a str>, WorkspaceRefused> {
    match fields.text(name)? {
        Some(word) if !known.contains(&word) => {
            let why = format!("{:?} is none of {}", shown(word), known.join(", "));
            Err(WorkspaceRefused::invalid(fields.path(name), why))
        }
        word => Ok(word),
    }
}
