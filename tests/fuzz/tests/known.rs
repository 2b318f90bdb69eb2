//! Every seed, every seed cut and spoilt, and every earlier find, through the target that it belongs to.

use fuzz::{TARGETS, Target, bounds};
use hands::program::{HandPaths, HandSettings};
use hands::registry::Registry;
use model::settings::Settings;
use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;
use protocol::hand::{HELLO, HandRole};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;
/// The heap is measured for one input at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn look(target: &Target, input: &[u8]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    bounds::look(target, &HEAP, input);
}

#[test]
fn no_seed_breaks_its_target() {
    for target in &TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() >= 3, "{} has {} seeds", target.name, seeds.len());
        seeds.iter().for_each(|seed| look(target, seed));
    }
}

#[test]
fn no_seed_that_is_cut_or_spoilt_breaks_its_target() {
    for target in &TARGETS {
        for seed in (target.seeds)().iter().filter(|seed| seed.len() < 4096) {
            for at in (0..seed.len()).step_by(seed.len() / 16 + 1) {
                look(target, &seed[..at]);
                let mut spoilt = seed.clone();
                spoilt[at] ^= 0x11;
                look(target, &spoilt);
            }
        }
    }
}

fn finds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("finds")
}

#[test]
fn no_earlier_find_breaks_its_target_again() {
    for target in &TARGETS {
        let Ok(files) = fs::read_dir(finds().join(target.name)) else { continue };
        for file in files {
            look(target, &fs::read(file.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn every_folder_of_finds_belongs_to_a_target() {
    let known: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let folders = fs::read_dir(finds()).unwrap().map(|entry| entry.unwrap());
    let folders: BTreeSet<_> =
        folders.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert!(folders.is_subset(&known), "{folders:?} are not all among {known:?}");
}

#[test]
fn what_costs_too_much_is_seen() {
    const GREEDY: Target = Target { run: |_| drop(vec![0_u8; 8 << 20]), ..fuzz::targets::ids::TARGET };
    const SLOW: Target = Target {
        run: |_| {
            // Of its own time: how long that takes depends on what else the machine does.
            let own_time = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
            let begin = own_time();
            while own_time() - begin < Duration::from_secs(1) {
                std::hint::black_box(0);
            }
        },
        ..fuzz::targets::ids::TARGET
    };
    for (target, said) in [(GREEDY, "bytes of heap"), (SLOW, "input took")] {
        let broken = std::panic::catch_unwind(|| look(&target, b"x")).unwrap_err();
        let text = broken.downcast_ref::<String>().unwrap();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn the_target_of_frames_reads_every_verb_of_every_hand() {
    let nowhere = Path::new("/nonexistent");
    let paths = HandPaths { sysfs: nowhere.to_owned(), policy: nowhere.to_owned(), registries: nowhere.to_owned() };
    let registries = HandRole::ALL.map(|role| {
        let settings = HandSettings { settings: Settings::default(), wrong: None };
        registry_of(role, settings, &paths)
    });
    let served = registries.iter().flat_map(|registry| registry.verbs().map(|verb| verb.name));
    let served: BTreeSet<&str> = served.chain([HELLO]).collect();
    let read: BTreeSet<&str> = fuzz::targets::frame::verbs().into_iter().collect();
    assert_eq!(read, served);
}

/// The registry of this hand, as its program builds it.
fn registry_of(role: HandRole, settings: HandSettings, paths: &HandPaths) -> Registry {
    match role {
        HandRole::Host => gpuhostd_host::registry(settings, paths),
        HandRole::Containers => gpuhostd_containers::registry(settings, paths),
        HandRole::Holders => gpuhostd_holders::registry(settings, paths),
        HandRole::Mig => gpuhostd_mig::layout_registry(settings, paths),
        HandRole::MigMode => gpuhostd_mig::mode_registry(settings, paths),
    }
}

/// Documents that become a hundred times as large where a parser builds a tree of them.
#[test]
fn a_document_of_a_mebibyte_takes_16_mib_of_memory_at_most() {
    // Also while the documents are made: they are heap that another test would count as its own.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let filled = |piece: &dyn Fn(usize) -> String, open: &str, close: &str| {
        let mut text = format!("{{\"epoch\":\"e\",\"revision\":1,\"x\":{open}");
        (0..)
            .map(piece)
            .take_while(|piece| {
                let fits = text.len() + piece.len() + close.len() + 8 < 1 << 20;
                if fits {
                    text.push_str(piece);
                }
                fits
            })
            .count();
        text.push_str(close);
        text.push('}');
        text
    };
    let documents = [
        filled(&|_| "{\"\":0},".to_owned(), "[", "0]"),
        filled(&|_| "0,".to_owned(), "[", "0]"),
        filled(&|_| "[[]],".to_owned(), "[", "0]"),
        filled(&|n| format!("\"{n}\":0,"), "{", "\"\":0}"),
        filled(&|_| "\\u0061".to_owned(), "\"", "\""),
    ];
    for text in documents {
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let read = wire::manager::desired::read(text.as_bytes());
        assert!(read.is_ok() && wire::manager::desired::same_json(&text, &text), "{}", &text[..60]);
        drop(read);
        let peak = HEAP.peak_usage().saturating_sub(before);
        assert!(peak <= 16 << 20, "{} bytes took {peak}: {}", text.len(), &text[..60]);
        println!("{} bytes took {peak}: {}", text.len(), &text[..40]);
    }
}
