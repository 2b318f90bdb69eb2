//! Reads the policy file, with the file, line and field in every complaint.

use super::Policy;

/// A policy file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// It cannot be read from the disk.
    #[error("{file} cannot be read: {said}")]
    File {
        /// The file.
        file: String,
        /// What the host said.
        said: String,
    },
    /// It is no policy; what is said names line, column and field.
    #[error("{file}: {said}")]
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong, and where.
        said: String,
    },
    /// A value has no sense.
    #[error("{file}: {field} is {value}: {why}")]
    Senseless {
        /// The file.
        file: String,
        /// The field, `host.passthrough.changes_per_minute`.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What was expected.
        why: &'static str,
    },
}

/// Most changes of one GPU in a minute that can be allowed: each takes seconds.
const MOST_CHANGES_PER_MINUTE: u32 = 60;

/// Reads the text of a policy file.
///
/// # Errors
/// The first thing that is wrong, with its place. Nothing of a wrong file is taken.
pub fn read(file: &str, text: &str) -> Result<Policy, PolicyFault> {
    let unreadable = |e: toml::de::Error| PolicyFault::Unreadable { file: file.to_owned(), said: e.to_string() };
    let policy: Policy = toml::from_str(text).map_err(unreadable)?;
    let rates = [
        ("host.passthrough.changes_per_minute", policy.host.passthrough.changes_per_minute),
        ("manager.changes_per_minute", policy.manager.changes_per_minute),
    ];
    match rates.into_iter().find(|(_, rate)| *rate > MOST_CHANGES_PER_MINUTE) {
        Some((field, rate)) => Err(PolicyFault::Senseless {
            file: file.to_owned(),
            field,
            value: rate.to_string(),
            why: "expected 0 to 60",
        }),
        None => Ok(policy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Operation, Requester};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_file_is_the_default_and_a_manager_may_nothing() {
        let policy = read("policy.toml", "").unwrap();
        assert_eq!(policy, Policy::default());
        assert!(policy.explain(Operation::PassthroughBind, Requester::Local, None).allowed);
        assert!(!policy.explain(Operation::PassthroughBind, Requester::Manager, None).allowed);
    }

    #[test]
    fn what_is_wrong_is_named_with_file_line_and_field() {
        for (text, words) in [
            ("[host.passthrough]\n\nalowed = true\n", ["line 3", "alowed"]),
            ("[host.passthrough]\nnever = ['41:00']\n", ["line 2", "PCI address"]),
            ("[host.passthrough]\nchanges_per_minute = 61\n", ["host.passthrough.changes_per_minute", "61"]),
            ("[manager]\nchanges_per_minute = 600\n", ["manager.changes_per_minute", "600"]),
            ("[manager]\npassthrough = 'yes'\n", ["line 2", "boolean"]),
            ("[managers]\n", ["line 1", "managers"]),
        ] {
            let said = read("/etc/p.toml", text).unwrap_err().to_string();
            assert!(
                said.starts_with("/etc/p.toml: ") && words.iter().all(|word| said.contains(word)),
                "{text}: {said}"
            );
        }
    }

    #[test]
    fn the_shipped_file_says_what_is_so_without_it() {
        let shipped = include_str!("../../../../packaging/config/policy.toml");
        assert_eq!(read("policy.toml", shipped).unwrap(), Policy::default());
        let spelled: String = shipped
            .lines()
            .map(|line| {
                line.strip_prefix("#").filter(|rest| rest.contains(" = ") && !rest.starts_with(' ')).unwrap_or(line)
            })
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(
            read("policy.toml", &spelled).unwrap(),
            Policy::default(),
            "the values in comments are the defaults"
        );
        for (section, keys) in toml::Table::try_from(Policy::default()).unwrap() {
            let keys: Vec<String> = keys
                .as_table()
                .unwrap()
                .iter()
                .flat_map(|(key, value)| match value.as_table() {
                    Some(inner) => inner.keys().cloned().collect(),
                    None => vec![key.clone()],
                })
                .collect();
            for key in keys {
                assert!(shipped.contains(&format!("#{key} = ")), "{section}: {key} is not explained");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = read("policy.toml", &text);
        }
    }
}
