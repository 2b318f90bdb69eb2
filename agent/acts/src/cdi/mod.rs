//! Keeps our CDI specification and the links of NVIDIA's device files on this host: each step is checked again, and nothing is written
//! where nothing changes.

mod generate;

use crate::device_links;
use generate::Generator;
use host::front::{CdiFilesError, cdi_files, is_missing, put_cdi_file, read_bounded, remove_cdi_file};
use model::cdi::{
    CdiFile, CdiHost, CdiLook, CdiReader, CdiStep, FILE_MAX_BYTES, OURS, SpecFault, SpecPlan, SpecVersion, faults,
    names_of_others, prepared, spec_plan,
};
use model::nvidia_container::DriverRootKind;
use model::os_cause::OsCause;
use model::policy::Policy;
use model::ports::ActError;
use model::time::whole_millis;
use spawn::Supervisor;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Where NVIDIA's toolkit installs its command: in a container's folder on the host, or by a package. The first that is there is asked.
const GENERATORS: [&str; 2] = ["/usr/local/nvidia/toolkit/nvidia-ctk", "/usr/bin/nvidia-ctk"];
/// It initialises each GPU, which takes a second or more where nothing keeps the driver loaded.
const GENERATE_WITHIN: Duration = Duration::from_secs(60);
/// Files of some directories: one that is not local may hang.
const FILES_WITHIN: Duration = Duration::from_secs(8);
/// More directories than this are not looked into.
const DIRECTORIES_MAX: usize = 8;
/// Most faults that one refusal names.
const FAULTS_MAX: usize = 4;

/// Where things are on a host.
#[derive(Debug, Clone)]
pub struct CdiPlaces {
    /// Our specification.
    pub ours: PathBuf,
    /// The commands that may generate it, by preference.
    pub generators: Vec<PathBuf>,
    /// How long one may take.
    pub generate_within: Duration,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
}

impl CdiPlaces {
    /// Those of this host.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self {
            ours: OURS.into(),
            generators: GENERATORS.map(PathBuf::from).to_vec(),
            generate_within: GENERATE_WITHIN,
            proc: "/proc".into(),
            dev: "/dev".into(),
        }
    }
}

/// The part of a host that keeps CDI. Clones share the register of children that hang, and the order of steps.
#[derive(Debug, Clone)]
pub struct CdiKeeper {
    places: Arc<CdiPlaces>,
    supervisor: Supervisor,
    turn: Arc<Semaphore>,
}

impl CdiKeeper {
    /// With these places.
    #[must_use]
    pub fn new(places: CdiPlaces) -> Self {
        Self { places: Arc::new(places), supervisor: Supervisor::default(), turn: Arc::new(Semaphore::new(1)) }
    }

    /// True while a generator hangs in the kernel.
    #[must_use]
    pub fn hangs(&self) -> bool {
        !self.supervisor.stuck().is_empty()
    }

    /// Looks at the specifications and at the links.
    ///
    /// # Errors
    /// The links cannot be read, or a directory does not answer.
    pub async fn look(&self, reader: CdiReader) -> Result<CdiLook, ActError> {
        let attempted = "look at the CDI specifications";
        let places = Arc::clone(&self.places);
        let look = move || {
            let (files, problems) = read(&reader);
            let generator = Generator::find(&places.generators).map(|found| found.path().display().to_string());
            let links = device_links::look(&places.proc, &places.dev)?;
            Ok(CdiLook { files, problems, generator, links })
        };
        in_time(attempted, look).await?
    }

    /// Takes a step, if the policy lets it be taken.
    ///
    /// # Errors
    /// It is not allowed, the generator fails, what it generates does not fit the host, or the host refuses; then the file is as it was.
    pub async fn act(&self, step: CdiStep, policy: Policy) -> Result<(), ActError> {
        // One after the other: the unfinished copy of the file has one name.
        let attempted = step.to_string();
        let _turn = self.turn.acquire().await.map_err(|closed| refused(&attempted, &closed.to_string()))?;
        let places = Arc::clone(&self.places);
        match step {
            CdiStep::Generate { driver_root, reader, host } => {
                if !policy.host.nvidia.cdi {
                    return Err(refused(&attempted, "refused by the hand: host.nvidia.cdi is false"));
                }
                self.generate(&attempted, driver_root, reader, host).await
            }
            CdiStep::Remove => in_time(&attempted, move || remove_cdi_file(&places.ours))
                .await?
                .map_err(|fault| of_file(&attempted, &fault)),
            CdiStep::LinkDevices => in_time(&attempted, move || device_links::keep(&places.proc, &places.dev)).await?,
        }
    }

