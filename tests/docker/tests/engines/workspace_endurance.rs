//! Workspaces through many restarts of the daemon and of Docker: none is lost, none doubled, none is another's, and with live-restore each
//! keeps its process. `ENDURANCE=whole` takes the whole number of rounds, which is some minutes for each engine.

use crate::daemon::Daemon;
use crate::workspace_world::image;
use crate::world::World;
use docker_engines::{Engine, Options, Release, releases};
use model::image_ref::ImageRef;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// So many workspaces, besides the one by which the rounds are counted.
const WORKSPACES: usize = 16;
const MARKER: &str = "marker";

/// How often each is done.
struct Rounds {
    of_the_daemon: usize,
    of_docker: usize,
    docker_killed: usize,
}

impl Rounds {
    fn wanted() -> Self {
        match std::env::var("ENDURANCE").as_deref() {
            Ok("whole") => Self { of_the_daemon: 200, of_docker: 20, docker_killed: 20 },
            _ => Self { of_the_daemon: 6, of_docker: 2, docker_killed: 2 },
        }
    }
}

fn document(image: &ImageRef, marker: &str) -> Value {
    let wish = |id: String, desired: &str| {
        let volumes = json!([{ "name": format!("home-{id}"), "target": "/data" }]);
        json!({ "workspace_id": id, "desired": desired, "image": image.to_string(), "cores": 0.05, "memory": 16_777_216,
                "volumes": volumes })
    };
    let mut all: Vec<Value> = (1..=WORKSPACES).map(|number| wish(format!("w{number}"), "running")).collect();
    all.push(wish(MARKER.to_owned(), marker));
    json!({ "workspaces": all })
}

/// All that must not change of each: id, process, whose it is, by name.
fn all_of_ours(engine: &Engine) -> BTreeMap<String, (String, String, String)> {
    let listed =
        engine.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", "label=org.gpuhost.Agent1.workspace"]);
    let mut arguments = vec!["inspect", "--format", "{{.Name}} {{.Id}} {{.State.Pid}} {{json .Config.Labels}}"];
    arguments.extend(listed.lines());
    if listed.is_empty() {
        return BTreeMap::new();
    }
    let seen = engine.docker(&arguments);
    let one = |line: &str| {
        let mut words = line.splitn(4, ' ').map(str::to_owned);
        let name = words.next().unwrap();
        (name, (words.next().unwrap(), words.next().unwrap(), words.next().unwrap()))
    };
    let found: Vec<_> = seen.lines().map(one).collect();
    let all: BTreeMap<_, _> = found.iter().cloned().collect();
    assert_eq!(all.len(), found.len(), "none is doubled");
    all
}

fn marker_is(engine: &Engine, wanted: &str) -> Option<()> {
    let listed = engine.try_docker(&["ps", "--all", "--filter", "name=^/?gpuhost-marker$", "--format", "{{.State}}"]);
    (listed.status.success() && String::from_utf8_lossy(&listed.stdout).trim() == wanted).then_some(())
}

/// What is done in one round.
#[derive(Debug, Clone, Copy)]
enum Blow {
    DaemonStops,
    DaemonIsKilled,
    DockerStops,
    DockerIsKilled,
}

impl Blow {
    fn all(rounds: &Rounds) -> Vec<Self> {
        let of_the_daemon = (0..rounds.of_the_daemon)
            .map(|round| if round % 2 == 0 { Self::DaemonStops } else { Self::DaemonIsKilled });
        let of_docker = std::iter::repeat_n(Self::DockerStops, rounds.of_docker);
        let kills = std::iter::repeat_n(Self::DockerIsKilled, rounds.docker_killed);
        of_the_daemon.chain(of_docker).chain(kills).collect()
    }

    /// What hits Docker, which the daemon notices.
    fn strike_docker(self, engine: &mut Engine) {
        match self {
            Self::DockerStops => engine.stop(),
            Self::DockerIsKilled => engine.kill(),
            Self::DaemonStops | Self::DaemonIsKilled => return,
        }
        engine.start_again();
    }
}

/// The marker's next wish.
struct Marker<'a> {
    image: &'a ImageRef,
    is_paused: bool,
}

impl Marker<'_> {
    fn state(&self) -> &'static str {
        if self.is_paused { "paused" } else { "running" }
    }

    /// Wishes it the other way round. The daemon has taken a turn over everything when it is so.
    fn turned(&mut self, daemon: &mut Daemon<'_>, what: &str) {
        self.is_paused = !self.is_paused;
        daemon.wish(Some(&document(self.image, self.state())));
        if !daemon.runs() {
            daemon.start("");
        }
        daemon.until(&format!("the marker to be {} {what}", self.state()), |engine| marker_is(engine, self.state()));
    }
}

fn endures(engine: &mut Engine, (world, image): (&World, &ImageRef), rounds: &Rounds, what: &str) {
    let begin = Instant::now();
    let mut marker = Marker { image, is_paused: true };
    let mut daemon = Daemon::new(engine, world);
    marker.turned(&mut daemon, "at the start");
    daemon.until("all to run", |engine| {
        let all = all_of_ours(engine);
        (all.len() == WORKSPACES + 1 && all.values().all(|(_, pid, _)| pid != "0")).then_some(())
    });
    let first = all_of_ours(engine);
    let mut idle = daemon.suspend();
    for (round, blow) in Blow::all(rounds).into_iter().enumerate() {
        let mut daemon = idle.resume(engine);
        match blow {
            Blow::DaemonStops => daemon.stop(),
            Blow::DaemonIsKilled => daemon.kill(),
            Blow::DockerStops | Blow::DockerIsKilled => {}
        }
        idle = daemon.suspend();
        blow.strike_docker(engine);
        let mut daemon = idle.resume(engine);
        marker.turned(&mut daemon, &format!("after round {round}, {blow:?}"));
        assert_eq!(all_of_ours(engine), first, "{what}: round {round}, {blow:?}");
        idle = daemon.suspend();
    }
    println!(
        "{what}: {WORKSPACES} workspaces, {} restarts of the daemon (half of them kills), {} of dockerd, {} kills of dockerd: the same \
         ids, processes and labels ({} s)",
        rounds.of_the_daemon,
        rounds.of_docker,
        rounds.docker_killed,
        begin.elapsed().as_secs()
    );
}

#[test]
#[ignore = "make test-docker runs it"]
fn restarts_of_the_daemon_and_of_docker_lose_double_and_change_no_workspace() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    let rounds = Rounds::wanted();
    for release in releases() {
        let stores: &[(&str, &[u8])] = match release {
            Release::V28_5 => &[
                ("the classic store", br#"{"live-restore": true}"#),
                ("the store of containerd", br#"{"live-restore": true, "features": {"containerd-snapshotter": true}}"#),
            ],
            Release::V20_10 | Release::V26_1 => &[("the classic store", br#"{"live-restore": true}"#)],
        };
        for (store, config) in stores {
            let mut engine = Engine::start_with(release, Options { config: config.to_vec(), ..Options::default() });
            endures(&mut engine, (&world, &image), &rounds, &format!("Docker {release}, {store}"));
        }
    }
}
