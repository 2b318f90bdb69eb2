//! What a bus object holds of the thing that it shows: the newest view, and its values on D-Bus, which are made once.

use super::failure::NoValue;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use wire::dbus::view::View;
use zbus::OwnedVariant;
use zbus::wire::serialized::Context;
use zbus::wire::{LE, to_bytes};

/// The values that the properties of a view have on D-Bus.
#[derive(Debug)]
pub(super) struct Values {
    /// By name; a property without a value is not among them.
    pub(super) by_name: BTreeMap<&'static str, OwnedVariant>,
    encoded: OnceLock<Option<Box<[u8]>>>,
}

impl Values {
    fn of<V: View>(view: &V) -> Self {
        let all = V::properties().iter();
        let by_name = all.filter_map(|property| Some((property.name.as_str(), (property.read)(view)?))).collect();
        Self { by_name, encoded: OnceLock::new() }
    }

    /// The body (`a{sv}`) of a reply to `GetAll`, in little endian, made when it is first asked for.
    pub(super) fn encoded(&self) -> Option<&[u8]> {
        let encode = || Some(to_bytes(Context::new(LE, 0), &self.by_name).ok()?.bytes().into());
        self.encoded.get_or_init(encode).as_deref()
    }
}

/// A view as it was published.
#[derive(Debug)]
pub(super) struct Published<V> {
    /// The view.
    pub(super) view: V,
    values: OnceLock<Arc<Values>>,
}

impl<V: View> Published<V> {
    /// A view of which nobody has asked for the values yet.
    pub(super) fn new(view: V) -> Self {
        Self { view, values: OnceLock::new() }
    }

    /// The view that follows this one, with the same values as far as they are the same.
    pub(super) fn followed_by(&self, view: V) -> Self {
        let shows_the_same = !V::has_silent_properties() && self.view.announces_the_same(&view);
        let values = self.values.get().filter(|_| shows_the_same).map(Arc::clone);
        Self { view, values: values.map_or_else(OnceLock::new, OnceLock::from) }
    }

    /// The values, made when they are first asked for.
    pub(super) fn values(&self) -> Arc<Values> {
        Arc::clone(self.values.get_or_init(|| Arc::new(Values::of(&self.view))))
    }

    /// The value of a property, or why it has none; `None` where there is no such property.
    pub(super) fn value(&self, name: &str) -> Option<Result<OwnedVariant, NoValue>> {
        let property = V::properties().iter().find(|property| property.name == name)?;
        let absent = || NoValue::new(name, self.view.absent().reason(name));
        Some((property.read)(&self.view).ok_or_else(absent))
    }
}

/// The newest view of one object. Reading it takes no lock that anybody holds for longer than a pointer copy.
#[derive(Debug)]
pub(super) struct Face<V>(pub(super) watch::Receiver<Arc<Published<V>>>);

impl<V> Clone for Face<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> Face<V> {
    /// The newest view.
    pub(super) fn now(&self) -> Arc<Published<V>> {
        Arc::clone(&self.0.borrow())
    }
}
