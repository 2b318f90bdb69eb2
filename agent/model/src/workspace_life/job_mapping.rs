//! Which workspaces have which GPU, as dcgm-exporter reads it from its HPC job mapping directory.

use super::workspace_status::WorkspacesState;
use crate::driver::DriverGpu;
use std::collections::{BTreeMap, BTreeSet};

/// The text of each file, by its name: `0` for a GPU that has that index at the driver, `0.7` for its GPU instance 7; each line is the
/// id of a workspace whose container runs or is frozen. A GPU that has no workspace has no file. `None` where that is not known: Docker
/// was not asked yet, or does not answer.
#[must_use]
pub fn job_mapping<'a>(
    gpus: impl Iterator<Item = &'a DriverGpu>,
    workspaces: &WorkspacesState,
) -> Option<BTreeMap<String, String>> {
    if !workspaces.is_looked || workspaces.unknown.is_some() {
        return None;
    }
    let names = file_names(gpus);
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for workspace in workspaces.live() {
        for file in workspace.gpus.iter().filter_map(|gpu| names.get(gpu)) {
            ids.entry(file.clone()).or_default().insert(workspace.id.to_string());
        }
    }
    let lines = |ids: BTreeSet<String>| ids.into_iter().map(|id| id + "\n").collect();
    Some(ids.into_iter().map(|(file, ids)| (file, lines(ids))).collect())
}

/// Whether a file of that directory can be one of these: one whose GPU has no workspace any more is removed.
#[must_use]
pub fn is_job_mapping_name(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (gpu, instance) = name.split_once('.').map_or((name, None), |(gpu, instance)| (gpu, Some(instance)));
    is_number(gpu) && instance.is_none_or(is_number)
}

/// The name of the file of each UUID.
fn file_names<'a>(gpus: impl Iterator<Item = &'a DriverGpu>) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for gpu in gpus {
        let Some(index) = gpu.index.get() else { continue };
        names.extend(gpu.uuid.known().map(|uuid| (uuid.to_string(), index.to_string())));
        for mig in &gpu.mig_devices {
            let name = format!("{index}.{}", mig.gpu_instance);
            names.extend(mig.uuid.known().map(|uuid| (uuid.to_string(), name)));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::workspace_allocation::tests::workspace;
    use super::super::workspace_status::WorkspaceState::{Paused, Running, Stopped};
    use super::*;
    use crate::absence::Reading;
    use crate::driver::{DriverMig, MemoryMib};

    const UUID: &str = "GPU-00000000-0000-0000-0000-00000000000";
    const MIG: &str = "MIG-00000000-0000-0000-0000-000000000001";

    fn gpu(index: u32) -> DriverGpu {
        let mut gpu = DriverGpu::unknown(format!("0000:0{index}:00.0").parse().unwrap());
        gpu.index = Reading::Known(index);
        gpu.uuid = Reading::Known(format!("{UUID}{index}").parse().unwrap());
        gpu
    }

    fn cut_up() -> DriverGpu {
        let none = crate::absence::Absence::NotReported;
        let mig = DriverMig {
            index: Reading::Known(0),
            gpu_instance: 7,
            compute_instance: 0,
            uuid: Reading::Known(MIG.parse().unwrap()),
            profile: Reading::Absent(none.clone()),
            memory: MemoryMib::absent(&none),
            sm: Reading::Absent(none.clone()),
            ce: Reading::Absent(none.clone()),
            enc: Reading::Absent(none.clone()),
            dec: Reading::Absent(none.clone()),
            jpeg: Reading::Absent(none.clone()),
            ofa: Reading::Absent(none),
        };
        DriverGpu { mig_devices: vec![mig], ..gpu(2) }
    }

    fn files(workspaces: WorkspacesState) -> Option<Vec<(String, String)>> {
        let gpus = [gpu(0), gpu(1), cut_up()];
        job_mapping(gpus.iter(), &workspaces).map(|files| files.into_iter().collect())
    }

    #[test]
    fn each_gpu_and_instance_has_the_workspaces_that_run_on_it() {
        let (zero, one) = (format!("{UUID}0"), format!("{UUID}1"));
        let workspaces = vec![
            workspace("b", Running, 1, &[&zero, "GPU-of-another-host"]),
            workspace("a", Paused, 1, &[&zero, MIG]),
            workspace("c", Stopped, 1, &[&one]),
        ];
        let state = WorkspacesState { is_looked: true, workspaces, ..WorkspacesState::default() };
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(files(state.clone()), Some(vec![file("0", "a\nb\n"), file("2.7", "a\n")]));
        assert_eq!(files(WorkspacesState { unknown: Some("Docker does not answer".to_owned()), ..state }), None);
        assert_eq!(files(WorkspacesState::default()), None, "Docker was not asked yet");
    }

    #[test]
    fn only_names_of_that_directory_are_ours() {
        for name in ["0", "12", "2.7"] {
            assert!(is_job_mapping_name(name), "{name}");
        }
        for name in ["", "2.", ".7", "2.7.1", "a", "0a", "-1", "README", ".0.draft"] {
            assert!(!is_job_mapping_name(name), "{name}");
        }
    }
}
