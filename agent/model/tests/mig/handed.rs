//! Cases with answers that lie beside the tree, where they are present: planner, shared-out compute instances, names.
#![allow(clippy::disallowed_methods, reason = "the cases lie outside of the repository")]

use model::mig::layout::{read_present, read_wishes};
use model::mig::products::Product;
use model::mig::{Instance, MigCatalog, MigPlan, Present, Wish, plan};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The cases of a file; none where it is not there.
pub(crate) fn cases(name: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mig_cases").join(name);
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("SKIPPED: {} is absent, so none of its cases was tried", file.display());
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

struct Case {
    catalog: MigCatalog,
    present: Vec<Present>,
    wishes: Vec<Wish>,
}

fn read(case: &Value) -> Case {
    let catalog = Product::find(text(case, "product")).unwrap().catalog().unwrap();
    assert_eq!(catalog, Product::find(text(case, "device")).unwrap().catalog().unwrap());
    let present = read_present(text(case, "present"), &catalog).unwrap();
    let wishes = read_wishes(text(case, "want"), &catalog).unwrap();
    Case { catalog, present, wishes }
}

fn pairs(value: &Value) -> BTreeSet<(String, u32)> {
    let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), u32::try_from(pair[1].as_u64().unwrap()).unwrap());
    value.as_array().into_iter().flatten().map(pair).collect()
}

fn layout(plan: &MigPlan) -> BTreeSet<(String, u32)> {
    let kept = plan.keep.iter().map(|kept| &kept.instance);
    let made = plan.create.iter().map(|created| &created.instance);
    kept.chain(made).map(|instance: &Instance| (instance.profile.clone(), instance.start)).collect()
}

#[test]
fn every_plan_is_the_one_of_the_answer() {
    let all = cases("planner_cases.jsonl");
    println!("{} cases", all.len());
    for case in all {
        let (id, answer) = (text(&case, "id"), &case["answer"]);
        let Case { catalog, present, wishes } = read(&case);
        match plan(&catalog, &present, &wishes) {
            Ok(plan) => {
                assert_eq!(answer["feasible"], true, "{id}: {plan:?}");
                let counts =
                    [("kept", plan.keep.len()), ("destroys", plan.destroy.len()), ("creates", plan.create.len())];
                for (what, count) in counts {
                    assert_eq!(answer[what], count, "{id}: {what}: {plan:?}");
                }
                assert_eq!(answer["rest_best"], serde_json::to_value(&plan.rest).unwrap(), "{id}");
                assert_eq!(pairs(&answer["example"]), layout(&plan), "{id}");
                let used = present.iter().filter(|one| one.in_use);
                assert!(used.clone().all(|one| !plan.destroy.contains(&one.instance)), "{id}");
            }
            Err(refused) => {
                assert_eq!(answer["feasible"], false, "{id}: {refused:?}");
                assert_eq!(text(answer, "reason"), refused.why.code(), "{id}");
                if !answer["in_use"].is_null() {
                    let ours: BTreeSet<_> = refused.in_use.iter().map(|i| (i.profile.clone(), i.start)).collect();
                    assert_eq!(pairs(&answer["in_use"]), ours, "{id}");
                }
                if !answer["largest"].is_null() {
                    let largest = model::mig::layout::wishes_text(&refused.largest);
                    let any_of = answer["largest"]["any_of"].as_array().unwrap();
                    assert!(any_of.iter().any(|one| one.as_str() == Some(&largest)), "{id}: {largest} of {any_of:?}");
                }
            }
        }
    }
}

#[test]
fn compute_instances_are_shared_out_as_in_the_answers() {
    for case in cases("expand.jsonl") {
        let catalog = Product::find("A100-40GB").unwrap().catalog().unwrap();
        let want = case["want"].as_object().unwrap().iter();
        let wishes: Vec<Wish> = want
            .map(|(name, count)| Wish { profile: name.clone(), start: None, count: count.as_u64().unwrap() })
            .collect();
        let plan = plan(&catalog, &[], &wishes).unwrap();
        let mut ours = BTreeMap::new();
        for created in &plan.create {
            *ours.entry((created.instance.profile.clone(), created.compute.clone())).or_insert(0) += 1;
        }
        let mut theirs = BTreeMap::new();
        for instance in case["gpu_instances"].as_array().unwrap() {
            let slices = |text: &Value| text.as_str().unwrap().trim_end_matches('c').parse::<u32>().unwrap();
            let compute: Vec<u32> = instance[1].as_array().unwrap().iter().map(slices).collect();
            *theirs.entry((instance[0].as_str().unwrap().to_owned(), compute)).or_insert(0) += 1;
        }
        assert_eq!(ours, theirs, "{}", text(&case, "id"));
    }
}

#[test]
fn names_are_read_as_in_the_answers() {
    for case in cases("profile_parse.jsonl") {
        let id = text(&case, "id");
        let parsed = text(&case, "text").parse::<model::mig::ProfileName>();
        assert_eq!(parsed.is_ok(), text(&case, "ours") == "accept", "{id}: {parsed:?}");
        if let Ok(name) = parsed {
            let ours = serde_json::json!({ "c": name.compute, "g": name.gpu, "gb": name.memory_gb, "plus": name.plus, "minus": name.minus });
            assert_eq!(case["parsed"], ours, "{id}");
        }
    }
}

#[test]
fn names_are_made_as_in_the_answers() {
    for case in cases("profile_names.jsonl") {
        let number = |key: &str| case[key].as_u64().unwrap();
        let index = |key: &str| u32::try_from(number(key)).unwrap();
        let name = model::mig::names::of_indices(
            index("gi_profile_index"),
            index("ci_profile_index"),
            number("gi_memory_mib"),
            number("gpu_memory_bytes"),
        );
        assert_eq!(case["name"].as_str(), name.map(|name| name.to_string()).as_deref(), "{}", text(&case, "id"));
    }
}
