//! Owns one test for each item of ZooKeeper's semantics (reference list 3) that the tree carries, beside those that sit
//! next to the code of paths, ACLs and quotas.

use crate::bench::*;
use bytes::Bytes;
use tree::{
    Acl, AclList, Applied, Change, CreateMode, EventKind, Id, Misfit, MisfitReason, Op, Options, Owner,
    Perms, Planned, Refused, Request, SessionId, Tree, TreeError, Txn, WatchKind, Zxid, digest_id,
    next_version,
};

fn acl(entries: &[(Perms, &str, &str)]) -> AclList {
    AclList::from(entries.iter().map(|(perms, scheme, id)| Acl::new(*perms, scheme, id)).collect::<Vec<_>>())
}

#[test]
fn zk_3_2_a_failed_multi_names_the_failing_op() {
    let mut bench = Bench::new();
    let multi = Request::Multi(vec![create("/a"), create("/b"), delete("/missing", -1), create("/c")]);
    let refused = bench.prepare(None, &[], &multi).expect_err("the third op fails");
    assert_eq!(refused, Refused { error: TreeError::NoNode, index: 2 });
    assert!(bench.pending.is_empty());
}

#[test]
fn zk_3_3_ops_of_a_multi_share_a_zxid_and_see_each_other() {
    let mut bench = Bench::new();
    let multi = Request::Multi(vec![
        create("/a"),
        create("/a/b"),
        set("/a/b", "new", 0),
        check("/a/b", 1),
        create_mode("/a/s-", CreateMode::PersistentSequential),
        delete("/a/b", 1),
    ]);
    let (prepared, applied) = bench.run(multi).expect("accepted");
    let zxid = prepared.txn.zxid;
    assert_eq!(
        prepared.plan,
        [
            Planned::Create(0),
            Planned::Create(1),
            Planned::SetData(2),
            Planned::Check,
            Planned::Create(3),
            Planned::Delete(4)
        ]
    );
    assert_eq!(prepared.txn.changes[3].path().map(|path| &**path), Some("/a/s-0000000001"));
    assert_eq!(bench.stat("/a").czxid, zxid);
    assert_eq!(bench.stat("/a").pzxid, zxid);
    // The result of an op is the stat right after it, not after the whole multi.
    assert_eq!(applied.results[0].map(|stat| stat.num_children), Some(0));
    assert_eq!(applied.results[2].map(|stat| (stat.version, stat.mzxid)), Some((1, zxid)));
    assert_eq!(bench.tree.last_zxid(), zxid);
    // The next transaction begins behind all records of this one.
    assert_eq!(bench.create("/next").czxid.0, zxid.0 + 5);
}

#[test]
fn zk_3_3_a_failed_multi_rolls_the_sequential_counter_back() {
    let mut bench = Bench::new();
    bench.create("/q");
    bench.prepare(None, &[], &op(create_mode("/q/n-", CreateMode::PersistentSequential))).expect("accepted");
    let failing = Request::Multi(vec![
        create_mode("/q/n-", CreateMode::PersistentSequential),
        create_mode("/q/n-", CreateMode::EphemeralSequential),
        set("/q", "x", -1),
        check("/q", 77),
    ]);
    bench.open(7);
    bench.prepare(Some(7), &[], &failing).expect_err("the check fails");
    let (prepared, _) =
        bench.run(op(create_mode("/q/n-", CreateMode::PersistentSequential))).expect("accepted");
    assert_eq!(prepared.txn.changes[0].path().map(|path| &**path), Some("/q/n-0000000001"));
    assert_eq!(bench.data("/q"), Some(&b"x"[..]), "the data that create gave");
    assert_eq!(bench.stat("/q").version, 0);
    let (prepared, _) = bench.run(close(7)).expect("closes");
    assert_eq!(
        prepared.txn.changes,
        [Change::CloseSession { id: SessionId(7) }],
        "no ephemeral was left behind"
    );
}

#[test]
fn zk_3_3_a_multi_of_checks_changes_nothing() {
    let mut bench = Bench::new();
    let (prepared, _) = bench.run(Request::Multi(vec![check("/", -1)])).expect("accepted");
    assert!(prepared.txn.changes.is_empty() && bench.pending.is_empty());
    assert_eq!(prepared.plan, [Planned::Check]);
    bench.run(Request::Multi(Vec::new())).expect("an empty multi is one too");
}

#[test]
fn zk_3_5_a_check_alone_is_unimplemented() {
    assert_eq!(Bench::new().run(op(check("/", -1))).err(), Some(TreeError::Unimplemented));
}

