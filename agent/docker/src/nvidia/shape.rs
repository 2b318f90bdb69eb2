//! Whether a container with our label is one of ours: label, command and mounts have to agree, for a label is quickly copied.

use crate::json::Json;
use model::nvidia_container::{NvidiaRole, NvidiaSpec, WhyForeign};

/// A container as `GET /containers/ID/json` shows it.
pub(crate) struct Shape<'a>(pub(crate) &'a Json);

impl Shape<'_> {
    /// It has the label of this role.
    pub(crate) fn has_role(&self, role: NvidiaRole) -> bool {
        self.label(NvidiaSpec::ROLE_LABEL) == Some(role.code())
    }

    /// The digest of its specification, from its label.
    pub(crate) fn spec_digest(&self) -> Option<&str> {
        let is_digest = |text: &&str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.label(NvidiaSpec::SPEC_LABEL).filter(is_digest)
    }

    /// Why it is not ours although it has our label.
    pub(crate) fn foreign(&self, role: NvidiaRole) -> Option<WhyForeign> {
        let config = self.0.get("Config");
        let words = config.get("Entrypoint").items().iter().chain(config.get("Cmd").items());
        let mounts: Vec<&str> =
            self.0.get("Mounts").items().iter().filter_map(|mount| mount.get("Destination").text()).collect();
        if !words.map(Json::text).eq(NvidiaSpec::command(role).iter().map(|word| Some(*word))) {
            Some(WhyForeign::Command)
        } else if !NvidiaSpec::needed_mounts(role).iter().all(|needed| mounts.contains(needed)) {
            Some(WhyForeign::Mounts)
        } else if self.spec_digest().is_none() {
            Some(WhyForeign::NoSpec)
        } else {
            None
        }
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.0.get("Config").get("Labels").get(key).text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(change: (&str, &str)) -> Option<WhyForeign> {
        let text = r#"{"Config": {"Entrypoint": ["nvidia-driver"], "Cmd": ["init"],
            "Labels": {"org.gpuhost.Agent1.role": "driver", "org.gpuhost.Agent1.spec": "0123456789abcdef"}},
            "Mounts": [{"Destination": "/run/nvidia"}, {"Destination": "/lib/firmware"}, {"Destination": "/var/log"}]}"#;
        let json = Json::read(text.replace(change.0, change.1).as_bytes()).unwrap();
        Shape(&json).foreign(NvidiaRole::Driver)
    }

    #[test]
    fn a_copied_label_makes_no_container_of_ours() {
        assert_eq!(why(("", "")), None);
        assert_eq!(why((r#"["init"]"#, r#"["init", "x"]"#)), Some(WhyForeign::Command));
        assert_eq!(why((r#"["init"]"#, "null")), Some(WhyForeign::Command));
        assert_eq!(why(("/run/nvidia", "/run/other")), Some(WhyForeign::Mounts));
        assert_eq!(why(("0123456789abcdef", "0123456789abcde")), Some(WhyForeign::NoSpec));
    }
}
