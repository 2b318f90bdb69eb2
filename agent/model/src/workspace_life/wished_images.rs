//! The images that the documents in force name, however much of the rest of an entry is understood: they are not removed.

use super::workspace_record::WorkspacesRecord;
use crate::desired::{Desired, DesiredSections, DesiredState, InForceDocument, WishText};
use crate::image_ref::{ImageDigest, ImageRef};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WishedImages {
    /// A workspace, or a container of NVIDIA, needs them.
    pub needed: BTreeSet<ImageRef>,
    /// An entry of `images` names them. What is not needed as well goes last of all, when a workspace has no room without it.
    pub listed: BTreeSet<ImageRef>,
}

/// All of them; `None` = a document cannot be read, so that what it names is not known.
#[must_use]
pub fn wished_images(desired: &DesiredState, record: &WorkspacesRecord) -> Option<WishedImages> {
    let manager = match &desired.manager {
        InForceDocument::None => None,
        InForceDocument::InForce(document) => Some(&document.wishes),
        InForceDocument::Unreadable { .. } => return None,
    };
    if !desired.local.faults.is_empty() {
        return None;
    }
    let sections: Vec<&DesiredSections> = [Some(&desired.local.wishes), manager].into_iter().flatten().collect();
    let named: Vec<(Option<String>, bool, ImageRef)> =
        sections.iter().flat_map(|of| entries(&of.images)).filter_map(named).collect();
    let by_id: BTreeMap<&str, &ImageRef> =
        named.iter().filter_map(|(id, _, image)| Some((id.as_deref()?, image))).collect();
    let listed: BTreeSet<ImageRef> =
        named.iter().filter(|(_, is_enabled, _)| *is_enabled).map(|(_, _, image)| image.clone()).collect();
    let workspaces = sections.iter().flat_map(|of| entries(&of.workspaces));
    let asked = record.local.values().filter_map(|local| local.wish.value().ok());
    let needed = workspaces.chain(asked).filter_map(|workspace| image_of(&workspace, &by_id)).collect();
    Some(WishedImages { needed, listed })
}

/// One that is too long is left out: nothing is ever created from it.
fn entries(of: &Desired<Vec<WishText>>) -> Vec<Value> {
    match of {
        Desired::Value(all) => all.iter().filter_map(|text| text.value().ok()).collect(),
        Desired::Absent | Desired::LocalDefault | Desired::Unsupported(_) => Vec::new(),
    }
}

fn text<'a>(of: &'a Value, key: &str) -> Option<&'a str> {
    of.get(key)?.as_str()
}

/// The id of an entry of `images`, whether workspaces may be made of it, and the image.
fn named(entry: Value) -> Option<(Option<String>, bool, ImageRef)> {
    let image = with_digest(text(&entry, "name")?, text(&entry, "hash"))?;
    let is_enabled = entry.get("enabled") != Some(&Value::Bool(false));
    Some((text(&entry, "image_id").map(str::to_owned), is_enabled, image))
}

fn image_of(workspace: &Value, by_id: &BTreeMap<&str, &ImageRef>) -> Option<ImageRef> {
    if text(workspace, "desired") == Some("deleted") {
        return None;
    }
    let listed = text(workspace, "image_id").and_then(|id| by_id.get(id)).copied();
    match text(workspace, "image") {
        Some(image) => {
            let digest = listed.and_then(ImageRef::digest).map(ImageDigest::as_str);
            with_digest(image, digest)
        }
        None => listed.cloned(),
    }
}

/// An image without a digest is never pulled.
fn with_digest(name: &str, digest: Option<&str>) -> Option<ImageRef> {
    let image: ImageRef = name.parse().ok()?;
    if image.digest().is_some() {
        return Some(image);
    }
    Some(image.at(digest?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::FileFault;
    use crate::workspace::DesiredRun;
    use crate::workspace_life::LocalWorkspace;
    use serde_json::json;

    fn digest(letter: &str) -> String {
        format!("sha256:{}", letter.repeat(64))
    }

    fn lists(all: &[Value]) -> Desired<Vec<WishText>> {
        Desired::Value(all.iter().map(WishText::from).collect())
    }

    #[test]
    fn what_a_document_names_is_found_however_strange_the_rest_of_the_entry_is() {
        let image = |letter: &str| format!("r.example/x@{}", digest(letter));
        let mut desired = DesiredState::default();
        desired.local.wishes.images = lists(&[
            json!({"image_id": "i1", "name": "r.example/x", "hash": digest("a"), "enabled": true}),
            json!({"image_id": "i2", "name": image("b"), "enabled": false}),
            json!({"image_id": "i3", "name": image("c"), "enabled": "later", "new": [1]}),
            json!({"image_id": "i4", "name": "r.example/tagged:1", "enabled": true}),
            json!({"name": 7}),
        ]);
        desired.local.wishes.workspaces = lists(&[
            json!({"workspace_id": "w1", "desired": "hibernated", "image": image("d")}),
            json!({"workspace_id": "w2", "desired": "stopped", "image_id": "i2"}),
            json!({"workspace_id": "w3", "desired": "deleted", "image": image("e")}),
            json!({"image": ["x"]}),
        ]);
        let wish = WishText::from(&json!({"workspace_id": "w9", "image": image("f")}));
        let local = LocalWorkspace { wish, desired: DesiredRun::Stopped };
        let record =
            WorkspacesRecord { local: BTreeMap::from([("w9".parse().unwrap(), local)]), ..WorkspacesRecord::default() };
        let found = wished_images(&desired, &record).unwrap();
        let names = |of: &BTreeSet<ImageRef>| -> Vec<String> { of.iter().map(ToString::to_string).collect() };
        assert_eq!(names(&found.needed), ["b", "d", "f"].map(image));
        assert_eq!(names(&found.listed), ["a", "c"].map(image));
    }

    #[test]
    fn a_document_that_cannot_be_read_is_never_an_empty_one() {
        let record = WorkspacesRecord::default();
        assert_eq!(wished_images(&DesiredState::default(), &record), Some(WishedImages::default()));
        let unreadable = InForceDocument::Unreadable { why: "cut".to_owned() };
        let state = DesiredState { manager: unreadable, ..DesiredState::default() };
        assert_eq!(wished_images(&state, &record), None);
        let mut faulty = DesiredState::default();
        faulty.local.faults = vec![FileFault { place: "f".to_owned(), message: "m".to_owned() }];
        assert_eq!(wished_images(&faulty, &record), None);
    }
}
