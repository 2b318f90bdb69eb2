//! The disposable child of the hands, which does one thing that may hang or crash and is gone: it asks NVML, writes one step of a
//! change, looks closely at a GPU, looks at MIG or changes it, edits Docker's configuration, looks into every process, or which devices a container may open. A library so that tests can be their own child.

mod capability;
mod container_devices;
mod docker_config;
mod holders;
mod line_out;
mod nvml;
mod write;

use holders::Places;
use host::front::{Surroundings, Sysfs};
use line_out::LineOut;
use model::PciAddress;
use model::device_links::DeviceNumber;
use model::driver::DriverSource;
use model::os_cause::OsCause;
use model::plan::Scope;
use nvml::{mig_act, mig_look};
use nvml_wrapper::Nvml;
use protocol::child::{self, Task};
use protocol::lines::Question;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

/// The child with its arguments: `VERSION TASK …` of a hand (see [`protocol::child`]), or `name-mig-monitor` of
/// `gpuhostd-mig-monitor.service`. It answers on standard output, or reports on standard error what is wrong. Blocking.
#[must_use]
pub fn run(args: &[OsString]) -> ExitCode {
    let outcome = match args {
        [word] if word == capability::WORD => capability::make(),
        _ => child::read(args)
            .map_err(OsCause::found)
            .and_then(|(task, rest)| done(task, rest))
            .map_err(|cause| child::failure_line(&cause)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            // Standard error is a pipe to the hand, or the journal; where that has gone, nobody is left to tell.
            let _ = writeln!(io::stderr(), "{said}");
            ExitCode::FAILURE
        }
    }
}

fn done(task: Task, args: &[OsString]) -> Result<(), OsCause> {
    match (task, args) {
        (Task::Probe, [source, question]) if source == DriverSource::Nvml.code() => probe(&question.to_string_lossy()),
        (Task::Act, [sysfs, scope, file, text]) => {
            write::sealed(sysfs.as_ref(), &scope_in(scope)?, file.as_ref(), text.as_encoded_bytes())
        }
        (Task::InspectScope, [root, dev, modules, scope]) => {
            group_state(root.as_ref(), &Surroundings { dev: dev.into(), modules: modules.into() }, &scope_in(scope)?)
        }
        (Task::LookForHolders, [sysfs, scope]) => {
            answer(&holders::holders(&Places::with_sysfs(sysfs), &scope_in(scope)?))
        }
        (Task::LookForMigHolders, [gpu]) => answer(&holders::mig_holders(Path::new("/proc"), address_in(gpu)?)),
        (Task::ListContainerNodes, [container, pid]) => answer(&holders::container_nodes(
            Path::new("/proc"),
            &text_in("container", container)?,
            text_in("pid", pid)?,
        )?),
        (Task::ProbeContainerDevices, [container, pid, devices]) => {
            let devices: Vec<DeviceNumber> = in_json("list of devices", devices)?;
            answer(&container_devices::probe(&text_in("container", container)?, text_in("pid", pid)?, &devices)?)
        }
        (Task::MigLook, [libraries, gpu]) => {
            let gpu = address_in(gpu)?;
            on_its_own_line(&mig_look::look(&library(libraries)?, gpu)?)
        }
        (Task::MigAct, [libraries, gpu, step]) => {
            let (gpu, step) = (address_in(gpu)?, in_json("step", step)?);
            mig_act::take(&library(libraries)?, gpu, &step)
        }
        (Task::DockerConfig, [task]) => answer(&docker_config::run(&in_json("task", task)?)?),
        (
            Task::Probe
            | Task::Act
            | Task::InspectScope
            | Task::LookForHolders
            | Task::LookForMigHolders
            | Task::ListContainerNodes
            | Task::ProbeContainerDevices
            | Task::MigLook
            | Task::MigAct
            | Task::DockerConfig,
            _,
        ) => Err(OsCause::found(format!("{} does not take these arguments", task.word()))),
    }
}

fn scope_in(text: &OsString) -> Result<Scope, OsCause> {
    in_json("scope", text)
}

fn in_json<T: DeserializeOwned>(what: &str, text: &OsString) -> Result<T, OsCause> {
    serde_json::from_str(&text.to_string_lossy())
        .map_err(|error| OsCause::found(format!("the {what} cannot be read: {error}")))
}

fn text_in<T: FromStr>(what: &str, text: &OsString) -> Result<T, OsCause>
where
    T::Err: std::fmt::Display,
{
    let text = text.to_string_lossy();
    text.parse().map_err(|error| OsCause::found(format!("{text:?} is not a {what}: {error}")))
}

fn library(paths: &OsString) -> Result<Nvml, OsCause> {
    let paths: Vec<String> = in_json("list of libraries", paths)?;
    mig_look::library(&paths)
}

fn address_in(text: &OsString) -> Result<PciAddress, OsCause> {
    let text = text.to_string_lossy();
    text.parse().map_err(|error| OsCause::found(format!("{text:?} is not the address of a GPU: {error}")))
}

/// Asks NVML, and writes what it reports line by line.
fn probe(question: &str) -> Result<(), OsCause> {
    let question: Question = serde_json::from_str(question).map_err(|error| OsCause::found(error.to_string()))?;
    let mut out = LineOut::new(io::stdout());
    let passed = nvml::tell(&question, |line| out.take(&line));
    passed.and_then(|()| out.hand_over()).map_err(|error| OsCause {
        said: format!("the answers of NVML cannot be passed on: {error}"),
        errno: error.raw_os_error(),
    })
}

fn on_its_own_line(seen: &impl Serialize) -> Result<(), OsCause> {
    let mut out = LineOut::new(io::stdout());
    out.add(seen).and_then(|()| out.hand_over()).map_err(|error| OsCause {
        said: format!("what was seen cannot be passed on: {error}"),
        errno: error.raw_os_error(),
    })
}

/// Gives up all writing, reads, and reports what it saw.
fn group_state(root: &Path, around: &Surroundings, scope: &Scope) -> Result<(), OsCause> {
    write::seal(&[]).map_err(|fault| OsCause::found(format!("cannot give up write access (Landlock): {fault}")))?;
    answer(&Sysfs::new(root).group_state(around, scope)?)
}

fn answer(seen: &impl Serialize) -> Result<(), OsCause> {
    let text = serde_json::to_vec(seen).map_err(|error| OsCause::found(error.to_string()))?;
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).map_err(OsCause::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_arguments_than_those_of_a_task_do_nothing() {
        let calls: [(Task, &[&str]); 6] = [
            (Task::Probe, &[]),
            (Task::Probe, &["nvml"]),
            (Task::Probe, &["nvml", "not json"]),
            (Task::Probe, &["nvidia_smi", "[]"]),
            (Task::Act, &["/sys", "no scope", "/nonexistent", "x"]),
            (Task::LookForHolders, &["/sys"]),
        ];
        for (task, args) in calls {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            assert!(done(task, &args).is_err(), "{task:?} {args:?}");
        }
    }
}
