//! Reads the kernel log from standard input, where PID 1 (`StandardInput=file:/dev/kmsg`) or the launcher has put it: the front
//! itself may not open it.

use crate::readiness;
use model::health::kernel_log::KernelLogUnavailable;
use model::ports::KernelLogPort;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat, makedev};
use std::fs::File;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// One read of `/dev/kmsg` gives one record, and fails where it does not fit; the kernel's longest is half of this.
const BUFFER: usize = 16 * 1024;
/// A line that is longer is left out; the kernel's longest record has 8 KiB.
const LINE_MAX: usize = 8 * 1024;
/// Reads of a whole log: the kernel's longest has fewer records.
const READS_MAX: usize = 1 << 20;
/// At most so many lines are given at once, so that a flood does not keep the daemon from its work.
const LINES_MAX: usize = 512;

/// The kernel log.
#[derive(Debug)]
pub struct KernelLogReader {
    source: Source,
    lines: Lines,
    buffer: Vec<u8>,
    greeted: bool,
}

#[derive(Debug)]
enum Source {
    Open(AsyncFd<OwnedFd>),
    Closed(KernelLogUnavailable),
    /// It was reported that it is closed.
    Told,
}

impl KernelLogReader {
    /// Takes standard input, where it is the kernel log. A pipe is taken for one only where `or_pipe` is true: it takes the
    /// place of the log of a simulated host. Needs a running Tokio runtime.
    #[must_use]
    pub fn on_stdin(or_pipe: bool) -> Self {
        Self::on(io::stdin().as_fd(), or_pipe)
    }

    fn on(fd: BorrowedFd<'_>, or_pipe: bool) -> Self {
        let source = match open(fd, or_pipe) {
            Ok(fd) => Source::Open(fd),
            Err(error) => Source::Closed(KernelLogUnavailable { said: format!("standard input: {error}") }),
        };
        Self { source, lines: Lines::default(), buffer: vec![0; BUFFER], greeted: false }
    }

