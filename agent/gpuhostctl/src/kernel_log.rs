//! `debug kernel-log`: what the records of a kernel log mean, and the health of each function at its end, without a daemon.

use crate::failure::Failure;
use crate::input;
use crate::text::{Cell, Look, Table, print};
use files::ReadError;
use model::health::HealthState;
use model::health::log_file::{Explained, FUNCTIONS_MAX, FunctionHealth, LogFile};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// No more than this is read, 256 MiB: a kernel keeps a few megabytes of its log, and a journal of months seldom a hundred.
const INPUT_MAX_BYTES: u64 = 256 << 20;
/// A longer line is no record; the kernel's longest has 8 KiB.
const LINE_MAX_BYTES: usize = 8 * 1024;
/// A person reads no longer table; scripts get every record.
const ROWS_MAX: usize = 10_000;

/// One record in JSON.
#[derive(Serialize)]
struct RecordView<'a> {
    line: u64,
    address: Option<String>,
    finding: Option<&'a str>,
    text: &'a str,
}

/// One function in JSON.
#[derive(Serialize)]
struct FunctionView {
    health: &'static str,
    reasons: Vec<String>,
}

/// Where the records go.
enum Sheet {
    Json(Json),
    People(People),
}

/// Prints what the log states.
pub(crate) fn run(file: &Path, json: bool) -> Result<(), Failure> {
    let name = input::name(file);
    let broken = |error| Failure::File(ReadError::Host { path: name.clone().into(), error });
    let opened = File::from(input::descriptor(file)?);
    refuse_too_large(&opened.metadata().map_err(broken)?, &name)?;
    let input = BufReader::new(opened);
    let mut sheet = if json { Sheet::Json(Json::default()) } else { Sheet::People(People::default()) };
    let mut log = LogFile::default();
    let mut lines = Lines { input, read: 0 };
    while let Some(line) = lines.next().map_err(broken)? {
        log.take(&line).iter().try_for_each(|record| sheet.record(record))?;
    }
    log.finish().iter().try_for_each(|record| sheet.record(record))?;
    sheet.end(&log, &name)?;
    if log.has_left_out() {
        return Err(Failure::Usage {
            why: format!("{name} names more than {FUNCTIONS_MAX} functions: the others are left out"),
        });
    }
    if lines.read >= INPUT_MAX_BYTES {
        return Err(Failure::Usage {
            why: format!("{name} has more than {INPUT_MAX_BYTES} bytes: the rest was not read"),
        });
    }
    Ok(())
}

fn refuse_too_large(about: &Metadata, name: &str) -> Result<(), Failure> {
    if about.len() <= INPUT_MAX_BYTES {
        return Ok(());
    }
    Err(Failure::Usage { why: format!("{name} has {} bytes, more than {INPUT_MAX_BYTES}: shorten it", about.len()) })
}

/// Lines of bounded length; a longer one comes empty.
struct Lines {
    input: BufReader<File>,
    read: u64,
}

impl Lines {
    fn next(&mut self) -> io::Result<Option<String>> {
        let (mut line, mut any, mut overlong) = (Vec::new(), false, false);
        while self.read < INPUT_MAX_BYTES {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
                Err(fault) => return Err(fault),
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            overlong |= line.len() + part.len() > LINE_MAX_BYTES;
            if overlong {
                line.clear();
            } else {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            self.read = self.read.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
            if end.is_some() {
                break;
            }
        }
        Ok(any.then(|| String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()))
    }
}

impl Sheet {
    fn record(&mut self, record: &Explained) -> Result<(), Failure> {
        match self {
            Self::Json(json) => json.record(record),
            Self::People(people) => {
                people.record(record);
                Ok(())
            }
        }
    }

