//! Every value of every recorded document, compared with a second, plain reading of the same file through roxmltree.
#![allow(clippy::disallowed_methods, reason = "the recordings lie outside of the repository")]

use model::driver::ProbeError;
use std::path::{Path, PathBuf};

fn data() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if data.is_dir() {
        return Some(data);
    }
    println!("SKIPPED: {} is absent, so no recorded document was read", data.display());
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

#[test]
fn every_value_of_every_recorded_document_is_right() {
    let Some(data) = data() else { return };
    let mut compared = 0;
    for folder in ["nvsmi_xml", "nvsmi_xml_mock", "nvsmi_xml_synthetic"] {
        for file in files(&data.join(folder)) {
            let bytes = std::fs::read(&file).unwrap();
            compared +=
                crate::smi_oracle::compare(&bytes).unwrap_or_else(|wrong| panic!("{}: {wrong}", file.display()));
        }
    }
    println!("{compared} values compared");
    assert!(compared > 5000, "only {compared} values were compared");
}

#[test]
fn only_the_odd_recording_is_called_odd() {
    let Some(data) = data() else { return };
    let mut odd = Vec::new();
    for file in files(&data.join("nvsmi_xml")) {
        let report = model::smi::parse(&std::fs::read(&file).unwrap()).unwrap();
        odd.extend(report.problems);
    }
    // Two cards of one recording carry the same made-up UUID.
    assert_eq!(odd, ["0000:02:00.0 has the UUID GPU-12345678-aaaa-bbbb-cccc-0123456789ab of 0000:01:00.0"]);
}

#[test]
fn a_document_that_is_not_well_formed_names_line_and_element() {
    let Some(data) = data() else { return };
    for file in files(&data.join("malformed/nvsmi_xml")) {
        let Err(ProbeError::Garbled { why, .. }) = model::smi::parse(&std::fs::read(&file).unwrap()) else {
            panic!("{} was believed", file.display());
        };
        assert!(why.contains("line ") && why.contains("byte ") && why.contains("in <"), "{}: {why}", file.display());
    }
}

#[test]
fn every_recorded_failure_is_explained_with_a_remedy() {
    let Some(data) = data() else { return };
    for file in files(&data.join("nvsmi_fail")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let status: i32 = name.split(".exit").nth(1).and_then(|s| s.split('.').next()).unwrap().parse().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let fault = model::smi::answer(status, &bytes, b"").unwrap_err();
        let text = fault.to_string();
        let first_words: String =
            String::from_utf8_lossy(&bytes).split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        assert!(text.contains(&first_words), "{name}: {text}");
        assert!(text.contains('`') || text.contains("reboot"), "{name} has no remedy: {text}");
        let expected = if name.starts_with("init12") || name.starts_with("nolib") { "absent" } else { "failed" };
        assert_eq!(fault.code(), expected, "{name}: {text}");
        let Err(ProbeError::Garbled { why, .. }) = model::smi::parse(&bytes) else { panic!("{name} was believed") };
        assert!(why.contains(&first_words) && why.contains("no XML"), "{name}: {why}");
    }
}

#[test]
fn another_vendors_document_is_not_taken_for_nvidias() {
    let Some(data) = data() else { return };
    for file in files(&data.join("nvsmi_other_vendor")) {
        let fault = model::smi::parse(&std::fs::read(&file).unwrap()).unwrap_err();
        assert!(fault.to_string().contains("<ixsmi_log>"), "{}: {fault}", file.display());
    }
}
