//! What can be wished of the workspace proxy: its certificate and its key.

use super::desired_key::Desired;
use super::wish_text::WishText;
use serde::{Deserialize, Serialize};

/// `proxy`: certificate and key of the workspace proxy, always both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DesiredProxy {
    /// `nginx_cert`: the certificate with its chain, PEM.
    pub cert: Desired<WishText>,
    /// `nginx_key`: its key, PEM. No message shows any of it.
    pub key: Desired<WishText>,
    /// `server_name`: the name that the certificate has to cover.
    pub server_name: Desired<String>,
}

impl DesiredProxy {
    /// Something is wished of it.
    #[must_use]
    pub const fn is_said(&self) -> bool {
        matches!(self.cert, Desired::Value(_) | Desired::Unsupported(_))
            || matches!(self.key, Desired::Value(_) | Desired::Unsupported(_))
            || matches!(self.server_name, Desired::Unsupported(_))
    }
}