#[test]
fn zk_3_10_events_of_create_set_delete_in_order() {
    let mut bench = Bench::new();
    let (prepared, applied) = bench.run(op(create("/a"))).expect("created");
    assert_eq!(kinds(&applied.events), [(EventKind::Created, "/a"), (EventKind::ChildrenChanged, "/")]);
    assert!(applied.events.iter().all(|event| event.zxid == prepared.txn.zxid));
    let (_, applied) = bench.run(op(create("/a/b"))).expect("created");
    assert_eq!(kinds(&applied.events), [(EventKind::Created, "/a/b"), (EventKind::ChildrenChanged, "/a")]);
    let (_, applied) = bench.run(op(set("/a/b", "", -1))).expect("set");
    assert_eq!(kinds(&applied.events), [(EventKind::DataChanged, "/a/b")]);
    let (_, applied) = bench.run(op(delete("/a/b", -1))).expect("deleted");
    assert_eq!(kinds(&applied.events), [(EventKind::Deleted, "/a/b"), (EventKind::ChildrenChanged, "/a")]);
    let set_acl = Op::SetAcl { path: path("/a"), acl: AclList::open(), version: -1 };
    let (_, applied) = bench.run(op(set_acl)).expect("set");
    assert_eq!(applied.events, []);
}

#[test]
fn zk_3_12_events_carry_the_acl_of_their_node_as_they_fire() {
    let mut bench = Bench::new();
    bench.create("/a");
    let secret = acl(&[(Perms::ALL, "digest", &digest_id(b"ann:1").id)]);
    let (_, applied) =
        bench.run(op(create_with("/a/b", CreateMode::Persistent, secret.clone(), None))).expect("created");
    assert_eq!(applied.events[0].acl, secret);
    assert_eq!(applied.events[1].acl, AclList::open(), "the parent's");
    let (_, applied) = bench.run(op(delete("/a/b", -1))).expect("deleted");
    assert_eq!(applied.events[0].acl, secret, "the deleted node's last one");
    assert_eq!(bench.tree.acl_count(), 2, "open and read-only; the secret is forgotten");
}

#[test]
fn zk_3_9_and_3_13_watches_catch_up_with_what_they_missed() {
    let mut bench = Bench::new();
    let created = bench.create("/a").czxid;
    bench.create("/a/b");
    let child = bench.tree.last_zxid();
    let (_, applied) = bench.run(op(set("/a", "2", -1))).expect("set");
    let changed = applied.results[0].expect("a stat").mzxid;
    let missed = |kind, path, seen| bench.tree.catch_up(kind, path, seen);
    assert_eq!(missed(WatchKind::Data, "/a", changed), None);
    assert_eq!(missed(WatchKind::Data, "/a", child), Some(EventKind::DataChanged));
    assert_eq!(missed(WatchKind::Child, "/a", child), None);
    assert_eq!(missed(WatchKind::Child, "/a", created), Some(EventKind::ChildrenChanged));
    assert_eq!(missed(WatchKind::Data, "/gone", changed), Some(EventKind::Deleted));
    assert_eq!(missed(WatchKind::Child, "/gone", changed), Some(EventKind::Deleted));
    assert_eq!(missed(WatchKind::Exist, "/gone", created), None);
    assert_eq!(missed(WatchKind::Exist, "/a", changed), Some(EventKind::Created));
}

#[test]
fn zk_3_14_client_visible_cversion() {
    let mut bench = Bench::new();
    assert_eq!((bench.stat("/").cversion, bench.stat("/").num_children), (-1, 1));
    assert_eq!((bench.stat("/zookeeper").cversion, bench.stat("/zookeeper").num_children), (-2, 2));
    bench.create("/a");
    assert_eq!(bench.stat("/").cversion, 0);
    for name in ["/a/1", "/a/2", "/a/3"] {
        bench.create(name);
    }
    assert_eq!(bench.stat("/a").cversion, 3);
    let before = bench.stat("/a");
    bench.run(op(set("/a/1", "x", -1))).expect("set");
    assert_eq!(bench.stat("/a"), before, "setData never touches the parent");
    let (prepared, _) = bench.run(op(delete("/a/1", -1))).expect("deleted");
    let after = bench.stat("/a");
    assert_eq!((after.cversion, after.pzxid, after.mzxid), (4, prepared.txn.zxid, before.mzxid));
}

#[test]
fn zk_3_15_sequential_suffix_counts_creates() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.create("/q");
    let run = |bench: &mut Bench, op| bench.run_as(Some(7), &[], Request::Op(op)).expect("accepted").0;
    let name = |prepared: &tree::Prepared| prepared.txn.changes[0].path().expect("a path").to_string();
    let first = run(&mut bench, create_mode("/q/n-", CreateMode::PersistentSequential));
    assert_eq!(name(&first), "/q/n-0000000000");
    run(&mut bench, delete("/q/n-0000000000", -1));
    run(&mut bench, create("/q/plain"));
    let second = run(&mut bench, create_mode("/q/m-", CreateMode::EphemeralSequential));
    assert_eq!(name(&second), "/q/m-0000000002");
    let ttl = create_with("/q/", CreateMode::TtlSequential, AclList::open(), Some(5));
    assert_eq!(name(&run(&mut bench, ttl)), "/q/0000000003");
    let batch = [(); 2].map(|()| {
        let request = op(create_mode("/q/p-", CreateMode::PersistentSequential));
        bench.prepare(None, &[], &request).expect("accepted")
    });
    assert_eq!(batch.each_ref().map(name), ["/q/p-0000000004", "/q/p-0000000005"]);
}

