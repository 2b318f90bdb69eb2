//! Why no driver serves a GPU: what the host's files say of NVIDIA's module, and what the bus says of the GPU.

use crate::world::{failed, function, nvidia, only, raw};
use model::absence::{Absence, Reading};
use model::driver::DriverSource;
use model::observation::{ChainLink, Gpu, RawObservation};
use model::pci::{Mediated, RuntimeStatus};
use model::stack::{Dkms, StackFacts};
use model::verdict_reasons::Unschedulable;

const A: &str = "0000:41:00.0";

fn none<T>() -> Reading<T> {
    Reading::Absent(Absence::None)
}

fn known(text: &str) -> Reading<String> {
    Reading::Known(text.to_owned())
}

/// A host without any of NVIDIA's software.
fn bare() -> StackFacts {
    StackFacts {
        secure_boot: Reading::Known(false),
        lockdown: known("none"),
        module_loaded: none(),
        module_load: Reading::default(),
        module_file: none(),
        module_signed: Reading::default(),
        module_barred_by: none(),
        dkms: none(),
        library_version: none(),
        files: Reading::default(),
        claims: Vec::new(),
    }
}

fn installed() -> StackFacts {
    let file = known("updates/dkms/nvidia.ko");
    StackFacts { module_file: file, module_signed: Reading::Known(false), ..bare() }
}

fn broken(gpu: &Gpu) -> (ChainLink, String, String) {
    let link = gpu.first_broken_link().expect("no link is broken");
    (link.link, link.reason.clone().unwrap(), link.remedy.clone().unwrap())
}

fn unbound(stack: StackFacts) -> RawObservation {
    let mut round = raw(vec![nvidia(A, "", 1)], &[]);
    round.reports.clear();
    round.host.kernel = known("6.8.0-45-generic");
    round.host.stack = stack;
    round
}

#[test]
fn what_keeps_the_module_away_is_named_with_what_to_do() {
    let failed = Dkms::Failed {
        version: "580.82.07".to_owned(),
        log: "/var/lib/dkms/nvidia/580.82.07/build/make.log".to_owned(),
    };
    let not_built = Dkms::NotBuilt { version: "580.82.07".to_owned() };
    let cases: [(StackFacts, &str, &str); 11] = [
        (bare(), "is not installed for 6.8.0-45-generic", "ubuntu-drivers install"),
        (
            StackFacts { library_version: known("580.82.07"), ..bare() },
            "though its libraries are (version 580.82.07)",
            "ubuntu-drivers",
        ),
        (
            StackFacts { dkms: Reading::Known(failed), ..bare() },
            "DKMS could not build nvidia 580.82.07",
            "tail /var/lib/dkms/nvidia/580.82.07/build/make.log",
        ),
        (
            StackFacts { dkms: Reading::Known(not_built), ..bare() },
            "has not been built for 6.8.0-45-generic",
            "linux-headers-$(uname -r) && dkms autoinstall",
        ),
        (
            StackFacts { module_barred_by: known("/etc/modprobe.d/x.conf"), ..installed() },
            "/etc/modprobe.d/x.conf keeps it from loading",
            "remove the line with nvidia from /etc/modprobe.d/x.conf",
        ),
        (
            StackFacts { secure_boot: Reading::Known(true), ..installed() },
            "Secure Boot is on, and the module updates/dkms/nvidia.ko is not signed",
            "mokutil --import",
        ),
        (StackFacts { lockdown: known("integrity"), ..installed() }, "the kernel is locked down", "mokutil --import"),
        (
            StackFacts { secure_boot: Reading::Known(true), module_signed: Reading::default(), ..installed() },
            "not loaded; Secure Boot is on",
            "Key was rejected",
        ),
        (
            StackFacts { module_signed: Reading::Known(true), ..installed() },
            "is installed but not loaded",
            "`modprobe nvidia`",
        ),
        (installed(), "is installed but not loaded", "dmesg | tail"),
        (
            StackFacts { module_loaded: known("580.82.07"), ..installed() },
            "nvidia 580.82.07 is loaded but did not bind to the GPU",
            "dmesg | grep -iE 'NVRM",
        ),
    ];
    for (stack, words, command) in cases {
        let gpu = only(unbound(stack));
        let (link, reason, remedy) = broken(&gpu);
        assert_eq!(link, ChainLink::KernelDriver);
        assert!(reason.starts_with("no kernel driver is bound") && reason.contains(words), "{reason}");
        assert!(remedy.contains(command), "{reason}: {remedy}");
        assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("kernel_driver_missing"));
    }
}

#[test]
fn a_host_whose_files_could_not_be_read_is_told_what_helps_most() {
    let hidden = StackFacts { module_file: Reading::Absent(Absence::NoPermission), ..bare() };
    let (_, reason, remedy) = broken(&only(unbound(hidden)));
    assert_eq!(reason, "no kernel driver is bound", "nothing is claimed of a module that could not be looked for");
    assert!(remedy.contains("modprobe nvidia"));
    let amd = raw(vec![function(A, "1002:74a1", "", 1)], &[]);
    assert!(broken(&only(amd)).2.contains("modprobe amdgpu"), "NVIDIA's software does not matter here");
}

