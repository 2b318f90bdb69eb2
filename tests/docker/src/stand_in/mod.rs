//! Stand-ins for NVIDIA's two containers: they do what the documented entrypoints do, and fail as those were seen to fail.

use crate::Image;
use std::path::Path;

/// What a stand-in of the driver container does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Nothing.
    Sound,
    /// It waits at its start until there is a file `/run/nvidia/.go`.
    Slow,
    /// It exits with an error, and writes a password to its log.
    Exits,
    /// It runs, and its daemons are never ready.
    NeverReady,
    /// It does not exit at SIGTERM, whether the driver is used or not.
    Deaf,
}

/// What a stand-in of the toolkit container does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolkit {
    /// Nothing.
    Sound,
    /// It exits with an error.
    Exits,
    /// It installs nothing, and says that all is well.
    NoPrograms,
    /// The runtime that it installs gives containers no device node.
    NoDevice,
}

/// UUID of the only GPU that the toolkit's stand-in knows.
pub const UUID: &str = "GPU-5ca1ab1e-0000-4000-8000-000000000001";

/// The driver container of a version.
#[must_use]
pub fn driver(version: &str, behaviour: Driver) -> Image {
    let behaviour = match behaviour {
        Driver::Sound => "",
        Driver::Slow => "slow",
        Driver::Exits => "exits",
        Driver::NeverReady => "never-ready",
        Driver::Deaf => "deaf",
    };
    Image::new()
        .file("usr/local/bin/nvidia-driver", 0o755, include_bytes!("nvidia-driver"))
        .file("usr/bin/nvidia-smi", 0o755, include_bytes!("nvidia-smi"))
        .with(&format!("ENV DRIVER_VERSION={version} STAND_IN={behaviour} NVIDIA_VISIBLE_DEVICES=void"))
        .with(r#"ENTRYPOINT ["nvidia-driver"]"#)
        .with(r#"CMD ["init"]"#)
}

/// The toolkit container of a version. The runtime is the program of that name that is built here; its only GPU is `/dev/null`.
///
/// # Panics
/// Where that program cannot be read.
#[must_use]
pub fn toolkit(version: &str, behaviour: Toolkit, runtime: &Path) -> Image {
    let (behaviour, node) = match behaviour {
        Toolkit::Sound => ("", "/dev/null"),
        Toolkit::Exits => ("exits", "/dev/null"),
        Toolkit::NoPrograms => ("no-programs", "/dev/null"),
        Toolkit::NoDevice => ("", "-"),
    };
    let runtime = std::fs::read(runtime).expect("the stand-in of the runtime");
    Image::new()
        .file("usr/local/bin/nvidia-toolkit", 0o755, include_bytes!("nvidia-toolkit"))
        .file("artifacts/nvidia-container-runtime", 0o755, runtime)
        .file("artifacts/devices", 0o644, format!("0 {UUID} {node}\n"))
        .with(&format!("ENV TOOLKIT_VERSION={version} STAND_IN={behaviour} NVIDIA_VISIBLE_DEVICES=void"))
        .with(r#"ENTRYPOINT ["nvidia-toolkit"]"#)
}
