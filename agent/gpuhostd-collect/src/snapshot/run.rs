//! Takes a snapshot of the host: reads it, asks the daemon if it runs, packs, writes, and reports what is in it.

use super::summary::SnapshotSummary;
use super::{Basket, SnapshotRequest, daemon, pack, take};
use anyhow::Context;
use files::OwnProgram;
use host::front::{check_named, write_named};
use model::settings::Settings;
use model::snapshot::{FORMAT, MANIFEST, Manifest, RECORDED};
use model::time::UnixMillis;
use nix::unistd::{AccessFlags, access};
use program::args::ArgsError;
use program::say;
use program::settings::{self, Configuration};
use spawn::Own;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Only its owner may read the archive.
const MODE: u32 = 0o600;

/// How a snapshot is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotArgs {
    /// Where the archive goes; a name with host and time in this folder where nothing is set.
    pub output: Option<PathBuf>,
    /// Address of the bus where the daemon is asked; the system bus where nothing is set.
    pub bus: Option<String>,
    /// The root of the file system that is read.
    pub root: PathBuf,
    /// Configuration files; empty = the default places.
    pub config: Vec<PathBuf>,
    /// Shows what is in it as JSON.
    pub json: bool,
}

/// Reads the arguments behind `snapshot`.
///
/// # Errors
/// Unknown words and options.
pub fn parse(parser: &mut lexopt::Parser) -> Result<SnapshotArgs, ArgsError> {
    use lexopt::prelude::*;
    let mut args = SnapshotArgs { output: None, bus: None, root: PathBuf::from("/"), config: Vec::new(), json: false };
    while let Some(arg) = parser.next()? {
        match arg {
            Short('o') | Long("output") => args.output = Some(parser.value()?.into()),
            Long("bus") => args.bus = Some(parser.value()?.string()?),
            Long("root") => args.root = parser.value()?.into(),
            Long("config") => args.config.push(parser.value()?.into()),
            Long("json") => args.json = true,
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    Ok(args)
}

/// Takes the snapshot and prints what is in it.
///
/// # Errors
/// The archive cannot be written. What of the host cannot be read is named in the archive instead.
pub fn run(args: &SnapshotArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    if std::io::stderr().is_terminal() {
        say::error("Reading the host; the driver and the journal may take a minute.");
    }
    let outcome = runtime.block_on(taken(args));
    // A file of a driver that never answers must not keep the process.
    runtime.shutdown_background();
    let (told, archive) = outcome?;
    let text = if args.json { serde_json::to_string_pretty(&told)? + "\n" } else { told.to_string() };
    match archive {
        // The archive has standard output for itself.
        Some(archive) => {
            say::bytes(&archive)?;
            say::error(text.trim_end());
        }
        None => say::out(&text)?,
    }
    Ok(())
}

/// What is reported about the snapshot, and the archive where it goes to standard output.
async fn taken(args: &SnapshotArgs) -> anyhow::Result<(SnapshotSummary, Option<Vec<u8>>)> {
    let to_output = args.output.as_deref() == Some(Path::new("-"));
    // Before minutes are spent on what could not be kept.
    if to_output {
        anyhow::ensure!(
            !std::io::stdout().is_terminal(),
            "the archive is not written to a terminal: redirect it to a file or a program"
        );
    } else {
        can_be_written(args.output.as_deref())?;
    }
    let Configuration { settings, faults, .. } = settings::read(&args.config);
    let taken_at = jiff::Timestamp::now();
    let request = SnapshotRequest { root: args.root.clone(), settings, child: Own::find(OwnProgram::Child) };
    let (mut basket, recorded) = take(&request).await;
    if let Some(faults) = faults {
        basket.miss("the configuration", &faults.to_string());
    }
    basket.json("settings.json", &without_paths(&request.settings)?);
    daemon::ask(args.bus.as_deref(), &mut basket).await;
    basket.json(RECORDED, &recorded);
    let manifest = manifest(&basket, taken_at);
    basket.json(MANIFEST, &manifest);
    let seconds = u64::try_from(taken_at.as_second()).unwrap_or(0);
    let archive = pack(&basket, seconds).context("cannot pack the archive")?;
    if to_output {
        let told = SnapshotSummary { path: "standard output".into(), archive_bytes: archive.len(), manifest };
        return Ok((told, Some(archive)));
    }
    let path = args.output.clone().unwrap_or_else(|| default_name(&recorded.name, taken_at).into());
    write(&path, &archive)?;
    Ok((SnapshotSummary { path, archive_bytes: archive.len(), manifest }, None))
}

/// The paths of the manager's API are the same everywhere, and one is named as if it were a secret.
fn without_paths(settings: &Settings) -> anyhow::Result<serde_json::Value> {
    let mut document = serde_json::to_value(settings).context("the settings cannot be written as JSON")?;
    if let Some(manager) = document.get_mut("manager").and_then(serde_json::Value::as_object_mut) {
        manager.remove("paths");
    }
    Ok(document)
}

fn manifest(basket: &Basket, taken_at: jiff::Timestamp) -> Manifest {
    Manifest {
        format: FORMAT,
        gpuhostd: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at: UnixMillis(taken_at.as_millisecond()),
        as_root: nix::unistd::geteuid().is_root(),
        files: basket.listed(),
        missed: basket.missed().to_vec(),
    }
}

/// `gpuhostd-snapshot-HOST-20260102T030405Z.tar.gz`; a host's name could hold anything.
fn default_name(host: &str, taken_at: jiff::Timestamp) -> String {
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(64).collect();
    format!("gpuhostd-snapshot-{host}-{}.tar.gz", taken_at.strftime("%Y%m%dT%H%M%SZ"))
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Folder and name of a file; the way to the folder may have links.
fn place_of(path: &Path) -> anyhow::Result<(PathBuf, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} is not a valid file name", path.display()))?;
    let folder = folder_of(path);
    let folder = folder.canonicalize().with_context(|| format!("there is no directory {}", folder.display()))?;
    Ok((folder, name))
}

/// Whether an archive could be written there; nothing is, yet.
fn can_be_written(output: Option<&Path>) -> anyhow::Result<()> {
    let folder = match output {
        Some(path) => {
            let (folder, name) = place_of(path)?;
            check_named(&folder, name)?;
            folder
        }
        None => PathBuf::from("."),
    };
    access(&folder, AccessFlags::W_OK | AccessFlags::X_OK)
        .with_context(|| format!("no archive can be written to {}; name another place with -o", folder.display()))
}

fn write(path: &Path, archive: &[u8]) -> anyhow::Result<()> {
    let lost = "the snapshot was taken but could not be written";
    let (folder, name) = place_of(path).context(lost)?;
    write_named(&folder, name, archive, MODE).context(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_holds_host_and_time_and_no_path() {
        let at = jiff::Timestamp::from_second(1_767_322_845).unwrap();
        assert_eq!(default_name("../dgx 1", at), "gpuhostd-snapshot-dgx1-20260102T030045Z.tar.gz");
    }

    #[test]
    fn the_archive_is_private_and_replaces_nothing_but_a_plain_file() {
        use model::causes::with_causes;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join("x.tar.gz"));
        std::fs::write(&victim, "theirs").unwrap();
        symlink(&victim, &path).unwrap();
        let inside = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&inside("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(inside("socket")).unwrap();
        symlink("/dev/null", inside("to-device")).unwrap();
        symlink("nothing", inside("to-nothing")).unwrap();
        let own = ["x.tar.gz", "pipe", "socket", "to-device", "to-nothing"].map(inside);
        let devices = ["/dev/null", "/dev/full", "/dev/stdout"].map(PathBuf::from);
        for taken in own.iter().chain(&devices).map(PathBuf::as_path).chain([folder.path()]) {
            let seen =
                || std::fs::symlink_metadata(taken).map(|found| (found.ino(), found.mode(), found.rdev())).unwrap();
            let before = seen();
            for fault in [can_be_written(Some(taken)), write(taken, b"archive")] {
                let fault = with_causes(fault.unwrap_err().as_ref());
                assert!(fault.contains("only a regular file is replaced"), "{}: {fault}", taken.display());
            }
            assert_eq!(seen(), before, "{} is not what it was", taken.display());
        }
        assert_eq!(std::fs::read(&victim).unwrap(), b"theirs");
        std::fs::remove_file(&path).unwrap();
        can_be_written(Some(&path)).unwrap();
        assert!(!path.exists());
        write(&path, b"archive").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"archive");
        assert_eq!(path.symlink_metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(Path::new("/nonexistent/x"), b"").unwrap_err().to_string().contains("could not be written"));
        assert!(write(Path::new("/"), b"").is_err());
    }
}
