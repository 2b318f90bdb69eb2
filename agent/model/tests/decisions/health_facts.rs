//! Facts of a GPU's health: which source is asked for each, that nvidia-smi's document gives those that are promised, and that
//! each weighs the same wherever it was heard.

use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverSource};
use model::health::facts::{FactSource, HealthFact, HealthFacts};
use model::health::{HealthState, driver_report};
use std::collections::BTreeSet;

const SOURCES: [DriverSource; 4] =
    [DriverSource::Nvml, DriverSource::Smi, DriverSource::SmiInDriverContainer, DriverSource::Sysfs];

/// A GPU in the document's form, as 590 writes it.
fn parsed(inside: &str) -> DriverGpu {
    let document = format!(
        "<nvidia_smi_log><attached_gpus>1</attached_gpus><gpu id=\"00000000:41:00.0\">{inside}</gpu></nvidia_smi_log>"
    );
    model::smi::parse(document.as_bytes()).unwrap().gpus.remove(0)
}

const ALL: &str = "
<gpu_reset_status><reset_required>Yes</reset_required><drain_and_reset_recommended>No</drain_and_reset_recommended></gpu_reset_status>
<gpu_recovery_action>Reboot</gpu_recovery_action>
<ecc_errors>
  <volatile><sram_correctable>7</sram_correctable></volatile>
  <aggregate><sram_uncorrectable_parity>9</sram_uncorrectable_parity><sram_threshold_exceeded>Yes</sram_threshold_exceeded></aggregate>
  <aggregate_uncorrectable_sram_sources><sram_l2>0</sram_l2></aggregate_uncorrectable_sram_sources>
  <channel_repair_pending>No</channel_repair_pending><tpc_repair_pending>Yes</tpc_repair_pending>
  <unrepairable_memory>No</unrepairable_memory>
</ecc_errors>
<retired_pages>
  <multiple_single_bit_retirement><retired_count>5</retired_count><retired_pagelist>
    <retired_page><retired_page_address>0x1</retired_page_address></retired_page></retired_pagelist></multiple_single_bit_retirement>
  <double_bit_retirement><retired_count>4</retired_count></double_bit_retirement>
  <pending_blacklist>No</pending_blacklist><pending_retirement>Yes</pending_retirement>
</retired_pages>
<remapped_rows>
  <remapped_row_corr>3</remapped_row_corr><remapped_row_unc>2</remapped_row_unc>
  <remapped_row_pending>Yes</remapped_row_pending><remapped_row_failure>No</remapped_row_failure>
  <row_remapper_histogram><row_remapper_histogram_max>640 bank(s)</row_remapper_histogram_max></row_remapper_histogram>
</remapped_rows>
<fabric><state>Completed</state><status>Success</status><cliqueId>0</cliqueId>
  <health><summary>Unhealthy</summary><bandwidth>Degraded</bandwidth><route_recovery_in_progress>False</route_recovery_in_progress>
  <route_unhealthy>True</route_unhealthy><access_timeout_recovery>False</access_timeout_recovery>
  <incorrect_configuration>No Partition</incorrect_configuration></health></fabric>";

#[test]
fn no_hole_of_the_table_is_without_its_reason() {
    let names: BTreeSet<&str> = HealthFact::ALL.iter().map(|fact| fact.name()).collect();
    assert_eq!(names.len(), HealthFact::ALL.len(), "a fact stands there twice");
    for fact in HealthFact::ALL.iter().copied() {
        for source in SOURCES {
            let (FactSource::By(text) | FactSource::Not(text)) = fact.asked(source);
            assert!(text.len() > 10, "{} from {}: {text:?} explains nothing", fact.name(), source.code());
        }
        assert_eq!(fact.asked(DriverSource::Smi), fact.asked(DriverSource::SmiInDriverContainer));
    }
    // A fact that neither of NVIDIA's tools is asked for would be none.
    let asked = |fact: &HealthFact| SOURCES.iter().any(|source| matches!(fact.asked(*source), FactSource::By(_)));
    assert!(HealthFact::ALL.iter().all(asked));
}

#[test]
fn the_document_gives_each_fact_that_the_table_promises() {
    let facts = parsed(ALL).health_facts;
    for fact in HealthFact::ALL.iter().copied() {
        let promised = matches!(fact.asked(DriverSource::Smi), FactSource::By(_));
        assert_eq!(fact.is_known(&facts), promised, "{}: {facts:?}", fact.name());
    }
    assert_eq!((facts.rows_remapped_correctable.get(), facts.rows_remapped_uncorrectable.get()), (Some(3), Some(2)));
    assert_eq!((facts.row_remap_pending.get(), facts.row_remap_failed.get()), (Some(true), Some(false)));
    assert_eq!((facts.pages_retired_single_bit.get(), facts.pages_retired_double_bit.get()), (Some(5), Some(4)));
    assert_eq!(facts.retirement_pending.get(), Some(true), "either name of the flag holds");
    assert_eq!((facts.reset_required.get(), facts.drain_and_reset_recommended.get()), (Some(true), Some(false)));
    assert_eq!((facts.channel_repair_pending.get(), facts.tpc_repair_pending.get()), (Some(false), Some(true)));
    assert_eq!((facts.sram_threshold_exceeded.get(), facts.unrepairable_memory.get()), (Some(true), Some(false)));
    let faults = facts.fabric_faults.known().unwrap();
    assert_eq!(faults, &["degraded_bandwidth", "incorrect_configuration", "route_unhealthy"]);
}

