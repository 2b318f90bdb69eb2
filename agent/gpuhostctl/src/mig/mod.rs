//! `mig`: layouts of this host's GPUs, shown, compared and changed through the daemon; plans and files without one.

mod assert;
mod mig_apply;
pub(crate) mod mig_args;
mod mig_checkpoint_file;
mod mig_decide;
mod mig_export;
mod mig_jobs;
mod mig_live;
mod mig_show;
mod mig_variables;
mod plan;
mod profiles;

use crate::failure::Failure;
use crate::input;
use mig_args::{Mig, Of, OfTable};
use model::mig::layout::read_present;
use model::mig::products::{PRODUCTS, Product};
use model::mig::{MigCatalog, Present};
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
const MOST_BYTES: usize = model::mig::files::MOST_BYTES;

/// Runs one of them.
pub(crate) async fn run(bus: Option<String>, what: Mig, json: bool) -> Result<(), Failure> {
    match what {
        Mig::Plan(how) => plan::run(&how, json),
        Mig::Profiles(how) => profiles::run(bus, &how, json).await,
        Mig::Show(how) => mig_show::run(bus, &how, json).await,
        Mig::Apply(how) => mig_apply::apply(bus, &how, json).await,
        Mig::Restore(how) => mig_apply::restore(bus, &how, json).await,
        Mig::Enable(how) => mig_apply::mode(bus, true, &how, json).await,
        Mig::Disable(how) => mig_apply::mode(bus, false, &how, json).await,
        Mig::Confirm(how) => mig_apply::confirm(bus, &how, json).await,
        Mig::Assert(how) => assert::run(bus, &how, json).await,
        Mig::Export(how) => mig_export::run_export(bus, &how, json).await,
        Mig::Checkpoint(how) => mig_export::run_checkpoint(bus, &how).await,
        Mig::GenerateConfig(how) => mig_export::run_generate(bus, &how, json).await,
    }
}

/// Where a layout comes from.
enum Source<'a> {
    /// The table of products or a file, with the instances that are named.
    Table(&'a str),
    /// The GPUs of this host.
    Host,
}

/// The source that the arguments mean.
fn source<'a>(of: &Of, present: Option<&'a str>) -> Result<Source<'a>, Failure> {
    match (of.is_host(), present) {
        (false, present) => Ok(Source::Table(present.unwrap_or("-"))),
        (true, None) => Ok(Source::Host),
        (true, Some(_)) => {
            Err(usage("--present", &"it needs --product or --profiles; a GPU of this host is looked at"))
        }
    }
}

/// What the named GPU can be cut into.
fn catalog(of: &Of) -> Result<MigCatalog, Failure> {
    catalog_of(of.product.as_deref(), of.profiles.as_ref())
}

/// The same where it must be named.
fn catalog_of_table(of: &OfTable) -> Result<MigCatalog, Failure> {
    catalog_of(of.product.as_deref(), of.profiles.as_ref())
}

fn catalog_of(product: Option<&str>, profiles: Option<&PathBuf>) -> Result<MigCatalog, Failure> {
    if let Some(file) = profiles {
        let text = read(file)?;
        return serde_json::from_str(&text).map_err(|fault| usage(&input::name(file), &fault));
    }
    let name = product.unwrap_or_default();
    let known = || PRODUCTS.map(|product| product.name).join(", ");
    let unknown = || Failure::Usage {
        why: format!(
            "--product: {name:?} is not in the table, which has {}; for any other GPU use --profiles FILE, written by \
             gpuhostctl mig profiles --json on a host that has it",
            known()
        ),
    };
    Product::find(name).and_then(Product::catalog).ok_or_else(unknown)
}

fn present(text: &str, catalog: &MigCatalog) -> Result<Vec<Present>, Failure> {
    read_present(text, catalog).map_err(|fault| usage("--present", &fault))
}

fn usage(argument: &str, fault: &dyn std::fmt::Display) -> Failure {
    Failure::Usage { why: format!("{argument}: {fault}") }
}

/// A text of at most [`MOST_BYTES`].
fn read(file: &Path) -> Result<String, Failure> {
    input::read_text(file, MOST_BYTES)
}
