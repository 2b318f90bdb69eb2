//! One object on the bus, and what it last announced: a change is signalled once, and only where a value has really changed.

use super::face::Face;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use wire::dbus::HOST_INTERFACE;
use wire::dbus::absent::HasAbsent;
use wire::dbus::host::HostView;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::Interface;
use zbus::{Connection, OwnedVariant, Variant};

/// Properties of an interface that announce nothing.
#[must_use]
pub fn silent(interface: &str) -> &'static [&'static str] {
    match interface {
        HOST_INTERFACE => &HostView::SILENT,
        _ => &[],
    }
}

/// An object on the bus.
#[derive(Debug)]
pub(super) struct Shown<V> {
    path: String,
    slot: watch::Sender<Arc<V>>,
    announced: HashMap<String, OwnedVariant>,
}

impl<V: HasAbsent + PartialEq> Shown<V> {
    /// A new object, not on the bus yet, and the face for its interface.
    pub(super) fn new(path: String, view: V) -> (Self, Face<V>) {
        let (slot, newest) = watch::channel(Arc::new(view));
        (Self { path, slot, announced: HashMap::new() }, Face(newest))
    }

    /// Object path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Remembers what the interface shows now, without a signal: its `InterfacesAdded` said it all.
    pub(super) async fn remember<I: Interface>(&mut self, connection: &Connection) -> zbus::Result<()> {
        self.announced = self.read::<I>(connection).await?;
        Ok(())
    }

    /// Shows a new view, and signals what has changed of it: one `PropertiesChanged`, or none.
    pub(super) async fn update<I: Interface>(&mut self, connection: &Connection, view: V) -> zbus::Result<()> {
        if **self.slot.borrow() == view {
            return Ok(());
        }
        let before = self.slot.send_replace(Arc::new(view));
        // Reading all properties to find that only the metrics are other ones costs more than all the rest of a sample.
        if before.announces_the_same(&self.slot.borrow()) {
            return Ok(());
        }
        let now = self.read::<I>(connection).await?;
        let mut changed: HashMap<&str, Variant<'_>> = HashMap::new();
        for (name, value) in now.iter().filter(|(name, value)| self.announced.get(*name) != Some(*value)) {
            changed.insert(name, value.try_clone()?.into());
        }
        let gone: Vec<&str> =
            self.announced.keys().filter(|name| !now.contains_key(*name)).map(String::as_str).collect();
        if !changed.is_empty() || !gone.is_empty() {
            let emitter = zbus::object_server::SignalEmitter::new(connection, self.path.as_str())?;
            let interface: InterfaceName<'_> = I::name();
            Properties::properties_changed(&emitter, interface, changed, gone.into()).await?;
        }
        self.announced = now;
        Ok(())
    }

    /// The properties that announce themselves, as a reader of the bus gets them now.
    async fn read<I: Interface>(&self, connection: &Connection) -> zbus::Result<HashMap<String, OwnedVariant>> {
        let server = connection.object_server();
        let interface = server.interface::<_, I>(self.path.as_str()).await?;
        let emitter = interface.signal_emitter();
        let mut all = interface.get().await.get_all(server, connection, None, emitter).await?;
        all.retain(|name, _| !silent(I::name().as_str()).contains(&name.as_str()));
        Ok(all)
    }
}
