//! `driver|toolkit enable|upgrade|disable --dry-run`: what would be done, what would be edited, who uses the driver, and what would
//! prevent it, as far as it can be known beforehand.

use crate::daemon::Daemon;
use crate::docker_check::{lacks_cdi, painted, planned};
use crate::failure::{Failure, STANDS_IN_THE_WAY};
use crate::show::ps::driver_users;
use crate::text::{Look, clean, paint, print as print_lines, print_json};
use model::daemon_json::needs_cdi_feature;
use model::docker_config::DockerRestart;
use model::driver_host::ToolkitVersion;
use model::image_ref::ImageRef;
use model::nvidia_container::{NvidiaImage, NvidiaRole};
use model::policy::NvidiaPolicy;
use serde::Serialize;
use wire::dbus::nvidia::NvidiaContainerView;
use wire::dbus::snapshot::Snapshot;

/// What it is decided from.
struct PlanInputs<'a> {
    role: NvidiaRole,
    /// The image that is named, or the one that is configured; `None` = it is to be removed.
    enable: Option<Option<&'a str>>,
    view: &'a NvidiaContainerView,
    /// Processes that use the driver.
    users: Vec<String>,
    /// Running workspaces with a GPU that they share.
    workspaces: Vec<String>,
    /// Version of the driver that is loaded.
    driver: Option<String>,
    /// The policy, where this user may read it.
    policy: Result<NvidiaPolicy, String>,
    /// The difference in Docker's configuration, or why it is left as it is.
    difference: Result<Vec<String>, String>,
    /// Version of Docker, where it is one that needs `features.cdi` and has not got it.
    cdi_for: Option<&'a str>,
}

/// Something that would prevent it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PlanRefusal {
    code: String,
    message: String,
}

/// What would be done.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NvidiaPlan {
    role: String,
    /// In order.
    steps: Vec<String>,
    /// Lines of Docker's configuration.
    difference: Vec<String>,
    /// What waits, and what is worth knowing before.
    notes: Vec<String>,
    /// What would prevent it.
    refusals: Vec<PlanRefusal>,
}

/// Plans, and prints it.
pub(super) async fn print(
    daemon: &Daemon,
    role: NvidiaRole,
    enable: Option<Option<&str>>,
    json: bool,
) -> Result<(), Failure> {
    let snapshot = daemon.snapshot().await?;
    let missing = || Failure::Form { why: format!("it has no {role} container") };
    let view = snapshot.nvidia_containers.iter().find(|view| view.role == role.code()).ok_or_else(missing)?;
    let plan = plan(&PlanInputs {
        role,
        enable,
        view,
        users: driver_users(&snapshot),
        workspaces: sharing(&snapshot),
        driver: snapshot.host.driver_version.clone(),
        policy: crate::policy::policy(None).map(|policy| policy.host.nvidia).map_err(|fault| fault.to_string()),
        difference: planned(enable.is_none()),
        cdi_for: without_cdi(&snapshot).filter(|_| lacks_cdi()),
    });
    if json {
        print_json(&plan)?;
    } else {
        print_lines(&lines(&plan))?;
    }
    match plan.refusals.first() {
        Some(refusal) => Err(Failure::Refused {
            status: STANDS_IN_THE_WAY,
            message: format!("it would be refused ({})", refusal.code),
        }),
        None => Ok(()),
    }
}

/// The version of Docker, where it reads CDI specifications only with `features.cdi`.
fn without_cdi(snapshot: &Snapshot) -> Option<&str> {
    let is_docker = snapshot.host.container_engine.as_deref() == Some("docker");
    snapshot.host.docker_version.as_deref().filter(|version| is_docker && needs_cdi_feature(version))
}

/// Workspaces that run and have the driver's libraries mounted.
fn sharing(snapshot: &Snapshot) -> Vec<String> {
    let shares = snapshot.workspaces.iter().filter(|one| one.pid.is_some() && !one.gpus.is_empty());
    shares.map(|one| one.workspace_id.clone()).collect()
}

fn plan(inputs: &PlanInputs<'_>) -> NvidiaPlan {
    let mut plan = NvidiaPlan { role: inputs.role.to_string(), ..NvidiaPlan::default() };
    match inputs.enable {
        Some(image) => enable(inputs, image, &mut plan),
        None => disable(inputs, &mut plan),
    }
    plan
}

fn refuse(plan: &mut NvidiaPlan, code: &str, message: impl Into<String>) {
    plan.refusals.push(PlanRefusal { code: code.to_owned(), message: message.into() });
}

