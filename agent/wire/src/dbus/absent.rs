//! Properties without a value: their names, each with the reason.

use model::absence::{Absence, Reading};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of the properties that have no value now, each with the reason: a code of [`Absence::code`], followed by `: ` and
/// what was found where there is something to show (`garbled: ??`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Absent(pub BTreeMap<String, String>);

impl Absent {
    /// The value of a reading; where it has none, the reason is kept under the property's name.
    pub fn value<T>(&mut self, property: &str, reading: Reading<T>) -> Option<T> {
        match reading {
            Reading::Known(value) => Some(value),
            Reading::Absent(why) => {
                self.because(property, &why);
                None
            }
        }
    }

    /// The value of an option; where it has none, `why` is kept under the property's name.
    pub fn option<T>(&mut self, property: &str, value: Option<T>, why: &Absence) -> Option<T> {
        if value.is_none() {
            self.because(property, why);
        }
        value
    }

    /// Why the property has no value.
    #[must_use]
    pub fn reason(&self, property: &str) -> Option<&str> {
        self.0.get(property).map(String::as_str)
    }

    /// Keeps the reason for a property.
    pub fn because(&mut self, property: &str, why: &Absence) {
        let reason = match why {
            Absence::Garbled(detail) | Absence::Unreadable(detail) => format!("{}: {detail}", why.code()),
            Absence::None
            | Absence::NotSupported
            | Absence::NotReported
            | Absence::Deprecated
            | Absence::GpuLost
            | Absence::ResetRequired
            | Absence::NoPermission
            | Absence::UnknownError
            | Absence::DriverAbsent
            | Absence::ProbeTimeout
            | Absence::ProbeFailed
            | Absence::GpuAsleep
            | Absence::NotProbed
            | Absence::NotRead => why.code().to_owned(),
        };
        self.0.insert(property.to_owned(), reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_leaves_its_reason_and_a_known_one_none() {
        let mut absent = Absent::default();
        assert_eq!(absent.value("A", Reading::Known(0)), Some(0));
        assert_eq!(absent.value("B", Reading::<u32>::Absent(Absence::GpuLost)), None);
        assert_eq!(absent.value("C", Reading::<u32>::Absent(Absence::garbled("-7%"))), None);
        assert_eq!(absent.option("D", None::<u32>, &Absence::None), None);
        let shown = serde_json::to_value(&absent).unwrap();
        assert_eq!(shown, serde_json::json!({"B": "gpu_lost", "C": "garbled: -7%", "D": "none"}));
    }
}
