//! `mig plan`: from one layout to another in memory, as a picture or as JSON.

use super::mig_args::Plan;
use super::{catalog_of_table, present, usage};
use crate::failure::{Failure, STANDS_IN_THE_WAY};
use crate::text::{Look, paint, print, print_json};
use model::mig::layout::{read_wishes, wishes_text};
use model::mig::{
    Instance, KeptInstance, LaidOut, MigCatalog, MigPlan, MigRefusal, MigRefused, Present, check, draw, plan,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A plan or a refusal for scripts.
#[derive(Serialize)]
struct View {
    feasible: bool,
    keep: Vec<KeptInstance>,
    destroy: Vec<Instance>,
    create: Vec<LaidOut>,
    /// How many more of each plain profile fit afterwards.
    rest: Option<BTreeMap<String, u32>>,
    reason: Option<&'static str>,
    message: Option<String>,
    in_use: Vec<Instance>,
    /// The largest part that fits, in the syntax of `--want`.
    largest: Option<String>,
}

/// Plans, and prints what came of it.
pub(super) fn run(how: &Plan, json: bool) -> Result<(), Failure> {
    let catalog = catalog_of_table(&how.of)?;
    let there = present(&how.present, &catalog)?;
    let wishes = read_wishes(&how.want, &catalog).map_err(|fault| usage("--want", &fault))?;
    let possible = check(&catalog, &there).map_err(|why| of_what_is_there(why, &there));
    let outcome = possible.and_then(|()| plan(&catalog, &there, &wishes));
    if json {
        print_json(&view(&there, &outcome))?;
    } else {
        print(&lines(&catalog, &there, &outcome))?;
    }
    let status = STANDS_IN_THE_WAY;
    outcome
        .map(drop)
        .map_err(|refused| Failure::Refused { status, message: format!("{}: {refused}", refused.why.code()) })
}

fn of_what_is_there(why: MigRefusal, there: &[Present]) -> MigRefused {
    let in_use = there.iter().filter(|one| one.in_use).map(|one| one.instance.clone()).collect();
    MigRefused { why, in_use, largest: Vec::new() }
}

fn view(there: &[Present], outcome: &Result<MigPlan, MigRefused>) -> View {
    let used = there.iter().filter(|one| one.in_use).map(|one| one.instance.clone());
    match outcome.clone() {
        Ok(MigPlan { keep, destroy, create, rest }) => View {
            feasible: true,
            keep,
            destroy,
            create,
            rest: Some(rest.into_iter().collect()),
            reason: None,
            message: None,
            in_use: used.collect(),
            largest: None,
        },
        Err(refused) => View {
            feasible: false,
            keep: Vec::new(),
            destroy: Vec::new(),
            create: Vec::new(),
            rest: None,
            reason: Some(refused.why.code()),
            message: Some(refused.to_string()),
            in_use: refused.in_use,
            largest: Some(wishes_text(&refused.largest)),
        },
    }
}

fn lines(catalog: &MigCatalog, there: &[Present], outcome: &Result<MigPlan, MigRefused>) -> Vec<String> {
    match outcome {
        Ok(plan) => draw::plan(catalog, there, plan),
        Err(refused) => {
            let mut lines = draw::layout(catalog, there);
            lines.push(paint("It cannot be done; nothing would be changed.", Look::Bad));
            lines.push(format!("the largest part that fits: {}", wishes_text(&refused.largest)));
            lines
        }
    }
}
