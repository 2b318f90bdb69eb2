//! The live view: asks the daemon in turn, hears keys, sizes and signals, and draws.

use super::containers;
use super::frame::Frame;
use super::layout::{self, View};
use super::screen::Screen;
use crate::daemon::Daemon;
use crate::failure::Failure;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::dbus::snapshot::Snapshot;

/// What one look at the daemon brought: the connection, if it is still good, and what was reported.
type Looked = (Option<Daemon>, Result<(Snapshot, containers::Containers), Failure>);

/// Everything that the view keeps.
#[derive(Debug)]
struct Live {
    bus: Option<String>,
    daemon: Option<Daemon>,
    frame: Option<Frame>,
    view: View,
    furthest: usize,
    page: usize,
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Quit,
    Up(usize),
    Down(usize),
    Top,
    Bottom,
    Nothing,
}

/// Watches until q, Ctrl-C or a signal.
pub(crate) async fn run(bus: Option<String>, interval: u64) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let screen = Screen::take()?;
    let mut events = EventStream::new();
    let view = View { interval, ..View::default() };
    let mut live = Live { bus, daemon: None, frame: None, view, furthest: 0, page: 1 };
    let mut looks: JoinSet<Looked> = JoinSet::new();
    let mut next = Instant::now();
    loop {
        live.draw(&screen)?;
        tokio::select! {
            () = signals.next() => return Ok(()),
            event = events.next() => match event {
                Some(Ok(event)) => if live.heard(&event) { return Ok(()) },
                // The terminal has gone.
                Some(Err(source)) => return Err(Failure::Output { source }),
                None => return Ok(()),
            },
            Some(looked) = looks.join_next(), if !looks.is_empty() => {
                // A look that broke is a look that failed: the next one may do.
                if let Ok(looked) = looked { live.take(looked) }
                next = Instant::now() + Duration::from_secs(interval);
            }
            () = tokio::time::sleep_until(next), if looks.is_empty() => {
                looks.spawn(look(live.bus.clone(), live.daemon.take()));
            }
        }
    }
}

async fn look(bus: Option<String>, daemon: Option<Daemon>) -> Looked {
    let daemon = match daemon {
        Some(daemon) => daemon,
        None => match Daemon::connect(bus).await {
            Ok(daemon) => daemon,
            Err(failure) => return (None, Err(failure)),
        },
    };
    match daemon.sample().await {
        Ok(snapshot) => {
            let looked = tokio::task::spawn_blocking(move || (containers::of(&snapshot), snapshot)).await;
            match looked {
                Ok((containers, snapshot)) => (Some(daemon), Ok((snapshot, containers))),
                Err(fault) => (Some(daemon), Err(Failure::Form { why: fault.to_string() })),
            }
        }
        // The connection may be the reason: the next look takes a new one.
        Err(failure) => (None, Err(failure)),
    }
}

impl Live {
    fn draw(&mut self, screen: &Screen) -> Result<(), Failure> {
        let (width, height) = screen.size();
        let (lines, furthest) = layout::screen(self.frame.as_ref(), &self.view, width, height);
        (self.furthest, self.page) = (furthest, height.saturating_sub(2).max(1));
        screen.show(&lines)
    }

    /// The daemon answered, or did not: then what was seen last stays, with the reason below it.
    fn take(&mut self, (daemon, looked): Looked) {
        self.daemon = daemon;
        match looked {
            Ok((snapshot, containers)) => {
                self.frame = Some(Frame::new(containers, snapshot, self.frame.as_ref()));
                self.view.trouble = None;
            }
            Err(failure) => self.view.trouble = Some(failure.with_causes()),
        }
    }

    /// True where the watcher wants to end.
    fn heard(&mut self, event: &Event) -> bool {
        // Anything else, a new size among it, only has the picture drawn again.
        let Event::Key(key) = event else { return false };
        let scroll = self.view.scroll.min(self.furthest);
        self.view.scroll = match meaning(key, self.page) {
            Key::Quit => return true,
            Key::Up(by) => scroll.saturating_sub(by),
            Key::Down(by) => scroll.saturating_add(by).min(self.furthest),
            Key::Top => 0,
            Key::Bottom => self.furthest,
            Key::Nothing => scroll,
        };
        false
    }
}

fn meaning(key: &KeyEvent, page: usize) -> Key {
    if key.kind == KeyEventKind::Release {
        return Key::Nothing;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let keys = [
        (KeyCode::Char('c'), control, Key::Quit),
        (KeyCode::Char('d'), control, Key::Quit),
        (KeyCode::Char('q'), !control, Key::Quit),
        (KeyCode::Esc, true, Key::Quit),
        (KeyCode::Up, true, Key::Up(1)),
        (KeyCode::Char('k'), !control, Key::Up(1)),
        (KeyCode::Down, true, Key::Down(1)),
        (KeyCode::Char('j'), !control, Key::Down(1)),
        (KeyCode::PageUp, true, Key::Up(page)),
        (KeyCode::PageDown, true, Key::Down(page)),
        (KeyCode::Char(' '), !control, Key::Down(page)),
        (KeyCode::Home, true, Key::Top),
        (KeyCode::End, true, Key::Bottom),
    ];
    let meant = keys.into_iter().find(|(code, fits, _)| *code == key.code && *fits);
    meant.map_or(Key::Nothing, |(_, _, meaning)| meaning)
}

/// The signals that end the view; without a handler they would leave the terminal as we made it.
struct Signals([Signal; 4]);

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|source| Failure::Output { source });
        Ok(Self([
            listen(SignalKind::terminate())?,
            listen(SignalKind::interrupt())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::quit())?,
        ]))
    }

    async fn next(&mut self) {
        let [terminate, interrupt, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
            _ = hangup.recv() => (),
            _ = quit.recv() => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        let view = View { scroll: 3, ..View::default() };
        Live { bus: None, daemon: None, frame: None, view, furthest: 5, page: 4 }
    }

    fn press(live: &mut Live, code: KeyCode, modifiers: KeyModifiers) -> bool {
        live.heard(&Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn keys_scroll_within_the_rows_and_end() {
        let mut live = live();
        for (code, scroll) in [
            (KeyCode::Down, 4),
            (KeyCode::PageDown, 5),
            (KeyCode::Up, 4),
            (KeyCode::PageUp, 0),
            (KeyCode::Up, 0),
            (KeyCode::End, 5),
            (KeyCode::Home, 0),
            (KeyCode::Char('x'), 0),
        ] {
            assert!(!press(&mut live, code, KeyModifiers::NONE), "{code:?} does not end");
            assert_eq!(live.view.scroll, scroll, "{code:?}");
        }
        assert!(press(&mut live, KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(press(&mut live, KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!press(&mut live, KeyCode::Char('c'), KeyModifiers::NONE));
        assert!(!live.heard(&Event::Resize(10, 10)));
    }

    #[test]
    fn what_was_scrolled_too_far_comes_back_when_rows_are_fewer() {
        let mut live = live();
        live.furthest = 1;
        assert!(!press(&mut live, KeyCode::Up, KeyModifiers::NONE));
        assert_eq!(live.view.scroll, 0);
    }
}
