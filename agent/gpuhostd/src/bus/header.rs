//! The few things that are read of a message before zbus reads it: its length, and text fields of its header. This is what each
//! message of a flood costs, so nothing is copied, and no field is read but the wanted one.

/// The fixed part of a message, to the length of its header fields (D-Bus specification, "Message Format").
pub(super) const FIXED_BYTES: usize = 16;

/// A header field that is read here, under its code in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The object that is called.
    Path,
    /// The interface of the member.
    Interface,
    /// The method.
    Member,
    /// Who sent the message: the bus sets it on all that it delivers.
    Sender,
    /// The D-Bus type of the body.
    Signature,
}

impl Field {
    const fn code(self) -> u8 {
        match self {
            Self::Path => 1,
            Self::Interface => 2,
            Self::Member => 3,
            Self::Sender => 7,
            Self::Signature => 8,
        }
    }
}

/// The 32-bit number at a position of a message, in the byte order that its first byte names.
pub(super) fn word(message: &[u8], at: usize) -> Option<u32> {
    let bytes: [u8; 4] = message.get(at..at.checked_add(4)?)?.try_into().ok()?;
    match message.first()? {
        b'l' => Some(u32::from_le_bytes(bytes)),
        b'B' => Some(u32::from_be_bytes(bytes)),
        _ => None,
    }
}

fn length(message: &[u8], at: usize) -> Option<usize> {
    word(message, at)?.try_into().ok()
}

/// Bytes after the fixed part of a message; `None` where it is not one.
pub(super) fn rest_bytes(fixed: &[u8]) -> Option<usize> {
    (body_begins(fixed)? - FIXED_BYTES).checked_add(length(fixed, 4)?)
}

/// Where the body of a message begins.
pub(super) fn body_begins(fixed: &[u8]) -> Option<usize> {
    FIXED_BYTES.checked_add(length(fixed, 12)?)?.checked_next_multiple_of(8)
}

/// The caller waits for a reply: bit 0 of the flags is `NO_REPLY_EXPECTED`.
pub(super) fn wants_reply(message: &[u8]) -> bool {
    message.get(2).is_none_or(|flags| flags & 1 == 0)
}

/// A header field that is a text; `""` where the message has none, `None` where it is not a message. The bus lets through no field
/// that the specification does not know.
pub(super) fn text_field(message: &[u8], field: Field) -> Option<&str> {
    let end = FIXED_BYTES.checked_add(length(message, 12)?)?;
    let mut at = FIXED_BYTES;
    while at < end {
        at = at.checked_next_multiple_of(8)?;
        let (code, signature) = (message.get(at)?, message.get(at + 1..at + 4)?);
        // Field code, signature of one letter: 1 (its length), letter, 0.
        at += 4;
        let (begin, length, after) = match signature {
            [1, b's' | b'o', 0] => (at + 4, length(message, at)?, 1),
            [1, b'g', 0] => (at + 1, usize::from(*message.get(at)?), 1),
            [1, b'u', 0] => (at, 4, 0),
            _ => return None,
        };
        let value = message.get(begin..begin.checked_add(length)?)?;
        if *code == field.code() {
            return std::str::from_utf8(value).ok();
        }
        at = begin + length + after;
    }
    Some("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::Message;

    #[test]
    fn the_fields_are_found_as_zbus_finds_them() {
        let call = || Message::method_call("/org/gpuhost/Agent1", "Rescan").interface("org.gpuhost.Agent1.Host");
        for message in [
            call().sender(":1.4242").destination("org.gpuhost.Agent1").build(&("x", 7_u32)),
            call().endian(zbus::wire::Endian::Big).sender(":1.1").build(&std::collections::HashMap::from([("a", "b")])),
            Message::signal("/x", "x.y", "Z").sender("org.freedesktop.DBus").build(&()),
            call().build(&()),
        ] {
            let message = message.unwrap();
            let bytes = message.data().bytes();
            let header = message.header();
            let signature = header.signature().to_string_no_parens();
            for (field, expected) in [
                (Field::Path, header.path().map_or("", |path| path.as_str())),
                (Field::Interface, header.interface().map_or("", |name| name.as_str())),
                (Field::Member, header.member().map_or("", |name| name.as_str())),
                (Field::Sender, header.sender().map_or("", |name| name.as_str())),
                (Field::Signature, signature.as_str()),
            ] {
                assert_eq!(text_field(bytes, field), Some(expected), "{field:?} of {message:?}");
                for cut in 0..bytes.len() {
                    let _no_panic = text_field(&bytes[..cut], field);
                }
            }
            assert_eq!(FIXED_BYTES + rest_bytes(bytes).unwrap(), bytes.len());
            assert_eq!(&bytes[body_begins(bytes).unwrap()..], message.body().data().bytes());
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        for bytes in [&b""[..], b"l", &[b'x'; 64], &[0xff; 64], &[b'l'; 64]] {
            assert_eq!(text_field(bytes, Field::Sender), None, "{bytes:?}");
        }
        assert!(rest_bytes(&[b'l'; 4]).is_none() && rest_bytes(&[0; 16]).is_none());
        let longest = [b'l', 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(rest_bytes(&longest), Some(0x2_0000_0000 - 1));
    }
}