    async fn generate(
        &self,
        attempted: &str,
        driver_root: DriverRootKind,
        reader: CdiReader,
        host: CdiHost,
    ) -> Result<(), ActError> {
        let generator = Generator::find(&self.places.generators).ok_or_else(|| {
            let looked: Vec<String> = self.places.generators.iter().map(|path| path.display().to_string()).collect();
            refused(attempted, &format!("nvidia-ctk is not installed (looked for as {})", looked.join(", ")))
        })?;
        let within = self.places.generate_within;
        let output = generator.run(&self.supervisor, driver_root, within).await;
        let output = output.map_err(|cause| ActError::Refused { attempted: attempted.to_owned(), cause })?;
        let (ours, said) = (self.places.ours.clone(), attempted.to_owned());
        in_time(attempted, move || write(&ours, &said, &output, &reader, &host)).await?
    }
}

/// Checks what was generated, and writes it if it differs.
fn write(ours: &Path, attempted: &str, output: &[u8], reader: &CdiReader, host: &CdiHost) -> Result<(), ActError> {
    let newest = SpecVersion::newest_of_docker(reader.docker_version.as_deref());
    let whole = prepared(output, newest, &BTreeSet::new());
    let whole = whole.map_err(|fault| refused(attempted, &format!("the output of nvidia-ctk is not used: {fault}")))?;
    let path = ours.display().to_string();
    if let Some(whole) = &whole {
        let all = faults(&CdiFile::of(path.clone(), Ok(&whole.spec), newest, is_missing), host);
        if !all.is_empty() {
            return Err(refused(
                attempted,
                &format!("what nvidia-ctk generated does not fit the host: {}", said(&all)),
            ));
        }
    }
    let taken = names_of_others(&read(reader).0, &path);
    let ready = prepared(output, newest, &taken).map_err(|fault| refused(attempted, &fault.to_string()))?;
    let present = read_bounded(ours, FILE_MAX_BYTES).ok();
    let done = match spec_plan(present.as_deref(), ready.as_ref()) {
        SpecPlan::Keep => Ok(()),
        SpecPlan::Write(bytes) => put_cdi_file(ours, &bytes),
        SpecPlan::Remove => remove_cdi_file(ours),
    };
    done.map_err(|fault| of_file(attempted, &fault))
}

fn said(faults: &[SpecFault]) -> String {
    let few: Vec<String> = faults.iter().take(FAULTS_MAX).map(ToString::to_string).collect();
    few.join("; ")
}

fn read(reader: &CdiReader) -> (Vec<CdiFile>, Vec<String>) {
    let directories: Vec<String> =
        reader.directories.iter().filter(|path| path.starts_with('/')).take(DIRECTORIES_MAX).cloned().collect();
    cdi_files(&directories, SpecVersion::newest_of_docker(reader.docker_version.as_deref()))
}

fn refused(attempted: &str, why: &str) -> ActError {
    ActError::Refused { attempted: attempted.to_owned(), cause: OsCause::found(why) }
}

fn of_file(attempted: &str, fault: &CdiFilesError) -> ActError {
    let cause = OsCause { said: fault.to_string(), errno: fault.errno() };
    ActError::Refused { attempted: attempted.to_owned(), cause }
}

/// Blocking work, given up where a directory does not answer. It may yet have its effect.
async fn in_time<T: Send + 'static>(attempted: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ActError> {
    match timeout(FILES_WITHIN, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(broken)) => Err(refused(attempted, &broken.to_string())),
        Err(_) => Err(ActError::Hung { attempted: attempted.to_owned(), after_ms: whole_millis(FILES_WITHIN) }),
    }
}
