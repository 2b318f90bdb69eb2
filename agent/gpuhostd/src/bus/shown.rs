//! One object on the bus, and what it last announced: a change is signalled once, and only where a value has really changed.

use super::face::{Face, Published, Values};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use wire::dbus::view::{Announcement, View};
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Variant};

/// An object on the bus.
#[derive(Debug)]
pub(super) struct Shown<V> {
    path: String,
    slot: watch::Sender<Arc<Published<V>>>,
    announced: Arc<Values>,
}

impl<V: View> Shown<V> {
    /// A new object, not on the bus yet, and the face for its interface. Its `InterfacesAdded` will have all values.
    pub(super) fn new(path: String, view: V) -> (Self, Face<V>) {
        let first = Published::new(view);
        let announced = first.values();
        let (slot, newest) = watch::channel(Arc::new(first));
        (Self { path, slot, announced }, Face(newest))
    }

    /// Object path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Shows a new view, and signals what has changed of it: one `PropertiesChanged`, or none.
    pub(super) async fn update(&mut self, connection: &Connection, view: V) -> zbus::Result<()> {
        let before = Arc::clone(&self.slot.borrow());
        if before.view == view {
            return Ok(());
        }
        let now = Arc::new(before.followed_by(view));
        self.slot.send_replace(Arc::clone(&now));
        // Making all values to find that only the metrics are other ones would cost more than all the rest of a sample.
        if before.view.announces_the_same(&now.view) {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.announced, now.values());
        self.signal(connection, &before).await
    }

    async fn signal(&self, connection: &Connection, before: &Values) -> zbus::Result<()> {
        let mut changed: HashMap<&str, Variant<'_>> = HashMap::new();
        let mut gone = Vec::new();
        for property in V::properties().iter().filter(|property| property.announcement != Announcement::Silent) {
            let name = property.name.as_str();
            match (before.by_name.get(name), self.announced.by_name.get(name)) {
                (before, Some(now)) if before != Some(now) => {
                    changed.insert(name, now.try_into()?);
                }
                (Some(_), None) => gone.push(name),
                (Some(_) | None, Some(_)) | (None, None) => {}
            }
        }
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let emitter = SignalEmitter::new(connection, self.path.as_str())?;
        let interface = InterfaceName::from_static_str_unchecked(V::INTERFACE);
        Properties::properties_changed(&emitter, interface, changed, gone.into()).await
    }

    #[cfg(test)]
    pub(super) fn values(&self) -> Arc<Values> {
        self.slot.borrow().values()
    }
}
