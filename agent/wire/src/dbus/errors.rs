//! D-Bus error names: one for each refusal, made of its stable code.

use model::refusal::Refusal;

/// Prefix of all our error names.
pub const ERROR_PREFIX: &str = "org.gpuhost.Agent1.Error.";
/// Last element of the error name of a property that has no value now. It is not a refusal: the reason is in `Absent`.
pub const ABSENT: &str = "Absent";

/// A refusal code in D-Bus's manner: `not_found` → `NotFound`.
#[must_use]
pub fn camel_case(code: &str) -> String {
    code.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        })
        .collect()
}

/// The error name of a refusal, `org.gpuhost.Agent1.Error.NotFound`.
#[must_use]
pub fn error_name(refusal: &Refusal) -> String {
    format!("{ERROR_PREFIX}{}", camel_case(refusal.code()))
}

/// The refusal code and exit status that an error name stands for; `None` where it is not one of ours.
#[must_use]
pub fn code_of(error_name: &str) -> Option<(&'static str, u8)> {
    let last = error_name.strip_prefix(ERROR_PREFIX)?;
    Refusal::codes().find(|(code, _)| camel_case(code) == last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_over_the_bus() {
        for row in Refusal::codes() {
            assert_eq!(code_of(&format!("{ERROR_PREFIX}{}", camel_case(row.0))), Some(row));
        }
        assert_eq!(camel_case("host_fault"), "HostFault");
    }

    #[test]
    fn a_strange_error_name_has_no_code() {
        for name in ["org.freedesktop.DBus.Error.AccessDenied", "org.gpuhost.Agent1.Error.", "NotFound"] {
            assert_eq!(code_of(name), None, "{name}");
        }
    }
}
