//! Owns what holds for any history: the tree agrees with the naive model, what is in flight counts as if applied, replays
//! are equal, a snapshot is the tree as of its transaction, a restored tree is the one that was taken apart.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tree::{
    Acl, AclList, Applied, Create, CreateMode, Image, Op, Perms, Request, SessionId, Tree, TreeBuilder, Txn,
    Zxid,
};

use crate::bench::{Bench, bytes, close, open, path};
use crate::model::{Asker, Model};

const SESSIONS: std::ops::RangeInclusive<i64> = 1..=3;

/// One move of a history.
#[derive(Clone, Debug)]
enum Move {
    /// A request, by a session or by the server.
    Ask(Option<i64>, Request),
    /// Apply the first transactions in flight, so many at most.
    Apply(usize),
}

/// Few names and little depth, so that histories meet.
fn any_path() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| format!("/{}", names.join("/")))
}

fn any_acl() -> impl Strategy<Value = AclList> {
    prop_oneof![
        8 => Just(AclList::open()),
        1 => (0..32).prop_map(|perms| AclList::from(vec![Acl::new(Perms(perms), "world", "anyone")])),
    ]
}

fn any_data() -> impl Strategy<Value = Option<bytes::Bytes>> {
    option::of("[x-z]{0,3}".prop_map(|text| bytes(&text).unwrap_or_default()))
}

fn any_version() -> impl Strategy<Value = i32> {
    prop_oneof![3 => Just(-1), 1 => 0..3]
}

fn any_create() -> impl Strategy<Value = Op> {
    (any_path(), any_data(), any_acl(), 0..7, 1i64..40).prop_map(|(name, data, acl, flag, ttl_ms)| {
        let mode = CreateMode::from_flag(flag).unwrap_or(CreateMode::Persistent);
        let ttl_ms = mode.is_ttl().then_some(ttl_ms);
        Op::Create(Create { path: path(&name), data, acl, mode, ttl_ms })
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any_create(),
        3 => (any_path(), any_version()).prop_map(|(name, version)| Op::Delete { path: path(&name), version }),
        3 => (any_path(), any_data(), any_version())
            .prop_map(|(name, data, version)| Op::SetData { path: path(&name), data, version }),
        1 => (any_path(), any_acl(), any_version())
            .prop_map(|(name, acl, version)| Op::SetAcl { path: path(&name), acl, version }),
        1 => (any_path(), any_version()).prop_map(|(name, version)| Op::Check { path: path(&name), version }),
        2 => (any_path(), any_data()).prop_map(|(name, data)| Op::Put { path: path(&name), data }),
        1 => any_path().prop_map(|name| Op::Remove { path: path(&name) }),
        1 => any_path().prop_map(|name| Op::DeleteContainer { path: path(&name) }),
    ]
}

fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        10 => any_op().prop_map(Request::Op),
        4 => vec(any_op(), 0..5).prop_map(Request::Multi),
        2 => SESSIONS.prop_map(open),
        1 => SESSIONS.prop_map(close),
        1 => any_path().prop_map(|name| Request::Reap { path: path(&name) }),
    ]
}

fn any_history() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        6 => (option::of(SESSIONS), any_request()).prop_map(|(session, request)| Move::Ask(session, request)),
        2 => (1usize..6).prop_map(Move::Apply),
    ];
    vec(step, 1..80).prop_map(|mut moves| {
        moves.splice(0..0, SESSIONS.map(|session| Move::Ask(None, open(session))));
        moves
    })
}

/// A snapshot of a tree that nobody changes meanwhile.
fn images_of(tree: &mut Tree) -> Vec<Image> {
    let mut snapshot = tree.begin_snapshot().expect("no other is under way");
    while !snapshot.collect(tree, 7) {}
    snapshot.sort();
    let mut images = Vec::new();
    while snapshot.next(tree, 5, &mut images) > 0 {}
    tree.end_snapshot(snapshot);
    images
}

fn restored(images: impl IntoIterator<Item = Image>, last: Zxid) -> Tree {
    let mut builder = TreeBuilder::new();
    for image in images {
        builder.add(image).expect("the image is new");
    }
    builder.finish(last).expect("the tree is whole")
}

fn replayed(log: &[Txn]) -> Tree {
    let mut tree = Tree::new();
    for txn in log {
        tree.apply(txn, &mut Applied::default()).expect("the log fits");
    }
    tree
}

