//! What an object of the bus shows, written once: of one list of fields, [`view!`] makes the JSON document and the table of
//! properties, from which the values on D-Bus, the introspection and the pages of `docs/dbus` come.

use super::absent::Absent;
use std::fmt::Debug;
use zbus::{OwnedVariant, Signature};

/// What an object of the bus shows at one instant.
pub trait View: Sized + Debug + PartialEq + Send + Sync + 'static {
    /// Its D-Bus interface.
    const INTERFACE: &'static str;

    /// Its properties, by name.
    fn properties() -> &'static [Property<Self>];

    /// Some of them are [`Announcement::Silent`].
    #[must_use]
    fn has_silent_properties() -> bool {
        Self::properties().iter().any(|property| property.announcement == Announcement::Silent)
    }

    /// The properties that have no value now, with the reason.
    fn absent(&self) -> &Absent;

    /// Nothing that is announced distinguishes the two.
    fn announces_the_same(&self, other: &Self) -> bool;
}

/// How a property announces its changes: the annotation `EmitsChangedSignal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// In `PropertiesChanged`, with the new value.
    Value,
    /// It never changes.
    Constant,
    /// It is not announced: it changes with each observation or heartbeat.
    Silent,
}

/// One property.
#[derive(Debug)]
pub struct Property<V> {
    /// Its name on D-Bus and in JSON.
    pub name: String,
    /// Its documentation, line by line as in the source.
    pub doc: &'static [&'static str],
    /// Its D-Bus type.
    pub signature: &'static Signature,
    /// How it announces its changes.
    pub announcement: Announcement,
    /// Its value in a view; `None` where it has none now.
    pub read: fn(&V) -> Option<OwnedVariant>,
}

/// Makes a [`View`]. Each field is a property under its name in JSON, with its documentation. A mark, `#[dbus(…)]`, makes an
/// exception: a `constant` property never changes, a `silent` one is not announced, a `document` field is in the document alone, and
/// a `method` field is in the document and in the reply of a method. A `computed` property is not in the document: it is made of
/// `document` fields.
macro_rules! view {
    (
        $(#[doc = $about:literal])+
        pub struct $View:ident at $interface:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)+)])?
                $(#[dbus($mark:ident)])?
                $field:ident: $type:ty,
            )+
        }
        $(computed {
            $($(#[doc = $computed_doc:literal])+ $computed_name:literal: $computed_type:ty = |$this:ident| $compute:expr,)+
        })?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $View {
            $($(#[doc = $doc])+ $(#[serde($($serde)+)])? pub $field: $type,)+
        }

        impl $crate::dbus::view::View for $View {
            const INTERFACE: &'static str = $crate::dbus::$interface;

            fn properties() -> &'static [$crate::dbus::view::Property<Self>] {
                static TABLE: std::sync::LazyLock<Vec<$crate::dbus::view::Property<$View>>> =
                    std::sync::LazyLock::new(|| {
                        let rows = [
                            $($crate::dbus::view::view!(
                                @property $($mark)?, $View, [$($doc),+], $type, |view| &view.$field,
                                $crate::dbus::view::view!(@name $field $($($serde)+)?)
                            ),)+
                            $($($crate::dbus::view::view!(
                                @row Value, $View, [$($computed_doc),+], $computed_type, |$this| &$compute,
                                $computed_name.to_owned()
                            ),)+)?
                        ];
                        let mut table: Vec<_> = rows.into_iter().flatten().collect();
                        table.sort_by(|one, other| one.name.cmp(&other.name));
                        table
                    });
                &TABLE
            }

            fn absent(&self) -> &$crate::dbus::absent::Absent {
                &self.absent
            }

            fn announces_the_same(&self, other: &Self) -> bool {
                true $(&& $crate::dbus::view::view!(@same self.$field, other.$field, $($mark)?))+
            }
        }
    };
    (@name $field:ident rename = $name:literal) => { $name.to_owned() };
    (@name $field:ident $(default)?) => { $crate::dbus::errors::camel_case(stringify!($field)) };
    (@property , $($row:tt)+) => { $crate::dbus::view::view!(@row Value, $($row)+) };
    (@property constant, $($row:tt)+) => { $crate::dbus::view::view!(@row Constant, $($row)+) };
    (@property silent, $($row:tt)+) => { $crate::dbus::view::view!(@row Silent, $($row)+) };
    (@property document, $($row:tt)+) => { None };
    (@property method, $($row:tt)+) => { None };
    (@row $announcement:ident, $View:ident, [$($doc:literal),+], $type:ty, |$view:ident| $value:expr, $name:expr) => {
        Some($crate::dbus::view::Property::<$View> {
            name: $name,
            doc: &[$($doc),+],
            signature: <$type as $crate::dbus::value::PropertyValue>::SIGNATURE,
            announcement: $crate::dbus::view::Announcement::$announcement,
            read: |$view| $crate::dbus::value::PropertyValue::on_dbus($value),
        })
    };
    (@same $one:expr, $other:expr, silent) => { true };
    (@same $one:expr, $other:expr, method) => { true };
    (@same $one:expr, $other:expr, $($mark:ident)?) => { $one == $other };
}

pub(super) use view;
