//! What a desired state has set over the files' settings: kept on disk, so that it holds over restarts and without a manager.

use super::{LogFilter, Settings};
use crate::docker_config::DockerRestart;
use crate::features::FeatureName;
use crate::ids::PciAddress;
use crate::nvidia_container::{DriverRootWish, NvidiaImage, NvidiaWish};
use crate::policy::SettingAct;
use crate::prune_mode::PruneMode;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What was set. `None` and what is missing: as the files have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsOverlay {
    /// Work may be placed here.
    pub enabled: Option<bool>,
    /// No new work.
    pub draining: Option<bool>,
    /// From when on there is no new work.
    pub drain_at: Option<DrainAt>,
    /// Labels, all of them.
    pub labels: Option<BTreeMap<String, String>>,
    /// Zone.
    pub zone: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// The most workspaces at once.
    pub max_workspaces: Option<u32>,
    /// Cores that are reported, in thousandths; never 0.
    pub millicores: Option<u64>,
    /// Memory that is reported, in bytes; never 0.
    pub memory_bytes: Option<u64>,
    /// CUDA GPUs that are reported; never 0.
    pub cuda_gpus: Option<u32>,
    /// Seconds between heartbeats.
    pub heartbeat_interval_s: Option<u64>,
    /// Seconds between samples.
    pub sample_interval_s: Option<u64>,
    /// How much is written to the log.
    pub log_level: Option<LogFilter>,
    /// How much of the images that gpuhostd has pulled is removed.
    pub prune: Option<PruneMode>,
    /// Per cent of Docker's disk that may be used.
    pub disk_usage_limit_pct: Option<u64>,
    /// So many images are pulled at once.
    pub concurrent_pulls: Option<u64>,
    /// NVIDIA's driver and toolkit containers.
    pub nvidia: NvidiaOverlay,
    /// Single GPUs. One of which nothing is set has no entry.
    pub gpus: BTreeMap<PciAddress, GpuOverlay>,
}

/// The time from which on there is no new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainAt {
    /// The time, on the manager's clock where that is known.
    pub at: UnixMillis,
    /// It has come. A clock that is stepped back afterwards undoes nothing.
    pub has_come: bool,
}

/// What was set of NVIDIA's driver and toolkit containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NvidiaOverlay {
    /// A driver container is deployed.
    pub deploy_driver: Option<bool>,
    /// Its image.
    pub driver_image: Option<NvidiaImage>,
    /// A toolkit container is deployed.
    pub deploy_toolkit: Option<bool>,
    /// Its image.
    pub toolkit_image: Option<NvidiaImage>,
    /// Where it looks for the driver's files.
    pub driver_root: Option<DriverRootWish>,
    /// When Docker may be restarted.
    pub docker_restart: Option<DockerRestart>,
}

impl NvidiaOverlay {
    fn lay_over(&self, wish: &mut NvidiaWish) {
        let Self { deploy_driver, driver_image, deploy_toolkit, toolkit_image, driver_root, docker_restart } = self;
        wish.deploy_driver = deploy_driver.unwrap_or(wish.deploy_driver);
        wish.deploy_toolkit = deploy_toolkit.unwrap_or(wish.deploy_toolkit);
        wish.driver_root = driver_root.unwrap_or(wish.driver_root);
        wish.docker_restart = docker_restart.unwrap_or(wish.docker_restart);
        if let Some(image) = driver_image {
            wish.driver_image = image.clone();
        }
        if let Some(image) = toolkit_image {
            wish.toolkit_image = image.clone();
        }
    }
}

/// What was set of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuOverlay {
    /// No workspace may be placed on it.
    pub off: bool,
    /// Features on (`true`) and off, for those that were set.
    pub features: BTreeMap<FeatureName, bool>,
}

