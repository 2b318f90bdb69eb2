//! `mig plan`, `mig profiles`, `mig show` and `mig assert`: what can be reported about MIG layouts without a daemon and without
//! a GPU.

mod assert;
pub(crate) mod mig_args;
mod plan;
mod profiles;

use crate::failure::Failure;
use crate::input;
use crate::text::print;
use mig_args::{Mig, Of, Show};
use model::mig::layout::read_present;
use model::mig::products::{PRODUCTS, Product};
use model::mig::{MigCatalog, Present, draw};
use std::path::Path;

/// Largest file that is read, in bytes.
const MOST_BYTES: usize = model::mig::files::MOST_BYTES;

/// Runs one of them.
pub(crate) fn run(what: &Mig, json: bool) -> Result<(), Failure> {
    match what {
        Mig::Plan(how) => plan::run(how, json),
        Mig::Profiles(how) => profiles::run(how, json),
        Mig::Show(how) => show(how),
        Mig::Assert(how) => assert::run(how, json),
    }
}

fn show(how: &Show) -> Result<(), Failure> {
    let catalog = catalog(&how.of)?;
    let present = present(&how.present, &catalog)?;
    model::mig::check(&catalog, &present).map_err(|refusal| usage("--present", &refusal))?;
    print(&draw::layout(&catalog, &present))
}

/// What the named GPU can be cut into.
fn catalog(of: &Of) -> Result<MigCatalog, Failure> {
    let Of { product, profiles } = of;
    if let Some(file) = profiles {
        let text = read(file)?;
        return serde_json::from_str(&text).map_err(|fault| usage(&input::name(file), &fault));
    }
    let name = product.as_deref().unwrap_or_default();
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
