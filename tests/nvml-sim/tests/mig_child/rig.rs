//! One GPU of a product behind the simulated library in a folder of its own, and the child started for it.

use model::driver::MigMode;
use model::mig::products::Product;
use model::mig::{Instance, MigOnGpu, MigStep};
use model::os_cause::OsCause;
use model::{PciAddress, PciId};
use protocol::child::{Task, failure_in};
use sim::bus::Bus;
use sim::description::MigDescription;
use sim::faults::NvmlFault;
use sim::mig::SimMig;
use sim::mig_on_host::{MIG_STATE_FILE, MigOnHost};
use sim::{Description, load};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A host with one GPU of a product.
pub struct Rig {
    folder: TempDir,
    library: PathBuf,
    description: Description,
    /// Where the GPU is.
    pub gpu: PciAddress,
}

/// GPU memory of the product in MiB, which names are made of where the library has none.
fn memory_mib(product: &str) -> u64 {
    match product {
        "A30-24GB" => 24_576,
        "A100-80GB" => 81_920,
        "H100-80GB" => 81_559,
        "H200-141GB" => 143_771,
        "B200-180GB" => 183_359,
        "RTX-PRO-6000-96GB" => 97_887,
        _ => 40_960,
    }
}

impl Rig {
    /// The product with MIG on and no instance, under a driver that is new.
    pub fn new(product: &str) -> Self {
        Self::described(product, |_| {})
    }

    /// The same with something changed.
    pub fn described(product: &str, change: impl FnOnce(&mut Description)) -> Self {
        let product = Product::find(product).unwrap();
        let mut description = load("dgx-a100").unwrap();
        description.driver.as_mut().unwrap().version = "595.45.04".to_owned();
        description.gpus.truncate(1);
        let gpu = &mut description.gpus[0];
        gpu.processes.clear();
        gpu.mig = Some(MigDescription { current: MigMode::Enabled, pending: MigMode::Enabled, instances: Vec::new() });
        let (address, model) = (gpu.address, gpu.model.clone());
        let model = description.models.get_mut(&model).unwrap();
        model.id = PciId { vendor: 0x10de, device: product.devices[0] };
        model.product.as_mut().unwrap().memory_mib = memory_mib(product.name);
        change(&mut description);
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libnvidia-ml.so.1");
        std::fs::copy(built_library(), &library).unwrap();
        let rig = Self { folder, library, description, gpu: address };
        std::fs::write(rig.file("mig-state.calls"), "").unwrap();
        rig.write_description();
        rig
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_description(&self) {
        std::fs::write(self.file("description.toml"), self.description.to_toml().unwrap()).unwrap();
    }

    /// Something goes wrong with the library from now on.
    pub fn fail(&mut self, fault: Option<NvmlFault>) {
        self.description.faults.nvml = fault;
        self.write_description();
        std::fs::write(self.file("mig-state.calls"), "").unwrap();
    }

    /// The library without a function: its name is another one.
    pub fn without(&self, function: &str) {
        let mut bytes = std::fs::read(&self.library).unwrap();
        let name = format!("\0{function}\0").into_bytes();
        let places: Vec<usize> =
            bytes.windows(name.len()).enumerate().filter(|(_, it)| *it == name).map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "{function} is not in the library");
        for at in places {
            bytes[at + 1] = b'x';
        }
        std::fs::write(&self.library, bytes).unwrap();
    }

    /// The child, not yet started.
    pub fn command(&self, task: Task, rest: &[&str]) -> Command {
        let libraries = serde_json::to_string(&[&self.library]).unwrap();
        let gpu = self.gpu.to_string();
        let args = [libraries.as_str(), gpu.as_str()].into_iter().chain(rest.iter().copied()).map(Into::into);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(task.arguments(args)).stdin(Stdio::null());
        command
    }

    /// The child for a step, not yet started.
    pub fn command_for(&self, step: &MigStep) -> Command {
        self.command(Task::MigAct, &[&serde_json::to_string(step).unwrap()])
    }

    /// What the child sees.
    pub fn try_look(&self) -> Result<MigOnGpu, OsCause> {
        let output = self.command(Task::MigLook, &[]).output().unwrap();
        succeeded(&output).map(|()| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// What the child sees.
    pub fn look(&self) -> MigOnGpu {
        self.try_look().unwrap_or_else(|cause| panic!("{cause:?}"))
    }

    /// Lets the child take a step.
    pub fn act(&self, step: &MigStep) -> Result<(), OsCause> {
        succeeded(&self.command_for(step).output().unwrap())
    }

    /// Lets the child take steps that work.
    pub fn build(&self, steps: &[MigStep]) {
        for step in steps {
            self.act(step).unwrap_or_else(|cause| panic!("{cause:?}"));
        }
    }

    /// A file or folder of the simulated host.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The library.
    pub fn library(&self) -> String {
        self.library.display().to_string()
    }

    /// MIG of the simulated host: the shared file, or what the description has.
    pub fn state(&self) -> MigOnHost {
        match std::fs::read(self.file(MIG_STATE_FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(_) => MigOnHost::of(&self.description, &Bus::lay_out(&self.description).unwrap()),
        }
    }

    /// Changes MIG of the GPU as others do.
    pub fn change(&self, change: impl FnOnce(&mut SimMig)) {
        let mut state = self.state();
        change(state.gpus.get_mut(&self.gpu).unwrap());
        std::fs::write(self.file("new"), serde_json::to_vec(&state).unwrap()).unwrap();
        std::fs::rename(self.file("new"), self.file(MIG_STATE_FILE)).unwrap();
    }

    /// How many functions were called since the last change of what goes wrong.
    pub fn number_of_calls(&self) -> usize {
        std::fs::read_to_string(self.file("mig-state.calls")).unwrap().lines().count()
    }

    /// The functions that were called since the last change of what goes wrong, each once.
    pub fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file("mig-state.calls")).unwrap();
        let mut calls: Vec<String> = Vec::new();
        for call in text.lines() {
            if !calls.iter().any(|known| known == call) {
                calls.push(call.to_owned());
            }
        }
        calls
    }
}

fn succeeded(output: &Output) -> Result<(), OsCause> {
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(failure_in(&stderr).unwrap_or_else(|| OsCause::found(format!("{}: {stderr}", output.status))))
}

fn built_library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let library = program.with_file_name("libnvidia_ml.so");
    assert!(Path::new(&library).is_file(), "{} is not there", library.display());
    library
}

/// A GPU instance by profile and place.
pub fn instance(profile: &str, start: u32) -> Instance {
    Instance { profile: profile.to_owned(), start }
}

/// Creates a GPU instance.
pub fn create(profile: &str, start: u32) -> MigStep {
    MigStep::CreateGpu { instance: instance(profile, start) }
}

/// Creates a compute instance.
pub fn create_compute(profile: &str, start: u32, slices: u32) -> MigStep {
    MigStep::CreateCompute { within: instance(profile, start), slices }
}

/// Destroys a GPU instance.
pub fn destroy(profile: &str, start: u32) -> MigStep {
    MigStep::DestroyGpu { instance: instance(profile, start) }
}

/// Destroys a compute instance.
pub fn destroy_compute(profile: &str, start: u32, id: u32, slices: u32) -> MigStep {
    MigStep::DestroyCompute { within: instance(profile, start), id, slices }
}
