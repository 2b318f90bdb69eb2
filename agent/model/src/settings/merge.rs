//! Lays configuration fragments over each other: each is read alone first, so that a fault names its own file and line.

use super::{Settings, check};
use crate::checkin::manager::without_passwords;
use crate::ids::PciAddress;

/// A fragment that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFault {
    /// It is no TOML, or a field is unknown or of the wrong type; the text names line and column and shows the place.
    #[error("{file}: {said}")]
    Unreadable {
        /// The fragment's name.
        file: String,
        /// What the parser said.
        said: String,
    },
    /// A value makes no sense.
    #[error("{file}: {field} = {value:?}: {why}")]
    Senseless {
        /// The fragment's name.
        file: String,
        /// The field, `manager.urls`.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What was expected.
        why: &'static str,
    },
}

/// Lays fragments (name, text) over each other in their order; a later one wins key by key, a list replaces a list.
///
/// # Errors
/// The first fragment that is wrong, with the place; nothing of the others is taken then.
pub fn merge(fragments: &[(String, String)]) -> Result<Settings, SettingsFault> {
    let mut all = toml::Table::new();
    for (file, text) in fragments {
        let unreadable = |e: toml::de::Error| SettingsFault::Unreadable { file: file.clone(), said: said(&e) };
        let alone: Settings = toml::from_str(text).map_err(unreadable)?;
        check::sensible(&alone).map_err(|(field, value, why)| SettingsFault::Senseless {
            file: file.clone(),
            field,
            value,
            why,
        })?;
        lay_over(&mut all, by_address(text.parse::<toml::Table>().map_err(unreadable)?));
    }
    let last = fragments.last().map_or("", |(file, _)| file);
    all.try_into().map_err(|e: toml::de::Error| SettingsFault::Unreadable { file: last.to_owned(), said: said(&e) })
}

/// The parser's words, which repeat the line: a password in an address of it must not reach the journal.
fn said(error: &toml::de::Error) -> String {
    without_passwords(&error.to_string())
}

/// A GPU may be named with or without its domain: the same GPU in two fragments is one.
fn by_address(mut fragment: toml::Table) -> toml::Table {
    if let Some(toml::Value::Table(gpus)) = fragment.get_mut("gpu") {
        let named = std::mem::take(gpus).into_iter();
        *gpus = named.map(|(name, own)| (name.parse::<PciAddress>().map_or(name, |at| at.to_string()), own)).collect();
    }
    fragment
}

