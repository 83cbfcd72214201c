//! Owns the answer to a client that comes back with watches: has what it waits for happened meanwhile? The watches
//! themselves are not kept here.

use crate::ids::Zxid;
use crate::tree::Tree;
use crate::txn::EventKind;

/// The one-shot watches that a client sets again after a reconnect (setWatches).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchKind {
    /// Set by getData, or by exists on a node that was there.
    Data,
    /// Set by exists on a missing node.
    Exist,
    /// Set by getChildren.
    Child,
}

impl Tree {
    /// The event that a watch on `path` has missed if the client last saw transaction `relative`; none means that the
    /// watch is to be set again. The event goes out with zxid -1 and without regard to ACLs, as in ZooKeeper.
    pub fn catch_up(&self, kind: WatchKind, path: &str, relative: Zxid) -> Option<EventKind> {
        let stat = self.get(path).map(|node| node.raw_stat());
        match (kind, stat) {
            (WatchKind::Exist, None) => None,
            (WatchKind::Exist, Some(_)) => Some(EventKind::Created),
            (WatchKind::Data | WatchKind::Child, None) => Some(EventKind::Deleted),
            (WatchKind::Data, Some(stat)) => (stat.mzxid > relative).then_some(EventKind::DataChanged),
            (WatchKind::Child, Some(stat)) => (stat.pzxid > relative).then_some(EventKind::ChildrenChanged),
        }
    }
}
