//! Another program of this host that sets MIG layouts by itself: NVIDIA's MIG manager, as a systemd service or in Kubernetes.
//!
//! Both rebuild all GPUs that their configuration names. Where one is active, what gpuhostd reconciled would be destroyed at the next
//! boot or label, and rebuilt, for ever.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Such a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum MigMaster {
    /// A systemd unit of NVIDIA's MIG manager that is enabled.
    Systemd {
        /// Its name.
        unit: String,
        /// The link that enables it.
        link: String,
    },
    /// A container of NVIDIA's MIG manager for Kubernetes.
    Kubernetes {
        /// The pod and its namespace, `nvidia-mig-manager-x7k2p (gpu-operator)`.
        pod: String,
        /// The kubelet's link to its log.
        link: String,
    },
}

impl MigMaster {
    /// What stops it from setting layouts: commands for an administrator.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Systemd { unit, .. } => format!("systemctl disable --now {unit}"),
            Self::Kubernetes { .. } => {
                "kubectl label node NODE nvidia.com/gpu.deploy.mig-manager=false --overwrite".to_owned()
            }
        }
    }

    /// The unit that a link in a folder of systemd's (`multi-user.target.wants`) enables, where it is one of NVIDIA's MIG manager.
    #[must_use]
    pub fn of_link(folder: &str, name: &str) -> Option<Self> {
        let enables = folder.ends_with(".wants") || folder.ends_with(".requires");
        let is_it = enables && name.starts_with("nvidia-mig-manager") && name.ends_with(".service");
        is_it.then(|| Self::Systemd { unit: name.to_owned(), link: format!("/etc/systemd/system/{folder}/{name}") })
    }

    /// The pod that the name of a link to a container's log has (`POD_NAMESPACE_CONTAINER-ID.log`), where the container is NVIDIA's MIG
    /// manager.
    #[must_use]
    pub fn of_log(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".log")?.splitn(3, '_');
        let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
        let (container, _id) = container.rsplit_once('-')?;
        (container == "nvidia-mig-manager" || container == "k8s-mig-manager").then(|| Self::Kubernetes {
            pod: format!("{pod} ({namespace})"),
            link: format!("/var/log/containers/{name}"),
        })
    }
}

impl fmt::Display for MigMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd { unit, link } => write!(f, "the service {unit}, enabled by {link}"),
            Self::Kubernetes { pod, link } => write!(f, "the Kubernetes pod {pod}, by {link}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_enables_the_manager_in_any_target_and_no_other_unit_is_taken_for_it() {
        for (folder, name) in [
            ("multi-user.target.wants", "nvidia-mig-manager.service"),
            ("nvidia-gpu-reset.target.requires", "nvidia-mig-manager.service"),
            ("multi-user.target.wants", "nvidia-mig-manager-gpu-reset.service"),
        ] {
            let master = MigMaster::of_link(folder, name).unwrap();
            assert_eq!(master.remedy(), format!("systemctl disable --now {name}"));
            assert!(master.to_string().contains(folder), "{master}");
        }
        for (folder, name) in [
            ("nvidia-mig-manager.service.d", "nvidia-mig-manager.service"),
            ("multi-user.target.wants", "nvidia-persistenced.service"),
            ("multi-user.target.wants", "my-nvidia-mig-manager.service"),
            ("multi-user.target.wants", "nvidia-mig-manager.timer"),
        ] {
            assert_eq!(MigMaster::of_link(folder, name), None, "{folder}/{name}");
        }
    }

    #[test]
    fn the_manager_in_kubernetes_is_named_by_pod_and_namespace() {
        let id = "5".repeat(64);
        let master = MigMaster::of_log(&format!("nvidia-mig-manager-x7k2p_gpu-operator_nvidia-mig-manager-{id}.log"));
        let MigMaster::Kubernetes { pod, .. } = master.unwrap() else { panic!("it is no unit") };
        assert_eq!(pod, "nvidia-mig-manager-x7k2p (gpu-operator)");
        // An init container that waits for the driver sets nothing, and neither does a pod that only has the name.
        for name in [
            format!("nvidia-mig-manager-x7k2p_gpu-operator_toolkit-validation-{id}.log"),
            format!("nvidia-mig-manager-notes_default_web-{id}.log"),
            "nvidia-mig-manager.log".to_owned(),
            String::new(),
        ] {
            assert_eq!(MigMaster::of_log(&name), None, "{name}");
        }
    }
}
