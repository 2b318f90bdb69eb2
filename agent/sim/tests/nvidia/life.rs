//! One host with its daemon: turns, deeds, faults, and what must hold at every moment.

use model::image_ref::{ImageDigest, ImageRef};
use model::nvidia_container::{
    NvidiaAct, NvidiaActEnd, NvidiaDeed, NvidiaHostSeen, NvidiaRecord, NvidiaRefused, NvidiaRole, NvidiaTurn,
    NvidiaWish, NvidiaWorld, decide, image_to_look_at, record_for,
};
use model::policy::NvidiaPolicy;
use model::settings::NvidiaOverlay;
use model::time::{BootMillis, Now, UnixMillis};
use sim::nvidia_docker::{SimContainer, SimDocker, SimDockerFile, SimDriverHost, SimGpuAccess, SimImage, SimPort};

/// What goes wrong in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The daemon is killed before it has written its record.
    CrashBeforeRecord,
    /// The daemon is killed between record and deed.
    CrashBeforeDeed,
    /// The daemon is killed when the deed is done, and hears of nothing.
    CrashAfterDeed,
    /// The deed is refused and has no effect.
    DeedRefused,
    /// The deed is done, and its answer is lost.
    AnswerLost,
    /// Docker is away for some turns; containers go on.
    DockerAway,
    /// Docker is away for some turns, and every container has ended with it.
    DockerDown,
    /// Docker is started again, and every container has ended.
    DockerRestarted,
    /// The host is started again.
    Reboot,
    /// Somebody removes our containers, running or not.
    ContainersRemoved,
    /// What runs exits.
    ContainersExit,
    /// Somebody removes every image.
    ImagesPruned,
    /// The pull is cut.
    PullCut,
    /// The registry is away for some turns.
    RegistryAway,
    /// The driver is used for some turns.
    DriverUsed,
    /// The record is lost.
    RecordLost,
}

pub(crate) const FAULTS: [Fault; 16] = [
    Fault::CrashBeforeRecord,
    Fault::CrashBeforeDeed,
    Fault::CrashAfterDeed,
    Fault::DeedRefused,
    Fault::AnswerLost,
    Fault::DockerAway,
    Fault::DockerDown,
    Fault::DockerRestarted,
    Fault::Reboot,
    Fault::ContainersRemoved,
    Fault::ContainersExit,
    Fault::ImagesPruned,
    Fault::PullCut,
    Fault::RegistryAway,
    Fault::DriverUsed,
    Fault::RecordLost,
];

/// How many turns a fault lasts that goes away by itself.
const LASTS: usize = 4;

pub(crate) fn digest(letter: char) -> ImageDigest {
    format!("sha256:{}", letter.to_string().repeat(64)).parse().unwrap()
}

pub(crate) fn image(text: &str) -> ImageRef {
    text.parse().unwrap()
}

/// The host.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) docker: SimDocker,
    pub(crate) wish: NvidiaWish,
    pub(crate) over_files: NvidiaOverlay,
    pub(crate) policy: NvidiaPolicy,
    pub(crate) record: NvidiaRecord,
    pub(crate) preflight: Vec<NvidiaRefused>,
    pub(crate) boots: u32,
    /// The hand does not answer what is mounted.
    pub(crate) is_host_unread: bool,
    last: Option<NvidiaActEnd>,
    /// Faults that are still on, with the turns that they have left.
    lasting: Vec<(Fault, usize)>,
    /// Turns of the last call of [`Life::settle`] in which something was done or had just changed.
    pub(crate) moments: Vec<usize>,
    /// Every deed that was begun.
    pub(crate) deeds: Vec<NvidiaAct>,
    pub(crate) shown: Option<NvidiaTurn>,
}

