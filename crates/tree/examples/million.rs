//! Measures what a million znodes of 100 bytes cost: memory per node, time per create, snapshot, restore and lookup.
//! Run with `cargo run --release -p tree@0.1.0 --example million`.

use std::sync::Arc;

use base::clock::{Clock, SystemClock};
use bytes::Bytes;
use tree::{
    AclList, Applied, Context, Create, CreateMode, Image, Op, Options, Pending, Request, Tree, TreeBuilder,
    Txn, Zxid, prepare,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARENTS: usize = 1_000;
const CHILDREN: usize = 1_000;
const DATA_BYTES: usize = 100;
/// Transactions in flight before a group is applied, as a group commit has it.
const GROUP: usize = 64;

/// Resident memory in bytes; 0 where there is no /proc.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

struct Run {
    clock: SystemClock,
    tree: Tree,
    pending: Pending,
    in_flight: Vec<Txn>,
    applied: Applied,
    options: Options,
    next_offset: i64,
}

impl Run {
    fn ask(&mut self, request: &Request) {
        let context = Context {
            session: None,
            auth: &[],
            time_ms: 1,
            zxid: Zxid(self.next_offset),
            options: &self.options,
        };
        let prepared = prepare(&self.tree, &mut self.pending, &context, request).expect("nothing forbids it");
        self.next_offset = prepared.txn.last_offset() + 1;
        self.in_flight.push(prepared.txn);
        if self.in_flight.len() == GROUP {
            self.apply();
        }
    }

    fn apply(&mut self) {
        for txn in self.in_flight.drain(..) {
            self.applied.clear();
            self.tree.apply(&txn, &mut self.applied).expect("a prepared transaction fits");
            self.pending.applied_through(txn.zxid);
        }
    }

    /// Runs `work` and says what one of `count` operations took.
    fn time<T>(&mut self, what: &str, count: usize, work: impl FnOnce(&mut Run) -> T) -> T {
        let begun_us = self.clock.monotonic_us();
        let result = work(self);
        let took_us = self.clock.monotonic_us() - begun_us;
        println!("{what}: {} ms, {} ns each", took_us / 1000, took_us * 1000 / count as u64);
        result
    }
}

fn create(path: String, data: Bytes) -> Request {
    let (acl, mode) = (AclList::open(), CreateMode::Persistent);
    Request::Op(Op::Create(Create { path: Arc::from(path), data: Some(data), acl, mode, ttl_ms: None }))
}

fn main() {
    let mut run = Run {
        clock: SystemClock::new(),
        tree: Tree::new(),
        pending: Pending::new(),
        in_flight: Vec::new(),
        applied: Applied::default(),
        options: Options::default(),
        next_offset: 1,
    };
    let changes = Tree::bootstrap_changes();
    run.in_flight.push(Txn { zxid: Zxid(0), time_ms: 0, session: None, changes });
    run.apply();
    run.next_offset = 10;

    let idle = resident_bytes();
    let data = Bytes::from(vec![7u8; DATA_BYTES]);
    let nodes = PARENTS * CHILDREN;
    run.time("create (prepare and apply)", nodes, |run| {
        for parent in 0..PARENTS {
            run.ask(&create(format!("/parent-{parent:04}"), data.clone()));
            for child in 0..CHILDREN {
                run.ask(&create(format!("/parent-{parent:04}/child-{child:06}"), data.clone()));
            }
        }
        run.apply();
    });
    let full = resident_bytes();
    println!(
        "{} znodes: {} MiB, {} bytes each",
        run.tree.node_count(),
        (full - idle) >> 20,
        (full - idle) / run.tree.node_count() as u64
    );

    let paths: Vec<String> = (0..nodes)
        .map(|n| format!("/parent-{:04}/child-{:06}", n * 7919 % PARENTS, n * 104_729 % CHILDREN))
        .collect();
    run.time("get, at random", nodes, |run| {
        let found =
            paths.iter().filter(|path| run.tree.get(path).is_some_and(|node| node.data().is_some())).count();
        assert_eq!(found, nodes);
    });
    run.time("set (prepare and apply), at random", nodes, |run| {
        for path in &paths {
            let op = Op::SetData { path: path.as_str().into(), data: Some(data.clone()), version: -1 };
            run.ask(&Request::Op(op));
        }
        run.apply();
    });

    let mut snapshot = run.tree.begin_snapshot().expect("none is under way");
    run.time("snapshot: collect", nodes, |run| while !snapshot.collect(&run.tree, 10_000) {});
    run.time("snapshot: sort", nodes, |_| snapshot.sort());
    let images = run.time("snapshot: hand out", nodes, |run| {
        let mut images: Vec<Image> = Vec::new();
        while snapshot.next(&run.tree, 1000, &mut images) > 0 {}
        images
    });
    run.tree.end_snapshot(snapshot);
    let last = run.tree.last_zxid();
    let restored = run.time("restore", nodes, |_| {
        let mut builder = TreeBuilder::new();
        for image in images {
            builder.add(image).expect("each image comes once");
        }
        builder.finish(last).expect("the tree is whole")
    });
    let digest = run.time("digest", nodes, |run| run.tree.digest());
    assert_eq!(restored.digest(), digest);
}
