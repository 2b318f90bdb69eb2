//! What a property can hold, and how D-Bus carries it.

use super::absent::Absent;
use super::dict::{Dict, dict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zbus::{OwnedObjectPath, OwnedVariant, Signature, Type, Variant};

/// What a property can hold.
pub trait PropertyValue {
    /// Its D-Bus type.
    const SIGNATURE: &'static Signature;

    /// The value as D-Bus carries it; `None` where there is none.
    fn on_dbus(&self) -> Option<OwnedVariant>;
}

/// An object path; one that is not valid has no value on D-Bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathText(pub String);

/// What is listed in dictionaries (`aa{sv}`), under its names in JSON.
pub trait DictView: Serialize {}

fn owned(value: impl Into<Variant<'static>>) -> Option<OwnedVariant> {
    // Only a file descriptor can fail here.
    value.into().try_into().ok()
}

macro_rules! plain {
    ($($type:ty),+) => {
        $(impl PropertyValue for $type {
            const SIGNATURE: &'static Signature = <$type as Type>::SIGNATURE;

            fn on_dbus(&self) -> Option<OwnedVariant> {
                owned(self.clone())
            }
        })+
    };
}

plain!(bool, u32, u64, f64, String, Vec<String>, (String, String));

impl PropertyValue for Absent {
    const SIGNATURE: &'static Signature = <BTreeMap<String, String> as Type>::SIGNATURE;

    fn on_dbus(&self) -> Option<OwnedVariant> {
        owned(self.0.clone())
    }
}

impl PropertyValue for PathText {
    const SIGNATURE: &'static Signature = OwnedObjectPath::SIGNATURE;

    fn on_dbus(&self) -> Option<OwnedVariant> {
        owned(OwnedObjectPath::try_from(self.0.as_str()).ok()?)
    }
}

impl PropertyValue for Vec<PathText> {
    const SIGNATURE: &'static Signature = <Vec<OwnedObjectPath> as Type>::SIGNATURE;

    fn on_dbus(&self) -> Option<OwnedVariant> {
        let valid = self.iter().filter_map(|path| OwnedObjectPath::try_from(path.0.as_str()).ok());
        owned(valid.collect::<Vec<_>>())
    }
}

impl<T: PropertyValue> PropertyValue for Option<T> {
    const SIGNATURE: &'static Signature = T::SIGNATURE;

    fn on_dbus(&self) -> Option<OwnedVariant> {
        self.as_ref()?.on_dbus()
    }
}

impl<T: DictView> PropertyValue for Vec<T> {
    const SIGNATURE: &'static Signature = <Vec<Dict> as Type>::SIGNATURE;

    fn on_dbus(&self) -> Option<OwnedVariant> {
        owned(self.iter().map(dict).collect::<Vec<_>>())
    }
}
