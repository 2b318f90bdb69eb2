//! `mig export`, `mig checkpoint` and `mig generate-config`: the layouts of this host, or all that it could have, in mig-parted's forms.

use super::mig_args::{Checkpoint, Export, GenerateConfig, Of};
use super::mig_live::{LiveGpu, LiveHost};
use super::mig_variables::variable;
use super::{catalog, mig_checkpoint_file, usage};
use crate::failure::Failure;
use crate::input;
use crate::text::{clean, print, print_json};
use model::mig::MigCatalog;
use model::mig::files::checkpoint;
use model::mig::files::export::{WrittenFile, export, generate};
use model::mig::files::host_gpus::HostGpu;
use model::mig::products::Product;
use std::io::Write;
use std::path::PathBuf;

/// Name of the exported configuration, where none is given.
const LABEL: &str = "current";

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
}

fn form(given: Option<&str>, json: bool) -> Result<Form, Failure> {
    let set = variable("MIG_PARTED_OUTPUT_FORMAT");
    match given.or(set.as_deref()) {
        _ if json => Ok(Form::Json),
        None | Some("yaml") => Ok(Form::Yaml),
        Some("json") => Ok(Form::Json),
        Some(other) => Err(usage("--output-format", &format!("{other:?} is neither yaml nor json"))),
    }
}

fn write(file: &WrittenFile, form: Form) -> Result<(), Failure> {
    match form {
        Form::Json => print_json(file),
        Form::Yaml => print(&[file.yaml().trim_end().to_owned()]),
    }
}

/// `mig export`.
pub(super) async fn run_export(bus: Option<String>, how: &Export, json: bool) -> Result<(), Failure> {
    let form = form(how.output_format.as_deref(), json)?;
    let label = how.config_label.clone().or_else(|| variable("MIG_PARTED_CONFIG_LABEL"));
    let live = LiveHost::read(bus).await?;
    all_are_known(&live)?;
    let (file, lost) = export(&live.as_files_have_it()?, label.as_deref().unwrap_or(LABEL));
    write(&file, form)?;
    for instance in lost {
        let text = format!("note: {instance} has no compute instance, and such a file cannot hold it");
        told(&text)?;
    }
    Ok(())
}

/// What is no part of the output goes to standard error.
fn told(text: &str) -> Result<(), Failure> {
    writeln!(anstream::stderr(), "gpuhostctl: {}", clean(text)).map_err(|source| Failure::Output { source })
}

/// A host of which a part is not known is not exported: the file would state that the part is off.
fn all_are_known(live: &LiveHost) -> Result<(), Failure> {
    live.gpus.iter().filter(|gpu| gpu.look.is_some()).try_for_each(|gpu| gpu.look().map(drop))
}

/// The GPUs with what each can be cut into.
pub(super) fn with_catalogs(live: &LiveHost) -> Result<Vec<(HostGpu, Option<MigCatalog>)>, Failure> {
    let catalog = |gpu: &LiveGpu| gpu.catalog().ok().cloned();
    Ok(live.as_files_have_it()?.into_iter().zip(live.gpus.iter().map(catalog)).collect())
}

/// `mig checkpoint`.
pub(super) async fn run_checkpoint(bus: Option<String>, how: &Checkpoint) -> Result<(), Failure> {
    let file = how.checkpoint_file.clone().or_else(|| variable("MIG_PARTED_CHECKPOINT_FILE").map(PathBuf::from));
    let Some(file) = file else {
        let why =
            "no file is given: name it with --checkpoint-file or MIG_PARTED_CHECKPOINT_FILE; - for standard output";
        return Err(Failure::Usage { why: why.to_owned() });
    };
    let live = LiveHost::read(bus).await?;
    all_are_known(&live)?;
    let text = checkpoint::write(&with_catalogs(&live)?).map_err(|why| Failure::Refused { status: 7, message: why })?;
    if input::is_standard(&file) { print(&[text]) } else { mig_checkpoint_file::write(&file, text.trim_end()) }
}

/// `mig generate-config`.
pub(super) async fn run_generate(bus: Option<String>, how: &GenerateConfig, json: bool) -> Result<(), Failure> {
    let form = form(how.output_format.as_deref(), json)?;
    if !how.of.is_host() {
        let named = how.of.product.as_deref().and_then(Product::find).and_then(|product| product.devices.first());
        let id = named.map(|device| u32::from(*device) << 16 | 0x10de);
        let id = model::mig::files::DeviceId { device: id.unwrap_or_default(), board: None };
        return write(&generate(&[(id, catalog(&how.of)?)]), form);
    }
    let live = LiveHost::read(bus).await?;
    let mut kinds: Vec<(model::mig::files::DeviceId, MigCatalog)> = Vec::new();
    for (gpu, catalog) in with_catalogs(&live)? {
        let is_new = gpu.is_capable() && !kinds.iter().any(|(id, _)| id.primary() == gpu.id.primary());
        match catalog {
            Some(catalog) if is_new => kinds.push((gpu.id, catalog)),
            Some(_) | None => {}
        }
    }
    let capable = live.gpus.iter().filter(|gpu| gpu.look.is_some());
    if kinds.is_empty() {
        capable.map(LiveGpu::catalog).try_for_each(|catalog| catalog.map(drop))?;
        let message = "there is no GPU that can do MIG".to_owned();
        return Err(Failure::Refused { status: crate::failure::UNAVAILABLE, message });
    }
    write(&generate(&kinds), form)
}

impl Of {
    /// The GPUs of this host are meant.
    pub(super) const fn is_host(&self) -> bool {
        self.product.is_none() && self.profiles.is_none()
    }
}
