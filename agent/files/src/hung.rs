//! Gives up a read that does not answer, and starts no second one behind it.

use crate::fault::ReadError;
use std::collections::BTreeMap;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Readers that were given up and have not ended, by what they read. Each keeps a thread that no signal ends.
static GIVEN_UP: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

fn given_up() -> MutexGuard<'static, BTreeMap<PathBuf, usize>> {
    GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work`, which reads `path`, in a thread of its own, and waits for it no longer than `within`. While an earlier reader of
/// the same path hangs no further one is started. Blocking.
///
/// # Errors
/// What `work` reports, or [`ReadError::Hangs`].
pub fn in_time<T: Send + 'static>(
    path: &Path,
    within: Duration,
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let hangs = || ReadError::Hangs { path: path.to_owned(), after: within };
    if given_up().contains_key(path) {
        return Err(hangs());
    }
    let (tell, told) = channel();
    let name = path.to_owned();
    let reader = std::thread::Builder::new().name("read-file".to_owned()).spawn(move || {
        let done = work();
        // Under the lock: either the caller has taken the answer, or it has given this reader up and is notified of its end.
        let mut given_up = given_up();
        if tell.send(done).is_err() {
            forget(&mut given_up, &name);
        }
    });
    reader.map_err(|error| ReadError::Host { path: path.to_owned(), error })?;
    let fault = match told.recv_timeout(within) {
        Ok(done) => return done,
        Err(fault) => fault,
    };
    match fault {
        RecvTimeoutError::Timeout => {
            let mut given_up = given_up();
            // It may have answered in this very moment.
            if let Ok(done) = told.try_recv() {
                return done;
            }
            *given_up.entry(path.to_owned()).or_default() += 1;
            drop(told);
            Err(hangs())
        }
        RecvTimeoutError::Disconnected => {
            Err(ReadError::Host { path: path.to_owned(), error: Error::other("the reading task was aborted") })
        }
    }
}

fn forget(given_up: &mut BTreeMap<PathBuf, usize>, path: &Path) {
    match given_up.get_mut(path) {
        Some(readers) if *readers > 1 => *readers -= 1,
        Some(_) | None => _ = given_up.remove(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn what_answers_is_taken() {
        let path = Path::new("/x/answers");
        assert_eq!(in_time(path, LONG, || Ok(7)).unwrap(), 7);
        let fault = in_time::<()>(path, LONG, || Err(ReadError::Missing { path: "/x/answers".into() })).unwrap_err();
        assert!(matches!(fault, ReadError::Missing { .. }));
        let fault = in_time::<()>(path, LONG, || panic!("as a bug would")).unwrap_err();
        assert!(fault.to_string().contains("was aborted"), "{fault}");
    }

    #[test]
    fn a_reader_that_hangs_is_given_up_and_no_second_one_is_started_until_it_ends() {
        let path = Path::new("/x/hangs");
        let (end, started) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
        let read = |end: Option<Arc<Barrier>>| {
            let started = Arc::clone(&started);
            let within = if end.is_some() { SHORT } else { LONG };
            in_time(path, within, move || {
                started.fetch_add(1, Ordering::SeqCst);
                if let Some(end) = end {
                    end.wait();
                }
                Ok(())
            })
        };
        let fault = read(Some(Arc::clone(&end))).unwrap_err();
        assert!(fault.to_string().contains("/x/hangs") && fault.to_string().contains("findmnt"), "{fault}");
        for _ in 0..100 {
            assert!(matches!(read(None), Err(ReadError::Hangs { .. })));
        }
        assert!(started.load(Ordering::SeqCst) <= 1, "readers pile up behind one that hangs");
        end.wait();
        while given_up().contains_key(path) {
            std::thread::yield_now();
        }
        read(None).unwrap();
    }
}
