//! `GetAll` answered from bytes: what an object shows is encoded once for each view that is asked for, not at each call.

use super::face::{Face, Values};
use super::header::{Field, body_begins, text_field, wants_reply, word};
use super::limits::locked;
use super::queue::Unread;
use std::collections::HashMap;
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use wire::dbus::view::View;
use zbus::message::{EndianSig, PrimaryHeader, Type};
use zbus::wire::serialized::Context;
use zbus::wire::{LE, to_bytes};
use zbus::{Signature, Variant};

/// The first bytes of a call whose reply can be of ours: its byte order, which is that of the encoded values, and its type.
const CALL: [u8; 2] = [b'l', 1];
/// Codes of the header fields of a reply.
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// An object that shows a view.
trait Showing: Debug + Send + Sync {
    fn interface(&self) -> &'static str;
    fn values(&self) -> Arc<Values>;
}

impl<V: View> Showing for Face<V> {
    fn interface(&self) -> &'static str {
        V::INTERFACE
    }

    fn values(&self) -> Arc<Values> {
        self.now().values()
    }
}

/// The objects of a connection, by path.
#[derive(Debug, Default)]
pub(super) struct Gallery(Mutex<HashMap<String, Arc<dyn Showing>>>);

impl Gallery {
    /// From now on `GetAll` of the object at this path is answered here.
    pub(super) fn put<V: View>(&self, path: &str, face: Face<V>) {
        locked(&self.0).insert(path.to_owned(), Arc::new(face));
    }

    /// The object is gone.
    pub(super) fn remove(&self, path: &str) {
        locked(&self.0).remove(path);
    }

    /// The reply to a message, as bytes; `None` for all that is not a `GetAll` of an object with its own interface: zbus answers
    /// that, errors included.
    pub(super) fn reply(&self, call: &Unread) -> Option<Vec<u8>> {
        let message = call.bytes.as_slice();
        if !message.starts_with(&CALL) || !wants_reply(message) || !call.descriptors.is_empty() {
            return None;
        }
        let has = |field, value| text_field(message, field) == Some(value);
        if !has(Field::Member, "GetAll")
            || !has(Field::Interface, "org.freedesktop.DBus.Properties")
            || !has(Field::Signature, "s")
        {
            return None;
        }
        let object = locked(&self.0).get(text_field(message, Field::Path)?).map(Arc::clone)?;
        if argument(message)? != object.interface().as_bytes() {
            return None;
        }
        let caller = text_field(message, Field::Sender).filter(|sender| !sender.is_empty())?;
        let serial = NonZeroU32::new(word(message, 8)?)?;
        returned(serial, caller, object.values().encoded()?)
    }
}

/// The text that is the whole body.
fn argument(message: &[u8]) -> Option<&[u8]> {
    let begin = body_begins(message)?;
    let (length, text) = message.get(begin..)?.split_at_checked(4)?;
    let text = text.strip_suffix(&[0])?;
    (text.len() == usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?).then_some(text)
}

