//! The watch table of one node: which connection wants to hear of which path.
//!
//! Invariants: a watch belongs to a connection, never to the log; both directions (path to watcher, watcher to paths) always
//! agree; a one-shot watch is used up by the first event that matches it, also when READ permission keeps the event back.
use crate::subscriber::{Subscriber, WatchEvent};
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use tree::{DenseMap, EventKind, Zxid};

/// Names a watcher: one connection, or one in-process client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatcherId(pub u64);

/// What a watch waits for. `Data` also stands for a watch left by exists on a missing znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchKind {
    /// One-shot: created, data changed, deleted.
    Data,
    /// One-shot: children changed, deleted.
    Children,
    /// All of the above, until removed (ZOOKEEPER-1416).
    Persistent,
    /// As `Persistent` for the whole subtree, without children-changed events (ZOOKEEPER-1416).
    Recursive,
}

impl WatchKind {
    const fn bit(self) -> u8 {
        match self {
            WatchKind::Data => DATA,
            WatchKind::Children => CHILDREN,
            WatchKind::Persistent => PERSISTENT,
            WatchKind::Recursive => RECURSIVE,
        }
    }
}

/// Which watches removeWatches and checkWatches mean (codes of `Watcher.WatcherType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatcherType {
    /// Children watches.
    Children = 1,
    /// Data and exists watches.
    Data = 2,
    /// Any kind.
    Any = 3,
    /// Persistent ones.
    Persistent = 4,
    /// Persistent recursive ones.
    Recursive = 5,
}

impl WatcherType {
    const fn bits(self) -> u8 {
        match self {
            WatcherType::Children => CHILDREN,
            WatcherType::Data => DATA,
            WatcherType::Any => DATA | CHILDREN | PERSISTENT | RECURSIVE,
            WatcherType::Persistent => PERSISTENT,
            WatcherType::Recursive => RECURSIVE,
        }
    }
}

const DATA: u8 = 1;
const CHILDREN: u8 = 2;
const PERSISTENT: u8 = 4;
const RECURSIVE: u8 = 8;
const ONE_SHOT: u8 = DATA | CHILDREN;

struct Watcher {
    subscriber: Arc<dyn Subscriber>,
    /// Most connections watch nothing and pay for a pointer only.
    paths: Option<Box<HashSet<Arc<str>>>>,
}

impl Watcher {
    fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        self.paths.iter().flat_map(|paths| paths.iter())
    }

    fn remove_path(&mut self, path: &str) {
        if let Some(paths) = &mut self.paths {
            paths.remove(path);
            if paths.is_empty() {
                self.paths = None;
            }
        }
    }
}

/// The table. The caller holds the tree's lock, so that tables and tree move together.
#[derive(Default)]
pub struct Watches {
    by_path: HashMap<Arc<str>, Vec<(WatcherId, u8)>>,
    by_watcher: DenseMap<WatcherId, Watcher>,
    next: u64,
    /// How many (path, watcher) pairs hold a recursive watch; ancestors are looked up only if there is one.
    recursive: usize,
    /// How many single watches there are, as `mntr` counts them.
    count: usize,
}

impl Watches {
    /// Makes a watcher known; it has no watches yet.
    pub fn register(&mut self, subscriber: Arc<dyn Subscriber>) -> WatcherId {
        self.next += 1;
        let id = WatcherId(self.next);
        self.by_watcher.insert(id, Watcher { subscriber, paths: None });
        id
    }

    /// Forgets a watcher with all its watches.
    pub fn forget(&mut self, id: WatcherId) {
        let Some(watcher) = self.by_watcher.remove(&id) else { return };
        for path in watcher.paths() {
            self.take_bits(path, id, !0);
        }
    }

    /// Adds a watch; adding it twice is adding it once. An unknown watcher (its connection just ended) is ignored.
    pub fn add(&mut self, id: WatcherId, path: &str, kind: WatchKind) {
        let Some(watcher) = self.by_watcher.get_mut(&id) else { return };
        let key: Arc<str> = match self.by_path.get_key_value(path) {
            Some((key, _)) => key.clone(),
            None => Arc::from(path),
        };
        // A path may have thousands of watchers; only one that is among them already has to be looked for.
        let is_new = watcher.paths.get_or_insert_default().insert(key.clone());
        let entries = self.by_path.entry(key).or_default();
        let known = if is_new { None } else { entries.iter().position(|(other, _)| *other == id) };
        let position = known.unwrap_or_else(|| {
            entries.push((id, 0));
            entries.len() - 1
        });
        let bits = &mut entries[position].1;
        let added = kind.bit() & !*bits;
        *bits |= added;
        self.count += added.count_ones() as usize;
        if added & RECURSIVE != 0 {
            self.recursive += 1;
        }
    }

