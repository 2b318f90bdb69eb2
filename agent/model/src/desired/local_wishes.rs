//! Wishes of several files of this host, laid over each other in their order: later keys win.

use super::desired_key::Desired;
use super::desired_sections::{CapacityOverrides, DesiredAgent, DesiredNvidia, DesiredSections};
use super::wish_text::WishText;

/// Largest file of this host, in bytes: as large as a configuration file may be, since TOML becomes a tree many times as large.
pub const LOCAL_FILE_MAX_BYTES: usize = 256 * 1024;

impl DesiredSections {
    /// Lays a later file over this. What it does not say stays; an entry for the same match replaces the earlier one as a whole.
    pub fn lay_over(&mut self, later: Self) {
        let Self { agent, nvidia, gpus, images, workspaces, proxy } = later;
        self.agent.lay_over(agent);
        self.nvidia.lay_over(nvidia);
        for entry in gpus {
            match self.gpus.iter_mut().find(|known| known.of == entry.of) {
                Some(known) => *known = entry,
                None => self.gpus.push(entry),
            }
        }
        // Certificate and key of two files would not belong together.
        if proxy.is_said() {
            self.proxy = proxy;
        }
        append(&mut self.images, images);
        append(&mut self.workspaces, workspaces);
    }
}

/// A later file adds to the list: that an id is there twice is found where the entries are read.
fn append(under: &mut Desired<Vec<WishText>>, later: Desired<Vec<WishText>>) {
    match (under, later) {
        (Desired::Value(all), Desired::Value(later)) => all.extend(later),
        (under, later) => lay(under, later),
    }
}

impl DesiredAgent {
    fn lay_over(&mut self, later: Self) {
        let Self {
            enabled,
            draining,
            drain_at,
            labels,
            zone,
            pool,
            max_workspaces,
            overrides: CapacityOverrides { millicores, memory_bytes, cuda_gpus },
            heartbeat_interval_s,
            sample_interval_s,
            log_level,
            prune,
            disk_usage_limit_pct,
            concurrent_pulls,
        } = later;
        lay(&mut self.enabled, enabled);
        lay(&mut self.draining, draining);
        lay(&mut self.drain_at, drain_at);
        lay(&mut self.labels, labels);
        lay(&mut self.zone, zone);
        lay(&mut self.pool, pool);
        lay(&mut self.max_workspaces, max_workspaces);
        lay(&mut self.overrides.millicores, millicores);
        lay(&mut self.overrides.memory_bytes, memory_bytes);
        lay(&mut self.overrides.cuda_gpus, cuda_gpus);
        lay(&mut self.heartbeat_interval_s, heartbeat_interval_s);
        lay(&mut self.sample_interval_s, sample_interval_s);
        lay(&mut self.log_level, log_level);
        lay(&mut self.prune, prune);
        lay(&mut self.disk_usage_limit_pct, disk_usage_limit_pct);
        lay(&mut self.concurrent_pulls, concurrent_pulls);
    }
}

impl DesiredNvidia {
    fn lay_over(&mut self, later: Self) {
        let Self { deploy_driver, driver_image, deploy_toolkit, toolkit_image, driver_root, docker_restart } = later;
        lay(&mut self.deploy_driver, deploy_driver);
        lay(&mut self.driver_image, driver_image);
        lay(&mut self.deploy_toolkit, deploy_toolkit);
        lay(&mut self.toolkit_image, toolkit_image);
        lay(&mut self.driver_root, driver_root);
        lay(&mut self.docker_restart, docker_restart);
    }
}

fn lay<T>(under: &mut Desired<T>, later: Desired<T>) {
    if later.is_said() {
        *under = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{DesiredUse, GpuEntry, GpuMatch};

    fn gpu(bdf: &str, usage: DesiredUse) -> GpuEntry {
        let of = GpuMatch { bdf: Some(bdf.parse().unwrap()), ..GpuMatch::default() };
        GpuEntry { of, usage: Desired::Value(usage), ..GpuEntry::default() }
    }

    #[test]
    fn later_keys_win_and_what_is_not_said_stays() {
        let mut all = DesiredSections::default();
        all.agent.draining = Desired::Value(true);
        all.agent.zone = Desired::Value("a".to_owned());
        all.agent.overrides.cuda_gpus = Desired::Value(4);
        all.gpus = vec![gpu("0000:41:00.0", DesiredUse::Passthrough), gpu("0000:42:00.0", DesiredUse::Off)];
        let mut later = DesiredSections::default();
        later.agent.draining = Desired::Value(false);
        later.agent.zone = Desired::LocalDefault;
        later.gpus = vec![gpu("0000:43:00.0", DesiredUse::Auto), gpu("0000:41:00.0", DesiredUse::Containers)];
        all.lay_over(later);
        assert_eq!((&all.agent.draining, &all.agent.zone), (&Desired::Value(false), &Desired::LocalDefault));
        assert_eq!(all.agent.overrides.cuda_gpus, Desired::Value(4));
        let usage: Vec<_> = all.gpus.iter().map(|gpu| gpu.usage.clone()).collect();
        assert_eq!(usage, [DesiredUse::Containers, DesiredUse::Off, DesiredUse::Auto].map(Desired::Value));
    }
}
