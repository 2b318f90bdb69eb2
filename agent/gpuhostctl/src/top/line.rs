//! One line of the picture: pieces of text, each with its look, that never grow wider than the screen.

use crate::text::{Look, clean, paint};

/// A line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(String, Look)>);

impl Line {
    /// A line of one piece.
    pub(crate) fn of(text: &str, look: Look) -> Self {
        Self::default().and(text, look)
    }

    /// The line with a further piece; what could steer the terminal is taken out of it.
    pub(crate) fn and(mut self, text: &str, look: Look) -> Self {
        self.push(text, look);
        self
    }

    /// A further piece.
    pub(crate) fn push(&mut self, text: &str, look: Look) {
        self.0.push((clean(text).into_owned(), look));
    }

    /// Characters in it.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.chars().count()).sum()
    }

    /// The line as it is printed: cut to the width, an ellipsis where something is cut off, nothing trailing.
    pub(crate) fn shown(&self, width: usize) -> String {
        let cut = self.width() > width;
        let mut room = if cut { width.saturating_sub(1) } else { width };
        let mut shown = String::new();
        let last = self.0.iter().rposition(|(text, _)| !text.trim_end().is_empty());
        for (index, (text, look)) in self.0.iter().enumerate() {
            let text = if Some(index) == last { text.trim_end() } else { text };
            if last.is_none_or(|last| index > last) || room == 0 {
                break;
            }
            let piece: String = text.chars().take(room).collect();
            room -= piece.chars().count();
            shown.push_str(&paint(&piece, *look));
        }
        if cut && width > 0 {
            shown.push('…');
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_is_cut_and_says_so() {
        let line = Line::of("abc", Look::Plain).and("défg  ", Look::Plain);
        assert_eq!(line.shown(20), "abcdéfg");
        assert_eq!(line.shown(5), "abcd…");
        assert_eq!(line.shown(1), "…");
        assert_eq!(line.shown(0), "");
    }

    #[test]
    fn nothing_trails_and_nothing_steers_the_terminal() {
        let line = Line::of("a\u{1b}[2J", Look::Plain).and("   ", Look::Plain);
        assert_eq!(line.shown(80), "a[2J");
        assert_eq!(Line::of("x", Look::Bad).shown(9), "\u{1b}[31mx\u{1b}[0m");
    }
}
