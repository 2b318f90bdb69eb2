//! Hands lines over to the hand. Each piece wakes it: an answer goes out together with the question that follows it at once.

use protocol::lines::ChildLine;
use serde::Serialize;
use std::io::{self, Write};

/// Lines on their way.
pub(super) struct LineOut<W> {
    out: W,
    waiting: Vec<u8>,
}

impl<W: Write> LineOut<W> {
    /// A way to the hand on which nothing waits.
    pub(super) const fn new(out: W) -> Self {
        Self { out, waiting: Vec::new() }
    }

    /// Takes a line. Whenever the driver's library may be called next, all lines up to here have been handed over.
    pub(super) fn take(&mut self, line: &ChildLine) -> io::Result<()> {
        self.add(line)?;
        if line.is_followed_at_once() { Ok(()) } else { self.hand_over() }
    }

    /// Takes a line of any kind, on a line of its own: the driver's library may write to the same pipe, before it and after it.
    pub(super) fn add(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.waiting.push(b'\n');
        serde_json::to_writer(&mut self.waiting, line)?;
        self.waiting.push(b'\n');
        Ok(())
    }

    /// Hands over what waits, in one piece.
    pub(super) fn hand_over(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.waiting).and_then(|()| self.out.flush());
        self.waiting.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::absence::{Absence, Reading};
    use protocol::lines::{AskedGpu, Lines};

    /// Keeps each piece as it comes.
    struct Pieces<'a>(&'a mut Vec<Vec<u8>>);

    impl Write for Pieces<'_> {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            self.0.push(piece.to_vec());
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn before_each_question_all_is_handed_over_and_two_gpus_take_three_pieces() {
        let gpu = AskedGpu::Index;
        let silent = |number| ChildLine::Silent { which: gpu(number), why: Absence::GpuLost, said: "lost".to_owned() };
        let opened =
            ChildLine::Opened { driver_version: Reading::default(), cuda_version: Reading::default(), found: vec![] };
        let all = [opened, ChildLine::Asking(gpu(0)), silent(0), ChildLine::Asking(gpu(1)), silent(1), ChildLine::Done];
        let mut pieces = Vec::new();
        let mut out = LineOut::new(Pieces(&mut pieces));
        all.iter().try_for_each(|line| out.take(line)).unwrap();
        let of = |piece: &Vec<u8>| Lines::default().take(piece);
        let each: Vec<Vec<ChildLine>> = pieces.iter().map(of).collect();
        assert_eq!(each, [all[..2].to_vec(), all[2..4].to_vec(), all[4..].to_vec()]);
    }

    #[test]
    fn what_is_followed_by_nothing_is_handed_over_at_the_end() {
        let mut pieces = Vec::new();
        let mut out = LineOut::new(Pieces(&mut pieces));
        let line = ChildLine::Silent { which: AskedGpu::Index(0), why: Absence::GpuLost, said: String::new() };
        out.take(&line).unwrap();
        out.hand_over().unwrap();
        assert_eq!(pieces.len(), 1);
        assert_eq!(Lines::default().take(&pieces[0]), [line]);
    }
}
