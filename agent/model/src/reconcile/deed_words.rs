//! What is done for an item, in words.

use super::item::Deed;
use crate::change::{Bind, Change};
use crate::mig::{MigLayoutRequest, MigModeRequest, MigReturnRequest};
use crate::nvidia_container::NvidiaImage;
use crate::prune_mode::PruneMode;
use crate::settings::HostSetting;
use std::fmt;

impl fmt::Display for Deed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(setting) => set(out, setting),
            Self::Change(Change::PassthroughBind(Bind { gpu, .. })) => {
                write!(out, "give {gpu} to a virtual machine (bind it to vfio-pci)")
            }
            Self::Change(Change::PassthroughRelease(gpu)) => write!(out, "take {gpu} back from vfio-pci"),
            Self::Change(Change::MigLayout(MigLayoutRequest { gpu, layout, .. })) => {
                write!(out, "change the MIG layout of {gpu} to {layout}")
            }
            Self::Change(Change::MigReturn(MigReturnRequest { gpu, .. })) => {
                write!(out, "create the recorded MIG instances of {gpu} again")
            }
            Self::Change(Change::MigMode(MigModeRequest { gpu, to, .. })) => {
                write!(out, "set MIG mode of {gpu} to {}", to.code())
            }
            Self::Change(Change::MigTakeBack(request)) => write!(out, "undo the change of MIG of {}", request.gpu),
        }
    }
}

fn set(out: &mut fmt::Formatter<'_>, setting: &HostSetting) -> fmt::Result {
    match setting {
        HostSetting::Enabled(value) => key(out, "enabled", value.as_ref()),
        HostSetting::Draining(value) => key(out, "draining", value.as_ref()),
        HostSetting::DrainAt(value) => key(out, "drain_at", value.map(crate::time::UnixMillis::to_utc).as_ref()),
        HostSetting::DrainAtHasCome(at) => write!(out, "drain this host: {} has come", at.to_utc()),
        HostSetting::Labels(value) => {
            let listed = |labels: &std::collections::BTreeMap<String, String>| {
                let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                if pairs.is_empty() { "none".to_owned() } else { pairs.join(", ") }
            };
            key(out, "labels", value.as_ref().map(listed).as_ref())
        }
        HostSetting::Zone(value) => key(out, "zone", value.as_ref()),
        HostSetting::Pool(value) => key(out, "pool", value.as_ref()),
        HostSetting::MaxWorkspaces(value) => key(out, "max_workspaces", value.as_ref()),
        HostSetting::Millicores(value) => {
            key(out, "overrides.cores", value.map(|it| format!("{it} thousandths of a core")).as_ref())
        }
        HostSetting::MemoryBytes(value) => key(out, "overrides.memory", value.map(|it| format!("{it} bytes")).as_ref()),
        HostSetting::CudaGpus(value) => key(out, "overrides.cuda_gpus", value.as_ref()),
        HostSetting::HeartbeatIntervalS(value) => key(out, "heartbeat_interval_s", value.as_ref()),
        HostSetting::SampleIntervalS(value) => key(out, "reconcile_interval_s", value.as_ref()),
        HostSetting::LogLevel(value) => key(out, "log_level", value.as_ref()),
        HostSetting::Prune(value) => key(out, "prune", value.map(PruneMode::code).as_ref()),
        HostSetting::DiskUsageLimitPct(value) => {
            key(out, "disk_usage_limit", value.map(|it| format!("{it} %")).as_ref())
        }
        HostSetting::ConcurrentPulls(value) => key(out, "max_concurrent_docker_pulls", value.as_ref()),
        HostSetting::DeployDriver(value) => key(out, "nvidia.deploy_driver", value.as_ref()),
        HostSetting::DriverImage(value) => key(out, "nvidia.driver_image", value.as_ref().map(NvidiaImage::image)),
        HostSetting::DeployToolkit(value) => key(out, "nvidia.deploy_toolkit", value.as_ref()),
        HostSetting::ToolkitImage(value) => key(out, "nvidia.toolkit_image", value.as_ref().map(NvidiaImage::image)),
        HostSetting::DockerRestart(value) => key(out, "nvidia.docker_restart", value.as_ref()),
        HostSetting::DriverRoot(value) => key(out, "nvidia.driver_root", value.as_ref()),
        HostSetting::GpuOff(gpu, true) => write!(out, "place no workspace on {gpu}"),
        HostSetting::GpuOff(gpu, false) => write!(out, "allow workspaces on {gpu} again"),
        HostSetting::GpuFeature(gpu, feature, Some(true)) => write!(out, "switch {} of {gpu} on", feature.code()),
        HostSetting::GpuFeature(gpu, feature, Some(false)) => write!(out, "switch {} of {gpu} off", feature.code()),
        HostSetting::GpuFeature(gpu, feature, None) => {
            write!(out, "set {} of {gpu} back to what the configuration files have", feature.code())
        }
    }
}

fn key<T: fmt::Display>(out: &mut fmt::Formatter<'_>, name: &str, value: Option<&T>) -> fmt::Result {
    match value {
        Some(value) => write!(out, "set {name} to {value}"),
        None => write!(out, "set {name} back to what the configuration files have"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureName;
    use crate::time::UnixMillis;
    use std::collections::BTreeMap;

    #[test]
    fn each_deed_names_what_it_sets_and_to_what() {
        let gpu = "0000:41:00.0".parse().unwrap();
        let labels = BTreeMap::from([("rack".to_owned(), "7".to_owned()), ("site".to_owned(), "ams".to_owned())]);
        for (setting, words) in [
            (HostSetting::Enabled(Some(false)), "set enabled to false"),
            (HostSetting::Zone(None), "set zone back to what the configuration files have"),
            (HostSetting::Labels(Some(labels)), "set labels to rack=7, site=ams"),
            (HostSetting::Labels(Some(BTreeMap::new())), "set labels to none"),
            (HostSetting::DrainAt(Some(UnixMillis(0))), "set drain_at to 1970-01-01 00:00:00 UTC"),
            (HostSetting::GpuOff(gpu, true), "place no workspace on 0000:41:00.0"),
            (HostSetting::GpuFeature(gpu, FeatureName::Nvenc, Some(false)), "switch nvenc of 0000:41:00.0 off"),
        ] {
            assert_eq!(Deed::Set(setting).to_string(), words);
        }
        assert_eq!(Deed::Change(Change::PassthroughRelease(gpu)).to_string(), "take 0000:41:00.0 back from vfio-pci");
    }
}
