//! The entries of `images` of a source: each is wished to be here by its digest.

use super::workspace_status::WorkspaceReason;
use crate::desired::{Desired, DesiredSections};
use crate::image_ref::ImageRef;
use crate::policy::Requester;
use crate::workspace::Image;
use serde_json::Value;
use std::collections::BTreeSet;

/// One that is enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageWish {
    /// Its `image_id`, or `#` and its place in the list where it has none of its own.
    pub id: String,
    /// Whose wish it is.
    pub requester: Requester,
    /// Which image, or why it is none that can be pulled.
    pub image: Result<ImageRef, WorkspaceReason>,
}

/// Those of one source. One that is not enabled is no wish.
#[must_use]
pub fn image_wishes(of: &DesiredSections, requester: Requester) -> Vec<ImageWish> {
    let all = match &of.images {
        Desired::Value(all) => all.as_slice(),
        Desired::Absent | Desired::LocalDefault | Desired::Unsupported(_) => &[],
    };
    let (mut wishes, mut ids) = (Vec::new(), BTreeSet::new());
    for (place, text) in all.iter().enumerate() {
        let value = text.value();
        let named = value.as_ref().ok().and_then(|value| value.get("image_id")?.as_str()).map(str::to_owned);
        let image = match value {
            Ok(value) if value.get("enabled") == Some(&Value::Bool(false)) => continue,
            Ok(value) => read(value),
            Err(unread) => Err(invalid(unread.to_string())),
        };
        let (id, image) = match named {
            Some(id) if ids.insert(id.clone()) => (id, image),
            Some(id) => (format!("#{place}"), Err(WorkspaceReason::new("conflict", format!("{id} is there twice")))),
            None => (format!("#{place}"), image),
        };
        wishes.push(ImageWish { id, requester, image });
    }
    wishes
}

fn read(value: Value) -> Result<ImageRef, WorkspaceReason> {
    let entry: Image = serde_json::from_value(value).map_err(|_| {
        invalid("expected image_id, name and enabled, and each other field in the type of the contract".to_owned())
    })?;
    let image: ImageRef = entry.name.parse().map_err(|why| invalid(format!("name: {why}")))?;
    if image.digest().is_some() {
        return Ok(image);
    }
    let Some(hash) = entry.hash.filter(|hash| !hash.is_empty()) else {
        let why = format!("{image} has no digest (hash, or NAME@sha256:…): a tag can be moved to another image");
        return Err(WorkspaceReason::new("denied_by_local_policy", why));
    };
    Ok(image.at(hash.parse().map_err(|why| invalid(format!("hash: {why}")))?))
}

fn invalid(why: String) -> WorkspaceReason {
    WorkspaceReason::new("invalid_argument", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::WishText;
    use serde_json::json;

    #[test]
    fn each_enabled_entry_is_a_wish_and_one_that_cannot_be_read_is_shown_and_costs_itself() {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let list = [
            json!({"image_id": "a", "name": "r.example/x:1", "hash": digest("a"), "enabled": true, "docker_token": "t"}),
            json!({"image_id": "b", "name": "r.example/x", "enabled": false}),
            json!({"image_id": "c", "name": "r.example/x:1", "enabled": true}),
            json!({"image_id": "d", "name": "r.example/x", "hash": "canary", "enabled": true}),
            json!({"image_id": "a", "name": format!("r.example/y@{}", digest("b")), "enabled": true}),
            json!({"name": "r.example/x", "enabled": true}),
            json!({"image_id": "e", "name": format!("r.example/y@{}", digest("c")), "enabled": "canary"}),
        ];
        let of = DesiredSections {
            images: Desired::Value(list.iter().map(WishText::from).collect()),
            ..DesiredSections::default()
        };
        let found = image_wishes(&of, Requester::Manager);
        let shown: Vec<(&str, String)> = found
            .iter()
            .map(|wish| {
                (wish.id.as_str(), wish.image.as_ref().map_or_else(|why| why.code.clone(), ToString::to_string))
            })
            .collect();
        let first = format!("r.example/x:1@{}", digest("a"));
        let expected = [
            ("a", first.as_str()),
            ("c", "denied_by_local_policy"),
            ("d", "invalid_argument"),
            ("#4", "conflict"),
            ("#5", "invalid_argument"),
            ("e", "invalid_argument"),
        ];
        assert_eq!(shown, expected.map(|(id, what)| (id, what.to_owned())));
        assert!(!format!("{found:?}").contains("canary"));
    }
}
