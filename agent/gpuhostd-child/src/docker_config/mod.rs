//! Docker's configuration file: finds the one that a dockerd reads, and edits it in a draft that then takes its place.
//! Decision record 28 has the reasons.

mod config_fault;
mod config_file;
mod docker_process;
mod draft;
mod mount_table;
mod replace;

use crate::write::seal_in;
use config_fault::ConfigFault;
use config_file::{ConfigPlace, content, resolved, sha256};
use docker_process::{DockerProcess, docker_process};
use model::daemon_json::{Edited, RuntimeEntry, enables_cdi, insert, is_emptied};
use model::docker_config::{DockerConfigSeen, EntrySeen, FeatureSeen, WhyUnusable};
use model::os_cause::OsCause;
use protocol::docker_task::{DockerDaemon, DockerDraft, DockerFound, DockerTask};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What the child answers.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum DockerAnswer {
    /// To a look.
    Found(DockerFound),
    /// To a draft.
    Draft(DockerDraft),
    /// To the others.
    Done,
}

/// Does a task. Nothing outside of the file's own directory can be written from here on.
pub(crate) fn run(task: &DockerTask) -> Result<DockerAnswer, OsCause> {
    match task {
        DockerTask::Look { pid, entry, reads_mark } => {
            sealed(&[])?;
            let found = look(Path::new("/proc"), *pid, entry, *reads_mark);
            Ok(DockerAnswer::Found(found.map_or_else(DockerFound::Unusable, DockerFound::Daemon)))
        }
        DockerTask::Draft { file, sha256, edit, reads_mark, is_required } => {
            make_folder(Path::new(file))?;
            let place = writable(file)?;
            Ok(DockerAnswer::Draft(draft::draft(&place, sha256.as_deref(), edit, *reads_mark, *is_required)?))
        }
        DockerTask::Replace { file, sha256, draft_sha256, keeps_backup } => {
            let place = writable(file)?;
            replace::replace(&place, sha256.as_deref(), draft_sha256.as_deref(), *keeps_backup)?;
            Ok(DockerAnswer::Done)
        }
        DockerTask::Discard { file } => {
            draft::discard(&writable(file)?)?;
            Ok(DockerAnswer::Done)
        }
    }
}

fn sealed(folders: &[&Path]) -> Result<(), OsCause> {
    seal_in(folders)
        .map(|_| ())
        .map_err(|fault| OsCause::found(format!("cannot restrict access to other files (Landlock): {fault}")))
}

fn writable(file: &str) -> Result<ConfigPlace, OsCause> {
    let place = ConfigPlace::open(Path::new(file))?;
    sealed(&[&place.dir])?;
    Ok(place)
}

/// The directory of the file, if it alone is missing: `/etc/docker` of a Docker that was never configured.
fn make_folder(file: &Path) -> Result<(), ConfigFault> {
    let Some(folder) = file.parent().filter(|folder| folder.symlink_metadata().is_err()) else { return Ok(()) };
    let failed = |error: std::io::Error| {
        let folder = folder.display();
        ConfigFault::words(format!(
            "cannot create the directory {folder}: {error}; `install -d -m 0755 {folder} && systemctl restart gpuhostd-host`, then \
             `gpuhostctl toolkit enable`"
        ))
    };
    std::fs::create_dir(folder).map_err(failed)?;
    // The mask of the unit would keep everybody else out of it.
    std::fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(failed)?;
    let synced = folder.parent().map_or(Ok(()), |above| File::open(above).and_then(|above| above.sync_all()));
    synced.map_err(|error| ConfigFault::io("sync the directory above", folder, &error))
}

fn look(proc: &Path, pid: u32, entry: &RuntimeEntry, reads_mark: bool) -> Result<DockerDaemon, WhyUnusable> {
    let DockerProcess { program, args, file, is_required, unit } = docker_process(proc, pid)?;
    let (path, real) = (Path::new(&file), resolved(Path::new(&file)));
    is_file_of_this_host(proc, pid, path, &real)?;
    let (sha256, entry, cdi) = match content(path) {
        Ok(None) if is_required => return Err(WhyUnusable::DockerConfigGone { file }),
        Ok(bytes) => {
            let bytes = bytes.as_deref();
            (bytes.map(sha256), entry_seen(bytes, entry, reads_mark), feature_seen(bytes))
        }
        Err(refused) => (None, EntrySeen::Refused(refused), FeatureSeen::LeftAlone),
    };
    let real_file = real.to_str().map(str::to_owned).ok_or_else(|| WhyUnusable::DockerUnknown {
        said: format!("the path of {file} without its links is not UTF-8: {}", real.display()),
    })?;
    let seen = DockerConfigSeen { file, real_file, unit, sha256, entry, cdi };
    let has_leftovers = ConfigPlace::open(&real).is_ok_and(|place| place.has_leftovers());
    Ok(DockerDaemon { seen, program, args, is_required, has_leftovers })
}

/// Docker and this process have the same file at that path, however the directories came there.
fn is_file_of_this_host(proc: &Path, pid: u32, path: &Path, real: &Path) -> Result<(), WhyUnusable> {
    let own = docker_process::text(proc, std::process::id(), "mountinfo")?;
    let its = docker_process::text(proc, pid, "mountinfo")?;
    let same = |path: &Path| {
        let found = mount_table::on_device(&its, path);
        found.is_some() && found == mount_table::on_device(&own, path)
    };
    if same(path) && same(real) {
        return Ok(());
    }
    Err(WhyUnusable::DockerElsewhere { pid, file: path.display().to_string() })
}

fn feature_seen(bytes: Option<&[u8]>) -> FeatureSeen {
    match bytes.map_or(Ok(false), enables_cdi) {
        Ok(true) => FeatureSeen::Enabled,
        Ok(false) => FeatureSeen::Absent,
        Err(_) => FeatureSeen::LeftAlone,
    }
}

fn entry_seen(bytes: Option<&[u8]>, entry: &RuntimeEntry, reads_mark: bool) -> EntrySeen {
    match insert(bytes, entry, reads_mark) {
        Ok(Edited::Unchanged) => EntrySeen::AsWanted,
        Ok(Edited::Content(_) | Edited::NoFile) if bytes.is_some_and(|bytes| is_emptied(bytes, &entry.name)) => {
            EntrySeen::Emptied
        }
        Ok(Edited::Content(_) | Edited::NoFile) => EntrySeen::Absent,
        Err(refused) => EntrySeen::Refused(refused),
    }
}
