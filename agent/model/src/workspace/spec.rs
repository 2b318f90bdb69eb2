//! One workspace of a desired state, read and checked field by field, with what its image shows where it reports nothing.

use super::document::{Document, Image};
use super::environment::Environment;
use super::fields::{Fields, shown, whole, wrong};
use super::head::{WorkspaceHead, one_of};
use super::host::DescribedHost;
use super::image::read_image;
use super::places;
use super::refused::WorkspaceRefused;
use super::run_config::{RunConfig, no_exec};
use super::workspace_container::{PublishedPort, WorkspaceMount};
use super::workspace_id::WorkspaceId;
use crate::features::FeatureName;
use crate::image_ref::ImageRef;
use serde_json::Value;

/// Least cores that Docker takes.
const LEAST_CORES: f64 = 0.01;
/// Least memory that Docker takes, in bytes.
const LEAST_MEMORY: u64 = 6 << 20;
/// `/dev/shm` of a workspace that does not say, in bytes: browsers fall over with Docker's 64 MiB.
const SHM_SIZE: u64 = 512 << 20;
/// Driver capabilities that the NVIDIA runtime knows.
const CAPABILITIES: [&str; 7] = ["compat32", "compute", "display", "graphics", "ngx", "utility", "video"];

/// How GPUs are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Share,
    Passthrough,
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Exactly(u64),
    All,
}

/// A wish for GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GpuWish {
    pub(super) mode: Mode,
    pub(super) count: Count,
    /// UUID or PCI address of each; any where it names none.
    pub(super) devices: Vec<String>,
    /// The PCI address that a UUID was named with: it has to be that of the same GPU.
    pub(super) addresses: Vec<(String, String)>,
    pub(super) mig_profile: Option<String>,
    pub(super) features: Vec<FeatureName>,
    pub(super) capabilities: Vec<&'static str>,
    pub(super) min_memory_mib: u64,
}

/// A workspace that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    pub(super) id: WorkspaceId,
    pub(super) generation: u64,
    pub(super) image: ImageRef,
    pub(super) cores: f64,
    pub(super) memory: u64,
    pub(super) shm_size: u64,
    pub(super) gpu: Option<GpuWish>,
    pub(super) acceleration: bool,
    pub(super) nested: bool,
    pub(super) environment: Environment,
    pub(super) ports: Vec<PublishedPort>,
    pub(super) mounts: Vec<WorkspaceMount>,
    pub(super) networks: Vec<String>,
    pub(super) run: RunConfig,
    pub(super) context: Option<String>,
}

impl Spec {
    /// Reads it.
    pub(super) fn read(value: &Value, document: &Document, host: &DescribedHost) -> Result<Self, WorkspaceRefused> {
        let mut fields = Fields::of(value, "")?;
        let WorkspaceHead { id, generation, .. } = WorkspaceHead::of(&mut fields)?;
        let image_id = fields.text("image_id")?;
        let described = image_id.and_then(|id| document.images.iter().find(|image| image.image_id == id));
        let image = image(&mut fields, image_id, described, host)?;
        let mut environment = Environment::default();
        let mut run = RunConfig::default();
        if let Some(value) = described.and_then(|image| image.run_config.as_ref()) {
            run.add(value, "images.run_config", &mut environment)?;
        }
        no_exec(described.and_then(|image| image.exec_config.as_ref()), "images.exec_config")?;
        if let Some(value) = fields.get("run_config") {
            run.add(value, "run_config", &mut environment)?;
        }
        no_exec(fields.get("exec_config"), "exec_config")?;
        if let Some(value) = fields.get("environment") {
            environment.add(value, "environment")?;
        }
        let (cores, memory) = (cores(&mut fields, described)?, memory(&mut fields, described)?);
        let shm_size = shm_size(&mut fields, &run, host)?;
        let acceleration = fields.boolean("hardware_acceleration")?;
        let gpu = gpu(&mut fields, described)?;
        let spec = Self {
            id,
            generation,
            image,
            cores,
            memory,
            shm_size,
            gpu,
            acceleration,
            nested: fields.boolean("nested_virtualization")?,
            environment,
            ports: places::ports(fields.list("ports")?, &host.policy)?,
            mounts: places::mounts(fields.list("volumes")?, &host.policy)?,
            networks: places::networks(&fields.texts("networks")?, &host.policy)?,
            run,
            context: context(&mut fields)?,
        };
        fields.finish()?;
        Ok(spec)
    }
}

