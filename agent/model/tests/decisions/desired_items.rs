//! What is to be done for what is wished: which items there are, whose, and what keeps them from being done.

use crate::world::{at, judged, nvidia, raw};
use model::change::Change;
use model::desired::{
    Desired, DesiredDocument, DesiredProxy, DesiredSections, DesiredState, DesiredUse, DocumentId, GpuEntry, GpuMatch,
    InForceDocument, WishText,
};
use model::enrol::{CheckinState, Secret};
use model::features::FeatureName;
use model::nvidia_container::NvidiaState;
use model::observation::HostObservation;
use model::policy::{Policy, read};
use model::proxy_cert::{ProxyOutcome, ProxyPair, ProxyState};
use model::reconcile::{Deed, Item, ItemState, WishSource, World, items, preview, suspicious};
use model::roster::{Roster, Sight};
use model::settings::{HostSetting, Settings};
use model::time::UnixMillis;
use model::workspace_life::WorkspacesState;
use std::collections::BTreeMap;

const FIRST: &str = "0000:41:00.0";
const SECOND: &str = "0000:61:00.0";

/// Everything that a world is made of, so that a test says only what it is about.
struct Bench {
    desired: DesiredState,
    host: HostObservation,
    roster: Roster,
    settings: Settings,
    nvidia: NvidiaState,
    workspaces: WorkspacesState,
    proxy: ProxyState,
    policy: Policy,
    is_locked: bool,
    checkin: CheckinState,
    wall: UnixMillis,
}

impl Bench {
    fn new() -> Self {
        Self::of_drivers("nvidia", "nvidia")
    }

    fn of_drivers(first: &str, second: &str) -> Self {
        let gpus = vec![nvidia(FIRST, first, 1), nvidia(SECOND, second, 2)];
        let served: Vec<&str> = [(FIRST, first), (SECOND, second)]
            .into_iter()
            .filter(|(_, by)| *by == "nvidia")
            .map(|(gpu, _)| gpu)
            .collect();
        let raw = raw(gpus, &served);
        let scan = raw.scan.clone().unwrap();
        let host = judged(raw);
        let mut roster = Roster::default();
        roster.look(&Sight::of(&scan, &host));
        Self {
            desired: DesiredState::default(),
            host,
            roster,
            settings: Settings::default(),
            nvidia: NvidiaState::not_looked(),
            workspaces: WorkspacesState::default(),
            proxy: ProxyState::default(),
            policy: read("p", "[manager]\npassthrough = true\nfeatures = true\nchanges_per_minute = 6").unwrap(),
            is_locked: false,
            checkin: CheckinState::Ok,
            wall: UnixMillis(1_000),
        }
    }

    fn manager(mut self, edit: impl FnOnce(&mut DesiredSections)) -> Self {
        let mut wishes = DesiredSections::default();
        edit(&mut wishes);
        let id = DocumentId { epoch: "e".to_owned().try_into().unwrap(), revision: 1.try_into().unwrap() };
        let document =
            DesiredDocument { id, issued_at: None, server_id: None, not_after: None, requires: vec![], wishes };
        self.desired.manager = InForceDocument::InForce(Box::new(document));
        self
    }

    fn local(mut self, edit: impl FnOnce(&mut DesiredSections)) -> Self {
        edit(&mut self.desired.local.wishes);
        self
    }

    fn world(&self) -> World<'_> {
        World {
            nvidia: &self.nvidia,
            workspaces: &self.workspaces,
            proxy: &self.proxy,
            desired: &self.desired,
            host: &self.host,
            known: self.roster.known(),
            settings: &self.settings,
            policy: &self.policy,
            is_locked: self.is_locked,
            checkin: self.checkin,
            wall: self.wall,
        }
    }

    fn items(&self) -> Vec<Item> {
        items(&self.world())
    }

    /// Paths with the state of each in one word: `met`, the setting or change to be made, or the code.
    fn words(&self) -> Vec<(WishSource, String, String)> {
        let word = |item: Item| (item.source, item.path.to_string(), word(&item.state));
        self.items().into_iter().map(word).collect()
    }

    fn of_manager(&self) -> Vec<(String, String)> {
        let of = self.words().into_iter().filter(|(source, ..)| *source == WishSource::Manager);
        of.map(|(_, path, word)| (path, word)).collect()
    }

    /// Does everything that is to be done to the settings.
    fn settle(&mut self) {
        for item in self.items() {
            if let ItemState::ToDo(Deed::Set(setting)) = item.state {
                self.settings.desired.set(setting);
            }
        }
    }
}

