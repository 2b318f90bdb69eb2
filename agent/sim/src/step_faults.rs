//! What goes wrong with the steps of a change on a simulated host.

use std::collections::BTreeMap;

/// What goes wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepFault {
    /// The host refuses, and nothing happens.
    Error,
    /// The host reports success, and nothing happens: `drivers_probe` does so when a driver's probe fails.
    NoEffect,
    /// It happens, and the host refuses: a driver that complains after it has let go.
    EffectAndError,
    /// The call does not return and nothing happens.
    Hang,
    /// The call does not return and it happens all the same.
    HangWithEffect,
}

impl StepFault {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Error, Self::NoEffect, Self::EffectAndError, Self::Hang, Self::HangWithEffect];

    /// The call does not return.
    #[must_use]
    pub const fn hangs(self) -> bool {
        matches!(self, Self::Hang | Self::HangWithEffect)
    }
}

/// Which of the steps to come goes wrong: 0 is the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepFaults {
    /// By number.
    pub at: BTreeMap<u64, StepFault>,
    /// Steps taken.
    pub taken: u64,
}
