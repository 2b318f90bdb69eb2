//! An object on the bus: the properties of its view, which are a table, and its methods, which zbus's macro makes.

use super::face::Face;
use std::collections::HashMap;
use std::fmt::Write;
use wire::dbus::view::{Announcement, Property, View};
use zbus::export::async_trait::async_trait;
use zbus::message::{Header, Message};
use zbus::names::{InterfaceName, MemberName};
use zbus::object_server::{DispatchResult, Interface, SignalEmitter};
use zbus::{BoxDBusError, Connection, ObjectServer, OwnedVariant, Variant, fdo};

/// The methods of an object: an interface of the same name without properties.
pub(super) type Methods = Option<Box<dyn Interface>>;

/// An object on the bus.
pub(super) struct Object<V> {
    /// What it shows.
    pub(super) face: Face<V>,
    /// What it can be asked to do.
    pub(super) methods: Methods,
}

#[async_trait]
impl<V: View> Interface for Object<V> {
    fn name() -> InterfaceName<'static> {
        InterfaceName::from_static_str_unchecked(V::INTERFACE)
    }

    async fn get(
        &self,
        property: &str,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<OwnedVariant, BoxDBusError>> {
        let absent = |absent| -> BoxDBusError { Box::new(absent) };
        Some(self.face.now().value(property)?.map_err(absent))
    }

    async fn get_all(
        &self,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        let values = self.face.now().values();
        let copies = values.by_name.iter().map(|(name, value)| Ok(((*name).to_owned(), value.try_clone()?)));
        copies.collect::<zbus::Result<_>>().map_err(fdo::Error::ZBus)
    }

    fn set<'call>(
        &'call self,
        _: &'call str,
        _: &'call Variant<'_>,
        _: &'call ObjectServer,
        _: &'call Connection,
        _: Option<&'call Header<'_>>,
        _: &'call SignalEmitter<'_>,
    ) -> DispatchResult<'call> {
        DispatchResult::NotFound
    }

    async fn set_mut(
        &mut self,
        _: &str,
        _: &Variant<'_>,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<(), BoxDBusError>> {
        None
    }

    fn call<'call>(
        &'call self,
        server: &'call ObjectServer,
        connection: &'call Connection,
        message: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        let methods = self.methods.as_ref();
        methods.map_or(DispatchResult::NotFound, |methods| methods.call(server, connection, message, name))
    }

    fn call_mut<'call>(
        &'call mut self,
        _: &'call ObjectServer,
        _: &'call Connection,
        _: &'call Message,
        _: MemberName<'call>,
    ) -> DispatchResult<'call> {
        DispatchResult::NotFound
    }

    fn introspect_to_writer(&self, writer: &mut dyn Write, level: usize) {
        let (begin, end) = (format!("{:level$}<interface name=\"{}\">\n", "", V::INTERFACE), closing(level));
        let mut xml = String::new();
        if let Some(methods) = &self.methods {
            methods.introspect_to_writer(&mut xml, level);
        }
        let methods = xml.strip_suffix(&end).unwrap_or(&begin);
        let properties: String = V::properties().iter().map(|property| element(property, level + 2)).collect();
        // A trait of zbus, which has no error here: it writes into a `String`.
        let _written = write!(writer, "{methods}{properties}{end}");
    }
}

fn closing(level: usize) -> String {
    format!("{:level$}</interface>\n", "")
}

/// A property as zbus's macro introspects one.
fn element<V>(property: &Property<V>, level: usize) -> String {
    let Property { name, signature, .. } = property;
    let doc: String = property.doc.iter().map(|line| format!("{:level$}{line}\n", "")).collect();
    let tag = format!(
        "{:level$}<!--\n{doc}{:level$} -->\n{:level$}<property name=\"{name}\" type=\"{signature}\" access=\"read\"",
        "", "", ""
    );
    let announced = match property.announcement {
        Announcement::Value => return format!("{tag}/>\n"),
        Announcement::Constant => "const",
        Announcement::Silent => "false",
    };
    let annotation = "org.freedesktop.DBus.Property.EmitsChangedSignal";
    format!(
        "{tag}>\n{:level$}  <annotation name=\"{annotation}\" value=\"{announced}\"/>\n{:level$}</property>\n",
        "", ""
    )
}