fn word(state: &ItemState) -> String {
    match state {
        ItemState::Met => "met".to_owned(),
        ItemState::ToDo(Deed::Set(_)) => "set".to_owned(),
        ItemState::ToDo(Deed::Change(change)) => change.act().code().to_owned(),
        ItemState::Waiting(why) | ItemState::Held(why) | ItemState::Refused(why) => why.code.clone(),
    }
}

fn entry(of: GpuMatch, usage: DesiredUse) -> GpuEntry {
    GpuEntry { of, usage: Desired::Value(usage), ..GpuEntry::default() }
}

fn bdf(address: &str) -> GpuMatch {
    GpuMatch { bdf: Some(at(address)), ..GpuMatch::default() }
}

fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected.map(|(path, word)| (path.to_owned(), word.to_owned())).to_vec()
}

#[test]
fn nothing_is_wished_without_a_document_and_a_lost_one_is_no_wish() {
    let mut bench = Bench::new();
    assert_eq!(bench.items(), []);
    bench.settings.desired.set(HostSetting::Draining(Some(true)));
    bench.settings.desired.set(HostSetting::DrainAt(Some(UnixMillis(5))));
    bench.desired.manager = InForceDocument::Unreadable { why: "cut".to_owned() };
    assert_eq!(bench.items(), [], "nothing is done and nothing undone, not even what was set to come");
}

#[test]
fn a_setting_is_to_be_done_until_it_is_in_force_and_an_absent_one_stays() {
    let labels = BTreeMap::from([("site".to_owned(), "ams".to_owned())]);
    let mut bench = Bench::new().manager(|wishes| {
        wishes.agent.labels = Desired::Value(labels.clone());
        wishes.agent.enabled = Desired::Value(false);
        wishes.agent.log_level = Desired::Unsupported("loud is no log level".to_owned());
    });
    let expected = pairs([("agent.enabled", "set"), ("agent.labels", "set"), ("agent.log_level", "unsupported_value")]);
    assert_eq!(bench.of_manager(), expected, "one unknown word costs its item alone");
    bench.settle();
    assert_eq!(bench.of_manager()[..2], pairs([("agent.enabled", "met"), ("agent.labels", "met")]));
    let mut bench = bench.manager(|wishes| wishes.agent.enabled = Desired::LocalDefault);
    assert_eq!(bench.of_manager(), pairs([("agent.enabled", "set")]));
    bench.settle();
    let set = &bench.settings.desired;
    assert_eq!((set.enabled, set.labels.as_ref()), (None, Some(&labels)), "null is the default, absent leaves alone");
}

#[test]
fn a_manager_is_held_by_its_answers_by_the_lock_and_by_the_policy_and_a_file_is_not() {
    let wish = |wishes: &mut DesiredSections| wishes.agent.zone = Desired::Value("z".to_owned());
    let mut bench = Bench::new().manager(wish);
    for (state, code) in [
        (CheckinState::DuplicateIdentity, "duplicate_identity"),
        (CheckinState::UpgradeRequired, "upgrade_required"),
        (CheckinState::Forgotten, "forgotten"),
        (CheckinState::Unreachable, "set"),
        (CheckinState::Unauthenticated, "set"),
        (CheckinState::Connecting, "set"),
    ] {
        bench.checkin = state;
        assert_eq!(bench.of_manager(), pairs([("agent.zone", code)]), "{state:?}");
    }
    bench.is_locked = true;
    assert_eq!(bench.of_manager(), pairs([("agent.zone", "remote_locked")]));
    bench.is_locked = false;
    bench.policy = read("p", "[manager]\nlabels = false").unwrap();
    assert_eq!(bench.of_manager(), pairs([("agent.zone", "denied_by_local_policy")]));
    (bench.is_locked, bench.checkin, bench.policy) = (true, CheckinState::Forgotten, Policy::strictest());
    let bench = bench.local(wish);
    let words = bench.words();
    assert_eq!(words[0], (WishSource::Local, "agent.zone".to_owned(), "set".to_owned()));
    assert_eq!(words[1], (WishSource::Manager, "agent.zone".to_owned(), "held_locally".to_owned()));
}

#[test]
fn what_is_so_already_needs_no_leave() {
    let mut bench = Bench::of_drivers("vfio-pci", "nvidia").manager(|wishes| {
        wishes.agent.zone = Desired::Value("z".to_owned());
        wishes.gpus = vec![entry(bdf(FIRST), DesiredUse::Passthrough)];
    });
    bench.settings.desired.set(HostSetting::Zone(Some("z".to_owned())));
    (bench.is_locked, bench.policy) = (true, Policy::strictest());
    assert_eq!(bench.of_manager(), pairs([("agent.zone", "met"), ("gpus[0000:41:00.0].use", "met")]));
}

