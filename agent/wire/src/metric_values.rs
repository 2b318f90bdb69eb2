//! The metrics of a GPU as keys and values, for the faces that show them in a document.

use model::metric::Value;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Metrics under the names of one face; `null` where there is no value.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct MetricValues(BTreeMap<Cow<'static, str>, Option<Value>>);

impl MetricValues {
    /// Under this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)?.as_ref()
    }

    /// The names, whether they have a value or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(AsRef::as_ref)
    }
}

impl FromIterator<(&'static str, Option<Value>)> for MetricValues {
    fn from_iter<I: IntoIterator<Item = (&'static str, Option<Value>)>>(values: I) -> Self {
        Self(values.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }
}

/// A key of a newer daemon whose value is no metric is left out.
impl<'de> Deserialize<'de> for MetricValues {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let keys: BTreeMap<String, serde_json::Value> = Deserialize::deserialize(from)?;
        let read = |(key, value)| Some((Cow::Owned(key), serde_json::from_value(value).ok()?));
        Ok(Self(keys.into_iter().filter_map(read).collect()))
    }
}
