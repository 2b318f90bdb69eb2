//! Every single fault at every turn of every story.

use crate::life::Life;
use crate::life_faults::Fault;
use crate::wishes::{desired, on_gpu, whole_gpu, wish, with_home};
use model::nvidia_container::ContainerRun;
use serde_json::{Value, json};

/// From what to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    /// Nothing is there yet.
    Begin,
    /// Another image, which has to be pulled.
    Change,
    Stop,
    Pause,
    Resume,
    StopPaused,
    /// With its volume.
    Delete,
    /// It is not listed any more.
    Orphan,
    /// A GPU goes from one security context to another.
    HandOver,
}

const STORIES: [Story; 9] = [
    Story::Begin,
    Story::Change,
    Story::Stop,
    Story::Pause,
    Story::Resume,
    Story::StopPaused,
    Story::Delete,
    Story::Orphan,
    Story::HandOver,
];

/// One with a volume, one with a GPU, one with a whole GPU.
fn first() -> [Value; 3] {
    [with_home("home", 'a'), on_gpu("shares", 'b', "lab", 0), whole_gpu("whole", 'a', 2)]
}

impl Story {
    fn begin(self) -> Life {
        let [home, shares, whole] = first();
        let before = match self {
            Self::Begin => Vec::new(),
            Self::Resume | Self::StopPaused => vec![desired(&home, "paused"), shares.clone(), whole.clone()],
            Self::Change | Self::Stop | Self::Pause | Self::Delete | Self::Orphan | Self::HandOver => {
                vec![home.clone(), shares.clone(), whole.clone()]
            }
        };
        let mut life = if self == Self::Begin { Life::new(&[]) } else { Life::new(&first()) };
        if self != Self::Begin {
            life.settle(&[]);
        }
        life.wish(&before);
        life.settle(&[]);
        let wishes = match self {
            Self::Begin | Self::Resume => vec![home, shares, whole],
            Self::Change => vec![with_home("home", 'c'), shares, whole],
            Self::Stop => vec![home, desired(&shares, "stopped"), desired(&whole, "stopped")],
            Self::Pause => vec![desired(&home, "paused"), shares, whole],
            Self::StopPaused => vec![desired(&home, "stopped"), shares, whole],
            Self::Delete => vec![desired(&home, "deleted"), desired(&shares, "deleted"), whole],
            Self::Orphan => vec![shares],
            Self::HandOver => vec![home, wish("shares", 'c', json!({})), on_gpu("heir", 'a', "other", 0), whole],
        };
        life.wish(&wishes);
        life
    }

    /// The turns in which something is done or has just changed; in between one is like the other.
    fn moments(self) -> Vec<usize> {
        let mut life = self.begin();
        life.moments.clear();
        life.settle(&[]);
        let mut moments = life.moments;
        moments.push(moments.last().map_or(0, |last| last + 1));
        moments
    }

    fn runs(self) -> &'static [&'static str] {
        match self {
            Self::Begin | Self::Change | Self::Resume => &["home", "shares", "whole"],
            Self::Stop => &["home"],
            Self::Pause | Self::StopPaused => &["shares", "whole"],
            Self::Delete => &["whole"],
            Self::Orphan => &["shares"],
            Self::HandOver => &["home", "shares", "heir", "whole"],
        }
    }

    /// The end of it.
    fn unreached(self, life: &Life, fault: Option<Fault>) -> Vec<String> {
        let mut unmet = life.unmet();
        for id in ["home", "shares", "heir", "whole"] {
            let runs = life.run(id) == Some(ContainerRun::Running);
            if runs != self.runs().contains(&id) {
                unmet.push(format!("{id}: {:?}", life.run(id)));
            }
        }
        let has_volume = life.docker.volumes.contains_key("gpuhost-home-home");
        // Which volumes a workspace has is known from its container, or from the record: without either they are kept.
        let is_unknown = matches!(fault, Some(Fault::RecordLost));
        if has_volume == (self == Self::Delete) && !(has_volume && is_unknown) {
            unmet.push(format!("the volume of home is there: {has_volume}"));
        }
        unmet
    }
}

fn live(story: Story, at: usize, fault: Fault) -> Option<String> {
    let mut life = story.begin();
    life.settle(&[(at, fault)]);
    let unreached = story.unreached(&life, Some(fault));
    (!unreached.is_empty()).then(|| format!("{story:?} {fault:?} at {at}: {unreached:?}"))
}

#[test]
fn every_story_ends_as_it_is_wished() {
    for story in STORIES {
        let mut life = story.begin();
        life.settle(&[]);
        assert_eq!(story.unreached(&life, None), Vec::<String>::new(), "{story:?}\n{}", life.story());
        println!("{story:?}: {} moments", story.moments().len());
    }
}

#[test]
fn every_single_fault_at_every_moment_changes_no_outcome() {
    let (mut lives, mut failed) = (0, Vec::new());
    for story in STORIES {
        for at in story.moments() {
            for fault in Fault::ALL {
                failed.extend(live(story, at, fault));
                lives += 1;
            }
        }
    }
    assert!(failed.is_empty(), "{} of {lives} lives:\n{}", failed.len(), failed.join("\n"));
}