#[test]
fn t26_the_time_to_drain_comes_once_also_without_a_manager() {
    let at_five = |wishes: &mut DesiredSections| wishes.agent.drain_at = Desired::Value(UnixMillis(5_000));
    let mut bench = Bench::new().manager(at_five);
    assert_eq!(bench.of_manager(), pairs([("agent.drain_at", "set")]));
    bench.settle();
    assert_eq!(bench.of_manager(), pairs([("agent.drain_at", "met")]));
    (bench.wall, bench.checkin) = (UnixMillis(5_000), CheckinState::Unreachable);
    assert_eq!(bench.of_manager(), pairs([("agent.drain_at", "set")]));
    bench.settle();
    assert!(bench.settings.desired.is_draining());
    bench.wall = UnixMillis(4_000);
    assert_eq!(bench.of_manager(), pairs([("agent.drain_at", "met")]), "a clock that steps back undoes nothing");
    bench.settle();
    assert!(bench.settings.desired.is_draining());
    // A later revision that does not name it leaves it as it is: it comes all the same.
    let mut bench = Bench::new().manager(|_| ());
    bench.settings.desired.set(HostSetting::DrainAt(Some(UnixMillis(5_000))));
    bench.wall = UnixMillis(5_000);
    assert_eq!(bench.of_manager(), pairs([("agent.drain_at", "set")]));
    bench.settle();
    assert!(bench.settings.desired.is_draining());
    let mut bench = bench.manager(|wishes| wishes.agent.drain_at = Desired::LocalDefault);
    bench.settle();
    assert!(!bench.settings.desired.is_draining(), "it is taken back by null");
}

#[test]
fn a_gpu_is_given_and_taken_back_and_put_aside() {
    let wish = |usage| move |wishes: &mut DesiredSections| wishes.gpus = vec![entry(bdf(FIRST), usage)];
    let path = "gpus[0000:41:00.0].use";
    for (usage, free, given) in [
        (DesiredUse::Passthrough, "passthrough-bind", "met"),
        (DesiredUse::Containers, "met", "passthrough-release"),
        (DesiredUse::Off, "set", "passthrough-release"),
        (DesiredUse::Auto, "met", "met"),
    ] {
        assert_eq!(Bench::new().manager(wish(usage)).of_manager(), pairs([(path, free)]), "{usage:?}");
        let bench = Bench::of_drivers("vfio-pci", "nvidia").manager(wish(usage));
        assert_eq!(bench.of_manager(), pairs([(path, given)]), "{usage:?}");
    }
    let mut off = Bench::new().manager(wish(DesiredUse::Off));
    off.settle();
    assert_eq!(off.of_manager(), pairs([(path, "met")]));
    model::features::by_settings::apply_settings(&mut off.host, &off.settings);
    let shown = off.host.gpu(at(FIRST)).unwrap();
    assert_eq!((shown.schedulable, shown.unschedulable_reason.map(|why| why.code())), (false, Some("switched_off")));
    let mut on = off.manager(wish(DesiredUse::Containers));
    on.settle();
    assert!(!on.settings.desired.is_off(at(FIRST)));
}

#[test]
fn an_entry_is_about_one_gpu_or_about_none() {
    let uuid = |address: &str| GpuMatch {
        uuid: Some(format!("GPU-{}", address.replace([':', '.'], "-")).parse().unwrap()),
        ..GpuMatch::default()
    };
    let all_keys = GpuMatch { bdf: Some(at(FIRST)), ..uuid(FIRST) };
    let apart = GpuMatch { bdf: Some(at(FIRST)), ..uuid(SECOND) };
    let model = GpuMatch { pci_id: Some("10de:2330".parse().unwrap()), ..GpuMatch::default() };
    let bad = GpuMatch { bdf: Some(at(FIRST)), wrong: Some("uuid is a number".to_owned()), ..GpuMatch::default() };
    let met = ("gpus[0000:41:00.0].use", "met");
    for (of, expected) in [
        (bdf(FIRST), met),
        (uuid(FIRST), met),
        (all_keys, met),
        (apart, ("gpus[bdf=0000:41:00.0,uuid=GPU-0000-61-00-0]", "not_found")),
        (bdf("0000:99:00.0"), ("gpus[0000:99:00.0]", "not_found")),
        (model, ("gpus[pci_id=10de:2330]", "ambiguous_match")),
        (GpuMatch::default(), ("gpus[?]", "not_found")),
        (bad, ("gpus[0000:41:00.0]", "unsupported_value")),
    ] {
        let bench = Bench::new().manager(|wishes| wishes.gpus = vec![entry(of, DesiredUse::Containers)]);
        assert_eq!(bench.of_manager(), pairs([expected]));
    }
    let twice = Bench::of_drivers("vfio-pci", "nvidia").manager(|wishes| {
        wishes.gpus = vec![entry(bdf(FIRST), DesiredUse::Passthrough), entry(bdf(FIRST), DesiredUse::Off)];
    });
    let expected = pairs([("gpus[0000:41:00.0]", "ambiguous_match"), ("gpus[0000:41:00.0]#2", "ambiguous_match")]);
    let found: Vec<(String, String)> =
        twice.of_manager().into_iter().map(|(path, word)| (path.replace("#2]", "]#2"), word)).collect();
    assert_eq!(found, expected, "a GPU that is named twice is left alone");
}

