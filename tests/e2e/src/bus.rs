//! A private message bus with the policy of the system bus.

use anyhow::Context;
use std::io::BufRead;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running dbus-daemon; ends with this value.
pub struct Bus {
    child: Child,
    /// Its address.
    pub address: String,
}

impl Bus {
    /// Starts a dbus-daemon whose socket lies in `dir`, with our own policy file and default deny as on a system bus.
    ///
    /// # Errors
    /// dbus-daemon is missing (package dbus-daemon) or does not start.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let socket = dir.join("bus.sock");
        let policy = crate::world::repository().join("packaging/dbus-1/system.d");
        let config = dir.join("bus.conf");
        // The daemon under test runs as root or as nobody here, not as the user gpuhostd of an installed system.
        let text = format!(
            "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\n\
             <policy context='default'><allow user='*'/><deny own='*'/><deny send_type='method_call'/>\n\
             <allow send_type='signal'/><allow send_requested_reply='true' send_type='method_return'/>\n\
             <allow send_requested_reply='true' send_type='error'/><allow receive_type='method_call'/>\n\
             <allow receive_type='method_return'/><allow receive_type='error'/><allow receive_type='signal'/>\n\
             <allow send_destination='org.freedesktop.DBus'/></policy>\n\
             <policy user='nobody'><allow own='org.gpuhost.Agent1'/></policy>\n\
             <includedir>{}</includedir></busconfig>\n",
            socket.display(),
            policy.display()
        );
        std::fs::write(&config, text)?;
        let mut child = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address=1", "--nosyslog", "--config-file"])
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.join("bus.log"))?)
            .spawn()
            .context("cannot start dbus-daemon; on Debian it is in the package dbus-daemon")?;
        let mut address = String::new();
        std::io::BufReader::new(child.stdout.take().context("no output")?).read_line(&mut address)?;
        let address = address.split(',').next().unwrap_or_default().trim().to_owned();
        anyhow::ensure!(address.starts_with("unix:"), "dbus-daemon did not say its address");
        Ok(Self { child, address })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
