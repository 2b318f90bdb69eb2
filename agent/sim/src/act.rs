//! Changing the simulated host step by step, a close look at what is changed, and what goes wrong with a step on demand.

use crate::bus::Function;
use crate::host::SimHost;
use crate::state::{HostState, KernelError};
use crate::step_faults::StepFault;
use model::absence::{Absence, Reading};
use model::holders::Holders;
use model::os_cause::OsCause;
use model::plan::{GroupState, Look, MemberState, ModuleState, PlanStep, Scope, Step, Target};
use model::ports::{ActError, ActPort};
use std::future::{Future, ready};

/// The number of "Input/output error".
const EIO: i32 = 5;

/// The deadline that a hanging step is claimed to have missed, in milliseconds.
pub const STEP_DEADLINE_MS: u64 = 10_000;

impl HostState {
    /// Takes a step with whatever is to go wrong with it.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn act(&mut self, step: &Step) -> Result<(), ActError> {
        let fault = self.step_faults.at.remove(&self.step_faults.taken);
        self.step_faults.taken = self.step_faults.taken.saturating_add(1);
        self.act_with(step, fault)
    }

    /// Takes a step that goes wrong in this way, or in none.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn act_with(&mut self, step: &Step, fault: Option<StepFault>) -> Result<(), ActError> {
        let attempted = step.to_string();
        let hung = || ActError::Hung { attempted: attempted.clone(), after_ms: STEP_DEADLINE_MS };
        if step.address().is_some_and(|address| self.stuck.contains(&address)) {
            return Err(hung());
        }
        let refused = |cause: OsCause| ActError::Refused { attempted: attempted.clone(), cause };
        let io_error = || refused(OsCause { said: "Input/output error (EIO)".to_owned(), errno: Some(EIO) });
        let told = |result: Result<(), KernelError>| match result {
            Ok(()) => Ok(()),
            Err(KernelError::Blocks { .. }) => Err(hung()),
            Err(error @ (KernelError::NoDevice { .. } | KernelError::Busy { .. })) => {
                Err(refused(OsCause { said: error.to_string(), errno: error.errno() }))
            }
        };
        match fault {
            None => told(self.write(step)),
            Some(StepFault::Error) => Err(io_error()),
            Some(StepFault::NoEffect) => Ok(()),
            Some(StepFault::EffectAndError) => told(self.write(step)).and_then(|()| Err(io_error())),
            Some(hang @ (StepFault::Hang | StepFault::HangWithEffect)) => {
                if hang == StepFault::HangWithEffect {
                    // Whether it worked is seen by anyone who looks.
                    let _unseen = self.write(step);
                }
                self.stuck.extend(step.address());
                Err(hung())
            }
        }
    }

    /// The step as a write to sysfs.
    fn write(&mut self, step: &Step) -> Result<(), KernelError> {
        match step {
            // A module that is missing is no error of modprobe@.service, which nobody waits for: the look shows it.
            Step::LoadModule { .. } => {
                if self.vfio == ModuleState::Loadable {
                    self.vfio = ModuleState::Loaded;
                }
                Ok(())
            }
            Step::SetDriverOverride { address, to } => {
                self.set_driver_override(*address, to.as_ref().map_or("\n", |driver| driver.as_str()))
            }
            Step::Unbind { address, driver } => {
                let bound = self.bus.functions.get(address).and_then(|f| f.driver.clone());
                // `unbind_store` of a driver that does not have the function: ENODEV.
                if bound.as_ref() == Some(driver) {
                    self.unbind(*address)
                } else {
                    Err(KernelError::NoDevice { address: *address, attempted: format!("write to {driver}/unbind") })
                }
            }
            Step::Probe { address } => self.probe(*address),
            Step::SetD3cold { address, allowed } => {
                self.writable(*address, "write d3cold_allowed")?.d3cold_allowed = Some(*allowed);
                Ok(())
            }
            Step::SetPowerControl { address, to } => {
                self.writable(*address, "write power/control")?.power_control = Some(*to);
                Ok(())
            }
        }
    }

    fn writable(&mut self, address: model::PciAddress, attempted: &str) -> Result<&mut Function, KernelError> {
        let gone = || KernelError::NoDevice { address, attempted: attempted.to_owned() };
        self.bus.functions.get_mut(&address).ok_or_else(gone)
    }

    /// A close look at a scope.
    #[must_use]
    pub fn group_state(&self, scope: &Scope) -> GroupState {
        let group = self.bus.functions.get(&scope.gpu).and_then(|gpu| gpu.group);
        let of_group = |f: &&Function| group.is_some() && f.group == group;
        let functions = self.bus.functions.values().filter(|f| scope.members.contains(&f.address) || of_group(f));
        let is_given = |f: &Function| f.driver.as_ref().is_some_and(model::DriverName::is_vfio);
        GroupState {
            group: group.map_or(Reading::Absent(Absence::None), Reading::Known),
            no_iommu: false,
            // `vfio_device_set_group`: the group's device file is there as long as one function is with a vfio driver.
            vfio_node: group.is_some() && functions.clone().any(is_given),
            members: functions.map(member).collect(),
            variant: None,
            module: self.vfio,
        }
    }

    /// Who uses the functions of a scope.
    #[must_use]
    pub fn holders(&self, scope: &Scope) -> Holders {
        self.holders_of(&scope.members)
    }

    pub(crate) fn holders_of(&self, functions: &[model::PciAddress]) -> Holders {
        let found = functions.iter().filter_map(|address| self.open.get(address)).flatten().cloned().collect();
        Holders { found, unreadable: Vec::new() }
    }
}