#[test]
fn a_gpu_that_was_given_away_is_still_found_by_its_uuid() {
    let mut bench = Bench::new();
    let gone_away = Bench::of_drivers("vfio-pci", "nvidia");
    bench.host = gone_away.host;
    let uuid = "GPU-0000-41-00-0".parse().unwrap();
    let of = GpuMatch { uuid: Some(uuid), ..GpuMatch::default() };
    let bench = bench.manager(|wishes| wishes.gpus = vec![entry(of, DesiredUse::Passthrough)]);
    assert_eq!(bench.of_manager(), pairs([("gpus[0000:41:00.0].use", "met")]));
}

#[test]
fn a_gpu_that_a_file_names_is_held_by_it() {
    let bench =
        Bench::new().local(|wishes| wishes.gpus = vec![entry(bdf(FIRST), DesiredUse::Containers)]).manager(|wishes| {
            let second = entry(bdf(SECOND), DesiredUse::Passthrough);
            wishes.gpus = vec![entry(bdf(FIRST), DesiredUse::Passthrough), second];
        });
    let expected = pairs([("gpus[0000:41:00.0]", "held_locally"), ("gpus[0000:61:00.0].use", "passthrough-bind")]);
    assert_eq!(bench.of_manager(), expected);
}

#[test]
fn a_feature_is_switched_within_what_the_files_and_the_chip_allow() {
    let features = |name, wish: Desired<bool>| {
        move |wishes: &mut DesiredSections| {
            let features = BTreeMap::from([(name, wish)]);
            wishes.gpus = vec![GpuEntry { of: bdf(FIRST), features, ..GpuEntry::default() }];
        }
    };
    let mut bench = Bench::new().manager(features(FeatureName::Nvdec, Desired::Value(false)));
    assert_eq!(bench.of_manager(), pairs([("gpus[0000:41:00.0].features.nvdec", "set")]));
    bench.settle();
    model::features::by_settings::apply_settings(&mut bench.host, &bench.settings);
    let shown = &bench.host.gpu(at(FIRST)).unwrap().features[&FeatureName::Nvdec];
    assert_eq!(shown.reason.map(|lack| lack.code()), Some("off_by_manager"));
    let bench = Bench::new().manager(features(FeatureName::Nvenc, Desired::Value(true)));
    let lack = bench.of_manager();
    assert_eq!(lack, pairs([("gpus[0000:41:00.0].features.nvenc", "unsupported_by_gpu")]), "an H100 has no encoder");
    let mut bench = Bench::new().manager(features(FeatureName::Cuda, Desired::Value(true)));
    bench.settings.gpu.entry(at(FIRST)).or_default().features_off.insert(FeatureName::Cuda);
    assert_eq!(bench.of_manager(), pairs([("gpus[0000:41:00.0].features.cuda", "held_locally")]));
    let unknown = Bench::new().manager(|wishes| {
        let unknown_features = vec!["teleport".to_owned()];
        wishes.gpus = vec![GpuEntry { of: bdf(FIRST), unknown_features, ..GpuEntry::default() }];
    });
    assert_eq!(unknown.of_manager(), pairs([("gpus[0000:41:00.0].features.teleport", "unsupported_value")]));
}

#[test]
fn cuda_gpus_are_overridden_only_where_there_is_one_and_too_many_are_told() {
    let ten = |wishes: &mut DesiredSections| wishes.agent.overrides.cuda_gpus = Desired::Value(10);
    let mut bench = Bench::new().manager(ten);
    assert_eq!(bench.of_manager(), pairs([("agent.overrides.cuda_gpus", "set")]));
    bench.settle();
    assert_eq!(suspicious(&bench.world()), None);
    bench.settings.desired.set(HostSetting::CudaGpus(Some(33)));
    assert!(suspicious(&bench.world()).unwrap().contains("33 is reported, 2 is physical"));
    let mut none = Bench::new().manager(ten);
    none.host = judged(raw(Vec::new(), &[]));
    assert_eq!(none.of_manager(), pairs([("agent.overrides.cuda_gpus", "no_physical_gpu")]));
}

