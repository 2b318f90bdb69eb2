//! The certificate of the workspace proxy: whose wish counts, what keeps it back, and what is shown of it. Pure.

mod proxy_state;
mod proxy_wish;

pub use proxy_state::{ProxyOutcome, ProxyPair, ProxyState};
pub use proxy_wish::{ProxyWish, proxy_wish};
