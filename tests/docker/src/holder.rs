//! A mount namespace that outlives the engines in it, so that one that is killed and started again finds its mounts, and the
//! kernel takes all of them away at the end.

use crate::until;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `/run` is empty and its own; `/run/nvidia` is a mount point that is shared, as on a host that is prepared for the driver
/// container. What is written below `/usr/local`, where the toolkit goes, or by Docker to `/etc/docker`, stays here too.
const PREPARE: &str = "mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/nvidia && mount --bind /run/nvidia /run/nvidia && \
     mount --make-rshared /run/nvidia && if [ -d /etc/docker ]; then mount -t tmpfs tmpfs /etc/docker; fi && \
     mkdir \"$LOCAL\" && mount -t tmpfs tmpfs \"$LOCAL\" && mkdir \"$LOCAL/up\" \"$LOCAL/work\" && \
     mount -t overlay -o \"lowerdir=/usr/local,upperdir=$LOCAL/up,workdir=$LOCAL/work\" overlay /usr/local && \
     if [ -n \"$DATA_MIB\" ]; then mount -t tmpfs -o size=\"${DATA_MIB}m\" tmpfs \"$DATA\"; fi && \
     touch \"$READY\" && exec sleep infinity";

/// The process that keeps the namespace.
pub(crate) struct Holder(Child);

impl Holder {
    /// Makes the namespace. With a size the data folder is a file system of its own, which can be filled.
    pub(crate) fn start(folder: &Path, data: &Path, data_mib: Option<u32>) -> Self {
        let ready = folder.join("holder.ready");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-c", PREPARE]);
        command.env("DATA", data).env("DATA_MIB", data_mib.map_or_else(String::new, |mib| mib.to_string()));
        command.env("LOCAL", folder.join("local"));
        command.env("READY", &ready).stdin(Stdio::null());
        let mut child = command.spawn().expect("setpriv and unshare of util-linux");
        until("a mount namespace", || {
            let ended = child.try_wait().expect("its status");
            assert!(ended.is_none(), "the mount namespace was not made ({ended:?}): it needs root");
            ready.exists().then_some(())
        });
        Self(child)
    }

    /// A command that runs in the namespace and is ended with the thread that starts it.
    pub(crate) fn command(&self, program: &Path, signal: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", signal, "nsenter"]).arg(format!("--mount=/proc/{}/ns/mnt", self.0.id()));
        command.arg("--").arg(program);
        command
    }

    /// The path by which this process sees a file of the namespace.
    pub(crate) fn outside(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.0.id()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