    /// Whether the watcher has a watch of that type on exactly that path.
    pub fn contains(&self, id: WatcherId, path: &str, of: WatcherType) -> bool {
        self.by_path
            .get(path)
            .is_some_and(|entries| entries.iter().any(|(other, bits)| *other == id && bits & of.bits() != 0))
    }

    /// Removes the watcher's watches of that type on that path; false if there was none.
    pub fn remove(&mut self, id: WatcherId, path: &str, of: WatcherType) -> bool {
        let found = self.take_bits(path, id, of.bits());
        self.drop_path_if_unused(id, path);
        found
    }

    /// Delivers what happened to `path` to everyone who waits for it. `may_read` judges a subscriber's right to hear of it.
    pub fn fire(
        &mut self,
        kind: EventKind,
        path: &Arc<str>,
        zxid: Zxid,
        may_read: &dyn Fn(&dyn Subscriber) -> bool,
    ) {
        if self.count == 0 {
            return;
        }
        let exact = match kind {
            EventKind::Created | EventKind::DataChanged => DATA | PERSISTENT | RECURSIVE,
            EventKind::Deleted => DATA | CHILDREN | PERSISTENT | RECURSIVE,
            EventKind::ChildrenChanged => CHILDREN | PERSISTENT,
        };
        let mut targets = Vec::new();
        self.collect(path, exact, &mut targets);
        if kind != EventKind::ChildrenChanged && self.recursive > 0 {
            let mut rest = path.as_ref();
            while let Some(parent) = parent_of(rest) {
                self.collect(parent, RECURSIVE, &mut targets);
                rest = parent;
            }
        }
        if targets.is_empty() {
            return;
        }
        // A watcher that waits at several places hears of one event once.
        targets.sort_unstable();
        targets.dedup();
        let event = WatchEvent { kind, path: path.clone(), zxid: Some(zxid) };
        for id in targets {
            if let Some(watcher) = self.by_watcher.get(&id)
                && may_read(watcher.subscriber.as_ref())
            {
                watcher.subscriber.event(&event);
            }
        }
    }

    /// How many watches there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many paths are watched, and by how many watchers (`wchs`).
    pub fn summary(&self) -> (usize, usize) {
        let watchers = self.by_watcher.values().filter(|watcher| watcher.paths.is_some()).count();
        (self.by_path.len(), watchers)
    }

    /// Every watched path with its watchers (`wchp`); walks the whole table.
    pub fn paths(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = WatcherId> + '_)> {
        self.by_path.iter().map(|(path, entries)| (path.as_ref(), entries.iter().map(|(id, _)| *id)))
    }

    /// The paths that a watcher watches (`wchc`).
    pub fn paths_of(&self, id: WatcherId) -> impl Iterator<Item = &str> {
        self.by_watcher.get(&id).into_iter().flat_map(|watcher| watcher.paths().map(AsRef::as_ref))
    }

    /// Appends who waits at `path` for one of `wanted`, and uses up one-shot watches among them.
    fn collect(&mut self, path: &str, wanted: u8, targets: &mut Vec<WatcherId>) {
        let Some(entries) = self.by_path.get_mut(path) else { return };
        let used_up = wanted & ONE_SHOT;
        let mut emptied = Vec::new();
        entries.retain_mut(|(id, bits)| {
            if *bits & wanted != 0 {
                targets.push(*id);
            }
            let used = *bits & used_up;
            self.count -= used.count_ones() as usize;
            *bits &= !used;
            if *bits == 0 {
                emptied.push(*id);
            }
            *bits != 0
        });
        if entries.is_empty() {
            self.by_path.remove(path);
        }
        for id in emptied {
            if let Some(watcher) = self.by_watcher.get_mut(&id) {
                watcher.remove_path(path);
            }
        }
    }

    /// Clears bits of one (path, watcher) pair, keeping the counts; the reverse direction is the caller's.
    fn take_bits(&mut self, path: &str, id: WatcherId, bits: u8) -> bool {
        let Some(entries) = self.by_path.get_mut(path) else { return false };
        let Some(position) = entries.iter().position(|(other, _)| *other == id) else { return false };
        let taken = entries[position].1 & bits;
        entries[position].1 &= !taken;
        self.count -= taken.count_ones() as usize;
        if taken & RECURSIVE != 0 {
            self.recursive -= 1;
        }
        if entries[position].1 == 0 {
            entries.swap_remove(position);
        }
        if entries.is_empty() {
            self.by_path.remove(path);
        }
        taken != 0
    }

    fn drop_path_if_unused(&mut self, id: WatcherId, path: &str) {
        let used =
            self.by_path.get(path).is_some_and(|entries| entries.iter().any(|(other, _)| *other == id));
        if !used && let Some(watcher) = self.by_watcher.get_mut(&id) {
            watcher.remove_path(path);
        }
    }
}

