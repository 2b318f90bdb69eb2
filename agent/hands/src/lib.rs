//! The hands: privileged helper processes, and the front's side of their sockets.
//!
//! # The processes
//! The *front* is the unprivileged daemon that observes and decides. A *hand* is a privileged helper process: it has one power
//! (root without capabilities, the group `docker`, or the right to look into other processes), no network and no opinion, and
//! does only what is on its list. There are five, one for each [`protocol::hand::HandRole`]. A call that may hang in the kernel or
//! crash in a driver's library is made by a *disposable child* of a hand (`gpuhostd-child`), which is ended at its deadline; one
//! that cannot be ended is counted, never doubled, and never waited for.
//!
//! # The sockets
//! systemd owns one listening socket a hand, `/run/gpuhostd/hands/<role>.sock`, and starts the hand at the first connection.
//! Where there is no systemd, `gpuhostd-launcher` makes the sockets, starts hands and front, and ends them together. The hand
//! gets the socket as its standard input ([`listen`]) and lets in one uid, the front's, as the kernel reports it ([`peers`]).
//! On a connection requests and responses are frames ([`frame`]: four bytes of length, then JSON), answered in order.
//!
//! # The tasks of a hand
//! [`entry::main`] runs one thread with three futures: [`server::serve`], the wait for SIGTERM, and the ping of systemd's
//! watchdog, which shows that requests are still served. `serve` has one task for each connection, at most eight; more wait in
//! the socket's queue. A task reads a request, looks the verb up in the [`registry`], and waits for its handler, for the
//! request's deadline, or for the peer to hang up, whichever comes first; dropping the handler ends what it started. A handler
//! that panics costs its connection. Nothing is shared between tasks but the registry, and no lock is held.
//!
//! A hand leaves when nothing was asked for a while or when it is old ([`server::Limits`]), and its socket starts it again;
//! it stays while a child hangs, because no other process knows of that child.
//!
//! # The verbs
//! What can be asked is a type that implements [`protocol::hand::Verb`]: the request itself, with its reply, name, hand, kind and
//! deadline. What a hand serves is its [`registry::Registry`], a closed list built in one place: `gpuhostd_host`,
//! `gpuhostd_containers`, `gpuhostd_holders` or `gpuhostd_mig`. Everything else is refused by name. `docs/HAND-VERBS.md` is the list, compared
//! with the code by a test. A new verb is a type in `protocol::hand` and a handler in its role.
//!
//! # The front's side
//! [`client::Client`] is one hand: a connection, a request and a deadline for each call. [`RemoteHost`] is all of them: it sends
//! a verb to its hand with its deadline, and where there is no reply, the reply has the reason.

pub mod client;
pub mod entry;
pub mod frame;
pub mod listen;
pub mod notify;
pub mod peers;
pub mod policy;
pub mod program;
pub mod registry;
pub mod remote_host;
pub mod secret_file;
pub mod server;

pub use client::{Client, HandError};
pub use remote_host::RemoteHost;
