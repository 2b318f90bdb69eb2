//! Answers of nvidia-smi that are no document: each is explained with what it said and what to do.

use model::driver::ProbeError;
use model::smi::{answer, explain_failure, parse};

fn failed(status: i32, stdout: &str, stderr: &str) -> String {
    let fault = explain_failure(status, stdout.as_bytes(), stderr.as_bytes());
    let ProbeError::Failed { status: told, said, .. } = fault else { panic!("{fault:?}") };
    assert_eq!(told, status);
    said
}

#[test]
fn the_text_decides_and_not_the_status() {
    for status in [18, 231, 255] {
        let said = failed(status, "Failed to initialize NVML: Driver/library version mismatch\n", "");
        assert!(said.starts_with("Failed to initialize NVML: Driver/library version mismatch; "), "{said}");
        assert!(said.contains("modprobe nvidia"), "{said}");
    }
    let reset = failed(231, "Failed to initialize NVML: GPU requires reset\n", "");
    assert!(reset.contains("--gpu-reset"), "{reset}");
    let none = failed(6, "No devices were found\n", "");
    assert!(none.contains("lspci"), "{none}");
}

#[test]
fn a_missing_library_or_program_is_absent() {
    let no_library = explain_failure(12, b"NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.", b"");
    assert_eq!(no_library.code(), "absent");
    let linker = b"nvidia-smi: error while loading shared libraries: libnvidia-ml.so.1: cannot open shared object file";
    assert_eq!(explain_failure(127, b"", linker).code(), "absent");
    assert_eq!(explain_failure(127, b"", b"sh: 1: nvidia-smi: not found").code(), "absent");
    assert_eq!(explain_failure(126, b"", b"Permission denied").code(), "absent");
}

#[test]
fn an_unknown_answer_is_repeated_on_one_short_line() {
    let said = failed(1, &format!("boom\n\x1b[31m{}", "x".repeat(10_000)), "on stderr");
    assert!(said.starts_with("boom "), "{said}");
    assert!(!said.contains(char::is_control) && said.chars().count() <= 400, "{said}");
    assert!(failed(1, "", "only here").starts_with("only here; "));
    assert!(failed(1, " \n", "").starts_with("nothing at all; "));
}

#[test]
fn a_whole_document_counts_whatever_the_status() {
    let document = b"<nvidia_smi_log><driver_version>580.1</driver_version></nvidia_smi_log>";
    assert!(answer(0, document, b"").unwrap().problems.is_empty());
    let warned = answer(14, document, b"WARNING: infoROM is corrupted at gpu 0000:00:1E.0").unwrap();
    assert!(warned.problems[0].contains("status 14"), "{:?}", warned.problems);
    let cut = answer(0, b"<nvidia_smi_log><driver_version>580", b"").unwrap_err();
    assert_eq!(cut.code(), "garbled");
    assert!(cut.to_string().contains("<driver_version>"), "{cut}");
    let text =
        answer(9, b"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", b"").unwrap_err();
    assert_eq!(text.code(), "failed");
    assert!(text.to_string().contains("modprobe nvidia"), "{text}");
}

#[test]
fn a_text_in_place_of_a_document_is_explained_too() {
    let fault = parse(b"Failed to initialize NVML: Insufficient Permissions\n").unwrap_err();
    assert_eq!(fault.code(), "garbled");
    let text = fault.to_string();
    assert!(text.contains("Insufficient Permissions") && text.contains("ls -l /dev/nvidia"), "{text}");
    assert!(parse(b"hello").unwrap_err().to_string().ends_with("nvidia-smi printed: hello"));
}

/// One handle that is not to be had makes nvidia-smi give up all GPUs. The advice is one for this host.
#[test]
fn a_gpu_without_a_handle_is_named_and_no_container_is_blamed() {
    for words in [
        "Unable to determine the device handle for GPU0000:BA:00.0: Unknown Error",
        "Unable to determine the device handle for GPU2: 0000:BA:00.0: GPU is lost.  Reboot the system to recover this GPU",
    ] {
        for text in [failed(255, words, ""), parse(words.as_bytes()).unwrap_err().to_string()] {
            assert!(text.contains("0000:BA:00.0") && text.contains("dmesg"), "{text}");
            assert!(!text.contains("container"), "{text}");
        }
    }
    assert!(!failed(255, "Failed to initialize NVML: Unknown Error", "").contains("container"));
    // Where a document follows all the same, the GPU is named in the report.
    let document =
        "Unable to determine the device handle for GPU0000:BA:00.0: Unknown Error\n<nvidia_smi_log></nvidia_smi_log>";
    let report = parse(document.as_bytes()).unwrap();
    assert_eq!(report.silent.len(), 1, "{report:?}");
}