    fn end(self, log: &LogFile, name: &str) -> Result<(), Failure> {
        let records = match &self {
            Self::Json(json) => json.records,
            Self::People(people) => people.records,
        };
        if records == 0 {
            let why = format!(
                "{name} holds no record of a kernel log: expected lines of /dev/kmsg (`6,339,5140900,-;text`), dmesg, or journalctl -k"
            );
            return Err(Failure::Usage { why });
        }
        match self {
            Self::Json(json) => json.end(log),
            Self::People(people) => people.end(log),
        }
    }
}

/// JSON as it comes: a long log takes no memory.
#[derive(Default)]
struct Json {
    out: Option<BufWriter<io::Stdout>>,
    records: u64,
}

impl Json {
    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let out = self.out.get_or_insert_with(|| BufWriter::new(io::stdout()));
        out.write_all(text.as_bytes()).map_err(|source| Failure::Output { source })
    }

    fn record(&mut self, record: &Explained) -> Result<(), Failure> {
        self.write(if self.records == 0 { "{\n  \"records\": [\n    " } else { ",\n    " })?;
        self.records += 1;
        let address = record.address.map(|address| address.to_string());
        let view = RecordView { line: record.line, address, finding: record.finding.as_deref(), text: &record.text };
        self.write(&serde_json::to_string(&view).map_err(|source| Failure::Answer { source })?)
    }

    fn end(mut self, log: &LogFile) -> Result<(), Failure> {
        let view = |health: FunctionHealth| FunctionView { health: health.state.code(), reasons: health.reasons };
        let functions: BTreeMap<String, FunctionView> =
            log.functions().map(|(address, health)| (address.to_string(), view(health))).collect();
        let functions = serde_json::to_string_pretty(&functions).map_err(|source| Failure::Answer { source })?;
        self.write(&format!("\n  ],\n  \"functions\": {}\n}}\n", functions.replace('\n', "\n  ")))?;
        self.out.iter_mut().try_for_each(Write::flush).map_err(|source| Failure::Output { source })
    }
}

/// The records that say something, and the health of each function, in columns.
#[derive(Default)]
struct People {
    rows: Vec<Explained>,
    records: u64,
    saying: u64,
}

impl People {
    fn record(&mut self, record: &Explained) {
        self.records += 1;
        if record.finding.is_some() {
            self.saying += 1;
            if self.rows.len() < ROWS_MAX {
                self.rows.push(record.clone());
            }
        }
    }

    fn end(self, log: &LogFile) -> Result<(), Failure> {
        let mut lines = Vec::new();
        if !self.rows.is_empty() {
            let mut table = Table::new(&["LINE", "FUNCTION", "FINDING", "MEANING"]);
            for row in &self.rows {
                let address = row.address.map(|address| address.to_string());
                table.row(vec![
                    Cell::new(row.line.to_string(), Look::Plain),
                    Cell::plain(address.as_deref()),
                    Cell::plain(row.finding.as_deref()),
                    Cell::plain(row.meaning.as_deref()),
                ]);
            }
            lines.extend(table.lines());
        }
        let more = self.saying.saturating_sub(u64::try_from(self.rows.len()).unwrap_or(u64::MAX));
        if more > 0 {
            lines.push(format!("and {more} more: --json has them all"));
        }
        lines.push(format!("{} records, {} of them about a device", self.records, self.saying));
        let mut table = Table::new(&["FUNCTION", "HEALTH", "REASONS"]);
        for (address, health) in log.functions() {
            let look = match health.state {
                HealthState::Ok => Look::Good,
                HealthState::Degraded | HealthState::Failed => Look::Bad,
                HealthState::Unknown => Look::Dim,
            };
            let reasons = health.reasons.join(", ");
            table.row(vec![
                Cell::new(address.to_string(), Look::Plain),
                Cell::new(health.state.code(), look),
                Cell::plain(Some(reasons.as_str()).filter(|reasons| !reasons.is_empty())),
            ]);
        }
        if log.functions().next().is_some() {
            lines.push(String::new());
            lines.extend(table.lines());
        }
        print(&lines)
    }
}
