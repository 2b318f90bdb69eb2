//! The last argument of every method, `options a{sv}`: a key that is not known or has another type is refused, never ignored.

use model::refusal::Refusal;
use std::collections::HashMap;
use zbus::OwnedVariant;

/// As it comes over the bus.
pub(super) type Options = HashMap<String, OwnedVariant>;

/// The caller wants no dialogue, and an authorization that needs one is a refusal.
const NO_USER_INTERACTION: &str = "auth.no-user-interaction";

/// Options that every method knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standard {
    /// Never ask the user.
    pub(super) no_user_interaction: bool,
}

/// Takes options out one by one; what is left over at the end is unknown.
#[derive(Debug)]
pub(super) struct Parser {
    left: Options,
    known: Vec<&'static str>,
}

impl Parser {
    /// A parser of what the caller gave.
    pub(super) const fn new(options: Options) -> Self {
        Self { left: options, known: Vec::new() }
    }

    /// A truth value.
    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Refusal> {
        self.take(key, "a boolean (b)", |value| bool::try_from(value).ok())
    }

    /// A whole number of at most `most`.
    pub(super) fn number(&mut self, key: &'static str, most: u64) -> Result<Option<u64>, Refusal> {
        let number = self.take(key, "a whole number (t)", |value| u64::try_from(value).ok())?;
        match number {
            Some(number) if number == 0 || number > most => {
                Err(invalid(key, format!("expected 1 to {most}, got {number}")))
            }
            Some(_) | None => Ok(number),
        }
    }

    /// A text of at most `most` bytes.
    pub(super) fn text(&mut self, key: &'static str, most: usize) -> Result<Option<String>, Refusal> {
        let text = self.take(key, "a string (s)", |value| String::try_from(value).ok())?;
        match text {
            Some(text) if text.len() > most => Err(invalid(key, format!("longer than {most} bytes"))),
            Some(text) => Ok(Some(text)),
            None => Ok(None),
        }
    }

    /// The standard options, once the method has taken its own.
    pub(super) fn finish(mut self) -> Result<Standard, Refusal> {
        let no_user_interaction = self.flag(NO_USER_INTERACTION)?.unwrap_or(false);
        let mut left: Vec<&str> = self.left.keys().map(String::as_str).collect();
        left.sort_unstable();
        match left.first() {
            None => Ok(Standard { no_user_interaction }),
            Some(key) => {
                let key: String = key.chars().take(64).collect();
                let why = format!("there is no option {key:?}; the options are {}", self.known.join(", "));
                Err(invalid("options", why))
            }
        }
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl FnOnce(OwnedVariant) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        self.known.push(key);
        let Some(value) = self.left.remove(key) else { return Ok(None) };
        let signature = value.value_signature().to_string();
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(invalid(key, format!("expected {expected}, got {signature}"))),
        }
    }
}

/// [`Refusal::InvalidArgument`].
pub(super) fn invalid(argument: &str, why: impl Into<String>) -> Refusal {
    Refusal::InvalidArgument { argument: argument.to_owned(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::Variant;

    fn options(pairs: &[(&str, Variant<'_>)]) -> Options {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.try_clone().unwrap().try_into().unwrap())).collect()
    }

    #[test]
    fn what_is_known_and_typed_passes() {
        let mut parser = Parser::new(options(&[("shared", true.into()), (NO_USER_INTERACTION, true.into())]));
        assert_eq!(parser.flag("shared").unwrap(), Some(true));
        assert!(parser.finish().unwrap().no_user_interaction);
    }

    #[test]
    fn an_unknown_key_is_refused_and_shown_escaped() {
        let refusal = Parser::new(options(&[("x\n[Unit]", true.into())])).finish().unwrap_err();
        assert_eq!(refusal.code(), "invalid_argument");
        assert!(refusal.to_string().contains(r#""x\n[Unit]""#), "{refusal}");
    }

    #[test]
    fn another_type_is_refused() {
        for value in [Variant::from("true"), Variant::from(1u32)] {
            let refusal = Parser::new(options(&[(NO_USER_INTERACTION, value)])).finish().unwrap_err();
            assert_eq!(refusal.code(), "invalid_argument");
        }
    }

    #[test]
    fn a_number_has_its_bounds() {
        let read = |value: u64| Parser::new(options(&[("confirm-within", value.into())])).number("confirm-within", 9);
        assert_eq!(read(9).unwrap(), Some(9));
        for wrong in [0, 10, u64::MAX] {
            assert_eq!(read(wrong).unwrap_err().code(), "invalid_argument", "{wrong}");
        }
        assert_eq!(Parser::new(options(&[])).number("confirm-within", 9).unwrap(), None);
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        let mut parser = Parser::new(options(&[("ca-pem", "x".repeat(9).into())]));
        assert!(parser.text("ca-pem", 8).is_err());
    }
}