#[test]
fn other_distributions_are_told_their_own_commands() {
    let mut round = unbound(StackFacts { dkms: Reading::Known(Dkms::NotBuilt { version: "1".to_owned() }), ..bare() });
    round.host.os_id = known("rocky");
    assert!(broken(&only(round)).2.contains("dnf install kernel-devel-$(uname -r)"));
    let mut round = unbound(StackFacts { module_barred_by: known("/usr/lib/modprobe.d/n.conf"), ..installed() });
    round.host.os_id = known("fedora");
    assert!(broken(&only(round)).2.contains("dracut -f && modprobe nvidia"));
}

#[test]
fn nouveau_beside_an_installed_driver_needs_no_second_installation() {
    let mut round = unbound(installed());
    round.scan.as_mut().unwrap().gpus[0].driver = Reading::Known("nouveau".parse().unwrap());
    let (_, reason, remedy) = broken(&only(round.clone()));
    assert!(reason.contains("nouveau is bound") && !remedy.contains("ubuntu-drivers"), "{remedy}");
    round.host.stack = bare();
    assert!(broken(&only(round)).2.contains("ubuntu-drivers"));
}

#[test]
fn two_versions_explain_more_than_what_nvml_says() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    round.reports = vec![(DriverSource::Nvml, Err(failed("Driver/library version mismatch")), 1)];
    round.host.stack =
        StackFacts { module_loaded: known("570.195.03"), library_version: known("580.82.07"), ..installed() };
    let (link, reason, remedy) = broken(&only(round.clone()));
    assert_eq!(link, ChainLink::Nvml);
    assert!(
        reason.contains("570.195.03") && reason.contains("580.82.07") && remedy.contains("rmmod"),
        "{reason} {remedy}"
    );
    round.host.stack.library_version = known("570.195.03");
    assert!(broken(&only(round)).1.contains("Driver/library version mismatch"), "equal versions explain nothing");
}

#[test]
fn versions_that_differ_do_not_matter_where_nvml_answers() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
    round.host.stack = StackFacts { module_loaded: known("570.1"), library_version: known("580.1"), ..installed() };
    assert!(only(round).first_broken_link().is_none(), "a library in a container may be another one");
}

#[test]
fn a_gpu_that_reads_all_ones_fell_off_the_bus() {
    let mut gpu = nvidia(A, "nvidia", 1);
    gpu.state.responds = Reading::Known(false);
    let gpu = only(raw(vec![gpu], &[A]));
    let (link, reason, remedy) = broken(&gpu);
    assert_eq!((link, gpu.unschedulable_reason.map(Unschedulable::code)), (ChainLink::Pci, Some("gpu_lost")));
    assert!(reason.contains("all ones") && remedy.contains("power cycle"), "{reason} {remedy}");
}

#[test]
fn without_power_is_a_fault_only_where_nobody_put_it_to_sleep() {
    let with = |runtime| {
        let mut gpu = nvidia(A, "nvidia", 1);
        gpu.power_state = known("D3cold");
        gpu.state.runtime = Reading::Known(runtime);
        only(raw(vec![gpu], &[A]))
    };
    let (link, reason, remedy) = broken(&with(RuntimeStatus::Active));
    assert_eq!(link, ChainLink::Pci);
    assert!(reason.contains("D3cold") && remedy.contains("/power/control"), "{reason} {remedy}");
    assert!(with(RuntimeStatus::Suspended).first_broken_link().is_none(), "it sleeps");
}

#[test]
fn a_card_that_is_given_away_in_parts_cannot_be_given_as_a_whole() {
    let with = |mediated| {
        let mut gpu = nvidia(A, "nvidia", 1);
        gpu.state.mediated = mediated;
        crate::world::codes(&only(raw(vec![gpu], &[A])))
    };
    let types = || vec!["nvidia-63".to_owned()];
    assert_eq!(with(Mediated { types: types(), ..Mediated::default() }), Vec::<&str>::new(), "it could, and does not");
    let device = vec!["83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".to_owned()];
    assert_eq!(with(Mediated { types: types(), devices: device, vgpus: Vec::new() }), ["mediated_devices"]);
    let vgpus = vec!["0000:41:00.4".parse().unwrap()];
    assert_eq!(with(Mediated { vgpus, ..Mediated::default() }), ["mediated_devices"]);
}

#[test]
fn a_gpu_of_wsl_is_named_so_and_sent_to_the_tool_that_knows_it() {
    let host = crate::world::judged(raw(vec![function("cdd4:00:00.0", "1414:008e", "dxgkrnl", 0)], &[]));
    let gpu = host.gpus.first().expect("the GPU");
    let (link, reason, remedy) = broken(gpu);
    assert_eq!((link, gpu.schedulable), (ChainLink::KernelDriver, false));
    assert!(reason.contains("WSL") && remedy.contains("/usr/lib/wsl/lib/nvidia-smi"), "{reason} {remedy}");
    let told = |link: &model::observation::CauseLink| format!("{:?}{:?}", link.reason, link.remedy);
    assert!(!gpu.cause_chain.iter().any(|link| told(link).contains("DRM")), "{:?}", gpu.cause_chain);
}
