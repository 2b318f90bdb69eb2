//! `ps`: who uses which GPU — workspaces, other containers, virtual machines, and processes of the host.

use super::workspaces::stale_driver;
use crate::failure::Failure;
use crate::text::{Cell, Look, Table, paint, print as print_lines, print_json};
use crate::top::containers::{self, Containers};
use serde::Serialize;
use std::collections::BTreeSet;
use wire::dbus::gpu::GpuView;
use wire::dbus::metrics::ProcessView;
use wire::dbus::snapshot::Snapshot;
use wire::dbus::workspace::WorkspaceView;

/// What uses a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserKind {
    /// A workspace of gpuhostd.
    Workspace,
    /// Another container.
    Container,
    /// A virtual machine, or whatever has the device of VFIO.
    Vfio,
    /// A process of the host.
    Process,
}

impl UserKind {
    const fn words(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Container => "container",
            Self::Vfio => "vfio",
            Self::Process => "process",
        }
    }
}

/// One use of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GpuUser {
    /// PCI address of the GPU.
    gpu: String,
    /// What uses it.
    kind: UserKind,
    /// Id of the workspace, id of the container, driver, or program.
    name: String,
    /// The process; `None` where what has the GPU runs none that the driver names.
    pid: Option<u32>,
    /// Memory of the GPU that the process has, in MiB.
    memory_mib: Option<u64>,
}

/// A workspace that keeps the libraries of another driver than the one that is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StaleUser {
    /// Id of the workspace.
    workspace: String,
    /// The driver whose libraries it has.
    stale_driver: String,
    /// The driver that is loaded.
    loaded_driver: String,
    /// Why it matters, and what to do.
    message: String,
}

/// Everything that uses a GPU, with what is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GpuUsers {
    users: Vec<GpuUser>,
    /// GPUs whose processes are not known, each with the reason.
    unknown: Vec<String>,
    /// Workspaces that will fail with what begins to use a GPU in them.
    stale: Vec<StaleUser>,
}

/// Prints it.
pub(crate) fn print(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    let users = users(snapshot, &containers::of(snapshot));
    if json {
        return print_json(&users);
    }
    print_lines(&lines(&users))
}

/// What uses NVIDIA's driver as far as the daemon shows it, by name: what keeps it from being replaced.
pub(crate) fn driver_users(snapshot: &Snapshot) -> Vec<String> {
    let found = users(snapshot, &containers::of(snapshot));
    let with_process = found.users.iter().filter(|user| user.kind != UserKind::Vfio && user.pid.is_some());
    let mut names: Vec<String> = with_process
        .map(|user| format!("{} {} (pid {})", user.kind.words(), user.name, user.pid.unwrap_or_default()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What the daemon shows of who uses which GPU.
fn users(snapshot: &Snapshot, containers: &Containers) -> GpuUsers {
    let stale = snapshot.workspaces.iter().filter_map(stale).collect();
    let mut found = GpuUsers { users: Vec::new(), unknown: Vec::new(), stale };
    for gpu in &snapshot.gpus {
        let holds = |view: &&WorkspaceView| view.pid.is_some() && has(view, gpu);
        let holding: Vec<&WorkspaceView> = snapshot.workspaces.iter().filter(holds).collect();
        let mut seen = BTreeSet::new();
        for process in gpu.metrics.processes.iter().flatten() {
            let user = of_process(gpu, process, &snapshot.workspaces, containers);
            if user.kind == UserKind::Workspace {
                seen.insert(user.name.clone());
            }
            found.users.push(user);
        }
        let idle = holding.iter().filter(|view| !seen.contains(&view.workspace_id));
        found.users.extend(idle.map(|view| GpuUser {
            gpu: gpu.address.clone(),
            kind: UserKind::Workspace,
            name: view.workspace_id.clone(),
            pid: None,
            memory_mib: None,
        }));
        if gpu.usage == "passthrough" {
            if !holding.iter().any(|view| view.vfio.contains(&gpu.address)) {
                let name = gpu.driver.clone().unwrap_or_else(|| "vfio".to_owned());
                let (kind, pid, memory_mib) = (UserKind::Vfio, None, None);
                found.users.push(GpuUser { gpu: gpu.address.clone(), kind, name, pid, memory_mib });
            }
        } else if gpu.metrics.processes.is_none() {
            let why = gpu.metrics.absent.reason("Processes").unwrap_or("not_reported");
            found.unknown.push(format!("{} ({why})", gpu.address));
        }
    }
    found
}

fn stale(view: &WorkspaceView) -> Option<StaleUser> {
    Some(StaleUser {
        workspace: view.workspace_id.clone(),
        stale_driver: view.stale_driver.clone()?,
        loaded_driver: view.loaded_driver.clone()?,
        message: stale_driver(view)?,
    })
}

/// The workspace was given this GPU, a part of it, or all of it.
fn has(view: &WorkspaceView, gpu: &GpuView) -> bool {
    let is_it = |name: &String| {
        gpu.uuid.as_ref() == Some(name)
            || *name == gpu.address
            || gpu.mig_devices.iter().any(|mig| mig.uuid.as_ref() == Some(name))
    };
    view.gpus.iter().any(is_it) || view.vfio.contains(&gpu.address)
}

fn of_process(gpu: &GpuView, process: &ProcessView, workspaces: &[WorkspaceView], containers: &Containers) -> GpuUser {
    let container = containers.get(&process.pid);
    let is_in = |view: &&WorkspaceView| {
        view.pid == Some(process.pid) || (container.is_some() && view.container.as_ref() == container)
    };
    let (kind, name) = match (workspaces.iter().find(is_in), container) {
        (Some(view), _) => (UserKind::Workspace, view.workspace_id.clone()),
        (None, Some(id)) => (UserKind::Container, id.get(..12).unwrap_or(id).to_owned()),
        (None, None) => (UserKind::Process, process.name.clone().unwrap_or_else(|| "?".to_owned())),
    };
    GpuUser { gpu: gpu.address.clone(), kind, name, pid: Some(process.pid), memory_mib: process.memory_mib }
}

fn lines(found: &GpuUsers) -> Vec<String> {
    let mut lines = Vec::new();
    if found.users.is_empty() {
        lines.push("No GPU is in use, as far as is known.".to_owned());
    } else {
        let mut table = Table::new(&["GPU", "KIND", "NAME", "PID", "MEMORY"]);
        for user in &found.users {
            table.row(vec![
                Cell::plain(Some(&user.gpu)),
                Cell::plain(Some(user.kind.words())),
                Cell::plain(Some(&user.name)),
                Cell::plain(user.pid.map(|pid| pid.to_string()).as_deref()),
                Cell::plain(user.memory_mib.map(|mib| format!("{mib} MiB")).as_deref()),
            ]);
        }
        lines.extend(table.lines());
    }
    if !found.unknown.is_empty() {
        let unknown = found.unknown.join(", ");
        lines.push(format!("{} the processes of {}", paint("Not known:", Look::Bold), crate::text::clean(&unknown)));
    }
    for one in &found.stale {
        let name = crate::text::clean(&one.workspace);
        let message = crate::text::clean(&one.message);
        lines.push(format!("{} {name}: {message}.", paint("stale_driver:", Look::Bad)));
    }
    lines
}