    /// All that there is now, up to [`LINES_MAX`] lines.
    fn read_now(fd: &OwnedFd, buffer: &mut [u8], lines: &mut Lines) -> Result<(Vec<String>, bool), Errno> {
        let mut read = Vec::new();
        while read.len() < LINES_MAX {
            match nix::unistd::read(fd, buffer) {
                Ok(0) => return Err(Errno::ENODATA),
                Ok(length) => lines.feed(buffer.get(..length).unwrap_or_default(), &mut read),
                Err(Errno::EAGAIN) => return Ok((read, true)),
                // Records were overwritten before we came to them, or one did not fit: the next read goes on behind them.
                Err(Errno::EPIPE | Errno::EINVAL | Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((read, false))
    }
}

/// All lines that are in the kernel log at `path` now, without waiting for more. It blocks no longer than a file does: whatever
/// it is, it is opened without waiting.
///
/// # Errors
/// It cannot be opened or read (`/dev/kmsg` needs CAP_SYSLOG where `kernel.dmesg_restrict` is on).
pub fn kernel_log_at(path: &Path) -> io::Result<Vec<String>> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let (fd, mut buffer, mut lines, mut all) = (OwnedFd::from(file), vec![0; BUFFER], Lines::default(), Vec::new());
    for _ in 0..READS_MAX {
        match nix::unistd::read(&fd, &mut buffer) {
            Ok(0) | Err(Errno::EAGAIN) => break,
            Ok(length) => lines.feed(buffer.get(..length).unwrap_or_default(), &mut all),
            Err(Errno::EPIPE | Errno::EINVAL | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

/// A descriptor of our own that does not block, where it is the kernel log.
fn open(fd: BorrowedFd<'_>, or_pipe: bool) -> io::Result<AsyncFd<OwnedFd>> {
    let about = fstat(fd)?;
    let kind = SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT;
    let is_log = kind == SFlag::S_IFCHR && about.st_rdev == makedev(1, 11);
    let stands_in = or_pipe && kind == SFlag::S_IFIFO;
    if !is_log && !stands_in {
        return Err(io::Error::other("it is not /dev/kmsg"));
    }
    let fd = fd.try_clone_to_owned()?;
    let flags = OFlag::from_bits_truncate(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    readiness::readable(fd)
}

impl KernelLogPort for KernelLogReader {
    async fn next_lines(&mut self) -> Result<Vec<String>, KernelLogUnavailable> {
        let fault = match &mut self.source {
            Source::Open(fd) => match follow(fd, &mut self.buffer, &mut self.lines, &mut self.greeted).await {
                Ok(lines) => return Ok(lines),
                Err(error) => KernelLogUnavailable { said: format!("standard input: {error}") },
            },
            Source::Closed(why) => why.clone(),
            Source::Told => return pending().await,
        };
        self.source = Source::Told;
        Err(fault)
    }
}

/// Waits for lines. The first time it answers also where there are none yet: the log can be read.
async fn follow(
    fd: &mut AsyncFd<OwnedFd>,
    buffer: &mut [u8],
    lines: &mut Lines,
    greeted: &mut bool,
) -> io::Result<Vec<String>> {
    loop {
        if std::mem::replace(greeted, true) {
            let mut ready = fd.readable_mut().await?;
            let (read, drained) = KernelLogReader::read_now(ready.get_inner(), buffer, lines)?;
            if drained {
                ready.clear_ready();
            }
            if !read.is_empty() {
                return Ok(read);
            }
        } else {
            return Ok(KernelLogReader::read_now(fd.get_ref(), buffer, lines)?.0);
        }
    }
}

/// Cuts what was read into records, whatever comes.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    overlong: bool,
}

impl Lines {
    /// Adds the records that end in these bytes. Lines that begin with a blank are notes of the record before (`DEVICE=…`): they stay
    /// with it where they came with it, as one read of `/dev/kmsg` gives them, and are left out where they come alone.
    fn feed(&mut self, bytes: &[u8], to: &mut Vec<String>) {
        let already = to.len();
        let mut parts = bytes.split(|byte| *byte == b'\n');
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            self.grow(part);
            let line = std::mem::take(&mut self.begun);
            let whole = !std::mem::take(&mut self.overlong);
            if !whole || line.is_empty() {
                continue;
            }
            let text = String::from_utf8_lossy(&line);
            if line.first() != Some(&b' ') {
                to.push(text.into_owned());
            } else if let Some(record) = to.get_mut(already..).and_then(<[String]>::last_mut)
                && record.len() + text.len() < LINE_MAX
            {
                record.push('\n');
                record.push_str(&text);
            }
        }
        self.grow(last);
    }

    fn grow(&mut self, part: &[u8]) {
        self.overlong |= self.begun.len() + part.len() > LINE_MAX;
        if self.overlong {
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut read) = (Lines::default(), Vec::new());
        chunks.iter().for_each(|chunk| lines.feed(chunk, &mut read));
        read
    }

    #[test]
    fn lines_are_put_together_and_notes_stay_with_their_record() {
        assert_eq!(
            lines(&[b"6,1,2,-;a\n SUBSYSTEM=pci\n DEVICE=+pci:0000:41:00.0\n6,2,3,-;b\n"]),
            ["6,1,2,-;a\n SUBSYSTEM=pci\n DEVICE=+pci:0000:41:00.0", "6,2,3,-;b"]
        );
        assert_eq!(lines(&[b"6,1,2,-;a\n", b" DEVICE=+pci:0000:41:00.0\n"]), ["6,1,2,-;a"], "a note that comes alone");
        let many = [b"6,1,2,-;a\n".to_vec(), b" NOTE=0123456789\n".repeat(4096)].concat();
        assert!(lines(&[&many])[0].len() < LINE_MAX);
        assert_eq!(lines(&[b"6,1,", b"2,-;a", b"\n\n6"]), ["6,1,2,-;a"]);
    }

    #[test]
    fn a_line_without_an_end_costs_no_memory_and_only_itself() {
        let long = vec![b'x'; LINE_MAX];
        let (mut splitter, mut read) = (Lines::default(), Vec::new());
        for _ in 0..1000 {
            splitter.feed(&long, &mut read);
            assert!(splitter.begun.len() <= LINE_MAX);
        }
        splitter.feed(b"\nnext\n\xff\xfe garbage\n", &mut read);
        assert_eq!(read, ["next", "\u{fffd}\u{fffd} garbage"]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_pipe_is_followed_and_its_end_is_said_once() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut log = KernelLogReader::on(reader.as_fd(), true);
        assert_eq!(log.next_lines().await.unwrap(), Vec::<String>::new(), "it can be read, and there is nothing yet");
        writer.write_all(b"6,1,2,-;a\n6,2,3,-;b\n").unwrap();
        assert_eq!(log.next_lines().await.unwrap().len(), 2);
        drop(writer);
        assert!(log.next_lines().await.unwrap_err().said.contains("standard input"));
        let again = tokio::time::timeout(std::time::Duration::from_millis(20), log.next_lines()).await;
        assert!(again.is_err(), "it was said once");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_no_kernel_log_is_not_read() {
        let (reader, _writer) = io::pipe().unwrap();
        for (fd, or_pipe) in [(OwnedFd::from(reader), false), (std::fs::File::open("/dev/null").unwrap().into(), true)]
        {
            let mut log = KernelLogReader::on(fd.as_fd(), or_pipe);
            assert!(log.next_lines().await.unwrap_err().said.contains("not /dev/kmsg"));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_flood_comes_in_bounded_portions() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut log = KernelLogReader::on(reader.as_fd(), true);
        log.next_lines().await.unwrap();
        writer.write_all("6,1,2,-;x\n".repeat(6000).as_bytes()).unwrap();
        let mut seen = 0;
        while seen < 6000 {
            let portion = log.next_lines().await.unwrap().len();
            assert!(portion <= LINES_MAX + BUFFER / 10);
            seen += portion;
        }
        assert_eq!(seen, 6000);
    }
}
