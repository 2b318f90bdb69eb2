//! B7: from exec to `READY=1` on the notification socket, where the driver is absent and where its tool hangs.

use crate::Ground;
use crate::child::{Running, is_installed};
use crate::report::{Figure, Goal, Row};
use crate::rig::{Rig, Wish};
use crate::turns::median;
use anyhow::{Context, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
const DEADLINE: Duration = Duration::from_secs(20);

/// Measures.
pub fn run(ground: &Ground) -> anyhow::Result<Row> {
    let tree = ground.work.join("tree/sys");
    let hangs = ground.work.join("hanging-nvidia-smi");
    fs::write(&hangs, "#!/bin/sh\nexec sleep 1000\n")?;
    fs::set_permissions(&hangs, fs::Permissions::from_mode(0o755))?;
    let absent = Rig::prepare(ground, &Wish { sysfs: Some(&tree), ..Wish::default() })?;
    let none = PathBuf::from("/nonexistent/nvidia");
    let wish = Wish { sysfs: Some(&tree), nvidia: Some((&none, &hangs)), ..Wish::default() };
    let hung = Rig::prepare(ground, &wish)?;
    let folder = tempfile::Builder::new().prefix("gpuhostd-bench.").tempdir()?;

    let mut ours = [Vec::new(), Vec::new()];
    let mut peer = Vec::new();
    for _ in 0..ROUNDS {
        ours[0].push(exec_to_ready(absent.daemon(), folder.path())?);
        ours[1].push(exec_to_ready(hung.daemon(), folder.path())?);
        if is_installed("containerd") {
            peer.push(exec_to_ready(containerd(folder.path()), folder.path())?);
        }
    }
    let [first, second] = ours.map(median);
    let containerd = if peer.is_empty() {
        Figure::absent("containerd", "not installed", "ms")
    } else {
        Figure::new("containerd", median(peer), "ms")
    };
    Ok(Row {
        name: "B7",
        what: "exec to READY=1, 300 PCI functions".into(),
        ours: vec![
            (Figure::new("gpuhostd, driver absent", first, "ms"), Goal::AtMost(25.0)),
            (Figure::new("gpuhostd, nvidia-smi hangs", second, "ms"), Goal::AtMost(25.0)),
        ],
        peers: vec![containerd],
        notes: vec!["each starts with its hands and a state folder from the last round".into()],
    })
}

fn containerd(folder: &Path) -> Command {
    let mut command = Command::new("containerd");
    command.arg("--config").arg("/dev/null").arg("--log-level").arg("error");
    command.arg("--root").arg(folder.join("containerd-root"));
    command.arg("--state").arg(folder.join("containerd-state"));
    command.arg("--address").arg(folder.join("containerd.sock"));
    command
}

/// Milliseconds from the start of the process until it says that it is ready; it is stopped afterwards.
fn exec_to_ready(mut command: Command, folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("notify");
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    command.env("NOTIFY_SOCKET", &path);
    let log = folder.join("log");
    let begin = Instant::now();
    let running = Running::start(&mut command, &log)?;
    let mut message = [0; 4096];
    loop {
        let left = DEADLINE.saturating_sub(begin.elapsed());
        if left.is_zero() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!("{:?} did not say READY=1 within {DEADLINE:?}: {}", command.get_program(), said.trim());
        }
        socket.set_read_timeout(Some(left))?;
        let Ok(length) = socket.recv(&mut message) else { continue };
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            drop(running);
            return Ok(ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_ends_with_ready_and_not_with_another_message() {
        let folder = tempfile::tempdir().unwrap();
        let script = "import os,socket,time\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n\
                      s.connect(os.environ['NOTIFY_SOCKET'])\ns.send(b'STATUS=starting')\ntime.sleep(0.2)\n\
                      s.send(b'STATUS=up\\nREADY=1')\ntime.sleep(1000)\n";
        let mut command = Command::new("python3");
        command.arg("-c").arg(script);
        let ms = exec_to_ready(command, folder.path()).unwrap();
        assert!((200.0..5000.0).contains(&ms), "{ms}");
    }
}