fn member(function: &Function) -> MemberState {
    MemberState {
        address: function.address,
        id: Reading::Known(function.id),
        class: Reading::Known(function.class),
        driver: known(function.driver.clone()),
        driver_override: match function.driver_override.as_ref().map(|text| (text, text.parse())) {
            None => Reading::Absent(Absence::None),
            Some((_, Ok(driver))) => Reading::Known(driver),
            Some((text, Err(_))) => Reading::Absent(Absence::garbled(text)),
        },
        d3cold_allowed: known(function.d3cold_allowed),
        power_control: known(function.power_control),
        mediated_devices: Reading::Absent(Absence::None),
        virtual_functions: Reading::Known(u32::try_from(function.virtual_functions.len()).unwrap_or(u32::MAX)),
        console: function
            .frame_buffer
            .as_ref()
            .map(|name| format!("the firmware's frame buffer simple-framebuffer.0 is fb0 ({name})")),
        usb_devices: Vec::new(),
    }
}

fn known<T>(value: Option<T>) -> Reading<T> {
    value.map_or(Reading::Absent(Absence::None), Reading::Known)
}

impl ActPort for SimHost {
    fn look(&self, target: &Target) -> impl Future<Output = Result<Look, ActError>> + Send {
        ready(match target {
            Target::Functions(scope) => Ok(Look::Functions(self.state().group_state(scope))),
            Target::Mig(target) => self.state().mig_state(target.gpu).map(Box::new).map(Look::Mig),
        })
    }

    fn holders(&self, target: &Target) -> impl Future<Output = Result<Holders, ActError>> + Send {
        let functions = match target {
            Target::Functions(scope) => scope.members.clone(),
            Target::Mig(target) => vec![target.gpu],
        };
        let mut holders = self.state().holders_of(&functions);
        holders.found.extend(self.workspace_holders(&functions));
        ready(Ok(holders))
    }

    fn act(&self, target: &Target, step: &PlanStep) -> impl Future<Output = Result<(), ActError>> + Send {
        ready(self.change(|state| match (target, step) {
            (Target::Functions(_), PlanStep::Functions(step)) => state.act(step),
            (Target::Mig(target), PlanStep::Mig(step)) => state.act_on_mig(target.gpu, step),
            (Target::Functions(_) | Target::Mig(_), PlanStep::Functions(_) | PlanStep::Mig(_)) => {
                let cause = OsCause::found("the step is not one of this target");
                Err(ActError::Refused { attempted: step.to_string(), cause })
            }
        }))
    }
}
