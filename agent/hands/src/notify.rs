//! Notifies the service manager without ever waiting for it: a manager that hangs must not take us with it.

use sd_notify::NotifyState;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Sends the states to the socket of `NOTIFY_SOCKET`; without one nothing happens.
///
/// # Errors
/// The socket is not there, or full: its reader has read nothing for a long time.
pub fn tell(states: &[NotifyState<'_>]) -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(socket) => send(Path::new(&socket), states),
        None => Ok(()),
    }
}

fn send(socket: &Path, states: &[NotifyState<'_>]) -> io::Result<()> {
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to(message.as_bytes(), socket).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_reads_nothing_keeps_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        send(&socket, &[NotifyState::Ready, NotifyState::Status("well")]).unwrap();
        let mut buffer = [0; 64];
        let count = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"READY=1\nSTATUS=well\n");
        // Each queue of datagrams is limited (net.unix.max_dgram_qlen), and this one is filled.
        let full = (0..100_000).find_map(|_| send(&socket, &[NotifyState::Watchdog]).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_socket_that_is_not_there_is_told() {
        let fault = send(Path::new("/nonexistent/notify"), &[NotifyState::Ready]).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::NotFound);
    }
}
