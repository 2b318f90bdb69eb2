//! Has the running engine's own program judge a draft of its configuration, with the arguments that the engine was started with.

use model::daemon_json::can_validate;
use model::printable::printable;
use protocol::docker_task::DockerDaemon;
use spawn::{Own, Program, Supervisor};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// It reads one file. A host under load takes a second.
const WITHIN: Duration = Duration::from_secs(10);
const WORDS_MAX_CHARS: usize = 600;
/// Where a program is that was started by its name alone.
const FOLDERS: [&str; 6] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"];

/// Whether Docker would start with the draft, as far as `dockerd --validate` can tell; engines before 23.0 do not have it.
pub(super) async fn judge(
    supervisor: &Supervisor,
    daemon: &DockerDaemon,
    draft: &Path,
    version: Option<&str>,
) -> Result<(), String> {
    // An engine of an unknown version has not answered: then there is nothing that could take the file up either.
    let Some(version) = version else {
        return Err("the version of Docker is not known: it does not answer".to_owned());
    };
    if !can_validate(version) {
        return Ok(());
    }
    let path = program(&daemon.program);
    let args = daemon.args.iter().map(OsString::from);
    let own = ["--validate".into(), "--config-file".into(), draft.into()];
    // Held open, so that root starts no program that others may change.
    let program = Program::own(&Own::at(&path), own.into_iter().chain(args), WITHIN);
    let called = format!("{} --validate --config-file {}", path.display(), draft.display());
    match supervisor.run("dockerd --validate", program).await {
        Ok(finished) if finished.status.success() => Ok(()),
        Ok(finished) => {
            let words = printable(String::from_utf8_lossy(&finished.stderr).trim(), WORDS_MAX_CHARS);
            Err(format!(
                "Docker would not start with it, so the file is left as it is (not_validated): {called}: {words}; correct what it names \
                 in the file or in the arguments of dockerd"
            ))
        }
        Err(fault) => {
            Err(format!("it cannot be checked, so the file is left as it is (not_validated): {called}: {fault}"))
        }
    }
}

/// The program's path: what it was started as, or the first of that name where programs are.
fn program(started: &str) -> PathBuf {
    if started.contains('/') {
        return started.into();
    }
    let found = FOLDERS.iter().map(|folder| Path::new(folder).join(started)).find(|path| path.is_file());
    found.unwrap_or_else(|| started.into())
}
