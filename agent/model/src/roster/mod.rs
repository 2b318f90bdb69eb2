//! The GPUs that this host has had, so that one that is gone is reported as gone, with what it was, also after a restart.
//!
//! Only a scan that worked reports anything. A record that was lost or cannot be read claims neither that GPUs are gone nor
//! that none are.

mod kept_record;
mod sight;

pub use kept_record::{DOCUMENT_MAX_BYTES, RecordError, SCHEMA, decode, encode};
pub use sight::{Card, Sight};

use crate::condition::{Condition, ConditionStatus};
use crate::ids::PciAddress;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// More GPUs than these are not recorded.
pub const CARDS_MAX: usize = 256;
/// Type of the condition that names the GPUs that are gone.
pub const GONE: &str = "gpu_gone";

/// A GPU that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What it was when it was last seen.
    #[serde(flatten)]
    pub card: Card,
    /// When it was last seen.
    pub seen_at: UnixMillis,
    /// Since when it is gone; `None` while it is here.
    #[serde(default)]
    pub gone_at: Option<UnixMillis>,
}

impl Known {
    /// What it was, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Card { address, id, name, uuid, serial, .. } = &self.card;
        let name = name.clone().unwrap_or_else(|| format!("a GPU {id}"));
        let uuid = uuid.as_ref().map(|uuid| format!(", {uuid}")).unwrap_or_default();
        let serial = serial.as_ref().map(|serial| format!(", serial number {serial}")).unwrap_or_default();
        format!("GPU {address} was here until {}, last known as {name}{uuid}{serial}", self.seen_at.to_utc())
    }
}

/// What a look has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuNews {
    /// It is gone.
    Gone(Known),
    /// It was gone and is here again, at this address.
    Back(Known, PciAddress),
    /// It is gone and its slot has another card, of which this is known.
    Replaced(Known, Card),
    /// It was in a port from which it may be unplugged (Thunderbolt, USB4), and was.
    Unplugged(Known),
}

/// All that were seen and not forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    known: Vec<Known>,
}

impl Roster {
    /// Those that are gone, by address.
    #[must_use]
    pub fn gone(&self) -> Vec<Known> {
        let mut gone: Vec<Known> = self.known.iter().filter(|known| known.gone_at.is_some()).cloned().collect();
        gone.sort_by_key(|known| known.card.address);
        gone
    }

    /// All.
    #[must_use]
    pub fn known(&self) -> &[Known] {
        &self.known
    }

    /// Takes in what a scan saw. A card is the same one where its UUID is; else where its address is, or where its model is and
    /// no other card could be it (buses are numbered again when cards are added and taken out), as long as no UUID contradicts.
    pub fn look(&mut self, sight: &Sight) -> Vec<GpuNews> {
        let mut cards: Vec<Option<&Card>> = sight.cards.iter().map(Some).collect();
        let mut pairs: Vec<Option<&Card>> = vec![None; self.known.len()];
        for is_same in [same_uuid, same_place, same_model] {
            for (known, pair) in self.known.iter().zip(&mut pairs) {
                if pair.is_none() {
                    *pair = cards
                        .iter_mut()
                        .find(|card| card.is_some_and(|card| is_same(known, card)))
                        .and_then(Option::take);
                }
            }
        }
        let mut news = Vec::new();
        let mut kept = Vec::with_capacity(self.known.len());
        for (known, pair) in std::mem::take(&mut self.known).into_iter().zip(pairs) {
            let heir = cards.iter().flatten().find(|card| card.address == known.card.address);
            kept.extend(after_a_look(known, pair, heir.copied(), sight, &mut news));
        }
        let new = cards.into_iter().flatten().cloned();
        kept.extend(new.map(|card| Known { card, seen_at: sight.at, gone_at: None }));
        // Those that are gone longest are forgotten first.
        kept.sort_by_key(|known| (known.gone_at.is_some(), Reverse(known.gone_at), known.card.address));
        kept.truncate(CARDS_MAX);
        self.known = kept;
        news
    }

    /// Only when GPUs were last seen differs.
    #[must_use]
    pub fn is_same_but_for_time(&self, other: &Self) -> bool {
        let gist = |roster: &Self| {
            let gist = |known: &Known| (known.card.clone(), known.gone_at);
            roster.known.iter().map(gist).collect::<Vec<_>>()
        };
        gist(self) == gist(other)
    }

    /// Forgets the GPUs that are gone from this address: somebody knows. Empty where none is gone from there.
    pub fn acknowledge(&mut self, address: PciAddress) -> Vec<Known> {
        self.known.extract_if(.., |known| known.gone_at.is_some() && known.card.address == address).collect()
    }

    /// The condition that holds while GPUs are gone and nobody has reported that they know.
    #[must_use]
    pub fn condition(&self) -> Option<Condition> {
        let gone = self.gone();
        let first = gone.first()?.card.address;
        let since = gone.iter().filter_map(|known| known.gone_at).min()?;
        let each: Vec<String> = gone.iter().map(Known::sentence).collect();
        Some(Condition {
            kind: GONE.to_owned(),
            status: ConditionStatus::True,
            reason: "left_the_bus".to_owned(),
            message: format!("{}; {}", each.join(". "), remedy(first)),
            since,
        })
    }
}

/// What to do about a GPU that is gone.
#[must_use]
pub fn remedy(address: PciAddress) -> String {
    format!(
        "`journalctl -k -g 'Xid|pciehp|AER|{address}'` shows why it disappeared; `echo 1 > /sys/bus/pci/rescan` or a power \
         cycle may bring it back; \
         if it was removed on purpose: `gpuhostctl gpu acknowledge {address}`"
    )
}

fn same_uuid(known: &Known, card: &Card) -> bool {
    known.card.uuid.is_some() && known.card.uuid == card.uuid
}

fn may_be(known: &Known, card: &Card) -> bool {
    known.card.id == card.id && (known.card.uuid.is_none() || card.uuid.is_none() || same_uuid(known, card))
}

fn same_place(known: &Known, card: &Card) -> bool {
    known.card.address == card.address && may_be(known, card)
}

/// One that has long been gone is not taken for back because a card of its model turns up in another slot.
fn same_model(known: &Known, card: &Card) -> bool {
    known.gone_at.is_none() && may_be(known, card)
}

/// What is known of a GPU after a look: `pair` is it, `heir` a new card in its slot.
fn after_a_look(
    known: Known,
    pair: Option<&Card>,
    heir: Option<&Card>,
    sight: &Sight,
    news: &mut Vec<GpuNews>,
) -> Option<Known> {
    if let Some(card) = pair {
        if known.gone_at.is_some() {
            news.push(GpuNews::Back(known.clone(), card.address));
        }
        return Some(Known { card: card.or(&known.card), seen_at: sight.at, gone_at: None });
    }
    if sight.unreadable.contains(&known.card.address) {
        return Some(known);
    }
    if let Some(card) = heir {
        news.push(GpuNews::Replaced(known, card.clone()));
        return None;
    }
    if known.gone_at.is_some() {
        return Some(known);
    }
    if known.card.removable {
        news.push(GpuNews::Unplugged(known));
        return None;
    }
    let gone = Known { gone_at: Some(sight.at), ..known };
    news.push(GpuNews::Gone(gone.clone()));
    Some(gone)
}

#[cfg(test)]
mod tests;