#[test]
fn a_change_that_is_under_way_is_waited_for_and_one_that_could_not_be_undone_is_refused() {
    let mut bench = Bench::new().manager(|wishes| wishes.gpus = vec![entry(bdf(FIRST), DesiredUse::Passthrough)]);
    for (usage, code) in [
        (model::observation::GpuUse::Transitioning, "transitioning"),
        (model::observation::GpuUse::Quarantined, "quarantined"),
    ] {
        bench.host.gpus[0].usage = usage;
        assert_eq!(bench.of_manager(), pairs([("gpus[0000:41:00.0].use", code)]));
    }
    let given = Change::PassthroughRelease(at(FIRST));
    assert!(Deed::Change(given).takes_back());
}

#[test]
fn a_preview_has_what_a_file_would_change_and_nothing_that_is_so_already() {
    let mut bench = Bench::new()
        .manager(|wishes| {
            wishes.agent.zone = Desired::Value("theirs".to_owned());
            wishes.agent.max_workspaces =
                Desired::Unsupported("it is refused, with the file and without it".to_owned());
        })
        .local(|wishes| wishes.agent.pool = Desired::Value("p".to_owned()));
    bench.settle();
    let before = bench.desired.clone();
    let mut file = DesiredSections::default();
    file.agent.pool = Desired::Value("p".to_owned());
    assert_eq!(preview(&bench.world(), &file), [], "it is so already");
    file.agent.zone = Desired::Value("ours".to_owned());
    file.agent.draining = Desired::Value(true);
    let found: Vec<_> = preview(&bench.world(), &file)
        .into_iter()
        .map(|item| (item.source, item.path.to_string(), word(&item.state)))
        .collect();
    let expected = [
        (WishSource::Local, "agent.draining", word(&ItemState::ToDo(Deed::Set(HostSetting::Draining(Some(true)))))),
        (
            WishSource::Local,
            "agent.zone",
            word(&ItemState::ToDo(Deed::Set(HostSetting::Zone(Some("ours".to_owned()))))),
        ),
        (WishSource::Manager, "agent.zone", "held_locally".to_owned()),
    ];
    assert_eq!(found, expected.map(|(source, path, word)| (source, path.to_owned(), word)));
    assert_eq!(bench.desired, before, "nothing is wished by looking");
}

fn with_proxy(wishes: &mut DesiredSections) {
    let text = |text: &str| Desired::Value(WishText::new(text));
    wishes.proxy = DesiredProxy { cert: text("cert"), key: text("key"), server_name: Desired::Absent };
}

#[test]
fn the_certificate_of_the_proxy_is_met_once_its_keeper_says_so_of_this_very_pair() {
    let proxy =
        |bench: &Bench| bench.of_manager().into_iter().filter(|(path, _)| path == "proxy").map(|(_, word)| word);
    let words = |bench: &Bench| proxy(bench).collect::<Vec<_>>();
    let mut bench = Bench::new().manager(with_proxy);
    assert_eq!(words(&bench), ["under_way"]);
    let pair = |key: &str| ProxyPair { cert_pem: "cert".into(), key_pem: Secret::new(key), server_name: None };
    bench.proxy = ProxyState { of: Some(pair("key")), outcome: ProxyOutcome::Installed, expires_at: None };
    assert_eq!(words(&bench), ["met"]);
    bench.proxy.of = Some(pair("another"));
    assert_eq!(words(&bench), ["under_way"], "what is installed is another pair");
    bench.is_locked = true;
    assert_eq!(words(&bench), ["remote_locked"]);
    bench.is_locked = false;
    bench.policy = read("p", "[manager]\nproxy = false").unwrap();
    assert_eq!(words(&bench), ["denied_by_local_policy"]);
    let half = Bench::new().manager(|wishes| {
        with_proxy(wishes);
        wishes.proxy.key = Desired::LocalDefault;
    });
    assert_eq!(words(&half), ["unsupported_value"]);
    assert_eq!(words(&Bench::new().manager(with_proxy).local(with_proxy)), ["held_locally"]);
    let nothing = Bench::new().manager(|wishes| wishes.proxy.cert = Desired::LocalDefault);
    assert_eq!(words(&nothing), Vec::<String>::new(), "null takes nothing away");
}
