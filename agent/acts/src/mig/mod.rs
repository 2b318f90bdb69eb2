//! Takes one step to MIG of a GPU: looked at afresh, checked again, done by a disposable child, looked at once more, and the capability
//! files put right.

mod bursts;
mod fitness;
mod mig_child;

pub use fitness::{MigPower, UnfitMig, check};

use bursts::Bursts;
use host::front::{driver_load, keep_mig_files};
use mig_child::MigChild;
use model::ids::PciAddress;
use model::mig::{MigOnGpu, MigStep};
use model::os_cause::OsCause;
use model::plan::MigTarget;
use model::policy::{MigPolicy, Policy};
use model::ports::ActError;
use model::stack::DriverLoad;
use spawn::Own;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The folders of the host that a step needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigPlaces {
    /// `/sys`.
    pub sysfs: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
}

/// What changes MIG. Clones share the register of children that hang in the kernel, and the count of changes.
#[derive(Debug, Clone)]
pub struct MigTaker {
    child: MigChild,
    places: MigPlaces,
    power: MigPower,
    bursts: Arc<Mutex<Bursts>>,
}

impl MigTaker {
    /// `child` is the disposable child, which loads the first of the libraries that works.
    #[must_use]
    pub fn new(child: Own, libraries: Vec<String>, places: MigPlaces, power: MigPower) -> Self {
        Self { child: MigChild::new(child, libraries), places, power, bursts: Arc::default() }
    }

    /// Looks at MIG of a GPU.
    ///
    /// # Errors
    /// What the driver answered; `Hung` where it does not return.
    pub async fn look(&self, target: &MigTarget) -> Result<MigOnGpu, ActError> {
        let before = self.driver_load().await;
        let seen = self.child.look(target.gpu).await?;
        let after = self.driver_load().await;
        Ok(MigOnGpu { driver_load: before.filter(|_| before == after), ..seen })
    }

    async fn driver_load(&self) -> Option<DriverLoad> {
        let sysfs = self.places.sysfs.clone();
        tokio::task::spawn_blocking(move || driver_load(&sysfs).get()).await.ok().flatten()
    }

    /// Takes a step, where the host and the policy let it be taken, and looks at what came of it.
    ///
    /// # Errors
    /// What the driver answered, that it is not allowed, that nothing changed, or that the driver does not return.
    pub async fn act(&self, target: &MigTarget, step: &MigStep, policy: &Policy) -> Result<(), ActError> {
        let gpu = target.gpu;
        self.allowed(gpu, step, policy.host.mig.clone()).await?;
        let before = self.child.look(gpu).await?;
        check(&before, target, step, self.power).map_err(|unfit| refused(gpu, step, &unfit))?;
        self.counted(gpu, step, &policy.host.mig)?;
        let done = self.child.act(gpu, step).await;
        self.bursts().end(gpu, Instant::now());
        let after = match (done, self.power) {
            (done, MigPower::Mode) => return done,
            // What the driver calls a failure may have had its effect all the same: the files follow what is there.
            (Err(fault @ ActError::Refused { .. }), MigPower::Layout) => {
                if let Ok(after) = self.child.look(gpu).await {
                    let _first_fault_counts = self.files(step, after).await;
                }
                return Err(fault);
            }
            (Err(fault @ (ActError::Hung { .. } | ActError::Unreachable { .. })), MigPower::Layout) => {
                return Err(fault);
            }
            (Ok(()), MigPower::Layout) => self.child.look(gpu).await?,
        };
        let shows = fitness::shows(&before, &after, step);
        self.files(step, after).await?;
        let silent = || ActError::Refused {
            attempted: attempted(gpu, step),
            cause: OsCause::found("the driver reported success, and nothing changed"),
        };
        if shows { Ok(()) } else { Err(silent()) }
    }

    /// True while a child hangs in the kernel.
    #[must_use]
    pub fn hangs(&self) -> bool {
        self.child.hangs()
    }

    async fn allowed(&self, gpu: PciAddress, step: &MigStep, policy: MigPolicy) -> Result<(), ActError> {
        let sysfs = self.places.sysfs.clone();
        let judged = tokio::task::spawn_blocking(move || fitness::may_change(&sysfs, gpu, &policy)).await;
        match judged {
            Ok(judged) => judged.map_err(|unfit| refused(gpu, step, &unfit)),
            Err(broken) => Err(refused(gpu, step, &broken)),
        }
    }

    fn counted(&self, gpu: PciAddress, step: &MigStep, policy: &MigPolicy) -> Result<(), ActError> {
        let begun = self.bursts().begin(gpu, policy.changes_per_minute, Instant::now());
        begun.map_err(|after| {
            let why = format!(
                "/etc/gpuhostd/policy.toml: host.mig.changes_per_minute is {}; try again in {} s",
                policy.changes_per_minute,
                after.as_secs().saturating_add(1)
            );
            refused(gpu, step, &UnfitMig::Policy(why))
        })
    }

    fn bursts(&self) -> std::sync::MutexGuard<'_, Bursts> {
        self.bursts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody hears of an instance that cannot be opened, and none stays open that is gone.
    async fn files(&self, step: &MigStep, seen: MigOnGpu) -> Result<(), ActError> {
        let (gpu, MigPlaces { proc, dev, .. }) = (seen.gpu, self.places.clone());
        let kept = tokio::task::spawn_blocking(move || {
            keep_mig_files(&proc, &dev, &seen).map_err(|fault| OsCause::found(fault.to_string()))
        });
        let kept = kept.await.unwrap_or_else(|broken| Err(OsCause::found(broken.to_string())));
        kept.map_err(|cause| ActError::Refused {
            attempted: format!("{}; then its files in /dev/nvidia-caps", attempted(gpu, step)),
            cause,
        })
    }
}

fn attempted(gpu: PciAddress, step: &MigStep) -> String {
    format!("{gpu}: {step}")
}

fn refused(gpu: PciAddress, step: &MigStep, why: &dyn std::fmt::Display) -> ActError {
    let cause = OsCause::found(format!("refused by the hand: {why}"));
    ActError::Refused { attempted: attempted(gpu, step), cause }
}
