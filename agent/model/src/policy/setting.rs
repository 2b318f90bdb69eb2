//! Answers for a setting of this host whether a manager may set it, and which key shows it.

use super::{Explanation, Policy, Requester};
use serde::{Deserialize, Serialize};

/// A kind of settings that a desired state can set. None of them touches a device by itself; what is deployed for
/// [`SettingAct::Nvidia`] is held to the ceiling of the host when it is done.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum SettingAct {
    /// Switch this host on and off for work.
    Enable,
    /// Let this host or a GPU take no new work.
    Drain,
    /// Labels, zone and pool.
    Labels,
    /// Intervals and the log level.
    Intervals,
    /// The capacities that are reported.
    Overrides,
    /// Features of GPUs.
    Features,
    /// NVIDIA's driver and toolkit containers.
    Nvidia,
    /// When Docker may be restarted.
    DockerRestart,
    /// Workspaces.
    Workspaces,
    /// The certificate of the workspace proxy.
    Proxy,
}

impl SettingAct {
    /// All of them, in the order of the enum.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The kind of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        code.parse().ok()
    }

    /// As it is on the command line.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Enable => "manager.enable",
            Self::Drain => "manager.drain",
            Self::Labels => "manager.labels",
            Self::Intervals => "manager.intervals",
            Self::Overrides => "manager.overrides",
            Self::Features => "manager.features",
            Self::Nvidia => "manager.nvidia",
            Self::DockerRestart => "manager.docker_restart",
            Self::Workspaces => "manager.workspaces",
            Self::Proxy => "manager.proxy",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Enable => "enable or disable this host",
            Self::Drain => "drain this host or its GPUs",
            Self::Labels => "set labels, zone and pool",
            Self::Intervals => "set intervals and the log level",
            Self::Overrides => "override the capacities of this host",
            Self::Features => "enable or disable features of GPUs",
            Self::Workspaces => "have workspaces created, started, stopped or deleted",
            Self::DockerRestart => "set when Docker may be restarted",
            Self::Proxy => "set the certificate of the workspace proxy",
            Self::Nvidia => "deploy or remove NVIDIA's driver and toolkit containers",
        }
    }
}

impl Policy {
    /// What it reports about a kind of settings.
    #[must_use]
    pub fn explain_setting(&self, act: SettingAct, requester: Requester) -> Explanation {
        let allowed = match (requester, act) {
            (Requester::Local, _) => true,
            (Requester::Manager, SettingAct::Enable) => self.manager.enable,
            (Requester::Manager, SettingAct::Drain) => self.manager.drain,
            (Requester::Manager, SettingAct::Labels) => self.manager.labels,
            (Requester::Manager, SettingAct::Intervals) => self.manager.intervals,
            (Requester::Manager, SettingAct::Overrides) => self.manager.overrides,
            (Requester::Manager, SettingAct::Features) => self.manager.features,
            (Requester::Manager, SettingAct::Nvidia) => self.manager.nvidia,
            (Requester::Manager, SettingAct::DockerRestart) => self.manager.docker_restart,
            (Requester::Manager, SettingAct::Workspaces) => self.manager.workspaces,
            (Requester::Manager, SettingAct::Proxy) => self.manager.proxy,
        };
        let (rule, why) = match (requester, allowed) {
            (Requester::Local, _) => ("root", "files of this host may set it".to_owned()),
            (Requester::Manager, true) => (act.key(), "it is allowed".to_owned()),
            (Requester::Manager, false) => (act.key(), format!("a manager may not {}", act.what())),
        };
        Explanation { allowed, rule: rule.to_owned(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::read;

    #[test]
    fn a_manager_may_place_work_unless_a_key_denies_it_and_may_neither_switch_features_nor_deploy() {
        let unsaid = Policy::default();
        for act in SettingAct::ALL {
            assert_eq!(SettingAct::from_code(act.code()), Some(*act));
            let said = unsaid.explain_setting(*act, Requester::Manager);
            assert_eq!(
                (said.allowed, said.rule.as_str()),
                (!matches!(act, SettingAct::Features | SettingAct::Nvidia | SettingAct::DockerRestart), act.key())
            );
            assert!(unsaid.explain_setting(*act, Requester::Local).allowed);
            assert!(!Policy::strictest().explain_setting(*act, Requester::Manager).allowed);
            let key = act.key().trim_start_matches("manager.");
            let turned = read("p", &format!("[manager]\n{key} = {}", !said.allowed)).unwrap();
            assert_eq!(turned.explain_setting(*act, Requester::Manager).allowed, !said.allowed, "{key}");
        }
    }
}
