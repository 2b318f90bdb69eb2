//! Text for people: columns, colours, durations, and nothing that a device could smuggle to the terminal.

use anstream::stdout;
use std::borrow::Cow;
use std::io::Write;

use crate::failure::Failure;

const RESET: &str = "\u{1b}[0m";

/// How a piece of text looks on a terminal. Where the output is no terminal the colours are taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// As it is.
    Plain,
    /// Titles.
    Bold,
    /// All is well.
    Good,
    /// Something is wrong.
    Bad,
    /// Less important.
    Dim,
}

impl Look {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\u{1b}[1m",
            Self::Good => "\u{1b}[32m",
            Self::Bad => "\u{1b}[31m",
            Self::Dim => "\u{1b}[2m",
        }
    }
}

/// The text in a look.
pub(crate) fn paint(text: &str, look: Look) -> String {
    match look {
        Look::Plain => text.to_owned(),
        Look::Bold | Look::Good | Look::Bad | Look::Dim => format!("{}{text}{RESET}", look.code()),
    }
}

/// The text without control characters: names come from devices, drivers and managers.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(steers) { Cow::Owned(text.chars().filter(|c| !steers(*c)).collect()) } else { text.into() }
}

/// The same for a text of several lines: line breaks stay.
pub(crate) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// One cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    look: Look,
}

impl Cell {
    /// A cell with a look.
    pub(crate) fn new(text: impl AsRef<str>, look: Look) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), look }
    }

    /// A plain cell; `-` where there is nothing.
    pub(crate) fn plain(text: Option<&str>) -> Self {
        Self::new(text.unwrap_or("-"), Look::Plain)
    }
}

/// Rows under titles, each column as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with its titles.
    pub(crate) fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| Cell::new(title, Look::Bold)).collect()] }
    }

    /// A table without titles.
    pub(crate) const fn untitled() -> Self {
        Self { rows: Vec::new() }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<Cell>| {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line.push_str(&paint(&cell.text, cell.look));
                if index + 1 < row.len() {
                    line.push_str(&" ".repeat(width - cell.text.chars().count() + 2));
                }
            }
            line
        };
        self.rows.iter().map(line).collect()
    }
}

/// Writes lines to standard output.
pub(crate) fn print(lines: &[String]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
    written.map_err(|source| Failure::Output { source })
}

/// Writes JSON to standard output.
pub(crate) fn print_json(view: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(view).map_err(|source| Failure::Answer { source })?;
    print(&[text])
}

/// A span of time in words, `3 min`.
pub(crate) fn span(millis: u64) -> String {
    match millis / 1000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// How long ago an instant was, `3 min ago`; the clock may have been set since.
pub(crate) fn ago(millis: u64) -> String {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    now.checked_sub(millis).map_or_else(|| "in the future (the clock was set back)".into(), |past| span(past) + " ago")
}

/// How long it is until an instant: `4 min more`.
pub(crate) fn ahead(millis: u64) -> String {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    millis.checked_sub(now).map_or_else(|| "until just now".into(), |left| span(left) + " more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_nothing_trails() {
        let mut table = Table::new(&["A", "LONGER"]);
        table.row(vec![Cell::plain(Some("wide cell")), Cell::plain(None)]);
        let plain: Vec<_> = table.lines().iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(plain, ["A          LONGER", "wide cell  -"]);
    }

    #[test]
    fn a_device_cannot_steer_the_terminal() {
        assert_eq!(clean("H100\u{1b}[2J\u{202e}x\r\n"), "H100[2Jx");
        assert_eq!(clean("GH100 [H100 SXM5 80GB]"), "GH100 [H100 SXM5 80GB]");
        assert_eq!(clean_lines("a\u{7}\nb"), "a\nb");
    }

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        assert_eq!([span(1_999), span(120_000), span(7_200_000), span(259_200_000)], ["1 s", "2 min", "2 h", "3 d"]);
        assert!(ago(u64::MAX).contains("future"));
    }
}