fn enable(inputs: &PlanInputs<'_>, named: Option<&str>, plan: &mut NvidiaPlan) {
    let (role, view) = (inputs.role, inputs.view);
    let named = match named.map(str::parse::<NvidiaImage>).transpose() {
        Ok(named) => named.map(|named| named.image().clone()),
        Err(fault) => return refuse(plan, "invalid_argument", fault.to_string()),
    };
    let wanted = named.or_else(|| view.image_wanted.as_deref()?.parse::<ImageRef>().ok());
    if let Some(image) = &wanted {
        judge_image(inputs, image, plan);
    }
    let shown = wanted.as_ref().map_or_else(|| "the image that is configured".to_owned(), ToString::to_string);
    let is_there = view.running && wanted.as_ref().is_some_and(|image| is_running(image, view));
    if is_there && view.phase == "ready" {
        plan.notes.push(format!(
            "{shown} runs and is ready: nothing is replaced unless its tag stands for another image now"
        ));
    }
    if !is_there {
        plan.steps.push(format!("pull {shown}; the {role} container that runs goes on meanwhile"));
        if role == NvidiaRole::Driver && !view.running {
            plan.steps.push("judge the host: nothing is started if something prevents a driver container".to_owned());
        }
        plan.steps.push(format!("create the new {role} container, stopped"));
        if let Some(name) = view.container_name.as_ref().filter(|_| view.running) {
            let when = if role == NvidiaRole::Driver { ", once no process uses the driver" } else { "" };
            plan.steps.push(format!("stop {name}{when}"));
        }
        let within = if role == NvidiaRole::Driver { "20 min" } else { "5 min" };
        let else_back = if view.running { "; if it does not become ready, start the one before again" } else { "" };
        plan.steps.push(format!("start it and wait until it is ready, {within} at most{else_back}"));
        if view.running {
            plan.steps.push("remove the one before".to_owned());
            replaced(inputs, plan);
        }
    }
    if role == NvidiaRole::Toolkit {
        docker_config(inputs, "add the runtime `nvidia` to Docker's configuration, and reload Docker", plan);
        cdi(inputs, plan);
    }
}

/// What follows behind the runtime, where Docker needs it.
fn cdi(inputs: &PlanInputs<'_>, plan: &mut NvidiaPlan) {
    let (Some(version), Ok(_)) = (inputs.cdi_for, &inputs.difference) else { return };
    match &inputs.policy {
        Ok(policy) if !(policy.docker_config && policy.cdi) || policy.docker_restart == DockerRestart::Never => {}
        Ok(policy) => plan.steps.push(format!(
            "once the toolkit is ready, add `features.cdi` to Docker's configuration and restart Docker, which Docker {version} needs \
             for CDI: as far as `docker_restart` allows it ({} by the policy), and never where a container would end",
            policy.docker_restart
        )),
        Err(_) => plan.notes.push(format!(
            "Docker {version} needs `features.cdi` and a restart for CDI: both follow once the toolkit is ready, if the policy allows it"
        )),
    }
}

fn disable(inputs: &PlanInputs<'_>, plan: &mut NvidiaPlan) {
    let (role, view) = (inputs.role, inputs.view);
    let Some(name) = view.container_name.clone() else {
        plan.notes.push(format!("there is no {role} container"));
        return;
    };
    if view.running {
        let when = if role == NvidiaRole::Driver { ", once no process uses the driver" } else { "" };
        plan.steps.push(format!("stop {name}{when}"));
    }
    plan.steps.push(format!("remove {name}"));
    match role {
        NvidiaRole::Driver => {
            plan.steps.push("remove the readiness files and unmount what it has mounted below /run/nvidia".to_owned());
            replaced(inputs, plan);
        }
        NvidiaRole::Toolkit => {
            let step = "remove the runtime `nvidia` from Docker's configuration once no container is created with it, and reload Docker";
            docker_config(inputs, step, plan);
            plan.notes.push("the programs in /usr/local/nvidia stay".to_owned());
        }
    }
}

fn docker_config(inputs: &PlanInputs<'_>, step: &str, plan: &mut NvidiaPlan) {
    match (&inputs.difference, &inputs.policy) {
        (_, Ok(policy)) if !policy.docker_config => {
            plan.notes.push(
                "`host.nvidia.docker_config` of the policy does not let gpuhostd edit Docker's configuration"
                    .to_owned(),
            );
        }
        (Ok(lines), _) if lines.is_empty() => {
            plan.notes.push(
                "Docker's configuration is right as it is: it is not written, and Docker not reloaded".to_owned(),
            );
        }
        (Ok(lines), _) => {
            plan.steps.push(step.to_owned());
            plan.difference.clone_from(lines);
        }
        (Err(why), _) => plan.notes.push(format!("Docker's configuration is left as it is: {why}")),
    }
}

