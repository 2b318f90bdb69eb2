//! `doctor`: gets the facts of the host, has them judged, and prints what was found.

mod environment;
mod print;

use crate::args::Doctor;
use crate::daemon::BUS_VARIABLE;
use crate::failure::Failure;
use crate::input;
use crate::role::{self, Facts};
use crate::text::{print as print_lines, print_json};
use indicatif::{ProgressBar, ProgressStyle};
use model::doctor::diagnose;
use model::doctor::doctor_facts::{DoctorFacts, FORMAT};
use std::io::IsTerminal;
use std::time::Duration;

/// Nothing is shown of a reading that is done within this time.
const SHOW_AFTER: Duration = Duration::from_secs(1);
/// Facts are no larger than this.
const FACTS_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Examines the host. The exit status reports an error or a warning, but not a hint.
pub(crate) fn run(how: Doctor, bus: Option<String>, json: bool) -> Result<(), Failure> {
    if how.list {
        return print::list(json);
    }
    let text = match &how.facts {
        Some(file) => input::read_text(file, FACTS_MAX_BYTES)?,
        None => {
            let asked = Facts { root: how.root, config: how.config, state: how.state, bus, ..Facts::default() };
            crate::block_on(of_this_host(asked))?
        }
    };
    let facts = parse(&text)?;
    let diagnosis = diagnose(&facts);
    if json {
        print_json(&diagnosis)?;
    } else {
        print_lines(&print::lines(&diagnosis, facts.as_root))?;
    }
    if diagnosis.is_ill() { Err(Failure::Ill) } else { Ok(()) }
}

/// Reads the host, and reports that it does where that takes longer than a second.
async fn of_this_host(mut asked: Facts) -> Result<String, Failure> {
    // Another root or another bus is another host than systemd's.
    if asked.root.is_none() && asked.bus.is_none() && std::env::var_os(BUS_VARIABLE).is_none() {
        asked.environment = environment::of_service().await;
    }
    let reading = role::doctor_facts(&asked);
    tokio::pin!(reading);
    if let Ok(facts) = tokio::time::timeout(SHOW_AFTER, &mut reading).await {
        return facts;
    }
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar.set_message("reading the host; if a driver hangs, this takes half a minute");
        bar
    });
    let facts = reading.await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    facts
}

/// The format first: facts of another version must not be judged wrongly.
fn parse(text: &str) -> Result<DoctorFacts, Failure> {
    let wrong = |why: String| Failure::Usage { why: format!("this is not a document of doctor facts: {why}") };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => return Err(wrong(format!("its format is {format}, and this version reads {FORMAT}"))),
        None => return Err(wrong("it names no format".to_owned())),
    }
    serde_json::from_value(value).map_err(|error| wrong(error.to_string()))
}