/// A reply (`a{sv}`) to the call of this number, as it goes over the socket.
fn returned(serial: NonZeroU32, caller: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut fixed = PrimaryHeader::new(Type::MethodReturn, body.len().try_into().ok()?);
    fixed.set_endian_sig(EndianSig::Little);
    let fields = vec![
        (REPLY_SERIAL, Variant::from(serial.get())),
        (DESTINATION, Variant::from(caller)),
        (SIGNATURE, Variant::from(Signature::try_from("a{sv}").ok()?)),
    ];
    let header = to_bytes(Context::new(LE, 0), &(fixed, fields)).ok()?;
    let body_begins = header.len().checked_next_multiple_of(8)?;
    let mut message = Vec::with_capacity(body_begins + body.len());
    message.extend_from_slice(header.bytes());
    message.resize(body_begins, 0);
    message.extend_from_slice(body);
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::super::intake::parsed;
    use super::super::shown::Shown;
    use super::*;
    use wire::dbus::group::GroupView;
    use wire::dbus::{IOMMU_GROUP_INTERFACE, JOB_INTERFACE};
    use zbus::message::{Builder, Flags};
    use zbus::wire::Endian;
    use zbus::{Message, OwnedVariant};

    const PATH: &str = "/org/gpuhost/Agent1/iommu_group/17";

    fn gallery() -> (Gallery, Shown<GroupView>) {
        let view = serde_json::json!({
            "Path": PATH, "Id": 17, "Type": null, "Members": [{"Address": "0000:41:00.0", "Kind": "gpu"}],
            "Gpus": ["/org/gpuhost/Agent1/gpu/0000_41_00_0"], "Foreign": [], "Isolated": true, "Viable": false,
            "Absent": {"Type": "not_reported"},
        });
        let (shown, face) = Shown::new(PATH.to_owned(), serde_json::from_value(view).unwrap());
        let gallery = Gallery::default();
        gallery.put(PATH, face);
        (gallery, shown)
    }

    fn call(path: &'static str, member: &'static str) -> Builder<'static> {
        let builder = Message::method_call(path, member).sender(":1.7");
        builder.interface("org.freedesktop.DBus.Properties").endian(Endian::Little)
    }

    fn unread(call: &Message) -> Unread {
        Unread { bytes: call.data().bytes().to_vec(), descriptors: Vec::new() }
    }

    #[test]
    fn the_reply_is_the_one_that_zbus_would_make() {
        let (gallery, shown) = gallery();
        let call = call(PATH, "GetAll").build(&IOMMU_GROUP_INTERFACE).unwrap();
        let reply = gallery.reply(&unread(&call)).unwrap();
        let reply = parsed(Unread { bytes: reply, descriptors: Vec::new() }).unwrap();
        let made = Message::method_return(&call.header()).build(&shown.values().by_name).unwrap();
        assert_eq!(reply.body().data().bytes(), made.body().data().bytes());
        let (header, expected) = (reply.header(), made.header());
        assert_eq!(header.message_type(), expected.message_type());
        assert_eq!(header.reply_serial(), expected.reply_serial());
        assert_eq!(header.destination(), expected.destination());
        assert_eq!(header.signature(), expected.signature());
        assert_eq!(header.primary().flags(), expected.primary().flags());
        assert_ne!(header.primary().serial_num(), expected.primary().serial_num());
        let values: HashMap<String, OwnedVariant> = reply.body().deserialize().unwrap();
        assert_eq!(values.len(), 7, "all but Type: {values:?}");
        gallery.remove(PATH);
        assert_eq!(gallery.reply(&unread(&call)), None, "what is gone is not shown");
    }

    #[test]
    fn all_else_is_left_to_zbus() {
        let (gallery, _shown) = gallery();
        let get_all = || call(PATH, "GetAll");
        for message in [
            call(PATH, "Get").build(&(IOMMU_GROUP_INTERFACE, "Id")),
            call("/org/gpuhost/Agent1", "GetAll").build(&IOMMU_GROUP_INTERFACE),
            get_all().build(&JOB_INTERFACE),
            get_all().build(&""),
            get_all().build(&()),
            get_all().build(&(IOMMU_GROUP_INTERFACE, 7_u32)),
            get_all().build(&vec![IOMMU_GROUP_INTERFACE]),
            get_all().interface("org.gpuhost.Agent1.IommuGroup").build(&IOMMU_GROUP_INTERFACE),
            get_all().endian(Endian::Big).build(&IOMMU_GROUP_INTERFACE),
            get_all().with_flags(Flags::NO_REPLY_EXPECTED).build(&IOMMU_GROUP_INTERFACE),
            Message::method_call(PATH, "GetAll").build(&IOMMU_GROUP_INTERFACE),
            Message::signal(PATH, "org.freedesktop.DBus.Properties", "GetAll")
                .sender(":1.7")
                .build(&IOMMU_GROUP_INTERFACE),
        ] {
            let message = message.unwrap();
            assert_eq!(gallery.reply(&unread(&message)), None, "{message:?}");
        }
        let whole = get_all().build(&IOMMU_GROUP_INTERFACE).unwrap();
        assert!(gallery.reply(&unread(&whole)).is_some());
        for cut in 0..whole.data().bytes().len() {
            let bytes = whole.data().bytes()[..cut].to_vec();
            assert_eq!(gallery.reply(&Unread { bytes, descriptors: Vec::new() }), None, "{cut} bytes of it");
        }
    }
}