/// The path of the parent znode; `None` for the root.
fn parent_of(path: &str) -> Option<&str> {
    if path.len() <= 1 {
        return None;
    }
    match path.rfind('/') {
        Some(0) => Some("/"),
        Some(cut) => Some(&path[..cut]),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriber::Closed;
    use std::sync::Mutex;
    use tree::AuthId;

    #[derive(Default)]
    struct Seen(Mutex<Vec<(EventKind, String)>>);

    impl Subscriber for Seen {
        fn identities(&self) -> Arc<[AuthId]> {
            Arc::from([])
        }

        fn event(&self, event: &WatchEvent) {
            self.0.lock().unwrap().push((event.kind, event.path.to_string()));
        }

        fn closed(&self, _: Closed) {}
    }

    fn table() -> (Watches, WatcherId, Arc<Seen>) {
        let mut watches = Watches::default();
        let seen = Arc::new(Seen::default());
        let id = watches.register(seen.clone());
        (watches, id, seen)
    }

    fn fire(watches: &mut Watches, kind: EventKind, path: &str) {
        watches.fire(kind, &Arc::from(path), Zxid(1), &|_| true);
    }

    fn taken(seen: &Seen) -> Vec<(EventKind, String)> {
        std::mem::take(&mut seen.0.lock().unwrap())
    }

    #[test]
    fn one_shot_watches_fire_once() {
        let (mut watches, id, seen) = table();
        watches.add(id, "/a", WatchKind::Data);
        watches.add(id, "/a", WatchKind::Data);
        assert_eq!(watches.len(), 1);
        fire(&mut watches, EventKind::ChildrenChanged, "/a");
        fire(&mut watches, EventKind::DataChanged, "/a");
        fire(&mut watches, EventKind::DataChanged, "/a");
        assert_eq!(taken(&seen), [(EventKind::DataChanged, "/a".to_owned())]);
        assert!(watches.is_empty() && watches.summary() == (0, 0));
    }

    #[test]
    fn zk_3_10_a_delete_is_one_event_for_data_and_child_watches() {
        let (mut watches, id, seen) = table();
        watches.add(id, "/a", WatchKind::Data);
        watches.add(id, "/a", WatchKind::Children);
        watches.add(id, "/a", WatchKind::Persistent);
        fire(&mut watches, EventKind::Deleted, "/a");
        assert_eq!(taken(&seen).len(), 1);
        assert_eq!(watches.len(), 1, "the persistent one stays");
    }

    #[test]
    fn zk_3_11_recursive_watches_hear_of_the_subtree_but_not_of_children_changed() {
        let (mut watches, id, seen) = table();
        watches.add(id, "/a", WatchKind::Recursive);
        fire(&mut watches, EventKind::Created, "/a/b/c");
        fire(&mut watches, EventKind::ChildrenChanged, "/a/b");
        fire(&mut watches, EventKind::ChildrenChanged, "/a");
        fire(&mut watches, EventKind::DataChanged, "/ab");
        assert_eq!(taken(&seen), [(EventKind::Created, "/a/b/c".to_owned())]);
        watches.add(id, "/", WatchKind::Recursive);
        fire(&mut watches, EventKind::DataChanged, "/a");
        assert_eq!(taken(&seen).len(), 1, "one event although two watches match");
    }

    #[test]
    fn zk_3_12_a_filtered_one_shot_watch_is_used_up() {
        let (mut watches, id, seen) = table();
        watches.add(id, "/a", WatchKind::Data);
        watches.fire(EventKind::DataChanged, &Arc::from("/a"), Zxid(1), &|_| false);
        fire(&mut watches, EventKind::DataChanged, "/a");
        assert!(taken(&seen).is_empty());
    }

    #[test]
    fn removal_and_the_end_of_a_connection_leave_nothing() {
        let (mut watches, id, seen) = table();
        for kind in [WatchKind::Data, WatchKind::Children, WatchKind::Persistent, WatchKind::Recursive] {
            watches.add(id, "/a", kind);
            watches.add(id, "/b", kind);
        }
        assert_eq!(watches.len(), 8);
        assert!(watches.remove(id, "/a", WatcherType::Data));
        assert!(!watches.remove(id, "/a", WatcherType::Data));
        assert!(!watches.contains(id, "/a", WatcherType::Data));
        assert!(watches.contains(id, "/a", WatcherType::Any));
        assert!(watches.remove(id, "/a", WatcherType::Any));
        assert_eq!(watches.paths_of(id).collect::<Vec<_>>(), ["/b"]);
        watches.forget(id);
        fire(&mut watches, EventKind::Deleted, "/b");
        assert!(taken(&seen).is_empty());
        assert_eq!((watches.len(), watches.recursive, watches.by_path.len()), (0, 0, 0));
    }
}