impl Life {
    pub(crate) fn new(wish: NvidiaWish) -> Self {
        let mut docker = SimDocker::default();
        for (tag, letter) in [("1", 'a'), ("2", 'b')] {
            docker.publish(&image(&format!("nvcr.io/nvidia/driver:{tag}")), &digest(letter), SimImage::GOOD);
        }
        docker.publish(&image("nvcr.io/nvidia/driver:bad"), &digest('c'), SimImage::EXITS);
        docker.publish(&image("nvcr.io/nvidia/driver:stuck"), &digest('d'), SimImage::NEVER_READY);
        docker.publish(&image("nvcr.io/nvidia/k8s/container-toolkit:v1.17.8"), &digest('e'), SimImage::GOOD);
        docker.publish(&image("nvcr.io/nvidia/k8s/container-toolkit:v1.19.0"), &digest('f'), SimImage::GOOD);
        Self {
            docker,
            wish,
            over_files: NvidiaOverlay::default(),
            policy: NvidiaPolicy::default(),
            record: NvidiaRecord::default(),
            preflight: Vec::new(),
            boots: 1,
            is_host_unread: false,
            last: None,
            lasting: Vec::new(),
            moments: Vec::new(),
            deeds: Vec::new(),
            shown: None,
        }
    }

    fn world(&self) -> NvidiaWorld {
        let boot_id = format!("boot-{}", self.boots);
        let record = record_for(&self.wish, &self.record, &boot_id);
        let wished = |role: NvidiaRole| self.wish.deploys(role).then(|| Ok(self.wish.image(role).clone()));
        let look = |role: NvidiaRole| {
            let asked = wished(role).map(|it: Result<ImageRef, NvidiaRefused>| it.unwrap());
            self.docker.look(role, asked.map(|image| image_to_look_at(role, &self.wish, &image, &record)).as_ref())
        };
        NvidiaWorld {
            wish: self.wish.clone(),
            over_files: self.over_files.clone(),
            driver_image: wished(NvidiaRole::Driver),
            toolkit_image: wished(NvidiaRole::Toolkit),
            policy: self.policy.clone(),
            driver: look(NvidiaRole::Driver),
            toolkit: look(NvidiaRole::Toolkit),
            docker: self.docker.facts(),
            docker_config: self.docker.config(),
            cdi_host: self.docker.cdi_host(),
            host: NvidiaHostSeen {
                cdi: Ok(self.docker.cdi_look()),
                preflight: self.preflight.clone(),
                driver_ready: self.docker.driver_ready(),
                runtime_answers: self.docker.runtime_answers(),
                holders: Ok(self.docker.holders.clone()),
                runtime_users: Ok(self.docker.runtime_users.clone()),
                driver_host: if self.is_host_unread {
                    Err("the host hand does not answer".to_owned())
                } else {
                    Ok(self.docker.driver_host_seen())
                },
            },
            record: self.record.clone(),
            last: self.last.clone(),
            boot_id,
            now: Now { boot: self.docker.now, wall: UnixMillis(self.docker.now.0.try_into().unwrap()) },
        }
    }

    /// One turn, with what goes wrong in it. Returns when to look again.
    pub(crate) fn turn(&mut self, fault: Option<Fault>) -> Option<BootMillis> {
        self.before(fault);
        let world = self.world();
        let turn = decide(&world);
        let crashed = |life: &mut Self| life.last = None;
        if fault == Some(Fault::CrashBeforeRecord) {
            crashed(self);
            return Some(self.docker.now.plus(1_000));
        }
        self.record = NvidiaRecord::decode(&turn.record.encode()).unwrap();
        assert_eq!(self.record, turn.record, "it is read as it was written");
        let wake = turn.wake_at;
        let act = turn.act.clone();
        self.shown = Some(turn);
        let Some(act) = act else { return wake };
        if fault == Some(Fault::CrashBeforeDeed) {
            crashed(self);
            return Some(self.docker.now.plus(1_000));
        }
        self.forbid(&act);
        self.deeds.push(act.clone());
        let result = match fault {
            Some(Fault::DeedRefused) => Err("refused".to_owned()),
            Some(Fault::AnswerLost) => self.docker.act(&act).and(Err("no answer".to_owned())),
            Some(_) | None => self.docker.act(&act),
        };
        if fault == Some(Fault::CrashAfterDeed) {
            crashed(self);
        } else {
            self.last = Some(NvidiaActEnd { act, result });
        }
        Some(self.docker.now.plus(100))
    }

