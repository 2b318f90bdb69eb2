//! One row of the report: what ours and the peers needed for the same work, how they compare, and whether the goal is reached.

use std::fmt;

/// What was measured, in the unit of its row.
pub struct Figure {
    /// Which program or part.
    pub who: String,
    /// How much; or why there is none (the peer is not installed).
    pub value: Result<f64, String>,
    /// Its unit, as printed.
    pub unit: &'static str,
}

/// What a figure of ours should reach.
pub enum Goal {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

/// One benchmark.
pub struct Row {
    /// Its name, `B1`.
    pub name: &'static str,
    /// The work.
    pub what: String,
    /// Ours, each with its goal. The peers are compared with the first.
    pub ours: Vec<(Figure, Goal)>,
    /// The peers.
    pub peers: Vec<Figure>,
    /// What a reader must know to judge the figures.
    pub notes: Vec<String>,
}

impl Figure {
    /// A measured figure.
    pub fn new(who: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { who: who.into(), value: Ok(value), unit }
    }

    /// A peer that could not be measured here.
    pub fn absent(who: impl Into<String>, why: impl Into<String>, unit: &'static str) -> Self {
        Self { who: who.into(), value: Err(why.into()), unit }
    }
}

/// In words: is the goal reached, and if not, how far is it?
fn verdict(value: f64, goal: &Goal) -> String {
    match goal {
        Goal::AtMost(most) if value <= *most => format!("goal <= {most}: reached"),
        Goal::AtMost(most) => format!("goal <= {most}: missed, {:.2} times as much", value / most),
        Goal::AtLeast(least) if value >= *least => format!("goal >= {least}: reached"),
        Goal::AtLeast(least) => format!("goal >= {least}: missed, {:.2} of it", value / least),
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  {}", self.name, self.what)?;
        for (figure, goal) in &self.ours {
            match &figure.value {
                Ok(value) => {
                    let unit = figure.unit;
                    writeln!(f, "  ours  {:<44} {value:>10.3} {unit:<5} {}", figure.who, verdict(*value, goal))?;
                }
                Err(why) => writeln!(f, "  ours  {:<44} not measured: {why}", figure.who)?,
            }
        }
        let first = self.ours.first().and_then(|(figure, _)| figure.value.as_ref().ok().map(|v| (*v, figure.unit)));
        for peer in &self.peers {
            match (&peer.value, first) {
                (Ok(value), Some((ours, unit))) if unit == peer.unit => {
                    let ratio = value / ours;
                    writeln!(f, "  peer  {:<44} {value:>10.3} {unit:<5} {ratio:.2} times ours", peer.who)?;
                }
                (Ok(value), _) => writeln!(f, "  peer  {:<44} {value:>10.3} {:<5}", peer.who, peer.unit)?,
                (Err(why), _) => writeln!(f, "  peer  {:<44} not measured: {why}", peer.who)?,
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note  {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_ratio_and_distance() {
        let row = Row {
            name: "B0",
            what: "nothing".into(),
            ours: vec![
                (Figure::new("fast", 2.0, "ms"), Goal::AtMost(4.0)),
                (Figure::new("slow", 9.0, "ms"), Goal::AtMost(4.5)),
            ],
            peers: vec![Figure::new("other", 5.0, "ms"), Figure::absent("gone", "not installed", "ms")],
            notes: Vec::new(),
        };
        let text = row.to_string();
        for part in ["reached", "missed, 2.00 times as much", "2.50 times ours", "not measured: not installed"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