/// Runs a history on a bench and on the model at once. The model applies at once whatever is accepted, so that their
/// agreement is that of the overlay too.
fn run(moves: &[Move]) -> (Bench, Model) {
    let mut bench = Bench::new();
    let mut model = Model::of(images_of(&mut bench.tree));
    let mut events = Vec::new();
    for step in moves {
        match step {
            Move::Ask(session, request) => {
                let zxid = bench.next_offset;
                let got = bench.prepare(*session, &[], request);
                let asker = Asker { session: *session, zxid, time_ms: bench.now_ms };
                let wanted = model.run(asker, request);
                let records = got.as_ref().map(|prepared| prepared.txn.changes.len() as i64);
                assert_eq!(records.map_err(|refused| refused.error), wanted, "{request:?}");
                events.append(&mut model.events);
            }
            Move::Apply(max) => apply(&mut bench, *max, &mut events),
        }
    }
    apply(&mut bench, usize::MAX, &mut events);
    assert!(events.is_empty() && bench.pending.is_empty());
    (bench, model)
}

/// Applies the first `max` transactions in flight and takes their events off the model's.
fn apply(bench: &mut Bench, max: usize, wanted: &mut Vec<(tree::EventKind, String)>) {
    let applied = bench.apply(max);
    let got: Vec<_> = applied
        .iter()
        .flat_map(|applied| &applied.events)
        .map(|event| (event.kind, event.path.to_string()))
        .collect();
    assert_eq!(got, wanted.drain(..got.len().min(wanted.len())).collect::<Vec<_>>());
}

