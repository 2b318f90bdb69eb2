//! The settings that were last in force without a fault, as the daemon keeps them for a start with wrong files.

use super::{Settings, read};
use crate::fields::{ConfigErrors, Document};
use crate::time::UnixMillis;

/// The form of the copy.
const SCHEMA: u64 = 1;
/// Its last line. A copy that lost its end would be TOML all the same, of settings that nobody has made: an address without the
/// authority that it is judged by.
const END: &str = "# end\n";

/// The copy: settings, and since when they were in force. There is no secret in settings: tokens stand in files of their own,
/// and an address with a password is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSettings {
    /// The settings.
    pub settings: Settings,
    /// When they were first in force.
    pub since: UnixMillis,
}

/// A copy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// It has another form: another version has written it.
    #[error("its schema is {0}, and this version knows {SCHEMA}")]
    Schema(u64),
    /// Its end is missing.
    #[error("its end is missing")]
    Cut,
    /// It is damaged, or a newer version has written it.
    #[error("{0}")]
    Wrong(ConfigErrors),
    /// The settings have no form in TOML.
    #[error("the settings cannot be written as TOML: {0}")]
    Form(String),
}

impl KeptSettings {
    /// The text of the copy.
    ///
    /// # Errors
    /// The settings have no form in TOML.
    pub fn write(&self) -> Result<String, KeptError> {
        let settings = toml::to_string(&self.settings).map_err(|fault| KeptError::Form(fault.to_string()))?;
        let Self { since, .. } = self;
        Ok(format!(
            "# The last valid settings of gpuhostd. It starts with them when the files in /etc/gpuhostd are invalid,\n\
             # and rewrites this file with each change of them.\nschema = {SCHEMA}\nsince_ms = {}\n\n{settings}{END}",
            since.0.max(0)
        ))
    }

    /// Reads the text of a copy; `name` is for messages. The settings are checked as those of an administrator are.
    ///
    /// # Errors
    /// It is damaged, or another version has written it.
    pub fn read(name: &str, text: &str) -> Result<Self, KeptError> {
        if !text.ends_with(END) {
            return Err(KeptError::Cut);
        }
        let (mut settings, mut schema, mut since) = (Settings::default(), 0, 0_i64);
        let document = Document::read(name, text, |top| {
            top.whole("schema", 0..=u64::from(u32::MAX), "", &mut schema);
            top.whole("since_ms", 0..=u64::MAX, "", &mut since);
            read::all(top, &mut settings);
        });
        if let Some(faults) = ConfigErrors::of(document.faults().to_vec()) {
            return Err(KeptError::Wrong(faults));
        }
        if schema != SCHEMA {
            return Err(KeptError::Schema(schema));
        }
        Ok(Self { settings, since: UnixMillis(since) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::merge;

    fn some() -> Settings {
        let text = "[manager]\nurls = ['https://a']\nca_file = '/ca'\n[agent]\nlog_level = 'debug,zbus=off'\n\
                    [gpu.'41:00.0']\nfeatures_off = ['egl']\n[metrics]\ntextfile = '/x.prom'\n";
        let merged = merge(&[("f".to_owned(), text.to_owned())]);
        assert_eq!(merged.faults, []);
        merged.settings
    }

    #[test]
    fn what_is_written_is_read() {
        for settings in [some(), Settings::default()] {
            let kept = KeptSettings { settings, since: UnixMillis(1_767_322_845_000) };
            assert_eq!(KeptSettings::read("kept", &kept.write().unwrap()).unwrap(), kept);
        }
    }

    #[test]
    fn a_damaged_or_foreign_copy_is_refused() {
        let text = KeptSettings { settings: some(), since: UnixMillis(1) }.write().unwrap();
        assert!((0..text.len()).all(|length| KeptSettings::read("kept", &text[..length]).is_err()));
        assert_eq!(KeptSettings::read("kept", &text.replace("schema = 1", "schema = 2")), Err(KeptError::Schema(2)));
        assert_eq!(KeptSettings::read("kept", END), Err(KeptError::Schema(0)));
        let said = KeptSettings::read("kept", &text.replace("https://a", "http://a")).unwrap_err().to_string();
        assert!(said.contains("manager.urls"), "{said}");
        assert!(KeptSettings::read("kept", &format!("{text}[newer]\na = 1\n{END}")).is_err());
    }
}