#[test]
fn zk_3_16_versions_skip_minus_one() {
    assert_eq!([0, 1, i32::MAX, -2, -1].map(next_version), [1, 2, i32::MIN, 0, 0]);
    let mut bench = Bench::new();
    bench.create("/a");
    let txn = Txn {
        zxid: Zxid(bench.next_offset),
        time_ms: 1,
        session: None,
        changes: vec![Change::SetData { path: path("/a"), data: None, version: -2 }],
    };
    bench.next_offset += 1;
    bench.tree.apply(&txn, &mut Applied::default()).expect("fits");
    let (_, applied) = bench.run(op(set("/a", "x", -2))).expect("set");
    assert_eq!(applied.results[0].map(|stat| stat.version), Some(0));
}

#[test]
fn zk_3_18_a_closed_session_is_expired() {
    let mut bench = Bench::new();
    let run = |bench: &mut Bench, request| bench.run_as(Some(7), &[], request).err();
    assert_eq!(run(&mut bench, op(create("/a"))), Some(TreeError::SessionExpired));
    bench.open(7);
    assert_eq!(run(&mut bench, op(create("/a"))), None);
    bench.prepare(None, &[], &close(7)).expect("closes");
    assert!(!bench.pending.session_open(&bench.tree, SessionId(7)), "closing counts before it is applied");
    assert_eq!(run(&mut bench, op(set("/a", "", -1))), Some(TreeError::SessionExpired));
    assert_eq!(run(&mut bench, close(7)), Some(TreeError::SessionExpired));
}

#[test]
fn sessions_are_kept_as_they_were_opened() {
    let mut bench = Bench::new();
    let (prepared, _) = bench.run(open(7)).expect("opens");
    let session = bench.tree.session(SessionId(7)).expect("open");
    assert_eq!((session.timeout_ms, session.password_sha256), (6000, [7; 32]));
    assert_eq!(session.last_offset, prepared.txn.zxid.0);
    assert_eq!(bench.run(open(7)).err(), Some(TreeError::BadArguments), "an id in use");
    assert_eq!(bench.tree.sessions().count(), 1);
}

#[test]
fn zk_3_24_closing_deletes_all_ephemerals_in_one_transaction_pending_ones_too() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.open(8);
    bench.create("/dir");
    let ephemeral = |path| op(create_mode(path, CreateMode::Ephemeral));
    for path in ["/dir/applied", "/dir/deleted", "/dir/swapped"] {
        bench.run_as(Some(7), &[], ephemeral(path)).expect("created");
    }
    for (session, request) in [
        (7, ephemeral("/dir/pending")),
        (7, ephemeral("/dir/gone")),
        (7, op(delete("/dir/gone", -1))),
        (7, op(delete("/dir/deleted", -1))),
        (7, op(delete("/dir/swapped", -1))),
        (8, ephemeral("/dir/swapped")),
        (8, ephemeral("/dir/other")),
    ] {
        bench.prepare(Some(session), &[], &request).expect("accepted");
    }
    let closing = bench.prepare(None, &[], &close(7)).expect("closes");
    let deleted = |name: &str| Change::Delete { path: path(name) };
    assert_eq!(
        closing.txn.changes,
        [deleted("/dir/applied"), deleted("/dir/pending"), Change::CloseSession { id: SessionId(7) }]
    );
    let applied = bench.apply_all().pop().expect("applied");
    assert_eq!(
        kinds(&applied.events),
        [
            (EventKind::Deleted, "/dir/applied"),
            (EventKind::ChildrenChanged, "/dir"),
            (EventKind::Deleted, "/dir/pending"),
            (EventKind::ChildrenChanged, "/dir"),
        ]
    );
    assert_eq!(bench.stat("/dir").pzxid, closing.txn.zxid);
    assert!(bench.tree.session(SessionId(7)).is_none());
    assert_eq!(bench.tree.ephemerals(SessionId(8), ""), [path("/dir/other"), path("/dir/swapped")]);
}

#[test]
fn ephemerals_by_prefix() {
    let mut bench = Bench::new();
    bench.open(7);
    for path in ["/a", "/ab", "/b"] {
        bench.run_as(Some(7), &[], op(create_mode(path, CreateMode::Ephemeral))).expect("created");
    }
    let list =
        |prefix| bench.tree.ephemerals(SessionId(7), prefix).iter().map(|path| path.to_string()).collect();
    let of = |prefix| -> Vec<String> { list(prefix) };
    assert_eq!(of("/a"), ["/a", "/ab"]);
    assert_eq!([of(""), of("/"), of(" ")].map(|all| all.len()), [3, 3, 3]);
    assert_eq!(bench.tree.ephemeral_count(), 3);
    assert_eq!(bench.stat("/a").ephemeral_owner, 7);
}