    /// What is never done, whatever went wrong before.
    fn forbid(&self, act: &NvidiaAct) {
        if let NvidiaAct::Container(NvidiaDeed::Stop { role, id }) = act {
            let container = self.docker.containers.iter().find(|one| one.id == *id).expect("it is there");
            let wished = self.wish.deploys(*role) && container.digest.as_ref() == self.wished_digest(*role).as_ref();
            let is_good = *role != NvidiaRole::Driver || self.docker.driver_ready().is_ok();
            assert!(!(wished && is_good && container.is_running()), "a good container was stopped: {:?}", self.shown);
        }
    }

    pub(crate) fn wished_digest(&self, role: NvidiaRole) -> Option<ImageDigest> {
        let image = self.wish.image(role);
        let by_tag = match image.tag() {
            Some("1") => 'a',
            Some("2") => 'b',
            Some("bad") => 'c',
            Some("stuck") => 'd',
            Some("v1.17.8") => 'e',
            _ => 'f',
        };
        Some(image.digest().cloned().unwrap_or_else(|| digest(by_tag)))
    }

    fn before(&mut self, fault: Option<Fault>) {
        self.lasting.iter_mut().for_each(|(_, left)| *left = left.saturating_sub(1));
        let over: Vec<Fault> = self.lasting.iter().filter(|(_, left)| *left == 0).map(|(fault, _)| *fault).collect();
        self.lasting.retain(|(_, left)| *left > 0);
        for fault in over {
            if matches!(fault, Fault::DockerAway | Fault::DockerDown) {
                self.docker.port = SimPort::Up;
            }
            if fault == Fault::RegistryAway {
                self.docker.set_registry_away(false);
            }
            if fault == Fault::DriverUsed {
                self.docker.holders.clear();
            }
        }
        let Some(fault) = fault else { return };
        let ours = |docker: &mut SimDocker| docker.containers.retain(|one| one.foreign.is_some());
        match fault {
            Fault::DockerAway => self.docker.port = SimPort::Away,
            Fault::DockerDown => {
                self.docker.restart();
                self.docker.port = SimPort::Away;
            }
            Fault::RegistryAway => self.docker.set_registry_away(true),
            // Nobody can begin to use a driver that is not there.
            Fault::DriverUsed if self.docker.driver_ready().is_ok() => {
                self.docker.holders = vec!["Xorg (pid 7)".to_owned()]
            }
            Fault::DockerRestarted => self.docker.restart(),
            Fault::Reboot => {
                self.docker.reboot();
                (self.boots, self.last) = (self.boots + 1, None);
            }
            Fault::ContainersRemoved => ours(&mut self.docker),
            Fault::ContainersExit => {
                let running = self.docker.containers.iter_mut().filter(|one| one.is_running() && one.foreign.is_none());
                running.for_each(|one| one.run = sim::nvidia_docker::SimContainerRun::Ended(1));
            }
            Fault::ImagesPruned => self.docker.prune_images(),
            Fault::PullCut => self.docker.cut_pulls(),
            Fault::RecordLost => (self.record, self.last) = (NvidiaRecord::default(), None),
            Fault::CrashBeforeRecord
            | Fault::CrashBeforeDeed
            | Fault::CrashAfterDeed
            | Fault::DeedRefused
            | Fault::AnswerLost
            | Fault::DriverUsed => {}
        }
        if matches!(fault, Fault::DockerAway | Fault::DockerDown | Fault::RegistryAway | Fault::DriverUsed) {
            self.lasting.push((fault, LASTS));
        }
    }

