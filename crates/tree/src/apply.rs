//! Owns `apply`: the execution of a committed transaction, and the events it causes in the order in which ZooKeeper
//! fires them. Invariant: what happens depends on the transaction and the tree alone, so that replicas stay equal.

use std::sync::Arc;

use bytes::Bytes;

use crate::acl::AclList;
use crate::error::{Misfit, MisfitReason};
use crate::ids::{SessionId, Zxid};
use crate::node::{NO_NODE, Node, NodeId};
use crate::owner::Owner;
use crate::path;
use crate::stat::{RawStat, Stat};
use crate::tree::{Session, Tree};
use crate::txn::{Applied, Change, Event, EventKind, PasswordDigest, Txn};

/// The ACL version at which `/zookeeper/config` starts: its ACL was set by the server itself (ZOOKEEPER-2014).
const CONFIG_AVERSION: i32 = -1;

pub(crate) fn bootstrap_changes() -> Vec<Change> {
    let create = |path: &str, acl: AclList| Change::Create {
        path: path.into(),
        data: Some(Bytes::new()),
        acl,
        owner: Owner::Persistent,
    };
    vec![
        create(path::ROOT, AclList::open()),
        create(path::ZOOKEEPER, AclList::open()),
        create(path::QUOTA, AclList::open()),
        create(path::CONFIG, AclList::read_only()),
    ]
}

impl Tree {
    /// Executes a transaction and appends its results and events to `applied`.
    ///
    /// # Errors
    /// [`Misfit`] if the transaction was not prepared against this tree; a part of it may have been executed then, and
    /// the tree is of no more use.
    pub fn apply(&mut self, txn: &Txn, applied: &mut Applied) -> Result<(), Misfit> {
        let misfit = |index: usize, reason: MisfitReason| Misfit { zxid: txn.zxid, index, reason };
        if txn.zxid <= self.last_zxid {
            return Err(misfit(0, MisfitReason::OutOfOrder(self.last_zxid)));
        }
        applied.results.reserve(txn.changes.len());
        for (index, change) in txn.changes.iter().enumerate() {
            let step = Step {
                zxid: txn.zxid,
                time_ms: txn.time_ms,
                offset: txn.zxid.0 + index as i64,
                events: &mut applied.events,
            };
            let stat = step.run(self, change).map_err(|reason| misfit(index, reason))?;
            applied.results.push(stat);
        }
        self.last_zxid = txn.zxid;
        Ok(())
    }
}

/// The execution of one change.
struct Step<'a> {
    zxid: Zxid,
    time_ms: i64,
    /// Offset of the change's record.
    offset: i64,
    events: &'a mut Vec<Event>,
}

