//! What a job that only plans has found, for people: the steps, or all that prevents them with what to do about it.

use crate::daemon::Daemon;
use crate::failure::Failure;
use crate::manage::job_view;
use crate::text::{Look, clean, paint, print, print_json};
use crate::wait;
use wire::dbus::job::JobView;
use zbus::OwnedObjectPath;

/// What is worth knowing of it, though it prevents nothing.
pub(crate) fn notes(job: &JobView) -> Vec<String> {
    job.cautions.iter().map(|what| format!("{} {}", paint("note:", Look::Bold), clean(what))).collect()
}

/// The steps of its plan, numbered.
pub(crate) fn steps(job: &JobView) -> Vec<String> {
    job.plan.iter().zip(1..).map(|(step, number)| format!("{number:3}  {}", clean(step))).collect()
}

/// Each thing that prevents it, with what to do about it.
pub(crate) fn blockers(job: &JobView) -> Vec<String> {
    let mut lines = Vec::new();
    for blocker in &job.blockers {
        lines.push(format!("  {}  {}", paint(&clean(&blocker.code), Look::Bold), clean(&blocker.message)));
        lines.push(format!("      to do: {}", clean(&blocker.remedy)));
    }
    lines
}

/// The plan, or all that prevents it with what to do about it.
pub(crate) fn found(job: &JobView, possible: &str) -> Vec<String> {
    if job.error.is_none() {
        let mut lines = vec![paint(possible, Look::Good)];
        lines.extend(steps(job));
        lines.extend(notes(job));
        if job.plan.is_empty() {
            lines.push("Already in the requested state; nothing to do.".to_owned());
        }
        return lines;
    }
    let mut lines = vec![paint("It cannot be done now:", Look::Bad)];
    lines.extend(blockers(job));
    lines
}

/// Waits for a job that only plans, and prints what it found under a head.
pub(crate) async fn print_when_planned(
    daemon: &Daemon,
    job: &OwnedObjectPath,
    json: bool,
    head: Vec<String>,
    possible: &str,
) -> Result<(), Failure> {
    let ended = wait::until_ended(daemon, job).await;
    let job = job_view(daemon, job).await?;
    if json {
        print_json(&job)?;
        return ended;
    }
    print(&head.into_iter().chain(found(&job, possible)).collect::<Vec<_>>())?;
    match ended {
        // All of it was just printed.
        Err(Failure::Refused { status, .. }) if !job.blockers.is_empty() => {
            let message = format!("{} is blocked", job.operation);
            Err(Failure::Refused { status, message })
        }
        other => other,
    }
}
