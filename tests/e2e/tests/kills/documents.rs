//! The front is killed between the answer with a document and the heartbeat that reports it as applied.

use crate::place::{Place, Writes};
use crate::wisher::{Wisher, named, until_it_polls};
use serde_json::Value;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Instants at which it is killed, spread over all that there are between answer and heartbeat.
const KILLS: usize = 50;
/// Hosts beside each other: most of the time each waits for its next heartbeat.
const HOSTS: usize = 10;
/// Background work comes and goes: so many kills may come when all has been reported already.
const LATE_MOST: usize = 10;

/// One host and its manager.
struct Subject {
    place: Place,
    wisher: Wisher,
    writes: Writes,
    revision: u64,
}

impl Subject {
    /// With the first document applied. The last host has the manager that is a program.
    fn new(number: usize) -> Self {
        let place = Place::new();
        let wisher = if number + 1 == HOSTS { Wisher::program(&place) } else { Wisher::inside() };
        wisher.wish(1);
        wisher.enrol(&place);
        place.until("the first document", || wisher.has_reported(1).then_some(()));
        until_it_polls(&place);
        let writes = Writes::of(&place);
        Self { place, wisher, writes, revision: 1 }
    }

    /// Another revision, and a kill at that instant; afterwards it is applied. Gives the instants that there were, and whether it
    /// was killed at one of them.
    fn next_revision_killed_at(&mut self, kill_at: usize) -> (usize, bool) {
        let (old, new) = (self.revision, self.revision + 1);
        self.revision = new;
        let Self { place, wisher, .. } = self;
        let traced = place.killed_during(kill_at, || wisher.wish(new), || wisher.has_reported(new));
        let what = format!("revision {new}, killed at instant {kill_at}");
        self.is_on_disk(old, new, &what);
        self.place.up();
        self.is_old_or_new(&self.place.json(&["desired", "show"]), old, &what);
        until_it_polls(&self.place);
        let shown = self.place.until(&what, || {
            let shown = self.place.json(&["desired", "show"]);
            (shown["AppliedRevision"] == new && self.wisher.has_reported(new)).then_some(shown)
        });
        self.is_old_or_new(&shown, new, &what);
        (traced.instants, traced.was_reached)
    }

    /// The file is one of the two documents, whole.
    fn is_on_disk(&self, old: u64, new: u64, what: &str) {
        let bytes = std::fs::read(self.place.state("desired.json")).expect("the ledger");
        let ledger: Value = serde_json::from_slice(&bytes).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        let document = &ledger["document"];
        let revision = document["revision"].as_u64().expect("a revision");
        assert!([old, new].contains(&revision), "{what}: {document}");
        assert_eq!(named(&document["agent"]["zone"]), revision, "{what}");
    }

    /// What the daemon shows is the old document or the one behind it, and no setting is from a document that is not in force.
    fn is_old_or_new(&self, shown: &Value, old: u64, what: &str) {
        assert_eq!((&shown["Ledger"], &shown["Epoch"]), (&"in_force".into(), &"kills".into()), "{what}: {shown}");
        let revision = shown["Revision"].as_u64().expect("a revision");
        assert!((old..=self.revision).contains(&revision), "{what}: {shown}");
        assert!(shown["AppliedRevision"].as_u64().unwrap_or_default() <= revision, "{what}: {shown}");
        assert!(shown["Refused"].is_null(), "{what}: {shown}");
        let effective = &shown["Effective"];
        let names = [&effective["Zone"], &effective["Pool"], &effective["Labels"]["n"]].map(named);
        let numbers = [names.as_slice(), &[effective["MaxWorkspaces"].as_u64().unwrap_or_default()]].concat();
        assert!(numbers.iter().all(|one| (old.min(revision)..=revision).contains(one)), "{what}: {shown}");
        assert!(numbers.iter().all(|one| *one == numbers[0]), "{what}: half of a document: {shown}");
        for kind in ["desired_state_unreadable", "desired_state_not_saved", "settings_set_unreadable"] {
            assert_eq!(self.place.condition(kind), None, "{what}");
        }
    }

    /// Each document was written once and put into force once, however often the daemon was killed.
    fn nothing_was_done_twice(&mut self) {
        let revisions = usize::try_from(self.revision).unwrap() - 1;
        let written = ["desired.json", "settings-set.json"].map(|name| self.writes.count(name));
        assert_eq!(written, [revisions, revisions], "{}", self.place.log());
        self.wisher.no_violations();
    }
}

/// Whoever waits for the number goes on where it never comes: its test has failed.
struct Opens<'a>(&'a OnceLock<usize>);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _known = self.0.set(0);
        }
    }
}

#[test]
fn killed_at_fifty_instants_between_a_document_and_its_report_one_of_two_documents_is_in_force_and_each_is_applied_once()
 {
    let all = OnceLock::new();
    let (before, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for number in 0..HOSTS {
            let (all, before, late) = (&all, &before, &late);
            scope.spawn(move || {
                let _opens = Opens(all);
                let mut subject = Subject::new(number);
                if number == 0 {
                    let (instants, _) = subject.next_revision_killed_at(usize::MAX);
                    all.set(instants).unwrap();
                }
                let instants: usize = *all.wait();
                assert!(instants > KILLS, "only {instants} instants");
                for kill in (0..KILLS).filter(|kill| kill % HOSTS == number) {
                    let (_, was_reached) = subject.next_revision_killed_at((2 * kill + 1) * instants / (2 * KILLS));
                    (if was_reached { before } else { late }).fetch_add(1, Ordering::Relaxed);
                }
                subject.nothing_was_done_twice();
            });
        }
    });
    let (before, late) = (before.into_inner(), late.into_inner());
    println!(
        "{} instants from answer to report; {before} kills at one of them, {late} when all was reported",
        all.get().unwrap()
    );
    assert_eq!(before + late, KILLS);
    assert!(late <= LATE_MOST, "{late}");
}
