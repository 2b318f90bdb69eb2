//! The picture: from what the daemon reported, and the size of the screen, to lines. It reads nothing and knows no terminal.

use super::columns::{self, Column};
use super::frame::Frame;
use super::line::Line;
use super::rows::Row;
use super::{header, rows};
use crate::text::{Look, span};

/// What the watcher has chosen, and the connection to the daemon.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Rows scrolled over.
    pub(crate) scroll: usize,
    /// Seconds between updates.
    pub(crate) interval: u64,
    /// Why the daemon does not answer (any more).
    pub(crate) trouble: Option<String>,
}

/// On fewer lines than this the header is one line.
const LOW: usize = 14;

/// One picture of everything, as long as it needs to be.
pub(crate) fn picture(frame: &Frame, width: usize) -> Vec<String> {
    let mut lines = header::lines(frame, width);
    lines.push(Line::default());
    lines.extend(table(frame, width));
    lines.iter().map(|line| line.shown(width)).collect()
}

/// The screen: at most `height` lines, and the furthest that it can be scrolled.
pub(crate) fn screen(frame: Option<&Frame>, view: &View, width: usize, height: usize) -> (Vec<String>, usize) {
    let Some(frame) = frame else {
        let lines = [Line::of("gpuhostd", Look::Bold), footer(None, view)];
        return (lines.iter().take(height).map(|line| line.shown(width)).collect(), 0);
    };
    let mut lines = header::lines(frame, width);
    if height < LOW {
        lines.truncate(1);
    } else {
        lines.push(Line::default());
    }
    let mut table = table(frame, width).into_iter();
    lines.extend(table.next());
    let rows: Vec<Line> = table.collect();
    // The footer keeps the last line.
    let room = height.saturating_sub(lines.len() + 1);
    let furthest = rows.len().saturating_sub(room);
    let skipped = view.scroll.min(furthest);
    let hidden = rows.len().saturating_sub(skipped + room);
    lines.extend(rows.into_iter().skip(skipped).take(room));
    lines.truncate(height.saturating_sub(1));
    let mut last = footer(Some(frame), view);
    if hidden > 0 && view.trouble.is_none() {
        last = Line::of(&format!("{hidden} more below  "), Look::Bold).and("q quit  arrows scroll", Look::Dim);
    }
    lines.push(last);
    (lines.iter().take(height).map(|line| line.shown(width)).collect(), furthest)
}

fn footer(frame: Option<&Frame>, view: &View) -> Line {
    if let Some(trouble) = &view.trouble {
        return Line::of(&format!("{trouble}; trying again"), Look::Bad).and("  q quit", Look::Dim);
    }
    let age = frame.and_then(|frame| {
        let (host, load) = (&frame.snapshot.host, &frame.snapshot.load);
        load.now.zip(host.observed_at).map(|(now, then)| now.saturating_sub(then))
    });
    let seen = age.map_or_else(|| "asking the daemon".to_owned(), |age| format!("observed {} ago", span(age)));
    Line::of(&format!("q quit  arrows scroll  every {} s  {seen}", view.interval), Look::Dim)
}

/// The titles, and under them the rows.
fn table(frame: &Frame, width: usize) -> Vec<Line> {
    let gpus = &frame.snapshot.gpus;
    let short = gpus.iter().all(|gpu| gpu.address.starts_with("0000:")) && width < 100;
    let rows: Vec<Row> = gpus.iter().flat_map(|gpu| rows::of(gpu, &frame.containers, short)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let content = |column: Column| rows.iter().map(|row| row.width(column)).max().unwrap_or(0);
    let columns = columns::fit(width, content);
    let mut lines = vec![titles(&columns)];
    let has_users = columns.iter().any(|(column, _)| *column == Column::Users);
    // A row with nothing but a user is of no use where users have no column.
    let shown = rows.iter().filter(|row| !row.inner || has_users || row.width(Column::Memory) > 0);
    lines.extend(shown.map(|row| row.line(&columns)));
    lines
}

fn titles(columns: &[(Column, usize)]) -> Line {
    let mut line = Line::default();
    for (index, (column, width)) in columns.iter().enumerate() {
        let (title, width) = (column.title(), *width);
        let gap = if index > 0 { " ".repeat(columns::GAP) } else { String::new() };
        let text = if column.is_number() { format!("{gap}{title:>width$}") } else { format!("{gap}{title:<width$}") };
        line.push(&text, Look::Bold);
    }
    line
}