#[test]
fn zk_3_25_and_3_43_containers_go_when_their_last_child_is_gone() {
    let mut bench = Bench::new();
    bench.run(op(create_mode("/c", CreateMode::Container))).expect("created");
    let reap = || Request::Reap { path: path("/c") };
    assert_eq!(bench.stat("/c").ephemeral_owner, 0, "clients don't see the kind");
    assert_eq!(bench.tree.get("/c").map(|node| node.owner()), Some(Owner::Container));
    assert_eq!(Owner::Container.to_raw(), i64::MIN);
    assert!(bench.tree.reap_candidates(i64::MAX).is_empty(), "it never had a child");
    assert_eq!(bench.run(reap()).err(), Some(TreeError::BadVersion));
    bench.create("/c/child");
    assert!(bench.tree.reap_candidates(i64::MAX).is_empty());
    assert_eq!(bench.run(reap()).err(), Some(TreeError::NotEmpty));
    bench.run(op(delete("/c/child", -1))).expect("deleted");
    assert_eq!(bench.tree.reap_candidates(0), [path("/c")]);
    // A child in flight saves it.
    bench.prepare(None, &[], &op(create("/c/child"))).expect("accepted");
    assert_eq!(bench.prepare(None, &[], &reap()).map_err(|refused| refused.error), Err(TreeError::NotEmpty));
    bench.prepare(None, &[], &op(delete("/c/child", -1))).expect("accepted");
    let (prepared, _) = bench.run(reap()).expect("reaped");
    assert_eq!(
        (prepared.plan, prepared.txn.changes),
        (vec![Planned::Delete(0)], vec![Change::Delete { path: path("/c") }])
    );
    assert!(bench.tree.get("/c").is_none() && bench.tree.reap_candidates(0).is_empty());
    assert_eq!(bench.run(reap()).err(), Some(TreeError::NoNode));
}

#[test]
fn zk_3_26_and_3_43_ttl_counts_from_the_last_write_and_spares_parents() {
    let mut bench = Bench::new();
    let ttl = |path, ttl_ms| op(create_with(path, CreateMode::Ttl, AclList::open(), Some(ttl_ms)));
    bench.run(ttl("/t", 100)).expect("created");
    assert_eq!(bench.stat("/t").ephemeral_owner, 0, "clients don't see the kind");
    assert_eq!(Owner::Ttl(100).to_raw() as u64, 0xff00_0000_0000_0064);
    assert_eq!(Owner::from_raw(Owner::Ttl(100).to_raw()), Owner::Ttl(100));
    let born = bench.stat("/t").mtime_ms;
    assert!(bench.tree.reap_candidates(born + 100).is_empty());
    assert_eq!(bench.tree.reap_candidates(born + 101), [path("/t")]);
    bench.now_ms = born + 90;
    bench.prepare(None, &[], &op(set("/t", "again", -1))).expect("accepted");
    bench.now_ms = born + 150;
    let reap = Request::Reap { path: path("/t") };
    assert_eq!(
        bench.prepare(None, &[], &reap).map_err(|refused| refused.error),
        Err(TreeError::BadVersion),
        "the write in flight restarts the TTL"
    );
    bench.apply_all();
    bench.create("/t/child");
    assert!(bench.tree.reap_candidates(born + 1000).is_empty());
    bench.run(op(delete("/t/child", -1))).expect("deleted");
    bench.now_ms = born + 1000;
    bench.run(reap).expect("reaped");
    assert!(bench.tree.get("/t").is_none());
}

#[test]
fn zk_3_26_and_3_41_ttls_that_are_none() {
    let mut bench = Bench::new();
    let mut run = |mode, ttl| bench.run(op(create_with("/t", mode, AclList::open(), ttl))).err();
    for ttl in [None, Some(-1), Some(0), Some(1 << 40)] {
        assert_eq!(run(CreateMode::Ttl, ttl), Some(TreeError::BadArguments), "{ttl:?}");
    }
    for ttl in [-1, 0, 5] {
        assert_eq!(run(CreateMode::Persistent, Some(ttl)), Some(TreeError::BadArguments), "{ttl}");
    }
    assert_eq!(run(CreateMode::Ttl, Some((1 << 40) - 1)), None);
    bench.options.extended_types = false;
    let off = bench.run(op(create_with("/u", CreateMode::Ttl, AclList::open(), Some(1)))).err();
    assert_eq!(off, Some(TreeError::Unimplemented));
    bench.run(op(create_mode("/c", CreateMode::Container))).expect("containers need no extended types");
}

#[test]
fn zk_3_27_delete_container_from_a_client_is_checked() {
    let mut bench = Bench::new();
    bench.create("/plain");
    let locked = acl(&[(Perms::READ, "world", "anyone"), (Perms::CREATE, "world", "anyone")]);
    bench.run(op(create_with("/locked", CreateMode::Persistent, locked, None))).expect("created");
    for parent in ["/plain", "/locked"] {
        bench.run(op(create_mode(&format!("{parent}/c"), CreateMode::Container))).expect("created");
    }
    let mut run =
        |session, name: &str| bench.run_as(session, &[], op(Op::DeleteContainer { path: path(name) })).err();
    assert_eq!(run(Some(99), "/plain/c"), Some(TreeError::SessionExpired));
    assert_eq!(run(None, "/locked/c"), Some(TreeError::NoAuth));
    assert_eq!(run(None, "/locked"), Some(TreeError::NotEmpty));
    assert_eq!(run(None, "/zookeeper"), Some(TreeError::BadArguments));
    assert_eq!(run(None, "/plain/c"), None);
    assert_eq!(run(None, "/plain"), Some(TreeError::BadVersion), "a plain node is no container");
}