fn assert_same(bench: &mut Bench, model: &Model) {
    assert_eq!(images_of(&mut bench.tree), model.images());
    for path in model.paths() {
        let node = bench.tree.get(path).expect("the model has it");
        let children: BTreeSet<String> = node.children().map(str::to_owned).collect();
        let wanted = model.children(path);
        assert_eq!(node.stat().num_children as usize, wanted.len());
        assert_eq!(node.stat().cversion, 2 * node.raw_stat().cversion - wanted.len() as i32);
        assert_eq!(children, wanted);
    }
    for (id, _) in bench.tree.sessions() {
        let owned = |node: &&Image| match node {
            Image::Node(node) => node.owner == tree::Owner::Session(id),
            Image::Session(_) => false,
        };
        assert_eq!(bench.tree.ephemerals(id, "").len(), model.images().iter().filter(owned).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model_in_flight_and_applied(moves in any_history()) {
        let (mut bench, model) = run(&moves);
        assert_same(&mut bench, &model);
    }

    #[test]
    fn replaying_the_log_gives_the_same_tree(moves in any_history()) {
        let (bench, _) = run(&moves);
        let replica = replayed(&bench.log);
        prop_assert_eq!(replica.digest(), bench.tree.digest());
        prop_assert_eq!(replica.data_size(), bench.tree.data_size());
        prop_assert_eq!(replica.acl_count(), bench.tree.acl_count());
    }

    #[test]
    fn a_snapshot_is_the_tree_as_of_its_transaction(
        moves in any_history(),
        later in any_history(),
        steps in vec(0usize..6, 1..40),
    ) {
        let (mut bench, model) = run(&moves);
        let wanted = model.images();
        let at = bench.tree.last_zxid();
        let mut snapshot = bench.tree.begin_snapshot().expect("no other is under way");
        prop_assert!(bench.tree.begin_snapshot().is_none());
        let mut requests = later.iter();
        let mut change = |bench: &mut Bench, count: usize| {
            for step in requests.by_ref().take(count) {
                if let Move::Ask(session, request) = step {
                    let accepted = bench.prepare(*session, &[], request);
                    drop(accepted);
                    bench.apply_all();
                }
            }
        };
        let mut steps = steps.into_iter();
        while !snapshot.collect(&bench.tree, 2) {
            change(&mut bench, steps.next().unwrap_or(1));
        }
        snapshot.sort();
        let mut images = Vec::new();
        while snapshot.next(&bench.tree, 2, &mut images) > 0 {
            change(&mut bench, steps.next().unwrap_or(1));
        }
        prop_assert_eq!(snapshot.at(), at);
        prop_assert_eq!(snapshot.len(), images.len());
        bench.tree.end_snapshot(snapshot);
        prop_assert_eq!(&images, &wanted);
        // Head, then tail: a restart from this snapshot ends with the same tree.
        let mut restarted = restored(images, at);
        for txn in bench.log.iter().filter(|txn| txn.zxid > at) {
            restarted.apply(txn, &mut Applied::default()).expect("the tail fits");
        }
        prop_assert_eq!(restarted.digest(), bench.tree.digest());
    }

    #[test]
    fn a_restored_tree_is_the_original_in_whatever_order(moves in any_history(), rotate in 0usize..100) {
        let (mut bench, model) = run(&moves);
        let mut images = images_of(&mut bench.tree);
        let middle = rotate % images.len();
        images.rotate_left(middle);
        images.reverse();
        let last = bench.tree.last_zxid();
        bench.tree = restored(images, last);
        prop_assert_eq!(bench.tree.last_zxid(), last);
        assert_same(&mut bench, &model);
        let replica = replayed(&bench.log);
        prop_assert_eq!(replica.digest(), bench.tree.digest());
        prop_assert_eq!(replica.data_size(), bench.tree.data_size());
        // It also goes on in the same way.
        for session in SESSIONS {
            let id = SessionId(session);
            prop_assert_eq!(replica.ephemerals(id, ""), bench.tree.ephemerals(id, ""));
        }
        prop_assert_eq!(
            replica.reap_candidates(i64::MAX).into_iter().collect::<BTreeSet<_>>(),
            bench.tree.reap_candidates(i64::MAX).into_iter().collect::<BTreeSet<_>>()
        );
    }

    #[test]
    fn clearing_what_is_in_flight_forgets_it(moves in any_history(), lost in any_history()) {
        let (mut bench, model) = run(&moves);
        for step in &lost {
            if let Move::Ask(session, request) = step {
                let accepted = bench.prepare(*session, &[], request);
                drop(accepted);
            }
        }
        bench.in_flight.clear();
        bench.pending.clear();
        assert_same(&mut bench, &model);
        // What is prepared now is judged against the tree alone.
        let mut continued = model;
        for step in &lost {
            if let Move::Ask(session, request) = step {
                let zxid = bench.next_offset;
                let got = bench.prepare(*session, &[], request);
                let asker = Asker { session: *session, zxid, time_ms: bench.now_ms };
                prop_assert_eq!(got.is_ok(), continued.run(asker, request).is_ok());
            }
        }
        bench.apply_all();
        assert_same(&mut bench, &continued);
    }
}

mod restore_errors {
    use tree::{NodeImage, Owner, RestoreError, SessionImage};

    use super::*;

    fn node(name: &str, owner: Owner) -> Image {
        Image::Node(NodeImage {
            path: path(name),
            data: None,
            acl: AclList::open(),
            owner,
            stat: tree::RawStat::default(),
            last_offset: 1,
        })
    }

    fn restore(images: Vec<Image>) -> Option<RestoreError> {
        let mut builder = TreeBuilder::new();
        for image in images {
            if let Err(error) = builder.add(image) {
                return Some(error);
            }
        }
        builder.finish(Zxid(1)).err()
    }

    #[test]
    fn only_a_whole_tree_is_restored() {
        let plain = |name| node(name, Owner::Persistent);
        let session = || {
            Image::Session(SessionImage {
                id: SessionId(7),
                timeout_ms: 1,
                password_sha256: [0; 32],
                last_offset: 0,
            })
        };
        let owned = || node("/e", Owner::Session(SessionId(7)));
        assert_eq!(restore(vec![]), Some(RestoreError::MissingNode(path("/"))));
        assert_eq!(restore(vec![plain("/a")]), Some(RestoreError::MissingNode(path("/"))));
        assert_eq!(restore(vec![plain("/a/b"), plain("/")]), Some(RestoreError::MissingNode(path("/a"))));
        assert_eq!(restore(vec![plain("/"), plain("/")]), Some(RestoreError::DuplicateNode(path("/"))));
        assert_eq!(restore(vec![plain("/"), plain("/a//b")]), Some(RestoreError::BadPath(path("/a//b"))));
        assert_eq!(restore(vec![plain("a")]), Some(RestoreError::BadPath(path("a"))));
        assert_eq!(restore(vec![session(), session()]), Some(RestoreError::DuplicateSession(SessionId(7))));
        assert_eq!(
            restore(vec![plain("/"), owned()]),
            Some(RestoreError::MissingSession(path("/e"), SessionId(7)))
        );
        assert_eq!(restore(vec![owned(), session(), plain("/")]), None);
    }
}

#[test]
fn a_dropped_snapshot_ends_itself() {
    let mut bench = Bench::new();
    let snapshot = bench.tree.begin_snapshot().expect("none is under way");
    drop(snapshot);
    bench.create("/a");
    let again = bench.tree.begin_snapshot().expect("the first one is gone");
    bench.tree.end_snapshot(again);
}

#[test]
fn a_snapshot_skips_what_was_created_in_a_vacant_slot_and_changed() {
    let mut bench = Bench::new();
    bench.create("/a");
    bench.run(Request::Op(Op::Remove { path: path("/a") })).expect("deleted");
    let mut snapshot = bench.tree.begin_snapshot().expect("none is under way");
    bench.create("/b");
    bench.run(Request::Op(Op::Put { path: path("/b"), data: bytes("2") })).expect("set");
    bench.create("/b/c");
    while !snapshot.collect(&bench.tree, 1) {}
    snapshot.sort();
    let mut images = Vec::new();
    while snapshot.next(&bench.tree, 1, &mut images) > 0 {}
    assert_eq!(images.len(), 4, "the server's own nodes: {images:?}");
}
