//! `events`: what has happened on this host, and what happens from now on.

use crate::daemon::{ANSWER_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::text::{Cell, Look, Table, print as print_lines, print_json};
use clap::Args;
use futures_util::StreamExt;
use model::time::UnixMillis;
use std::time::Duration;
use wire::dbus::event::{EventPageView, EventView};
use wire::dbus::proxy::{HostProxy, Options};

/// `events`
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Events {
    /// Only events since then: 15m, 2h or 7d ago, or a time such as `2026-11-28 16:17`
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<u64>,
    /// Print further events as they happen, with --json one in each line
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// A daemon that is away is asked again so often.
const AGAIN_EACH: Duration = Duration::from_secs(1);

/// Prints them.
pub(crate) async fn run(bus: Option<String>, how: Events, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let host = daemon.host().await?;
    // What happens between the last page and the first signal must not be missed.
    let signals = match how.follow {
        true => {
            let owners = daemon.answer(ANSWER_DEADLINE, host.inner().receive_owner_changed()).await?;
            Some((daemon.answer(ANSWER_DEADLINE, host.receive_events_happened()).await?, owners))
        }
        false => None,
    };
    let mut shown = Shown { json, follow: how.follow, is_first: true };
    let mut all = Vec::new();
    let mut after = 0;
    let dropped = loop {
        let page = page(&daemon, &host, after, how.since).await?;
        after = page.next;
        all.extend(page.events);
        if !page.more {
            break page.dropped;
        }
    };
    if json && !how.follow {
        return print_json(&all);
    }
    shown.print(&all)?;
    if !json && shown.is_first && !how.follow {
        print_lines(&["No event is kept of this time.".to_owned()])?;
    }
    if !json && dropped > 0 {
        print_lines(&[format!("At least {dropped} events were dropped before the manager had them.")])?;
    }
    let Some((mut signals, mut owners)) = signals else { return Ok(()) };
    let mut is_away = false;
    loop {
        // A daemon that starts again need not signal what it kept before it was on the bus.
        let is_connected = tokio::select! {
            signal = signals.next() => signal.is_some(),
            owner = owners.next() => {
                if owner == Some(None) {
                    // It has ended: the next one is waited for, and a call might start it.
                    is_away = false;
                    continue;
                }
                owner.is_some()
            }
            () = tokio::time::sleep(AGAIN_EACH), if is_away => true,
        };
        if !is_connected {
            return Err(Failure::NotRunning { bus: daemon.bus });
        }
        is_away = match shown.go_on(&daemon, &host, &mut after, how.since).await {
            Ok(()) => false,
            Err(failure) if failure.is_of_a_restart() => true,
            Err(failure) => return Err(failure),
        };
    }
}

async fn page(
    daemon: &Daemon,
    host: &HostProxy<'static>,
    after: u64,
    since: Option<u64>,
) -> Result<EventPageView, Failure> {
    let mut options = Options::new();
    if let Some(since) = since {
        options.insert("since", since.into());
    }
    let text = daemon.answer(ANSWER_DEADLINE, host.read_events(after, options)).await?;
    serde_json::from_str(&text).map_err(|source| Failure::Answer { source })
}

/// What is on the terminal so far.
struct Shown {
    json: bool,
    follow: bool,
    is_first: bool,
}

impl Shown {
    /// Prints what is behind `after`, which follows.
    async fn go_on(
        &mut self,
        daemon: &Daemon,
        host: &HostProxy<'static>,
        after: &mut u64,
        since: Option<u64>,
    ) -> Result<(), Failure> {
        loop {
            let page = page(daemon, host, *after, since).await?;
            *after = page.next;
            self.print(&page.events)?;
            if !page.more {
                return Ok(());
            }
        }
    }

    fn print(&mut self, events: &[EventView]) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        if self.json && self.follow {
            let lines: Result<Vec<String>, _> = events.iter().map(serde_json::to_string).collect();
            return print_lines(&lines.map_err(|source| Failure::Answer { source })?);
        }
        let lines = lines(events, std::mem::take(&mut self.is_first));
        print_lines(&lines)
    }
}

/// An image with the first digits of its digest, as Docker shows them: the whole of it is in the JSON.
fn short(subject: &str) -> String {
    const DIGITS: usize = 12;
    match subject.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@sha256:{}", digest.chars().take(DIGITS).collect::<String>()),
        None => subject.to_owned(),
    }
}

/// Events as lines, with a title above the first.
pub(crate) fn lines(events: &[EventView], titled: bool) -> Vec<String> {
    let mut table =
        if titled { Table::new(&["TIME", "SEVERITY", "EVENT", "SUBJECT", "WHAT"]) } else { Table::untitled() };
    for event in events {
        let look = match event.severity.as_str() {
            "error" | "warning" => Look::Bad,
            "debug" => Look::Dim,
            _ => Look::Plain,
        };
        let subject = Some(short(&event.subject)).filter(|subject| !subject.is_empty());
        table.row(vec![
            Cell::plain(Some(&UnixMillis(event.time).to_utc())),
            Cell::new(&event.severity, look),
            Cell::plain(Some(&event.kind)),
            Cell::plain(subject.as_deref()),
            Cell::plain(Some(&event.message)),
        ]);
    }
    table.lines()
}

/// An instant in milliseconds since 1970-01-01 UTC: a span before now (`90s`, `15m`, `2h`, `7d`), or a time (`2026-11-28 16:17`, in this
/// host's time zone, or with a zone as RFC 3339 has it).
pub(crate) fn since(text: &str) -> Result<u64, String> {
    since_at(text, jiff::Zoned::now())
}

fn since_at(text: &str, now: jiff::Zoned) -> Result<u64, String> {
    let text = text.trim();
    let span = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let millis =
            number.parse::<i64>().ok().filter(|number| *number >= 0)?.checked_mul(seconds)?.checked_mul(1000)?;
        now.timestamp().as_millisecond().checked_sub(millis)
    };
    let with_zone = || text.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond());
    let civil = || {
        let day = || text.parse::<jiff::civil::Date>().ok().map(|day| day.at(0, 0, 0, 0));
        let time = text.parse::<jiff::civil::DateTime>().ok().or_else(day)?;
        Some(time.to_zoned(now.time_zone().clone()).ok()?.timestamp().as_millisecond())
    };
    let millis = span().or_else(with_zone).or_else(civil);
    // The daemon takes no instant before 1970, and none is earlier than all events.
    millis.map(|millis| u64::try_from(millis).unwrap_or(0).max(1)).ok_or_else(|| {
        "expected a span such as 15m, 2h or 7d, or a time such as 2026-11-28, `2026-11-28 16:17` or 2026-11-28T16:17:09Z".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_before_now_or_a_time() {
        let now: jiff::Zoned = "2026-11-28T16:00:00+01:00[+01:00]".parse().unwrap();
        let hour = 3_600_000;
        let at = u64::try_from(now.timestamp().as_millisecond()).unwrap();
        let read = |text: &str| since_at(text, now.clone());
        assert_eq!(read("2h"), Ok(at - 2 * hour));
        assert_eq!(read(" 7d "), Ok(at - 7 * 24 * hour));
        assert_eq!(read("90s"), Ok(at - 90_000));
        assert_eq!(read("2026-11-28T15:00:00Z"), Ok(at));
        assert_eq!(read("2026-11-28 15:00"), Ok(at - hour), "in the zone of the host");
        assert_eq!(read("2026-11-28"), Ok(at - 16 * hour));
        assert_eq!(read("9999999d"), Ok(1), "before all events");
        for odd in ["", "h", "-5m", "5w", "yesterday", "99999999999999999999s", "ö"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}