fn judge_image(inputs: &PlanInputs<'_>, image: &ImageRef, plan: &mut NvidiaPlan) {
    match &inputs.policy {
        Ok(policy) => {
            if let Err((key, why)) = policy.allows(inputs.role, image) {
                refuse(plan, "denied_by_local_policy", format!("{key}: {why}"));
            }
        }
        Err(why) => plan.notes.push(format!("whether the policy allows it is not known: {why}")),
    }
    if inputs.role == NvidiaRole::Toolkit {
        match image.tag().map(ToolkitVersion::of_tag) {
            None => {}
            Some(Err(fault)) => refuse(plan, "toolkit_version_unknown", fault.to_string()),
            Some(Ok(version)) => {
                if let Err(below) = version.above_floor() {
                    refuse(plan, "toolkit_below_floor", below.to_string());
                }
            }
        }
    }
}

/// The container that runs is from this image, as far as names and digests show it.
fn is_running(image: &ImageRef, view: &NvidiaContainerView) -> bool {
    let digest = image.digest().map(|digest| digest.as_str().to_owned());
    let by_name = view.image_wanted.as_deref() == Some(image.to_string().as_str());
    match digest {
        Some(digest) => view.digest_running.as_ref() == Some(&digest),
        None => by_name && view.digest_wanted.is_some() && view.digest_running == view.digest_wanted,
    }
}

/// What the driver's going means for what runs.
fn replaced(inputs: &PlanInputs<'_>, plan: &mut NvidiaPlan) {
    if inputs.role != NvidiaRole::Driver {
        return;
    }
    if !inputs.users.is_empty() {
        plan.notes.push(format!("it waits (driver_busy) until these have ended: {}", inputs.users.join(", ")));
    }
    let old = inputs.driver.as_deref().map_or_else(|| "the present driver".to_owned(), |old| format!("driver {old}"));
    for workspace in &inputs.workspaces {
        plan.notes.push(format!(
            "the workspace {workspace} keeps the libraries of {old} and cannot use another one until it is started again (stale_driver)"
        ));
    }
}