fn image(
    fields: &mut Fields<'_>,
    id: Option<&str>,
    described: Option<&Image>,
    host: &DescribedHost,
) -> Result<ImageRef, WorkspaceRefused> {
    let registries = host.policy.registries.as_deref();
    let own = fields.text("image")?;
    if described.is_some_and(|image| !image.enabled) {
        return Err(WorkspaceRefused::denied("image_id", "the image is disabled in images"));
    }
    match (own, described, id) {
        (Some(own), ..) => read_image(own, None, registries, "image"),
        (None, Some(image), _) => read_image(&image.name, image.hash.as_deref(), registries, "images.name"),
        (None, None, Some(id)) => {
            Err(WorkspaceRefused::invalid("image_id", format!("no image of the document has the id {:?}", shown(id))))
        }
        (None, None, None) => Err(WorkspaceRefused::invalid("image", "neither image nor image_id is there")),
    }
}

fn context(fields: &mut Fields<'_>) -> Result<Option<String>, WorkspaceRefused> {
    let Some(text) = fields.text("security_context")? else { return Ok(None) };
    let known = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    if (1..=128).contains(&text.len()) && text.chars().all(known) {
        return Ok(Some(text.to_owned()));
    }
    let why = format!("{:?} is not of letters, digits, '.', '_', ':' and '-', at most 128", shown(text));
    Err(WorkspaceRefused::invalid("security_context", why))
}

fn cores(fields: &mut Fields<'_>, image: Option<&Image>) -> Result<f64, WorkspaceRefused> {
    let said = fields.number("cores")?.or(image.and_then(|image| image.cores));
    match said {
        Some(cores) if cores.is_finite() && cores >= LEAST_CORES => Ok(cores),
        Some(cores) => {
            Err(WorkspaceRefused::invalid("cores", format!("{cores} is not a number from {LEAST_CORES} on")))
        }
        None => Err(WorkspaceRefused::invalid("cores", "neither the workspace nor its image sets a number")),
    }
}

fn memory(fields: &mut Fields<'_>, image: Option<&Image>) -> Result<u64, WorkspaceRefused> {
    let said = fields.count("memory")?.or(image.and_then(|image| image.memory));
    match said {
        Some(bytes) if bytes >= LEAST_MEMORY => Ok(bytes),
        Some(bytes) => Err(WorkspaceRefused::invalid(
            "memory",
            format!("{bytes} bytes are fewer than Docker takes, {LEAST_MEMORY}"),
        )),
        None => Err(WorkspaceRefused::invalid("memory", "neither the workspace nor its image sets an amount")),
    }
}

fn shm_size(fields: &mut Fields<'_>, run: &RunConfig, host: &DescribedHost) -> Result<u64, WorkspaceRefused> {
    let said = fields.count("shm_size")?.filter(|bytes| *bytes > 0).or(run.shm_size).filter(|bytes| *bytes > 0);
    match said {
        Some(bytes) if bytes > host.memory => {
            let why = format!("{bytes} bytes are more than the memory of the machine, {}", host.memory);
            Err(WorkspaceRefused::invalid("shm_size", why))
        }
        said => Ok(said.unwrap_or(SHM_SIZE)),
    }
}