/// One setting that a desired state can set; `None` = as the files have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostSetting {
    /// Work may be placed here.
    Enabled(Option<bool>),
    /// No new work.
    Draining(Option<bool>),
    /// From when on there is no new work.
    DrainAt(Option<UnixMillis>),
    /// That time has come.
    DrainAtHasCome(UnixMillis),
    /// Labels.
    Labels(Option<BTreeMap<String, String>>),
    /// Zone.
    Zone(Option<String>),
    /// Pool.
    Pool(Option<String>),
    /// The most workspaces at once.
    MaxWorkspaces(Option<u32>),
    /// Cores that are reported, in thousandths.
    Millicores(Option<u64>),
    /// Memory that is reported, in bytes.
    MemoryBytes(Option<u64>),
    /// CUDA GPUs that are reported.
    CudaGpus(Option<u32>),
    /// Seconds between heartbeats.
    HeartbeatIntervalS(Option<u64>),
    /// Seconds between samples.
    SampleIntervalS(Option<u64>),
    /// How much is written to the log.
    LogLevel(Option<LogFilter>),
    /// How much of the images that gpuhostd has pulled is removed.
    Prune(Option<PruneMode>),
    /// Per cent of Docker's disk that may be used.
    DiskUsageLimitPct(Option<u64>),
    /// So many images are pulled at once.
    ConcurrentPulls(Option<u64>),
    /// A driver container is deployed.
    DeployDriver(Option<bool>),
    /// Its image.
    DriverImage(Option<NvidiaImage>),
    /// A toolkit container is deployed.
    DeployToolkit(Option<bool>),
    /// Its image.
    ToolkitImage(Option<NvidiaImage>),
    /// Where it looks for the driver's files.
    DriverRoot(Option<DriverRootWish>),
    /// When Docker may be restarted.
    DockerRestart(Option<DockerRestart>),
    /// No workspace may be placed on a GPU.
    GpuOff(PciAddress, bool),
    /// A feature of a GPU.
    GpuFeature(PciAddress, FeatureName, Option<bool>),
}

impl HostSetting {
    /// What of the policy bounds it.
    #[must_use]
    pub const fn act(&self) -> SettingAct {
        match self {
            Self::Enabled(_) => SettingAct::Enable,
            Self::Draining(_) | Self::DrainAt(_) | Self::DrainAtHasCome(_) | Self::GpuOff(..) => SettingAct::Drain,
            Self::Labels(_) | Self::Zone(_) | Self::Pool(_) => SettingAct::Labels,
            Self::MaxWorkspaces(_) | Self::Millicores(_) | Self::MemoryBytes(_) | Self::CudaGpus(_) => {
                SettingAct::Overrides
            }
            Self::HeartbeatIntervalS(_) | Self::SampleIntervalS(_) | Self::LogLevel(_) => SettingAct::Intervals,
            Self::Prune(_) | Self::DiskUsageLimitPct(_) | Self::ConcurrentPulls(_) => SettingAct::Workspaces,
            Self::DeployDriver(_)
            | Self::DriverImage(_)
            | Self::DeployToolkit(_)
            | Self::ToolkitImage(_)
            | Self::DriverRoot(_) => SettingAct::Nvidia,
            Self::DockerRestart(_) => SettingAct::DockerRestart,
            Self::GpuFeature(..) => SettingAct::Features,
        }
    }
}

impl SettingsOverlay {
    /// Sets one of them.
    pub fn set(&mut self, setting: HostSetting) {
        match setting {
            HostSetting::Enabled(value) => self.enabled = value,
            HostSetting::Draining(value) => self.draining = value,
            HostSetting::DrainAt(at) => {
                // The same time again is not another drain: it may have come.
                if self.drain_at.map(|drain| drain.at) != at {
                    self.drain_at = at.map(|at| DrainAt { at, has_come: false });
                }
            }
            HostSetting::DrainAtHasCome(at) => {
                if let Some(drain) = self.drain_at.as_mut().filter(|drain| drain.at == at) {
                    drain.has_come = true;
                }
            }
            HostSetting::Labels(value) => self.labels = value,
            HostSetting::Zone(value) => self.zone = value,
            HostSetting::Pool(value) => self.pool = value,
            HostSetting::MaxWorkspaces(value) => self.max_workspaces = value,
            HostSetting::Millicores(value) => self.millicores = value.filter(|value| *value > 0),
            HostSetting::MemoryBytes(value) => self.memory_bytes = value.filter(|value| *value > 0),
            HostSetting::CudaGpus(value) => self.cuda_gpus = value.filter(|value| *value > 0),
            HostSetting::HeartbeatIntervalS(value) => self.heartbeat_interval_s = value,
            HostSetting::SampleIntervalS(value) => self.sample_interval_s = value,
            HostSetting::LogLevel(value) => self.log_level = value,
            HostSetting::Prune(value) => self.prune = value,
            HostSetting::DiskUsageLimitPct(value) => self.disk_usage_limit_pct = value,
            HostSetting::ConcurrentPulls(value) => self.concurrent_pulls = value,
            HostSetting::DeployDriver(value) => self.nvidia.deploy_driver = value,
            HostSetting::DriverImage(value) => self.nvidia.driver_image = value,
            HostSetting::DeployToolkit(value) => self.nvidia.deploy_toolkit = value,
            HostSetting::ToolkitImage(value) => self.nvidia.toolkit_image = value,
            HostSetting::DriverRoot(value) => self.nvidia.driver_root = value,
            HostSetting::DockerRestart(value) => self.nvidia.docker_restart = value,
            HostSetting::GpuOff(gpu, off) => self.edit_gpu(gpu, |of| of.off = off),
            HostSetting::GpuFeature(gpu, feature, value) => self.edit_gpu(gpu, |of| {
                match value {
                    Some(on) => of.features.insert(feature, on),
                    None => of.features.remove(&feature),
                };
            }),
        }
    }