fn lines(plan: &NvidiaPlan) -> Vec<String> {
    let mut lines = Vec::new();
    if !plan.refusals.is_empty() {
        lines.push(paint("It would be refused:", Look::Bad));
        lines.extend(
            plan.refusals.iter().map(|one| format!("  {}  {}", paint(&one.code, Look::Bold), clean(&one.message))),
        );
    }
    if plan.steps.is_empty() {
        lines.push("Nothing would be done.".to_owned());
    } else {
        lines.push(paint("It would be done so:", Look::Good));
        lines.extend(plan.steps.iter().zip(1..).map(|(step, number)| format!("{number:3}  {}", clean(step))));
    }
    lines.extend(painted(&plan.difference).map(|line| format!("     {line}")));
    lines.extend(plan.notes.iter().map(|note| format!("{} {}", paint("note:", Look::Bold), clean(note))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::nvidia_container::{NvidiaPhase, NvidiaStatus};

    fn view(role: NvidiaRole, runs: bool) -> NvidiaContainerView {
        let wanted = match role {
            NvidiaRole::Driver => "nvcr.io/nvidia/driver:580.126.16-ubuntu24.04",
            NvidiaRole::Toolkit => "nvcr.io/nvidia/k8s/container-toolkit:v1.17.8",
        };
        let digest = format!("sha256:{}", "a".repeat(64));
        let status = NvidiaStatus {
            wished: runs,
            phase: if runs { NvidiaPhase::Ready } else { NvidiaPhase::Disabled },
            image_wanted: runs.then(|| wanted.parse().unwrap()),
            digest_wanted: runs.then(|| digest.parse().unwrap()),
            digest_running: runs.then(|| digest.parse().unwrap()),
            container_name: runs.then(|| format!("gpuhostd-{role}-1")),
            is_running: runs,
            ..NvidiaStatus::not_looked(role)
        };
        (&status).into()
    }

    fn of(view: &NvidiaContainerView, role: NvidiaRole, enable: Option<Option<&str>>) -> NvidiaPlan {
        plan(&PlanInputs {
            role,
            enable,
            view,
            users: vec!["process Xorg (pid 7)".to_owned()],
            workspaces: vec!["alice-1".to_owned()],
            driver: Some("580.126.16".to_owned()),
            policy: Ok(NvidiaPolicy::default()),
            difference: Ok(vec!["+    \"runtimes\": {}".to_owned()]),
            cdi_for: None,
        })
    }

    #[test]
    fn an_upgrade_of_the_driver_names_its_users_and_the_workspaces_that_keep_the_old_libraries() {
        let (role, now) = (NvidiaRole::Driver, view(NvidiaRole::Driver, true));
        let upgrade = of(&now, role, Some(Some("nvcr.io/nvidia/driver:580.126.20")));
        let text = lines(&upgrade).join("\n");
        for words in [
            "pull nvcr.io/nvidia/driver:580.126.20",
            "stop gpuhostd-driver-1, once",
            "start the one before again",
            "Xorg (pid 7)",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(
            text.contains("alice-1 keeps the libraries of driver 580.126.16") && text.contains("stale_driver"),
            "{text}"
        );
        assert!(upgrade.refusals.is_empty() && upgrade.difference.is_empty());
        let same = of(&now, role, Some(None));
        assert!(same.steps.is_empty() && lines(&same).join("\n").contains("is ready"), "{same:?}");
    }

    #[test]
    fn what_would_be_refused_is_named_before_anything_is_asked_for() {
        let nothing = |role| view(role, false);
        let code = |role, image: &str| {
            of(&nothing(role), role, Some(Some(image))).refusals.first().map(|one| one.code.clone())
        };
        for (role, image, expected) in [
            (NvidiaRole::Driver, "driver:1", Some("invalid_argument")),
            (NvidiaRole::Driver, "registry.example/driver:1", Some("denied_by_local_policy")),
            (NvidiaRole::Toolkit, "nvcr.io/nvidia/k8s/container-toolkit:v1.16.0", Some("toolkit_below_floor")),
            (NvidiaRole::Toolkit, "nvcr.io/nvidia/k8s/container-toolkit:nightly", Some("toolkit_version_unknown")),
            (NvidiaRole::Toolkit, "nvcr.io/nvidia/k8s/container-toolkit:v1.17.8", None),
        ] {
            assert_eq!(code(role, image).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn a_restart_of_docker_for_cdi_is_planned_where_it_would_come() {
        let now = view(NvidiaRole::Toolkit, false);
        let of = |cdi_for, policy, enable: Option<Option<&str>>| {
            let plan = plan(&PlanInputs {
                role: NvidiaRole::Toolkit,
                enable,
                view: &now,
                users: vec![],
                workspaces: vec![],
                driver: None,
                policy,
                difference: Ok(vec![]),
                cdi_for,
            });
            let names = |lines: &[String]| lines.iter().any(|line| line.contains("features.cdi"));
            (names(&plan.steps), names(&plan.notes))
        };
        let (allows, enable) = (NvidiaPolicy::default(), Some(None));
        assert_eq!(of(Some("27.1.1"), Ok(allows.clone()), enable), (true, false));
        assert_eq!(of(Some("27.1.1"), Err("no access".to_owned()), enable), (false, true));
        assert_eq!(of(None, Ok(allows.clone()), enable), (false, false), "this Docker does not need it");
        assert_eq!(of(Some("27.1.1"), Ok(allows.clone()), None), (false, false), "the toolkit is removed");
        for forbids in [
            NvidiaPolicy { cdi: false, ..allows.clone() },
            NvidiaPolicy { docker_config: false, ..allows.clone() },
            NvidiaPolicy { docker_restart: DockerRestart::Never, ..allows.clone() },
        ] {
            assert_eq!(of(Some("27.1.1"), Ok(forbids), enable), (false, false));
        }
    }

    #[test]
    fn docker_is_edited_for_the_toolkit_alone_and_only_where_the_policy_allows_it() {
        let role = NvidiaRole::Toolkit;
        let fresh = of(&view(role, false), role, Some(None));
        assert!(!fresh.difference.is_empty() && fresh.steps.last().is_some_and(|step| step.contains("reload Docker")));
        let gone = of(&view(role, true), role, None);
        assert!(!gone.difference.is_empty() && gone.steps[0] == "stop gpuhostd-toolkit-1", "{gone:?}");
        let driver = of(&view(NvidiaRole::Driver, true), NvidiaRole::Driver, None);
        assert!(driver.difference.is_empty() && driver.notes.iter().any(|note| note.contains("driver_busy")));
        let never = of(&view(role, false), role, None);
        assert_eq!((never.steps.len(), never.difference.len()), (0, 0));
    }
}
