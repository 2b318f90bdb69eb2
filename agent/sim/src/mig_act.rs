//! Changing MIG of the simulated host step by step, with whatever is to go wrong with a step.

use crate::act::STEP_DEADLINE_MS;
use crate::mig::{MigCallError, SimMig};
use crate::state::HostState;
use crate::step_faults::StepFault;
use model::PciAddress;
use model::mig::{MigOnGpu, MigStep};
use model::os_cause::OsCause;
use model::ports::ActError;

impl HostState {
    /// MIG on a GPU, as a hand reports it.
    ///
    /// # Errors
    /// The GPU has none.
    pub fn mig_state(&self, gpu: PciAddress) -> Result<MigOnGpu, ActError> {
        let is_there = self.bus.functions.contains_key(&gpu);
        let mig = self.mig.get(&gpu).filter(|_| is_there);
        mig.map(|mig| MigOnGpu { driver_load: Some(self.driver_load), ..mig.state(gpu) })
            .ok_or_else(|| refused(format!("look at MIG of {gpu}"), MigCallError::NotSupported))
    }

    /// Takes a step with whatever is to go wrong with it.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn act_on_mig(&mut self, gpu: PciAddress, step: &MigStep) -> Result<(), ActError> {
        let fault = self.step_faults.at.remove(&self.step_faults.taken);
        self.step_faults.taken = self.step_faults.taken.saturating_add(1);
        self.act_on_mig_with(gpu, step, fault)
    }

    /// Takes a step that goes wrong in this way, or in none.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn act_on_mig_with(
        &mut self,
        gpu: PciAddress,
        step: &MigStep,
        fault: Option<StepFault>,
    ) -> Result<(), ActError> {
        let hung = || ActError::Hung { attempted: step.to_string(), after_ms: STEP_DEADLINE_MS };
        if self.stuck.contains(&gpu) {
            return Err(hung());
        }
        let broken = || refused(step.to_string(), MigCallError::InUse);
        match fault {
            None => self.call(gpu, step),
            Some(StepFault::Error) => Err(broken()),
            Some(StepFault::NoEffect) => Ok(()),
            Some(StepFault::EffectAndError) => self.call(gpu, step).and_then(|()| Err(broken())),
            Some(hang @ (StepFault::Hang | StepFault::HangWithEffect)) => {
                if hang == StepFault::HangWithEffect {
                    // Whether it worked is seen by anyone who looks.
                    let _unseen = self.call(gpu, step);
                }
                self.stuck.insert(gpu);
                Err(hung())
            }
        }
    }

    fn call(&mut self, gpu: PciAddress, step: &MigStep) -> Result<(), ActError> {
        let none = || refused(step.to_string(), MigCallError::NotSupported);
        let is_there = self.bus.functions.contains_key(&gpu);
        let mig = self.mig.get_mut(&gpu).filter(|_| is_there).ok_or_else(none)?;
        take(mig, step).map_err(|why| refused(step.to_string(), why))?;
        self.report_mig(gpu);
        Ok(())
    }

    /// Has the driver's reports show MIG of a GPU as it is.
    pub(crate) fn report_mig(&mut self, gpu: PciAddress) {
        let Some(described) = self.mig.get(&gpu).map(SimMig::describe) else { return };
        if let Some(card) = self.description.gpus.iter_mut().find(|card| card.address == gpu) {
            card.mig = Some(described);
        }
    }

    /// What another program does to MIG of a GPU.
    pub fn change_mig<T>(&mut self, gpu: PciAddress, how: impl FnOnce(&mut SimMig) -> T) -> Option<T> {
        let done = self.mig.get_mut(&gpu).map(how);
        self.report_mig(gpu);
        done
    }

    /// `rmmod nvidia; modprobe nvidia`.
    pub fn reload_driver(&mut self) {
        self.driver_load.0 = self.driver_load.0.wrapping_add(1);
        self.mig.values_mut().for_each(SimMig::driver_loaded);
        let gpus: Vec<PciAddress> = self.mig.keys().copied().collect();
        gpus.into_iter().for_each(|gpu| self.report_mig(gpu));
    }
}

fn take(mig: &mut SimMig, step: &MigStep) -> Result<(), MigCallError> {
    let id = |mig: &SimMig, place| mig.id_at(place).ok_or(MigCallError::NotFound);
    match step {
        MigStep::DestroyCompute { within, id: compute, .. } => mig.destroy_compute(id(mig, within)?, *compute),
        MigStep::DestroyGpu { instance } => mig.destroy_gpu(id(mig, instance)?),
        MigStep::CreateGpu { instance } => mig.create_gpu(&instance.profile, instance.start).map(drop),
        MigStep::CreateCompute { within, slices } => mig.create_compute(id(mig, within)?, *slices).map(drop),
        MigStep::SetMode { to } => mig.set_mode(*to)?,
    }
}

fn refused(attempted: String, why: MigCallError) -> ActError {
    ActError::Refused { attempted, cause: OsCause::found(why.to_string()) }
}
