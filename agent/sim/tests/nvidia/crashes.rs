//! Every single fault at every turn of every life, and pairs of them at random.

use crate::gpu_access::gpu;
use crate::life::{FAULTS, Fault, Life, both, digest, none};
use model::nvidia_container::{NvidiaHold, NvidiaPhase, NvidiaRole, NvidiaWish};
use proptest::prelude::*;
use sim::nvidia_docker::{SimDockerFile, SimDriverHost};

/// From what to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Enable,
    Upgrade,
    UpgradeToBad,
    UpgradeToStuck,
    UpgradeToolkit,
    Disable,
    Restart,
}

const STORIES: [Story; 7] = [
    Story::Enable,
    Story::Upgrade,
    Story::UpgradeToBad,
    Story::UpgradeToStuck,
    Story::UpgradeToolkit,
    Story::Disable,
    Story::Restart,
];

impl Story {
    fn wish(self) -> NvidiaWish {
        match self {
            Self::Enable | Self::Restart => both("1", "v1.17.8"),
            Self::Upgrade => both("2", "v1.17.8"),
            Self::UpgradeToBad => both("bad", "v1.17.8"),
            Self::UpgradeToStuck => both("stuck", "v1.17.8"),
            Self::UpgradeToolkit => both("1", "v1.19.0"),
            Self::Disable => none(),
        }
    }

    fn begin(self) -> Life {
        let mut life = Life::new(both("1", "v1.17.8"));
        (life.docker.gpu_access.gpus, life.docker.gpu_access.reads_cdi) = (vec![gpu(0)], true);
        if self != Self::Enable {
            life.settle(&[]);
        }
        life.wish = self.wish();
        life
    }

    /// The turns in which something is done or has just changed; in between one is like the other.
    fn moments(self) -> Vec<usize> {
        let mut life = self.begin();
        life.moments.clear();
        life.settle(&[]);
        life.moments
    }

    /// The end where nothing went wrong for good.
    fn is_reached(self, life: &Life) -> bool {
        let driver = life.running(NvidiaRole::Driver);
        let host = &life.docker.driver_host;
        let access = &life.docker.gpu_access;
        let is_current = access.is_linked && access.spec == Some(life.docker.cdi_host());
        let runs = |letter| {
            driver == Some(digest(letter))
                && life.phases() == ("ready", "ready")
                && host.is_marked_ready
                && host.is_bound
                && is_current
        };
        let rolled_back = matches!(life.shows().driver.hold, Some(NvidiaHold::RolledBack { .. }));
        match self {
            Self::Enable | Self::Restart => runs('a'),
            Self::Upgrade => runs('b'),
            Self::UpgradeToBad | Self::UpgradeToStuck => runs('a') && rolled_back,
            Self::UpgradeToolkit => runs('a') && life.running(NvidiaRole::Toolkit) == Some(digest('f')),
            Self::Disable => {
                life.phases() == ("disabled", "disabled")
                    && life.docker.containers.is_empty()
                    && life.docker.file == SimDockerFile::Absent
                    && *host == SimDriverHost::default()
            }
        }
    }

    /// An end that may be, with its reason: nothing is half done, and the next step is an administrator's.
    fn is_allowed(self, life: &Life, faults: &[(usize, Fault)]) -> bool {
        let turn = life.shows();
        let has_failed =
            |phase: &NvidiaPhase| matches!(phase, NvidiaPhase::Failed { reason, .. } if !reason.is_empty());
        let failed = [&turn.driver, &turn.toolkit].iter().any(|one| has_failed(&one.phase));
        // A change that failed once went back: the driver that was good is ready.
        let went_back =
            [&turn.driver, &turn.toolkit].iter().any(|one| matches!(one.hold, Some(NvidiaHold::RolledBack { .. })))
                && life.phases() == ("ready", "ready");
        // Where the memory is gone, what was disabled is not removed, and what failed is tried anew.
        let lost = faults.iter().any(|(_, fault)| *fault == Fault::RecordLost);
        let unclaimed =
            [&turn.driver, &turn.toolkit].iter().any(|one| matches!(one.hold, Some(NvidiaHold::Unclaimed { .. })));
        let left = self == Self::Disable && life.phases() == ("disabled", "disabled");
        failed || went_back || lost && (unclaimed || left || self != Self::Disable)
    }
}

fn live(story: Story, faults: &[(usize, Fault)]) {
    let mut life = story.begin();
    life.settle(faults);
    assert!(
        story.is_reached(&life) || story.is_allowed(&life, faults),
        "{story:?} {faults:?}: {:?}\n{:#?}\n{:?}",
        life.phases(),
        life.shows(),
        life.deeds
    );
    let lost = faults.iter().any(|(_, fault)| *fault == Fault::RecordLost);
    if !lost {
        life.ask_again();
        life.settle(&[]);
        assert!(story.is_reached(&life), "{story:?} {faults:?}, asked again: {:#?}\n{:?}", life.shows(), life.deeds);
        life.wish = none();
        life.settle(&[]);
        assert!(Story::Disable.is_reached(&life), "{story:?} {faults:?}, disabled: {:#?}", life.shows());
    }
}

/// Every single fault at every turn of a story ends well or with a reason.
fn each_fault_at_each_turn(story: Story) {
    let mut moments = story.moments();
    // In a story without a deed one turn is like the other.
    moments.extend([0, 1, 2]);
    moments.sort_unstable();
    moments.dedup();
    for at in moments {
        for fault in FAULTS {
            live(story, &[(at, fault)]);
        }
    }
}

#[test]
fn every_fault_while_both_are_enabled() {
    each_fault_at_each_turn(Story::Enable);
}

#[test]
fn every_fault_while_the_driver_is_upgraded() {
    each_fault_at_each_turn(Story::Upgrade);
}

#[test]
fn every_fault_while_an_upgrade_fails() {
    each_fault_at_each_turn(Story::UpgradeToBad);
}

#[test]
fn every_fault_while_an_upgrade_never_gets_ready() {
    each_fault_at_each_turn(Story::UpgradeToStuck);
}

#[test]
fn every_fault_while_the_toolkit_is_upgraded() {
    each_fault_at_each_turn(Story::UpgradeToolkit);
}

#[test]
fn every_fault_while_both_are_disabled() {
    each_fault_at_each_turn(Story::Disable);
}

#[test]
fn every_fault_while_nothing_is_to_be_done() {
    each_fault_at_each_turn(Story::Restart);
}

#[test]
fn a_single_crash_or_an_absence_of_docker_changes_no_outcome() {
    for story in STORIES {
        for at in story.moments() {
            for fault in [
                Fault::CrashBeforeRecord,
                Fault::CrashBeforeDeed,
                Fault::CrashAfterDeed,
                Fault::DockerAway,
                Fault::DockerDown,
            ] {
                let mut life = story.begin();
                life.settle(&[(at, fault)]);
                assert!(story.is_reached(&life), "{story:?} {at} {fault:?}: {:#?}\n{:?}", life.shows(), life.deeds);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn pairs_and_triples_of_faults_end_well_or_with_a_reason(
        story in proptest::sample::select(&STORIES[..]),
        faults in proptest::collection::vec((0_usize..60, proptest::sample::select(&FAULTS[..])), 2..4),
    ) {
        live(story, &faults);
    }
}