fn gpu(fields: &mut Fields<'_>, image: Option<&Image>) -> Result<Option<GpuWish>, WorkspaceRefused> {
    let Some(value) = fields.get("gpu") else { return Ok(image.and_then(of_image)) };
    let mut fields = Fields::of(value, "gpu")?;
    let mode = match one_of(&mut fields, "mode", &["none", "share", "passthrough"])? {
        Some("share") => Some(Mode::Share),
        Some("passthrough") => Some(Mode::Passthrough),
        Some(_) => None,
        None => return Err(WorkspaceRefused::invalid("gpu.mode", "it is missing")),
    };
    let (devices, addresses) = devices(&mut fields)?;
    let count = count(&mut fields, devices.len())?;
    let capability = |name: &str| {
        let known = CAPABILITIES.iter().find(|known| **known == name).copied();
        known.ok_or_else(|| {
            WorkspaceRefused::denied(
                "gpu.capabilities",
                format!("{:?} is none of {}", shown(name), CAPABILITIES.join(", ")),
            )
        })
    };
    let feature = |name: &str| {
        FeatureName::from_code(name).ok_or_else(|| {
            WorkspaceRefused::invalid("gpu.features", format!("{:?} is not a feature of a GPU", shown(name)))
        })
    };
    let mig_profile = fields.text("mig_profile")?.map(str::to_owned);
    let features = fields.texts("features")?.into_iter().map(feature).collect::<Result<_, _>>()?;
    let capabilities = fields.texts("capabilities")?.into_iter().map(capability).collect::<Result<_, _>>()?;
    let min_memory_mib = fields.count("min_memory_mib")?.unwrap_or(0);
    fields.finish()?;
    Ok(mode.map(|mode| GpuWish {
        mode,
        count,
        devices,
        addresses,
        mig_profile,
        features,
        capabilities,
        min_memory_mib,
    }))
}

/// What an image needs of which the workspace reports nothing.
fn of_image(image: &Image) -> Option<GpuWish> {
    let count = match (image.gpu_count, image.require_gpu) {
        (0, Some(true)) => Count::All,
        (0, _) => return None,
        (count, _) => Count::Exactly(count),
    };
    let features = image.gpu_features.iter().filter_map(|name| FeatureName::from_code(name)).collect();
    Some(GpuWish {
        mode: Mode::Share,
        count,
        devices: Vec::new(),
        addresses: Vec::new(),
        mig_profile: None,
        features,
        capabilities: Vec::new(),
        min_memory_mib: 0,
    })
}

fn count(fields: &mut Fields<'_>, named: usize) -> Result<Count, WorkspaceRefused> {
    let named = u64::try_from(named).unwrap_or(u64::MAX);
    let refused =
        |value: &Value| WorkspaceRefused::invalid("gpu.count", wrong(value, "a whole number from 1 on, or all"));
    match fields.get("count") {
        None => Ok(Count::Exactly(named.max(1))),
        Some(value) if value.as_str() == Some("all") => Ok(Count::All),
        Some(value) => match whole(value) {
            Some(0) | None => Err(refused(value)),
            Some(count) if named > 0 && count != named => {
                Err(WorkspaceRefused::invalid("gpu.count", format!("{count} GPUs are wanted, and {named} are named")))
            }
            Some(count) => Ok(Count::Exactly(count)),
        },
    }
}

/// The names, and the PCI addresses that stand beside UUIDs.
type NamedDevices = (Vec<String>, Vec<(String, String)>);

fn devices(fields: &mut Fields<'_>) -> Result<NamedDevices, WorkspaceRefused> {
    let mut names: Vec<String> = Vec::new();
    let mut addresses = Vec::new();
    for (number, value) in fields.list("devices")?.iter().enumerate() {
        let path = format!("gpu.devices[{number}]");
        let mut device = Fields::of(value, &path)?;
        let (uuid, bdf) = (device.text("uuid")?, device.text("bdf")?);
        let name = uuid.or(bdf).ok_or_else(|| WorkspaceRefused::invalid(&path, "it has neither uuid nor bdf"))?;
        device.finish()?;
        if names.iter().any(|other| other == name) {
            return Err(WorkspaceRefused::invalid(&path, format!("{:?} is named twice", shown(name))));
        }
        addresses.extend(uuid.zip(bdf).map(|(uuid, bdf)| (uuid.to_owned(), bdf.to_owned())));
        names.push(name.to_owned());
    }
    Ok((names, addresses))
}
