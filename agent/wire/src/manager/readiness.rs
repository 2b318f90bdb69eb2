//! The body of the readiness call, `SetServerStatus` of the contract, to the byte.

/// What an autoscaled host sends when it is ready. All values are texts; nothing in it depends on the host.
pub const READY_BODY: &str =
    r#"{"status":"running","status_message":"Initialization Complete","status_progress":"100"}"#;
