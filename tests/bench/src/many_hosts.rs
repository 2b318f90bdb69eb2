//! Many hosts in one process: the real check-in of each, on what was observed of one host of the size that is promised.

use crate::sized;
use anyhow::{Context, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use host::front::BootClock;
use model::absence::Reading;
use model::checkin::slot::mix;
use model::observation::HostObservation;
use model::policy::Requester;
use model::ports::Clock;
use model::time::{BootMillis, UnixMillis};
use model::workspace::{DesiredRun, WorkspaceKind};
use model::workspace_life::{
    CgroupFigures, NetworkCounters, WorkspaceFigures, WorkspaceState, WorkspaceStatus, WorkspacesState,
};
use reference_agent::SimulatedAgent;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// GPUs, MIG devices of each, and workspaces of a host.
const SIZE: (u32, u32, u64) = (8, 7, 16);
/// So many hosts enrol at a time.
const AT_ONCE: usize = 32;
/// A host is given so long to enrol.
const PATIENCE: Duration = Duration::from_secs(300);

/// The clock of the machine; sleeps take no descriptor, so that one process has room for ten thousand hosts.
#[derive(Debug, Clone, Copy, Default)]
pub struct LightClock;

impl Clock for LightClock {
    fn boot_now(&self) -> BootMillis {
        BootClock.boot_now()
    }

    fn wall_now(&self) -> UnixMillis {
        BootClock.wall_now()
    }

    async fn sleep_until(&self, when: BootMillis) {
        tokio::time::sleep(Duration::from_millis(when.since(self.boot_now()))).await;
    }
}

/// Starts a host for each token and enrols it, its state below `root`. Returns when each has an identity.
pub async fn enrolled(url: &str, ca_pem: &str, tokens: &[String], root: &Path) -> anyhow::Result<Vec<SimulatedAgent>> {
    let (gpus, mig, workspaces) = SIZE;
    let seen = Arc::new(sized::observed(sized::busy_host(gpus, mig)?)?);
    let workspaces = some_workspaces(&seen, workspaces)?;
    let one = |token: &String| {
        let (seen, workspaces, token) = (Arc::clone(&seen), workspaces.clone(), token.clone());
        async move {
            let agent = SimulatedAgent::begin(seen, workspaces, root, Arc::new(LightClock)).await?;
            if let Err(refusal) = agent.enrol(url, &token, Some(ca_pem)).await {
                bail!("a host could not enrol: {refusal}");
            }
            let has_identity = agent.until(PATIENCE, |now| now.server_id.is_some()).await;
            has_identity.then_some(agent).context("a host got no identity")
        }
    };
    stream::iter(tokens.iter().map(one)).buffer_unordered(AT_ONCE).try_collect().await
}

/// Workspaces that run, each with a MIG device and figures of its own.
fn some_workspaces(seen: &HostObservation, count: u64) -> anyhow::Result<WorkspacesState> {
    let devices = seen.gpus.iter().filter_map(|gpu| gpu.driver.as_ref()).flat_map(|driver| &driver.mig_devices);
    let uuids: Vec<String> = devices.filter_map(|device| Some(device.uuid.known()?.to_string())).collect();
    let one = |number: u64| {
        let random = |salt: u64| mix(number * 1000 + salt);
        let hex: String = (0..4).map(|part| format!("{:016x}", random(part))).collect();
        let gpu = uuids.get(usize::try_from(number)?).context("there are fewer MIG devices than workspaces")?;
        let cgroup = CgroupFigures {
            cpu_us: Some(random(10) % 1_000_000_000_000),
            memory_bytes: Some(random(11) % 64_000_000_000),
            read_bytes: Some(random(12) % 9_000_000_000_000),
            write_bytes: Some(random(13) % 9_000_000_000_000),
            pids: Some(random(14) % 900),
        };
        Ok(WorkspaceStatus {
            id: format!("ws-{:016x}", random(20)).parse()?,
            requester: Requester::Manager,
            kind: WorkspaceKind::User,
            desired: Some(DesiredRun::Running),
            state: WorkspaceState::Running,
            reason: None,
            retry_at: None,
            since: UnixMillis(1_790_000_000_000),
            container: Some(hex.parse()?),
            image: Some("registry.example/ai/pytorch:26.02".to_owned()),
            gpus: vec![gpu.clone()],
            vfio: Vec::new(),
            gpu_ok: Some(true),
            gpu_unknown: None,
            stale_driver: None,
            figures: Some(WorkspaceFigures {
                cpu_hundredths: Some(random(15) % 400_000),
                cgroup,
                network: Some(NetworkCounters {
                    received_bytes: random(17) % 9_000_000_000_000,
                    sent_bytes: random(18) % 9_000_000_000_000,
                }),
                gpu_memory_bytes: Reading::Known(random(19) % 80_000_000_000),
            }),
            nano_cpus: 4_000_000_000,
            memory_bytes: 32 << 30,
            generation: 3,
            pid: Some(4711),
            started_at: Some(UnixMillis(1_789_000_000_000 + i64::try_from(random(16) % 900_000_000)?)),
            pull_progress: None,
        })
    };
    let workspaces = (0..count).map(one).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(WorkspacesState { is_looked: true, workspaces, ..WorkspacesState::default() })
}