    fn edit_gpu(&mut self, gpu: PciAddress, edit: impl FnOnce(&mut GpuOverlay)) {
        let of = self.gpus.entry(gpu).or_default();
        edit(of);
        if *of == GpuOverlay::default() {
            self.gpus.remove(&gpu);
        }
    }

    /// It is already set.
    #[must_use]
    pub fn has(&self, setting: &HostSetting) -> bool {
        if let HostSetting::GpuOff(gpu, _) | HostSetting::GpuFeature(gpu, ..) = setting {
            // Of all that is set it can change this GPU alone: a host with many of them need not be copied for each feature.
            let before: BTreeMap<_, _> = self.gpus.get(gpu).map(|of| (*gpu, of.clone())).into_iter().collect();
            let mut after = Self { gpus: before.clone(), ..Self::default() };
            after.set(setting.clone());
            return after.gpus == before;
        }
        let mut after = self.clone();
        after.set(setting.clone());
        after == *self
    }

    /// No new work: somebody wishes it now, or the time for it has come.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining == Some(true) || self.drain_at.is_some_and(|drain| drain.has_come)
    }

    /// No workspace may be placed on this GPU.
    #[must_use]
    pub fn is_off(&self, gpu: PciAddress) -> bool {
        self.gpus.get(&gpu).is_some_and(|of| of.off)
    }

    /// The features of this GPU that were switched off.
    #[must_use]
    pub fn features_off(&self, gpu: PciAddress) -> BTreeSet<FeatureName> {
        let set = self.gpus.get(&gpu).into_iter().flat_map(|of| &of.features);
        set.filter(|(_, on)| !**on).map(|(feature, _)| *feature).collect()
    }

    /// The settings of the files with this over them. What the files switch off of a GPU stays off.
    #[must_use]
    pub fn over(&self, files: &Settings) -> Settings {
        let mut settings = files.clone();
        if let Some(seconds) = self.sample_interval_s {
            settings.agent.sample_interval_s = seconds;
        }
        if let Some(level) = &self.log_level {
            settings.agent.log_level = level.clone();
        }
        let images = &mut settings.images;
        images.prune = self.prune.unwrap_or(images.prune);
        images.disk_usage_limit_pct = self.disk_usage_limit_pct.unwrap_or(images.disk_usage_limit_pct);
        images.concurrent_pulls = self.concurrent_pulls.unwrap_or(images.concurrent_pulls);
        self.nvidia.lay_over(&mut settings.nvidia.deployment);
        settings.desired = self.clone();
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu() -> PciAddress {
        "0000:41:00.0".parse().unwrap()
    }

    #[test]
    fn what_is_set_is_there_and_what_is_taken_back_leaves_nothing() {
        let labels = BTreeMap::from([("site".to_owned(), "ams".to_owned())]);
        let pairs = [
            (HostSetting::Enabled(Some(false)), HostSetting::Enabled(None)),
            (HostSetting::Draining(Some(true)), HostSetting::Draining(None)),
            (HostSetting::DrainAt(Some(UnixMillis(5))), HostSetting::DrainAt(None)),
            (HostSetting::Labels(Some(labels)), HostSetting::Labels(None)),
            (HostSetting::Zone(Some("z".into())), HostSetting::Zone(None)),
            (HostSetting::Pool(Some("p".into())), HostSetting::Pool(None)),
            (HostSetting::MaxWorkspaces(Some(0)), HostSetting::MaxWorkspaces(None)),
            (HostSetting::Millicores(Some(1)), HostSetting::Millicores(Some(0))),
            (HostSetting::MemoryBytes(Some(1)), HostSetting::MemoryBytes(Some(0))),
            (HostSetting::CudaGpus(Some(1)), HostSetting::CudaGpus(None)),
            (HostSetting::HeartbeatIntervalS(Some(5)), HostSetting::HeartbeatIntervalS(None)),
            (HostSetting::SampleIntervalS(Some(5)), HostSetting::SampleIntervalS(None)),
            (HostSetting::LogLevel(Some(LogFilter::default())), HostSetting::LogLevel(None)),
            (HostSetting::Prune(Some(PruneMode::Off)), HostSetting::Prune(None)),
            (HostSetting::DiskUsageLimitPct(Some(80)), HostSetting::DiskUsageLimitPct(None)),
            (HostSetting::ConcurrentPulls(Some(4)), HostSetting::ConcurrentPulls(None)),
            (HostSetting::DeployDriver(Some(true)), HostSetting::DeployDriver(None)),
            (HostSetting::DriverImage(Some("r.example/driver:1".parse().unwrap())), HostSetting::DriverImage(None)),
            (HostSetting::DeployToolkit(Some(true)), HostSetting::DeployToolkit(None)),
            (HostSetting::ToolkitImage(Some("r.example/toolkit:1".parse().unwrap())), HostSetting::ToolkitImage(None)),
            (HostSetting::DriverRoot(Some(DriverRootWish::Host)), HostSetting::DriverRoot(None)),
            (HostSetting::DockerRestart(Some(DockerRestart::Never)), HostSetting::DockerRestart(None)),
            (HostSetting::GpuOff(gpu(), true), HostSetting::GpuOff(gpu(), false)),
            (
                HostSetting::GpuFeature(gpu(), FeatureName::Nvenc, Some(false)),
                HostSetting::GpuFeature(gpu(), FeatureName::Nvenc, None),
            ),
        ];
        for (set, taken_back) in pairs {
            let mut overlay = SettingsOverlay::default();
            assert!(!overlay.has(&set) && overlay.has(&taken_back), "{set:?}");
            overlay.set(set.clone());
            assert!(overlay.has(&set) && !overlay.has(&taken_back), "{set:?}");
            let kept: SettingsOverlay = serde_json::from_str(&serde_json::to_string(&overlay).unwrap()).unwrap();
            assert_eq!(kept, overlay);
            overlay.set(taken_back);
            assert_eq!(overlay, SettingsOverlay::default(), "{set:?}");
        }
    }

    #[test]
    fn a_drain_that_has_come_stays_until_another_time_is_set() {
        let (first, second) = (UnixMillis(5), UnixMillis(9));
        let mut overlay = SettingsOverlay::default();
        overlay.set(HostSetting::DrainAtHasCome(first));
        assert_eq!(overlay, SettingsOverlay::default(), "a time that nobody set does not come");
        overlay.set(HostSetting::DrainAt(Some(first)));
        assert!(!overlay.is_draining());
        overlay.set(HostSetting::DrainAtHasCome(second));
        assert!(!overlay.is_draining(), "another time has come");
        overlay.set(HostSetting::DrainAtHasCome(first));
        overlay.set(HostSetting::DrainAt(Some(first)));
        assert!(overlay.is_draining(), "the same document again undoes nothing");
        overlay.set(HostSetting::DrainAt(Some(second)));
        assert!(!overlay.is_draining());
    }

    #[test]
    fn what_the_files_switch_off_stays_off() {
        let mut files = Settings::default();
        files.gpu.entry(gpu()).or_default().features_off.insert(FeatureName::Egl);
        let mut overlay = SettingsOverlay::default();
        overlay.set(HostSetting::GpuFeature(gpu(), FeatureName::Egl, Some(true)));
        overlay.set(HostSetting::GpuFeature(gpu(), FeatureName::Nvenc, Some(false)));
        overlay.set(HostSetting::SampleIntervalS(Some(7)));
        overlay.set(HostSetting::Prune(Some(PruneMode::Aggressive)));
        let over = overlay.over(&files);
        assert_eq!((over.images.prune, over.images.disk_usage_limit_pct), (PruneMode::Aggressive, 90));
        assert_eq!((over.gpu, over.agent.sample_interval_s), (files.gpu, 7));
        assert_eq!(over.desired.features_off(gpu()), BTreeSet::from([FeatureName::Nvenc]));
    }
}
