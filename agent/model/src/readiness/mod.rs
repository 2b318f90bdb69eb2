//! The readiness call of an autoscaled host: what has to be there before it (gates), when it is made, and what is shown of it. Pure.

mod gate;
mod gate_state;
mod jwt;
mod readiness_caller;
mod readiness_status;

pub use gate::{ReadinessFacts, unmet_gates};
pub use gate_state::{GateName, UnmetGate};
pub use jwt::{jwt_expiry, without_jwt};
pub use readiness_caller::{CallOutcome, READINESS_WINDOW_MS, ReadinessCaller, ReadinessNext};
pub use readiness_status::{ReadinessRecord, ReadinessState, ReadinessStatus};
