//! Takes turns: each contender once, then each once more, so that a busy moment of the machine hits all alike.

use crate::report::Figure;
use anyhow::{Context, ensure};
use std::process::{Command, Stdio};
use std::time::Instant;

/// One program with its arguments, run as often as there are rounds.
pub struct Contender {
    /// As it is printed.
    pub who: String,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl Contender {
    /// A contender named by its own command line.
    pub fn new(command: &[&str]) -> Self {
        Self { who: command.join(" "), command: command.iter().map(|part| (*part).to_owned()).collect() }
    }
}

/// The middle of the values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Wall time from start to end of each contender, the median of the rounds in milliseconds. One round is run before, unmeasured.
/// A contender whose program is missing or fails is an absent figure, never a quick one.
pub fn wall_times(contenders: &[Contender], rounds: usize) -> Vec<Figure> {
    let mut times: Vec<Result<Vec<f64>, String>> = contenders.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..=rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let Ok(sofar) = times else { continue };
            match once(contender) {
                Ok(ms) if round > 0 => sofar.push(ms),
                Ok(_) => {}
                Err(error) => *times = Err(format!("{error:#}")),
            }
        }
    }
    let figure = |(contender, times): (&Contender, Result<Vec<f64>, String>)| Figure {
        who: contender.who.clone(),
        value: times.map(median),
        unit: "ms",
    };
    contenders.iter().zip(times).map(figure).collect()
}

fn once(contender: &Contender) -> anyhow::Result<f64> {
    let (program, arguments) = contender.command.split_first().context("a contender has a program")?;
    let begin = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    let ms = begin.elapsed().as_secs_f64() * 1e3;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} ended with {}: {}", contender.who, output.status, said.trim());
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_missing_or_failing_program_is_absent_and_not_quick() {
        let contenders = [Contender::new(&["true"]), Contender::new(&["false"]), Contender::new(&["/no/such/program"])];
        let figures = wall_times(&contenders, 3);
        assert!(figures[0].value.as_ref().is_ok_and(|ms| *ms > 0.0));
        assert!(figures[1].value.is_err() && figures[2].value.is_err());
    }
}