fn lay_over(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => lay_over(old, new),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fragments(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().enumerate().map(|(i, t)| (format!("{i}.toml"), (*t).to_owned())).collect()
    }

    #[test]
    fn nothing_gives_the_defaults() {
        assert_eq!(merge(&[]).unwrap(), Settings::default());
    }

    #[test]
    fn a_later_fragment_wins_key_by_key() {
        let low = "[manager]\nurls = ['https://a:1', 'https://b:2']\nzone = 'z'\n";
        let high = "[manager]\nurls = ['https://c:3']\n[agent]\nsample_interval_s = 60\n";
        let merged = merge(&fragments(&[low, high])).unwrap();
        assert_eq!(merged.manager.urls, ["https://c:3"]);
        assert_eq!(merged.manager.zone.as_deref(), Some("z"));
        assert_eq!(merged.agent.sample_interval_s, 60);
    }

    #[test]
    fn features_are_switched_off_by_gpu() {
        let low = "[gpu.'41:00.0']\nfeatures_off = ['nvenc']\n[gpu.'0000:42:00.0']\nfeatures_off = ['egl', 'vulkan']\n";
        let high = "[gpu.'0000:41:00.0']\nfeatures_off = ['nvdec', 'cuda']\n";
        let merged = merge(&fragments(&[low, high])).unwrap();
        let off = |at: &str| merged.gpu[&at.parse().unwrap()].features_off.iter().map(|n| n.code()).collect::<Vec<_>>();
        assert_eq!(merged.gpu.len(), 2, "with or without its domain it is the same GPU");
        assert_eq!((off("0000:41:00.0"), off("0000:42:00.0")), (vec!["cuda", "nvdec"], vec!["egl", "vulkan"]));
    }

    #[test]
    fn an_unknown_feature_or_gpu_names_file_line_and_field() {
        let typo = "[gpu.'0000:41:00.0']\nfeatures_off = ['nvnec']\n";
        let fault = merge(&fragments(&["", typo])).unwrap_err().to_string();
        for word in ["1.toml: ", "line 2", "nvnec", "nvenc", "features_off"] {
            assert!(fault.contains(word), "{word}: {fault}");
        }
        let fault = merge(&fragments(&["[gpu.first]\nfeatures_off = []\n"])).unwrap_err().to_string();
        assert!(fault.starts_with("0.toml: ") && fault.contains("first"), "{fault}");
    }

    #[test]
    fn a_wrong_fragment_names_itself_and_the_line() {
        let fault = merge(&fragments(&["", "[manager]\n\nurl = 'x'\n"])).unwrap_err().to_string();
        assert!(fault.starts_with("1.toml: ") && fault.contains("line 3") && fault.contains("url"), "{fault}");
    }

    #[test]
    fn senseless_values_are_refused() {
        for (text, field) in [
            ("[manager]\nurls = ['http://a']", "manager.urls"),
            ("[manager]\nurls = ['https://']", "manager.urls"),
            ("[manager]\npin_sha256 = 'abc'", "manager.pin_sha256"),
            ("[manager]\nheartbeat_interval_s = 1", "manager.heartbeat_interval_s"),
            ("[agent]\nsample_interval_s = 0", "agent.sample_interval_s"),
            ("[nvidia]\nprobe_timeout_ms = 1", "nvidia.probe_timeout_ms"),
            ("[docker]\nsocket = 'relative'", "docker.socket"),
            ("[metrics]\nsocket = 'metrics.sock'", "metrics.socket"),
            ("[metrics]\nsocket = '/run/'", "metrics.socket"),
            ("[metrics]\ntextfile = '/run/gpuhostd/metrics.txt'", "metrics.textfile"),
            ("[manager]\nserver_id = 'not-a-uuid'", "manager.server_id"),
        ] {
            let fault = merge(&fragments(&[text])).unwrap_err().to_string();
            assert!(fault.contains(field), "{text}: {fault}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_never_repeated() {
        for text in [
            "[manager]\nurls = ['https://joe:hunter2@m.example']",
            "[manager]\nurls = 'https://joe:hunter2@m.example'",
            "[manager]\nurl = ['https://joe:hunter2@m.example']",
            "[manager]\nurls = ['https://a', 'https://joe:hun@ter2@m.example'",
            "[manager]\nurls = ['https://m.example/?token=hunter2']",
        ] {
            let fault = merge(&fragments(&[text])).unwrap_err().to_string();
            assert!(!fault.contains("hunter2") && !fault.contains("ter2") && !fault.contains("joe"), "{fault}");
            assert!(fault.contains("m.example"), "{fault}");
        }
    }

    #[test]
    fn one_pin_or_two_but_no_more() {
        let pin = "ab".repeat(32);
        let pins = |list: &str| merge(&fragments(&[&format!("[manager]\npin_sha256 = {list}")]));
        assert_eq!(pins(&format!("'{pin}'")).unwrap().manager.pin_sha256.all().len(), 1);
        assert_eq!(pins(&format!("['{pin}', '{pin}']")).unwrap().manager.pin_sha256.all().len(), 2);
        assert!(pins(&format!("['{pin}', '{pin}', '{pin}']")).is_err());
        assert!(pins("7").unwrap_err().to_string().contains("pin_sha256"));
    }

    #[test]
    fn what_a_template_left_unset_counts_as_unset() {
        let merged = merge(&fragments(&["[manager]\nserver_id = 'None'\npublic_hostname = ''"])).unwrap();
        assert_eq!(merged.manager.server_id_set(), None);
        assert_eq!(merged.manager.public_hostname_set(), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = merge(&fragments(&[&text]));
        }
    }
}
