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
    /// Words that it must print: who does not do the work takes no part.
    pub must_say: Vec<String>,
}

impl Contender {
    /// A contender named by its own command line.
    pub fn new(command: &[&str], must_say: &[String]) -> Self {
        let parts = command.iter().map(|part| (*part).to_owned()).collect();
        Self { who: command.join(" "), command: parts, must_say: must_say.to_owned() }
    }
}

/// The middle of the values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The value that so great a part of them does not exceed.
pub fn percentile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).ceil() as usize).copied().unwrap_or(f64::NAN)
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
    let told = String::from_utf8_lossy(&output.stdout);
    let untold = contender.must_say.iter().find(|word| !told.contains(word.as_str()));
    ensure!(untold.is_none(), "{} does not say {}", contender.who, untold.map_or("", String::as_str));
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
    fn a_percentile_leaves_out_only_what_is_beyond_it() {
        let values: Vec<f64> = (1..=101).map(f64::from).collect();
        assert_eq!(percentile(values.clone(), 0.99), 100.0);
        assert_eq!(percentile(values, 0.5), 51.0);
    }

    #[test]
    fn who_fails_or_does_not_do_the_work_is_absent_and_not_quick() {
        let silent = Contender::new(&["true"], &["a word".to_owned()]);
        let said = Contender::new(&["echo", "a word"], &["a word".to_owned()]);
        let contenders = [said, silent, Contender::new(&["false"], &[]), Contender::new(&["/no/such/program"], &[])];
        let figures = wall_times(&contenders, 3);
        assert!(figures[0].value.as_ref().is_ok_and(|ms| *ms > 0.0));
        assert!(figures[1..].iter().all(|figure| figure.value.is_err()));
    }
}