#[test]
fn a_whole_part_that_became_one_text_gives_its_reason_to_each_fact() {
    let lost = parsed(
        "<gpu_reset_status>GPU is lost</gpu_reset_status><gpu_recovery_action>GPU is lost</gpu_recovery_action>
         <ecc_errors>GPU is lost</ecc_errors><retired_pages>GPU is lost</retired_pages>
         <remapped_rows>GPU is lost</remapped_rows><fabric>GPU is lost</fabric>",
    );
    assert_eq!(lost.health_facts, HealthFacts::absent(&Absence::GpuLost));
    let none = parsed(
        "<remapped_rows>N/A</remapped_rows><retired_pages><pending_blacklist>N/A</pending_blacklist></retired_pages>",
    );
    assert_eq!(none.health_facts.row_remap_failed.absence(), Some(&Absence::NotSupported));
    assert_eq!(none.health_facts.retirement_pending.absence(), Some(&Absence::NotSupported));
    assert_eq!(none.health_facts.sram_threshold_exceeded.absence(), Some(&Absence::NotReported));
}

/// What a GPU with these facts is judged to be.
fn judged(change: impl FnOnce(&mut HealthFacts)) -> (HealthState, Vec<String>) {
    let mut driver = DriverGpu::unknown("0000:41:00.0".parse().unwrap());
    change(&mut driver.health_facts);
    driver_report::gist(&driver)
}

#[test]
fn each_fact_weighs_what_it_should() {
    use HealthState::{Degraded, Failed, Ok};
    type Change = fn(&mut HealthFacts);
    fn word(text: &str) -> Reading<String> {
        Reading::Known(text.to_owned())
    }
    let yes = || Reading::Known(true);
    let cases: [(Change, HealthState, &[&str]); 24] = [
        (|_| {}, Ok, &[]),
        (|f| f.rows_remapped_uncorrectable = Reading::Known(9), Ok, &[]),
        (|f| f.row_remap_pending = Reading::Known(true), Degraded, &["row_remap_pending"]),
        (|f| f.row_remap_failed = Reading::Known(true), Failed, &["row_remap_failed"]),
        (|f| f.pages_retired_double_bit = Reading::Known(3), Ok, &[]),
        (|f| f.retirement_pending = Reading::Known(true), Degraded, &["retirement_pending"]),
        (|f| f.channel_repair_pending = Reading::Known(true), Degraded, &["channel_repair_pending"]),
        (|f| f.tpc_repair_pending = Reading::Known(true), Degraded, &["tpc_repair_pending"]),
        (|f| f.sram_threshold_exceeded = Reading::Known(true), Failed, &["sram_threshold_exceeded"]),
        (|f| f.unrepairable_memory = Reading::Known(true), Failed, &["unrepairable_memory"]),
        (|f| f.reset_required = Reading::Known(true), Failed, &["reset_required"]),
        (|f| f.drain_and_reset_recommended = Reading::Known(true), Failed, &["reset_required", "drain_required"]),
        (|f| f.recovery_action = word("None"), Ok, &[]),
        (|f| f.recovery_action = word("Reset"), Failed, &["reset_required"]),
        (|f| f.recovery_action = word("PF FLR"), Failed, &["reset_required"]),
        (|f| f.recovery_action = word("Bus Reset"), Failed, &["reset_required"]),
        (|f| f.recovery_action = word("Node Reboot"), Failed, &["reboot_required"]),
        (|f| f.recovery_action = word("Drain P2P"), Degraded, &["drain_required"]),
        (|f| f.recovery_action = word("Drain and Reset"), Failed, &["reset_required", "drain_required"]),
        (|f| f.recovery_action = word("Recover IMEX Domain"), Degraded, &["imex_recovery_required"]),
        (|f| f.recovery_action = word("Frobnicate"), Degraded, &["recovery_action"]),
        (|f| f.fabric_health = word("Healthy"), Ok, &[]),
        (|f| f.fabric_health = word("Limited Capacity"), Degraded, &["fabric_unhealthy"]),
        (|f| f.fabric_faults = Reading::Known(vec!["route_unhealthy".to_owned()]), Degraded, &["fabric_unhealthy"]),
    ];
    for (change, state, codes) in cases {
        let said = judged(change);
        assert_eq!(said, (state, codes.iter().map(|code| (*code).to_owned()).collect()));
    }
    let fabric = |state: &'static str, status: &'static str| {
        judged(|f| (f.fabric_state, f.fabric_status) = (word(state), word(status))).0
    };
    assert_eq!((fabric("Completed", "Success"), fabric("Completed", "Insufficient Resources")), (Ok, Degraded));
    assert_eq!(fabric("In Progress", "N/A"), Ok, "the fabric manager may be about to start");
    let both = judged(|f| (f.row_remap_failed, f.row_remap_pending) = (yes(), yes()));
    assert_eq!(both.1, ["row_remap_failed", "row_remap_pending"], "the gravest first");
}

/// The same ill GPU is as ill by the document as by NVML: the facts are the same, so the verdict is.
#[test]
fn the_verdict_does_not_depend_on_the_source() {
    let by_document = parsed(ALL);
    let by_nvml =
        DriverGpu { health_facts: by_document.health_facts.clone(), ..DriverGpu::unknown(by_document.address) };
    assert_eq!(driver_report::gist(&by_document), driver_report::gist(&by_nvml));
    let expected = [
        "reboot_required",
        "sram_threshold_exceeded",
        "fabric_unhealthy",
        "retirement_pending",
        "row_remap_pending",
        "tpc_repair_pending",
    ];
    assert_eq!(driver_report::gist(&by_document).1, expected);
}