    /// Goes on until nothing changes any more. `faults` says what goes wrong in which turn, counted from the beginning of this call.
    pub(crate) fn settle(&mut self, faults: &[(usize, Fault)]) {
        let mut quiet = 0;
        for turn in 0..2_000 {
            let fault = faults.iter().find(|(at, _)| *at == turn).map(|(_, fault)| *fault);
            let before = self.state();
            let phases = self.phases();
            let wake = self.turn(fault);
            self.check();
            let after = self.state();
            if before != after || phases != self.phases() {
                self.moments.extend([turn, turn + 1]);
                self.moments.dedup();
            }
            let is_last = faults.iter().all(|(at, _)| *at < turn) && self.lasting.is_empty();
            quiet = if before == after && phases == self.phases() && is_last && !self.is_on_the_way() {
                quiet + 1
            } else {
                0
            };
            if quiet > 12 {
                return;
            }
            self.docker.advance_to(wake.unwrap_or_else(|| self.docker.now.plus(60_000)));
        }
        panic!("it never ends: {:?} {:?}\n{:?}", faults, self.shown, self.deeds);
    }

    fn state(&self) -> (Vec<SimContainer>, SimDockerFile, SimDriverHost, SimGpuAccess, usize) {
        let docker = &self.docker;
        (
            docker.containers.clone(),
            docker.file,
            docker.driver_host.clone(),
            docker.gpu_access.clone(),
            self.deeds.len(),
        )
    }

    fn is_on_the_way(&self) -> bool {
        use model::nvidia_container::NvidiaPhase as Phase;
        let moves = |phase: &Phase| match phase {
            Phase::Ready
            | Phase::Disabled
            | Phase::Foreign { .. }
            | Phase::Refused { .. }
            | Phase::Absent { .. }
            | Phase::Stopping { .. } => false,
            Phase::Failed { retry_at, .. } => retry_at.is_some(),
            Phase::Unknown { .. }
            | Phase::Pulling { .. }
            | Phase::Starting { .. }
            | Phase::Upgrading { .. }
            | Phase::RollingBack { .. } => true,
        };
        self.shown
            .as_ref()
            .is_none_or(|turn| moves(&turn.driver.phase) || moves(&turn.toolkit.phase) || turn.act.is_some())
    }

    pub(crate) fn phases(&self) -> (&'static str, &'static str) {
        let code = |role| self.shown.as_ref().map_or("", |turn| <&'static str>::from(&turn.of(role).phase));
        (code(NvidiaRole::Driver), code(NvidiaRole::Toolkit))
    }

    /// What holds at every moment.
    fn check(&self) {
        assert_eq!(self.docker.violations, Vec::<String>::new(), "{:?}", self.deeds);
        let running =
            self.docker.containers.iter().filter(|one| one.role == NvidiaRole::Driver && one.is_running()).count();
        assert!(running <= 1, "{running} driver containers run");
    }

    /// The digest of the container of a role that runs.
    pub(crate) fn running(&self, role: NvidiaRole) -> Option<ImageDigest> {
        self.docker.containers.iter().find(|one| one.role == role && one.is_running())?.digest.clone()
    }

    /// As the daemon shows it.
    pub(crate) fn shows(&self) -> &NvidiaTurn {
        self.shown.as_ref().expect("a turn was taken")
    }

    /// The daemon is started again.
    pub(crate) fn forget_answers(&mut self) {
        self.last = None;
    }

    /// Somebody asks for another try.
    pub(crate) fn ask_again(&mut self) {
        NvidiaRole::ALL.iter().for_each(|role| self.record.try_again(*role));
    }
}

/// Both wished, the driver from this tag.
pub(crate) fn both(driver: &str, toolkit: &str) -> NvidiaWish {
    NvidiaWish {
        deploy_driver: true,
        driver_image: format!("nvcr.io/nvidia/driver:{driver}").parse().unwrap(),
        deploy_toolkit: true,
        toolkit_image: format!("nvcr.io/nvidia/k8s/container-toolkit:{toolkit}").parse().unwrap(),
        ..NvidiaWish::default()
    }
}

/// Nothing wished.
pub(crate) fn none() -> NvidiaWish {
    NvidiaWish { deploy_driver: false, deploy_toolkit: false, ..both("1", "v1.17.8") }
}