#[test]
fn zk_3_29_which_node_is_asked_for_which_permission() {
    let ann = [digest_id(b"ann:1")];
    let open_to_ann = |perms| acl(&[(perms, "digest", &ann[0].id)]);
    for (perms, allowed) in [
        (Perms::CREATE, "create"),
        (Perms::DELETE, "delete"),
        (Perms::WRITE, "set"),
        (Perms::ADMIN, "setacl"),
        (Perms::READ, "check"),
    ] {
        let mut bench = Bench::new();
        bench.run(op(create_with("/p", CreateMode::Persistent, open_to_ann(perms), None))).expect("created");
        bench.run_as(None, &[Id::superuser()], op(create("/p/c"))).expect("the superuser may");
        let ops = [
            ("create", create("/p/new")),
            ("delete", delete("/p/c", -1)),
            ("set", set("/p", "x", -1)),
            ("setacl", Op::SetAcl { path: path("/p"), acl: open_to_ann(perms), version: -1 }),
            ("check", check("/p", -1)),
        ];
        for (name, op) in ops {
            let request = Request::Multi(vec![op]);
            let by_ann = bench.run_as(None, &ann, request.clone()).err();
            assert_eq!(by_ann, (name != allowed).then_some(TreeError::NoAuth), "{name} with {perms}");
            assert_eq!(bench.run(request).err(), Some(TreeError::NoAuth), "{name} by nobody");
        }
    }
}

#[test]
fn zk_3_29_checks_come_in_the_order_of_prep_request_processor() {
    let mut bench = Bench::new();
    bench.open(7);
    let locked = acl(&[(Perms::READ, "world", "anyone")]);
    bench.run(op(create_with("/l", CreateMode::Persistent, locked.clone(), None))).expect("created");
    bench.run_as(Some(7), &[], op(create_mode("/e", CreateMode::Ephemeral))).expect("created");
    bench.create("/p");
    bench.create("/p/c");
    let empty = AclList::from(Vec::new());
    let with = |path: &str, acl: &AclList| create_with(path, CreateMode::Persistent, acl.clone(), None);
    let cases = [
        // create: session, form of the path, ACL, parent, its ACL, the final path, existence, ephemeral parent.
        (Some(9), with("nothing", &empty), TreeError::SessionExpired),
        (None, with("nothing", &empty), TreeError::BadArguments),
        (None, with("/a\0", &empty), TreeError::BadArguments),
        (None, with("/missing/..", &empty), TreeError::InvalidAcl),
        (None, with("/missing/..", &locked), TreeError::NoNode),
        (None, with("relative/a", &locked), TreeError::NoNode),
        (None, with("/l/..", &locked), TreeError::NoAuth),
        (None, with("/p/..", &locked), TreeError::BadArguments),
        (None, with("/p/", &locked), TreeError::BadArguments),
        (None, with("/", &locked), TreeError::NodeExists),
        (None, with("/p/c", &locked), TreeError::NodeExists),
        (None, with("/e/x", &locked), TreeError::NoChildrenForEphemerals),
        // delete: form of the path, the server's own nodes, parent, its ACL, node, version, children.
        (None, delete("nothing", 5), TreeError::BadArguments),
        (None, delete("/missing/x", 5), TreeError::NoNode),
        (None, delete("/l/missing", 5), TreeError::NoAuth),
        (None, delete("/missing", 5), TreeError::NoNode),
        (None, delete("/p/", 5), TreeError::NoNode),
        (None, delete("/p", 5), TreeError::BadVersion),
        (None, delete("/p", -1), TreeError::NotEmpty),
        // setData and check: path, node, ACL, version.
        (None, set("/..", "", 5), TreeError::BadArguments),
        (None, set("/missing", "", 5), TreeError::NoNode),
        (None, set("/l", "", 5), TreeError::NoAuth),
        (None, set("/p", "", 5), TreeError::BadVersion),
        // setACL: path, ACL, node, its ACL, version.
        (None, Op::SetAcl { path: path("/.."), acl: empty.clone(), version: 5 }, TreeError::BadArguments),
        (None, Op::SetAcl { path: path("/missing"), acl: empty.clone(), version: 5 }, TreeError::InvalidAcl),
        (None, Op::SetAcl { path: path("/missing"), acl: locked.clone(), version: 5 }, TreeError::NoNode),
        (None, Op::SetAcl { path: path("/l"), acl: locked.clone(), version: 5 }, TreeError::NoAuth),
        (None, Op::SetAcl { path: path("/p"), acl: locked.clone(), version: 5 }, TreeError::BadVersion),
    ];
    let before = bench.tree.digest();
    for (session, case, wanted) in cases {
        let got = bench.run_as(session, &[], op(case.clone())).err();
        assert_eq!(got, Some(wanted), "{case:?}");
    }
    assert_eq!(bench.run(Request::Multi(vec![check("/p", 5)])).err(), Some(TreeError::BadVersion));
    assert_eq!(bench.tree.digest(), before);
    assert!(bench.pending.is_empty());
}