impl Step<'_> {
    fn run(mut self, tree: &mut Tree, change: &Change) -> Result<Option<Stat>, MisfitReason> {
        match change {
            Change::Create { path, data, acl, owner } => {
                self.create(tree, path, data.as_deref(), acl, *owner).map(Some)
            }
            Change::SetData { path, data, version } => {
                self.set_data(tree, path, data.as_deref(), *version).map(Some)
            }
            Change::SetAcl { path, acl, aversion, .. } => self.set_acl(tree, path, acl, *aversion).map(Some),
            Change::SetUsage { path, data, .. } => self.set_usage(tree, path, data).map(Some),
            Change::Delete { path } => self.delete(tree, path).map(|()| None),
            Change::OpenSession { id, timeout_ms, password_sha256 } => {
                self.open_session(tree, *id, *timeout_ms, *password_sha256).map(|()| None)
            }
            Change::CloseSession { id } => close_session(tree, *id).map(|()| None),
        }
    }

    fn create(
        &mut self,
        tree: &mut Tree,
        path: &Arc<str>,
        data: Option<&[u8]>,
        acl: &AclList,
        owner: Owner,
    ) -> Result<Stat, MisfitReason> {
        if let Owner::Session(session) = owner
            && !tree.sessions.contains_key(&session)
        {
            return Err(MisfitReason::NoSession(session));
        }
        let (parent, name) = if **path == *path::ROOT {
            if tree.root.is_some() {
                return Err(MisfitReason::Exists(path.clone()));
            }
            (None, "")
        } else {
            let (parent_path, name) =
                path::split_parent(path).ok_or_else(|| MisfitReason::Missing(path.clone()))?;
            let parent = tree.find(parent_path).ok_or_else(|| MisfitReason::Missing(parent_path.into()))?;
            if tree.child(parent, name).is_some() {
                return Err(MisfitReason::Exists(path.clone()));
            }
            (Some((parent, parent_path)), name)
        };
        let stat = RawStat {
            czxid: self.zxid,
            mzxid: self.zxid,
            pzxid: self.zxid,
            ctime_ms: self.time_ms,
            mtime_ms: self.time_ms,
            aversion: if **path == *path::CONFIG { CONFIG_AVERSION } else { 0 },
            ..RawStat::default()
        };
        let acl_id = tree.acls.acquire(acl);
        let parent_id = parent.map_or(NO_NODE, |(id, _)| id);
        if parent.is_some() {
            tree.preserve(parent_id);
        }
        let id = tree.attach(Node::new(parent_id, name, data, acl_id, owner, &stat, self.offset), path);
        if let Owner::Session(session) = owner
            && let Some(session) = tree.sessions.get_mut(&session)
        {
            session.ephemerals.insert(id);
        }
        self.fire(EventKind::Created, path.clone(), acl.clone());
        if let Some((parent, parent_path)) = parent {
            self.touch_parent(tree, parent, parent_path, !path::is_reserved(path));
        }
        Ok(tree.node_ref(id).stat())
    }

    /// Notes in a parent that a child came (`counted`) or went.
    fn touch_parent(&mut self, tree: &mut Tree, parent: NodeId, parent_path: &str, counted: bool) {
        let node = tree.slab.get_mut(parent);
        node.children_changed(self.zxid, counted);
        let acl = tree.acls.get(node.acl()).clone();
        self.fire(EventKind::ChildrenChanged, parent_path.into(), acl);
    }

    fn set_data(
        &mut self,
        tree: &mut Tree,
        path: &Arc<str>,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<Stat, MisfitReason> {
        let id = find(tree, path)?;
        tree.preserve(id);
        tree.set_data(id, data);
        let node = tree.slab.get_mut(id);
        node.data_changed(version, self.zxid, self.time_ms, self.offset);
        let acl = tree.acls.get(node.acl()).clone();
        self.fire(EventKind::DataChanged, path.clone(), acl);
        Ok(tree.node_ref(id).stat())
    }

    fn set_acl(
        &mut self,
        tree: &mut Tree,
        path: &Arc<str>,
        acl: &AclList,
        aversion: i32,
    ) -> Result<Stat, MisfitReason> {
        let id = find(tree, path)?;
        tree.preserve(id);
        let new = tree.acls.acquire(acl);
        let old = tree.slab.get_mut(id).set_acl(new, aversion, self.offset);
        tree.acls.release(old);
        Ok(tree.node_ref(id).stat())
    }

    fn set_usage(&mut self, tree: &mut Tree, path: &Arc<str>, data: &Bytes) -> Result<Stat, MisfitReason> {
        let id = find(tree, path)?;
        tree.preserve(id);
        tree.set_data(id, Some(data));
        tree.slab.get_mut(id).set_last_offset(self.offset);
        Ok(tree.node_ref(id).stat())
    }

    fn delete(&mut self, tree: &mut Tree, path: &Arc<str>) -> Result<(), MisfitReason> {
        let id = find(tree, path)?;
        let node = tree.slab.get(id);
        let (parent, acl) = (node.parent, tree.acls.get(node.acl()).clone());
        let Some((parent_path, _)) = path::split_parent(path) else {
            return Err(MisfitReason::NotDeletable(path.clone()));
        };
        if parent == NO_NODE || !node.children().is_empty() {
            return Err(MisfitReason::NotDeletable(path.clone()));
        }
        tree.preserve(id);
        tree.preserve(parent);
        tree.detach(id, path);
        self.fire(EventKind::Deleted, path.clone(), acl);
        self.touch_parent(tree, parent, parent_path, false);
        Ok(())
    }

    fn open_session(
        &mut self,
        tree: &mut Tree,
        id: SessionId,
        timeout_ms: i32,
        password_sha256: PasswordDigest,
    ) -> Result<(), MisfitReason> {
        if tree.sessions.contains_key(&id) {
            return Err(MisfitReason::SessionInUse(id));
        }
        let session =
            Session { timeout_ms, password_sha256, last_offset: self.offset, ephemerals: Default::default() };
        tree.sessions.insert(id, session);
        Ok(())
    }

    fn fire(&mut self, kind: EventKind, path: Arc<str>, acl: AclList) {
        self.events.push(Event { kind, path, zxid: self.zxid, acl });
    }
}

fn find(tree: &Tree, path: &Arc<str>) -> Result<NodeId, MisfitReason> {
    tree.find(path).ok_or_else(|| MisfitReason::Missing(path.clone()))
}

fn close_session(tree: &mut Tree, id: SessionId) -> Result<(), MisfitReason> {
    let session = tree.sessions.get(&id).ok_or(MisfitReason::NoSession(id))?;
    if session.ephemerals.len() > 0 {
        return Err(MisfitReason::SessionInUse(id));
    }
    tree.sessions.remove(&id);
    Ok(())
}
