//! A dbus-daemon of the test's own, with the default policy of a system bus and the policy that we ship.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A running bus; it ends with the value.
pub(crate) struct PrivateBus {
    pub(crate) address: String,
    child: Child,
    folder: tempfile::TempDir,
}

impl PrivateBus {
    /// Starts a bus.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self::start_in(folder)
    }

    /// Starts a bus in a folder: its socket is `bus` there.
    pub(crate) fn start_in(folder: tempfile::TempDir) -> Self {
        let config = folder.path().join("bus.conf");
        let policy = top().join("packaging/dbus-1/system.d/org.gpuhost.Agent1.conf");
        std::fs::write(&config, configuration(folder.path(), &policy)).unwrap();
        let mut child = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed (apt install dbus)");
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:"), "dbus-daemon did not start: {address:?}");
        // Without the guid, which another bus at the same place would not have.
        let address = address.trim().split(',').next().unwrap().to_owned();
        Self { address, child, folder }
    }

    /// The folder of the bus.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the bus hang: it reads and writes nothing until its end.
    pub(crate) fn freeze(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP).unwrap();
    }

    /// Ends the bus and gives its folder back, so that another can be started at the same address.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        drop(ended);
    }
}

/// The default policy of a system bus, our own policy, and polkit's name for root.
fn configuration(folder: &Path, policy: &Path) -> String {
    let polkit = "org.freedesktop.PolicyKit1";
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <allow send_destination="{polkit}"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
    <allow own="{polkit}"/>
  </policy>
  <policy user="polkitd">
    <allow own="{polkit}"/>
  </policy>
  <include>{}</include>
</busconfig>
"#,
        folder.display(),
        policy.display()
    )
}