#[test]
fn zk_3_31_a_sequential_path_is_judged_with_its_suffix() {
    let mut bench = Bench::new();
    bench.create("/a");
    let mut run = |path: &str, mode| {
        let prepared = bench.run(op(create_mode(path, mode))).map(|(prepared, _)| prepared);
        prepared.map(|prepared| prepared.txn.changes[0].path().expect("a path").to_string())
    };
    assert_eq!(run("/a/", CreateMode::PersistentSequential), Ok("/a/0000000000".to_owned()));
    assert_eq!(run("/a/.", CreateMode::PersistentSequential), Ok("/a/.0000000001".to_owned()));
    assert_eq!(run("/a/", CreateMode::Persistent), Err(TreeError::BadArguments));
    assert_eq!(run("/a/😀", CreateMode::PersistentSequential), Err(TreeError::BadArguments));
}

#[test]
fn zk_3_31_reads_do_not_validate_paths() {
    let bench = Bench::new();
    let root = bench.tree.get("").expect("the root");
    assert_eq!(&*root.path(), "/");
    assert_eq!(root.children().collect::<Vec<_>>(), ["zookeeper"]);
    for missing in ["zookeeper", "/zookeeper/", "//", "/.", "/zookeeper//quota", "/\0"] {
        assert!(bench.tree.get(missing).is_none(), "{missing:?}");
    }
}

#[test]
fn zk_3_32_the_servers_own_nodes_stay() {
    let mut bench = Bench::new();
    for node in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        for op in
            [delete(node, -1), Op::Remove { path: path(node) }, Op::DeleteContainer { path: path(node) }]
        {
            assert_eq!(bench.run(Request::Op(op)).err(), Some(TreeError::BadArguments), "{node}");
        }
        assert_eq!(bench.data(node), Some(&b""[..]));
    }
    let config = bench.tree.get("/zookeeper/config").expect("it is there");
    assert_eq!(*config.acl(), AclList::read_only());
    assert_eq!((config.stat().aversion, config.stat().czxid), (-1, Zxid(FIRST_ZXID)));
    assert_eq!(bench.run(op(set("/zookeeper/config", "x", -1))).err(), Some(TreeError::NoAuth));
    assert_eq!(bench.tree.node_count(), 4);
}

fn set_quota(bench: &mut Bench, top: &str, limits: &str) {
    let base = format!("/zookeeper/quota{top}");
    if bench.tree.get(&base).is_none() {
        bench.create(&base);
    }
    let put = |name: &str, data: &str| Op::Put { path: path(&format!("{base}/{name}")), data: bytes(data) };
    bench
        .run(Request::Multi(vec![put("zookeeper_limits", limits), put("zookeeper_stats", "count=0,bytes=0")]))
        .expect("accepted");
}

#[test]
fn zk_3_33_usage_is_kept_though_not_enforced() {
    let mut bench = Bench::new();
    bench.create("/a");
    bench.create("/a/b");
    bench.create("/ab");
    set_quota(&mut bench, "/a", "count=-1,bytes=-1=;byteHardLimit=2;countHardLimit=2");
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    let used = |bench: &Bench| String::from_utf8_lossy(bench.data(stats).expect("data")).into_owned();
    assert_eq!(used(&bench), "count=2,bytes=2", "counted when the stats node is created");
    let before = bench.stat(stats);
    let offset = bench.tree.get(stats).map(|node| node.last_offset());
    let multi =
        Request::Multi(vec![create("/a/c"), set("/a", "12345", -1), create("/ab/x"), delete("/a/b", -1)]);
    let (prepared, applied) = bench.run(multi).expect("nothing is enforced");
    assert_eq!(used(&bench), "count=2,bytes=6");
    assert_eq!(prepared.txn.changes.len(), 5, "one record more: {:?}", prepared.txn.changes);
    assert!(applied.events.iter().all(|event| &*event.path != stats), "no watch fires");
    let after = bench.stat(stats);
    assert_eq!((after.version, after.mzxid, after.mtime_ms), (before.version, before.mzxid, before.mtime_ms));
    assert!(bench.tree.get(stats).map(|node| node.last_offset()) > offset, "but the log knows");
    bench.open(7);
    bench.run_as(Some(7), &[], op(create_mode("/a/e", CreateMode::Ephemeral))).expect("created");
    assert_eq!(used(&bench), "count=3,bytes=7");
    bench.run(close(7)).expect("closes");
    assert_eq!(used(&bench), "count=2,bytes=6");
    bench.run(op(delete("/zookeeper/quota/a/zookeeper_limits", -1))).expect("deleted");
    bench.create("/a/uncounted");
    assert_eq!(used(&bench), "count=2,bytes=6");
}

