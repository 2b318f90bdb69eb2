//! `gpus[].mig`: mode and layout of a GPU.

use super::document_reader::Reader;
use super::json_node::Node;
use model::desired::{Desired, DesiredMig, DesiredMigMode, MigApply};
use model::mig::{ProfileName, Wish};
use model::printable::printable;

/// Most entries of a layout, and most instances that one of them can wish for: no GPU holds as many.
const ENTRIES_MOST: usize = 64;
const COUNT_MOST: u64 = 64;
/// Most characters of a profile that a complaint repeats.
const SHOWN_CHARS: usize = 64;

pub(super) fn read<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> DesiredMig {
    let mut mig = DesiredMig::default();
    reader.object(node, |reader, name, value| match name {
        "mode" => mig.mode = reader.wish_text(value, DesiredMigMode::read),
        "layout" if value.is_null() => mig.layout = Desired::LocalDefault,
        "layout" => mig.layout = layout(reader, value),
        "apply" => mig.apply = reader.wish_text(value, MigApply::read),
        // No GPU is reset today, whatever is wished.
        "allow_reset" => {
            reader.wish_truth(value);
            reader.inert(value);
        }
        _ => reader.unknown(value),
    });
    mig
}

/// One wrong entry refuses the whole layout: a part of it would be another layout.
fn layout<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Desired<Vec<Wish>> {
    let mut wishes = Vec::new();
    let mut wrong = None;
    reader.list(node, ENTRIES_MOST, |reader, value| match entry(reader, value) {
        Ok(Some(wish)) => wishes.push(wish),
        Ok(None) => {}
        Err(why) => {
            wrong.get_or_insert(why);
        }
    });
    wrong.map_or(Desired::Value(wishes), Desired::Unsupported)
}

/// An entry; `None` where its count is 0.
fn entry<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Result<Option<Wish>, String> {
    let (mut profile, mut count, mut placement) = (Desired::Absent, Desired::Absent, Desired::Absent);
    reader.object(node, |reader, name, value| match name {
        "profile" => profile = reader.wish_text(value, profile_name),
        "count" => count = reader.wish_whole(value, 0..=COUNT_MOST),
        "placement" => placement = reader.wish_whole(value, 0..=u64::from(u32::MAX)),
        _ => reader.unknown(value),
    });
    let profile = match profile {
        Desired::Value(profile) => profile,
        Desired::Unsupported(why) => return Err(why),
        Desired::Absent | Desired::LocalDefault => {
            let why = "the entry has no profile".to_owned();
            reader.item(node, &why);
            return Err(why);
        }
    };
    let count = number(count)?.unwrap_or(1);
    let start = number(placement)?.map(|start| u32::try_from(start).map_err(|fault| fault.to_string())).transpose()?;
    Ok((count > 0).then_some(Wish { profile, start, count }))
}

fn number(wish: Desired<u64>) -> Result<Option<u64>, String> {
    match wish {
        Desired::Absent | Desired::LocalDefault => Ok(None),
        Desired::Value(number) => Ok(Some(number)),
        Desired::Unsupported(why) => Err(why),
    }
}

fn profile_name(text: &str) -> Result<String, String> {
    let parsed = text.parse::<ProfileName>();
    parsed.map(|_| text.to_owned()).map_err(|fault| printable(&fault.to_string(), 2 * SHOWN_CHARS))
}
