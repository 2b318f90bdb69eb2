//! `top`: watches the GPUs of the host, on a terminal or in one picture.

mod columns;
pub(crate) mod containers;
mod frame;
#[cfg(test)]
mod golden;
mod header;
mod layout;
mod line;
mod live;
mod rows;
mod screen;

use crate::args::Top;
use crate::daemon::Daemon;
use crate::failure::Failure;
use crate::text;
use frame::Frame;
use std::io::IsTerminal;

/// Columns of a picture whose reader does not say how wide it is.
const WIDTH: usize = 120;

/// Watches until it is asked to end, or prints one picture.
pub(crate) async fn run(bus: Option<String>, how: Top, json: bool) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    if json && !how.once {
        let why = "--json prints one document: add --once".to_owned();
        return Err(Failure::Usage { why });
    }
    if how.once || !terminal || !screen::can_draw() {
        return once(bus, json).await;
    }
    live::run(bus, how.interval).await
}

async fn once(bus: Option<String>, json: bool) -> Result<(), Failure> {
    let snapshot = Daemon::connect(bus).await?.sample().await?;
    if json {
        return text::print_json(&snapshot);
    }
    let frame = Frame::new(containers::of(&snapshot), snapshot, None);
    text::print(&layout::picture(&frame, width()))
}

/// As wide as the terminal, as `COLUMNS` reports, or [`WIDTH`].
fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|width| *width > 0);
    let stdout_is_terminal = std::io::stdout().is_terminal();
    let asked = || {
        crossterm::terminal::size()
            .ok()
            .filter(|(width, _)| stdout_is_terminal && *width > 0)
            .map(|(width, _)| usize::from(width))
    };
    told.or_else(asked).unwrap_or(WIDTH)
}
