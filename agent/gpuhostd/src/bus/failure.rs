//! What goes back over the bus when the answer is no: a refusal under its own error name, or "this property has no value".

use model::refusal::Refusal;
use wire::dbus::errors::{ABSENT, ERROR_PREFIX, error_name};
use zbus::DBusError;
use zbus::message::{Header, Message};
use zbus::names::ErrorName;

/// A refusal as a D-Bus error. The message is alone, because busctl prints nothing else.
#[derive(Debug)]
pub(super) struct Refused {
    name: String,
    message: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { name: error_name(&refusal), message: refusal.to_string() }
    }
}

/// A refusal as the answer to a call that no method has seen.
pub(super) fn refusal(call: &Header<'_>, refusal: Refusal) -> zbus::Result<Message> {
    Refused::from(refusal).create_reply(call)
}

/// A property that has no value now.
#[derive(Debug)]
pub(super) struct NoValue {
    message: String,
}

impl NoValue {
    /// The answer for a property; `reason` as it is in `Absent`.
    pub(super) fn new(property: &str, reason: Option<&str>) -> Self {
        Self { message: format!("{property} has no value now: {}", reason.unwrap_or("not_reported")) }
    }
}

fn reply(call: &Header<'_>, name: ErrorName<'_>, message: &str) -> zbus::Result<Message> {
    Message::error(call, name).build(&message)
}

impl DBusError for Refused {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        reply(call, self.name(), &self.message)
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_str_unchecked(&self.name)
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

impl DBusError for NoValue {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        reply(call, self.name(), &self.message)
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_string_unchecked(format!("{ERROR_PREFIX}{ABSENT}"))
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}
