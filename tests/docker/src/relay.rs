//! A relay in front of a registry that lets through, cuts off or falls silent after so many bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Everything goes through.
    Through,
    /// It is closed after so many bytes towards the engine.
    Cut(usize),
    /// It stays open, and nothing comes any more after so many bytes towards the engine.
    Stall(usize),
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    ended: AtomicBool,
}

/// A relay that listens; gone with the value.
pub struct Relay {
    address: String,
    shared: Arc<Shared>,
}

impl Relay {
    /// Begins to relay to this address.
    ///
    /// # Panics
    /// Where no port can be had.
    #[must_use]
    pub fn start(to: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that can be ended");
        let address = listener.local_addr().expect("its address").to_string();
        let shared = Arc::new(Shared { behaviour: Mutex::new(behaviour), ended: AtomicBool::new(false) });
        let (seen, to) = (Arc::clone(&shared), to.to_owned());
        std::thread::spawn(move || {
            while !seen.ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((engine, _)) => relay(engine, &to, &seen),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Self { address, shared }
    }

    /// Its address with the port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Changes what happens from now on, also on the connections that are open.
    ///
    /// # Panics
    /// Never but where a thread has panicked.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().expect("no thread panics with it") = behaviour;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

fn relay(engine: TcpStream, to: &str, shared: &Arc<Shared>) {
    let Ok(registry) = TcpStream::connect(to) else { return };
    let both = (engine.set_nonblocking(false), engine.try_clone(), registry.try_clone());
    let (Ok(()), Ok(from_engine), Ok(to_registry)) = both else { return };
    let (up, down) = (Arc::clone(shared), Arc::clone(shared));
    std::thread::spawn(move || copy(from_engine, to_registry, &up, false));
    std::thread::spawn(move || copy(registry, engine, &down, true));
}

/// Copies until an end closes; the bytes towards the engine count.
fn copy(mut from: TcpStream, mut to: TcpStream, shared: &Shared, counts: bool) {
    let (mut buffer, mut sent) = ([0; 16 * 1024], 0_usize);
    let _bounded = from.set_read_timeout(Some(Duration::from_millis(100)));
    while !shared.ended.load(Ordering::Relaxed) {
        let behaviour = *shared.behaviour.lock().expect("no thread panics with it");
        match behaviour {
            Behaviour::Cut(after) if counts && sent >= after => break,
            Behaviour::Stall(after) if counts && sent >= after => {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            Behaviour::Through | Behaviour::Cut(_) | Behaviour::Stall(_) => {}
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) if to.write_all(&buffer[..length]).is_err() => break,
            Ok(length) => sent += length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _closed = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