#[test]
fn zk_3_33_hard_quotas_refuse_when_enforced() {
    let mut bench = Bench::new();
    bench.options.enforce_quota = true;
    bench.create("/a");
    bench.create("/soft");
    set_quota(&mut bench, "/a", "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3");
    set_quota(&mut bench, "/soft", "count=1,bytes=1");
    let mut run = |request| bench.run(request).err();
    assert_eq!(run(op(create("/a/b"))), None);
    let both = Request::Multi(vec![create("/a/c"), create("/a/d")]);
    assert_eq!(run(both), Some(TreeError::QuotaExceeded), "ops of a multi add up");
    assert_eq!(run(op(create("/a/c"))), None);
    assert_eq!(run(op(create("/a/d"))), Some(TreeError::QuotaExceeded));
    assert_eq!(run(op(set("/a", "123456789", -1))), Some(TreeError::QuotaExceeded));
    assert_eq!(run(op(set("/a", "12345678", 77))), Some(TreeError::BadVersion), "quota before version");
    assert_eq!(run(op(set("/a", "12345678", -1))), None);
    assert_eq!(run(op(delete("/a/b", -1))), None);
    assert_eq!(run(op(create("/a/d"))), None);
    assert_eq!(run(op(create("/soft/x"))), None, "soft limits only warn");
    assert_eq!(run(op(set("/soft", "long", -1))), None);
}

#[test]
fn zk_3_33_a_quota_in_flight_counts_what_is_in_flight() {
    let mut bench = Bench::new();
    bench.create("/a");
    bench.create("/zookeeper/quota/a");
    let put = |name: &str| Op::Put { path: path(&format!("/zookeeper/quota/a/{name}")), data: bytes("") };
    for op in
        [create("/a/b"), put("zookeeper_limits"), put("zookeeper_stats"), create("/a/c"), create("/a/b/d")]
    {
        bench.prepare(None, &[], &Request::Op(op)).expect("accepted");
    }
    bench.apply_all();
    assert_eq!(bench.data("/zookeeper/quota/a/zookeeper_stats"), Some(&b"count=4,bytes=4"[..]));
}

#[test]
fn zk_3_34_null_data_is_not_empty_data() {
    let mut bench = Bench::new();
    for (name, data) in [("/null", None), ("/empty", Some(Bytes::new())), ("/one", bytes("1"))] {
        bench.run(op(Op::Put { path: path(name), data: data.clone() })).expect("created");
        assert_eq!(bench.data(name), data.as_deref());
        bench.run(op(Op::Put { path: path(name), data: data.clone() })).expect("set");
        assert_eq!(bench.data(name), data.as_deref());
    }
    assert_eq!(bench.stat("/null").data_length, 0);
}

#[test]
fn zk_3_38_the_last_zxid_moves_after_a_whole_multi() {
    let mut bench = Bench::new();
    let before = bench.tree.last_zxid();
    let (prepared, _) = bench.run(Request::Multi(vec![create("/a"), create("/b")])).expect("accepted");
    let misfitting = Txn {
        zxid: Zxid(bench.next_offset),
        time_ms: 0,
        session: None,
        changes: vec![Change::Delete { path: path("/a") }, Change::Delete { path: path("/a") }],
    };
    assert!(before < prepared.txn.zxid);
    let misfit = bench.tree.apply(&misfitting, &mut Applied::default());
    let reason = MisfitReason::Missing(path("/a"));
    assert_eq!(misfit, Err(Misfit { zxid: misfitting.zxid, index: 1, reason }));
    assert_eq!(bench.tree.last_zxid(), prepared.txn.zxid);
}

#[test]
fn set_acl_moves_the_last_offset_and_not_the_mzxid() {
    let mut bench = Bench::new();
    let created = bench.create("/a");
    let (_, applied) = bench.run(op(set("/a", "new", -1))).expect("set");
    let mzxid = applied.results[0].expect("a stat").mzxid;
    let read_only = acl(&[(Perms::READ, "world", "anyone"), (Perms::READ, "world", "anyone")]);
    let request = op(Op::SetAcl { path: path("/a"), acl: read_only, version: 0 });
    let (prepared, applied) = bench.run(request).expect("set");
    let wanted = Change::SetAcl {
        path: path("/a"),
        acl: AclList::read_only(),
        aversion: 1,
        data: bytes("new"),
        mzxid,
    };
    assert_eq!(prepared.txn.changes, [wanted], "the record repeats the data");
    let stat = applied.results[0].expect("a stat");
    assert_eq!((stat.aversion, stat.mzxid, stat.czxid), (1, mzxid, created.czxid));
    assert_eq!(bench.tree.get("/a").map(|node| node.last_offset()), Some(prepared.txn.zxid.0));
    assert_eq!(bench.run(op(set("/a", "", -1))).err(), Some(TreeError::NoAuth));
}

#[test]
fn set_acl_repeats_data_in_flight() {
    let mut bench = Bench::new();
    bench.create("/a");
    let set = bench.prepare(None, &[], &op(set("/a", "flying", -1))).expect("accepted");
    let set_acl = Op::SetAcl { path: path("/a"), acl: AclList::open(), version: -1 };
    let prepared = bench.prepare(None, &[], &op(set_acl)).expect("accepted");
    let Change::SetAcl { data, mzxid, .. } = &prepared.txn.changes[0] else { panic!("{prepared:?}") };
    assert_eq!((data, *mzxid), (&bytes("flying"), set.txn.zxid));
}

