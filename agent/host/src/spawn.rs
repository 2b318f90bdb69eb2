//! Starts a long-lived process of our own whose standard input is a socket: a hand, where there is no systemd.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Starts the executable with the socket as its standard input, in a process group of its own (a Ctrl-C is for us alone; it
/// leaves when the socket closes), with an environment that holds nothing of ours. Its messages go where ours go.
///
/// # Errors
/// What the host said: there is no such executable, or no process can be started.
pub fn with_socket(exe: &Path, args: &[OsString], socket: OwnedFd) -> io::Result<Child> {
    Command::new(exe)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
}
