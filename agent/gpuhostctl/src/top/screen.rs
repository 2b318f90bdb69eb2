//! The terminal: taken over while we draw, and given back however we end.

use crate::failure::Failure;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use std::io::{self, Write, stdout};

/// The terminal while it is ours. Dropping it gives the terminal back as it was.
#[derive(Debug)]
pub(crate) struct Screen {
    coloured: bool,
}

/// Whether the terminal can move its cursor.
pub(crate) fn can_draw() -> bool {
    std::env::var_os("TERM").is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

impl Screen {
    /// Takes the terminal over.
    pub(crate) fn take() -> Result<Self, Failure> {
        // What a panic prints would be lost with the alternate screen: the terminal is given back first.
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
        let coloured = anstream::AutoStream::choice(&stdout()) != anstream::ColorChoice::Never;
        enable_raw_mode().map_err(output)?;
        let screen = Self { coloured };
        execute!(stdout(), EnterAlternateScreen, Hide).map_err(output)?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(crate) fn size(&self) -> (usize, usize) {
        // A serial line reports that it has no size.
        let told = size().ok().filter(|(width, height)| *width > 0 && *height > 0);
        let (width, height) = told.unwrap_or((80, 24));
        (usize::from(width), usize::from(height))
    }

    /// Shows these lines and nothing else. What stays the same does not flicker: nothing is cleared before it is written over.
    pub(crate) fn show(&self, lines: &[String]) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        queue!(bytes, MoveTo(0, 0)).map_err(output)?;
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                bytes.extend_from_slice(b"\r\n");
            }
            if self.coloured {
                bytes.extend_from_slice(line.as_bytes());
            } else {
                bytes.extend_from_slice(anstream::adapter::strip_str(line).to_string().as_bytes());
            }
            queue!(bytes, Clear(ClearType::UntilNewLine)).map_err(output)?;
        }
        queue!(bytes, Clear(ClearType::FromCursorDown)).map_err(output)?;
        let mut out = stdout().lock();
        out.write_all(&bytes).and_then(|()| out.flush()).map_err(output)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
        // Inside a panic the hook has done its work, and may not be touched.
        if !std::thread::panicking() {
            drop(std::panic::take_hook());
        }
    }
}

/// Gives the terminal back; where even that fails the terminal has gone.
fn give_back() {
    let _gone = execute!(stdout(), Show, LeaveAlternateScreen);
    let _gone = disable_raw_mode();
}

fn output(source: io::Error) -> Failure {
    Failure::Output { source }
}