#[test]
fn producers_put_and_remove() {
    let mut bench = Bench::new();
    let put = |name: &str, data: &str| Op::Put { path: path(name), data: bytes(data) };
    let remove = |name: &str| Op::Remove { path: path(name) };
    let batch =
        Request::Multi(vec![put("/a", "1"), put("/a/b", "2"), put("/a", "3"), put("/c", "4"), remove("/c")]);
    let (prepared, _) = bench.run(batch).expect("accepted");
    assert_eq!(
        prepared.plan,
        [Planned::Create(0), Planned::Create(1), Planned::SetData(2), Planned::Create(3), Planned::Delete(4)]
    );
    assert_eq!((bench.data("/a"), bench.stat("/a").version), (Some(&b"3"[..]), 1));
    assert_eq!(bench.tree.get("/a/b").map(|node| node.acl().clone()), Some(AclList::open()));
    let mut refused = |request| bench.prepare(None, &[], &request).expect_err("refused");
    assert_eq!(
        refused(Request::Multi(vec![put("/x", ""), remove("/a")])),
        Refused { error: TreeError::NotEmpty, index: 1 }
    );
    assert_eq!(refused(op(put("/missing/x", ""))).error, TreeError::NoNode);
    assert_eq!(refused(op(put("no path", ""))).error, TreeError::BadArguments);
    assert_eq!(refused(op(remove("/nothing"))).error, TreeError::NoNode);
}

#[test]
fn counts_of_the_tree() {
    let mut bench = Bench::new();
    let size = bench.tree.data_size();
    assert_eq!(size, "//zookeeper/zookeeper/quota/zookeeper/config".len() as u64);
    for path in ["/a", "/a/b", "/a/b/c", "/ab"] {
        bench.create(path);
    }
    assert_eq!(bench.tree.data_size(), size + "/a/a/b/a/b/c/ab".len() as u64 + 4);
    assert_eq!(bench.tree.all_children_count("/a"), Some(2));
    assert_eq!(bench.tree.all_children_count("/"), Some(7));
    assert_eq!(bench.tree.all_children_count("/ab"), Some(0));
    assert_eq!(bench.tree.all_children_count("/x"), None);
    bench.run(op(delete("/a/b/c", -1))).expect("deleted");
    bench.run(op(delete("/ab", -1))).expect("deleted");
    bench.run(op(set("/a", "12345", -1))).expect("set");
    assert_eq!(bench.tree.data_size(), size + "/a/a/b".len() as u64 + 6);
}

#[test]
fn a_log_that_does_not_fit_is_an_error_and_no_panic() {
    let owned = |session| Change::Create {
        path: path("/e"),
        data: None,
        acl: AclList::open(),
        owner: Owner::Session(SessionId(session)),
    };
    let plain = |name: &str| Change::Create {
        path: path(name),
        data: None,
        acl: AclList::open(),
        owner: Owner::Persistent,
    };
    let cases = [
        (owned(9), MisfitReason::NoSession(SessionId(9))),
        (plain("/"), MisfitReason::Exists(path("/"))),
        (plain("/a"), MisfitReason::Exists(path("/a"))),
        (plain("/x/y"), MisfitReason::Missing(path("/x"))),
        (plain("noslash"), MisfitReason::Missing(path("noslash"))),
        (Change::Delete { path: path("/") }, MisfitReason::NotDeletable(path("/"))),
        (Change::Delete { path: path("") }, MisfitReason::NotDeletable(path(""))),
        (Change::Delete { path: path("/zookeeper") }, MisfitReason::NotDeletable(path("/zookeeper"))),
        (Change::CloseSession { id: SessionId(7) }, MisfitReason::SessionInUse(SessionId(7))),
        (Change::CloseSession { id: SessionId(8) }, MisfitReason::NoSession(SessionId(8))),
    ];
    let mut bench = Bench::new();
    bench.open(7);
    bench.run_as(Some(7), &[], op(create_mode("/a", CreateMode::Ephemeral))).expect("created");
    for (change, reason) in cases {
        let txn = Txn { zxid: Zxid(bench.next_offset), time_ms: 0, session: None, changes: vec![change] };
        let misfit = bench.tree.apply(&txn, &mut Applied::default()).expect_err("it doesn't fit");
        assert_eq!(misfit.reason, reason);
    }
    let late = Txn { zxid: bench.tree.last_zxid(), time_ms: 0, session: None, changes: vec![plain("/z")] };
    let misfit = bench.tree.apply(&late, &mut Applied::default()).expect_err("too late");
    assert_eq!(misfit.reason, MisfitReason::OutOfOrder(late.zxid));
}

#[test]
fn skip_acl_and_an_empty_tree() {
    let mut bench = Bench::new();
    bench.options = Options { skip_acl: true, ..Options::default() };
    bench.run(op(set("/zookeeper/config", "x", -1))).expect("no ACL is asked");
    let tree = Tree::new();
    assert!(tree.get("/").is_none() && tree.get("").is_none());
    assert_eq!((tree.node_count(), tree.last_zxid()), (0, Zxid::NONE));
}
