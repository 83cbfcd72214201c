//! Owns `prepare`: the judgement of a request against the tree as it will be, in the order of checks of Apache's
//! `PrepRequestProcessor`. Invariant: a refused request leaves no trace in `Pending`; an accepted one leaves exactly the
//! effects that applying its transaction will have.

use std::sync::Arc;

use bytes::Bytes;

use crate::acl::{AclList, Perms};
use crate::auth;
use crate::error::{Refused, TreeError};
use crate::ids::SessionId;
use crate::owner::{Owner, TTL_MS_MAX};
use crate::path;
use crate::pending::{DataState, NodeState, Pending};
use crate::quota::{self, Usage};
use crate::request::{ANY_VERSION, Context, Create, Op, Planned, Prepared, Request};
use crate::stat::next_version;
use crate::tree::{Tree, is_due};
use crate::txn::{Change, Txn};

/// Judges a request against the tree plus what is in flight. If it is accepted, its effects are in `pending` and the
/// transaction must be logged and applied under `context.zxid` (unless it has no changes: a multi of checks). Zxids of
/// accepted requests must grow, by at least the number of changes.
///
/// # Errors
/// [`Refused`] with ZooKeeper's reason; `pending` is then as it was.
pub fn prepare(
    tree: &Tree,
    pending: &mut Pending,
    context: &Context<'_>,
    request: &Request,
) -> Result<Prepared, Refused> {
    let mut draft =
        Draft { tree, pending, context, changes: Vec::new(), plan: Vec::new(), usage: Vec::new() };
    match draft.request(request) {
        Ok(()) => {
            draft.log_usage();
            let Draft { pending, changes, plan, .. } = draft;
            pending.commit(context.zxid);
            let txn = Txn { zxid: context.zxid, time_ms: context.time_ms, session: context.session, changes };
            Ok(Prepared { txn, plan })
        }
        Err(refused) => {
            draft.pending.roll_back();
            Err(refused)
        }
    }
}

/// A transaction in the making.
struct Draft<'a> {
    tree: &'a Tree,
    pending: &'a mut Pending,
    context: &'a Context<'a>,
    changes: Vec<Change>,
    plan: Vec<Planned>,
    /// What the transaction adds to subtrees with quotas so far.
    usage: Vec<(Arc<str>, Usage)>,
}

impl Draft<'_> {
    fn request(&mut self, request: &Request) -> Result<(), Refused> {
        let alone = |error: TreeError| Refused { error, index: 0 };
        match request {
            Request::Op(Op::Check { .. }) => Err(alone(TreeError::Unimplemented)),
            Request::Op(op) => self.op(op).map_err(alone),
            Request::Multi(ops) => {
                self.changes.reserve(ops.len());
                self.plan.reserve(ops.len());
                for (index, op) in ops.iter().enumerate() {
                    self.op(op).map_err(|error| Refused { error, index })?;
                }
                Ok(())
            }
            Request::OpenSession { id, timeout_ms, password_sha256 } => {
                if self.pending.session_open(self.tree, *id) {
                    return Err(alone(TreeError::BadArguments));
                }
                self.pending.put_session(self.context.zxid, *id, true);
                self.changes.push(Change::OpenSession {
                    id: *id,
                    timeout_ms: *timeout_ms,
                    password_sha256: *password_sha256,
                });
                Ok(())
            }
            Request::CloseSession { id } => self.close_session(*id).map_err(alone),
            Request::Reap { path } => self.reap(path).map_err(alone),
        }
    }

    fn op(&mut self, op: &Op) -> Result<(), TreeError> {
        let planned = match op {
            Op::Create(create) => self.create(create)?,
            Op::Delete { path, version } => self.delete(path, *version, false)?,
            Op::DeleteContainer { path } => self.delete(path, ANY_VERSION, true)?,
            Op::Remove { path } => self.delete(path, ANY_VERSION, false)?,
            Op::SetData { path, data, version } => self.set_data(path, data, *version)?,
            Op::SetAcl { path, acl, version } => self.set_acl(path, acl, *version)?,
            Op::Check { path, version } => self.check(path, *version)?,
            Op::Put { path, data } => self.put(path, data)?,
        };
        self.plan.push(planned);
        Ok(())
    }

    fn create(&mut self, create: &Create) -> Result<Planned, TreeError> {
        let owner = self.owner_of(create)?;
        self.check_session()?;
        let (parent_path, _) = path::split_parent(&create.path).ok_or(TreeError::BadArguments)?;
        let acl = auth::expand(&create.acl, self.context.auth, self.context.options)?;
        let parent = self.node(parent_path)?;
        self.check_acl(&parent.acl, Perms::CREATE)?;
        let path: Arc<str> = if create.mode.is_sequential() {
            format!("{}{:010}", create.path, parent.cversion).into()
        } else {
            create.path.clone()
        };
        path::validate(&path)?;
        if self.pending.exists(self.tree, &path) {
            return Err(TreeError::NodeExists);
        }
        if parent.owner.is_ephemeral() {
            return Err(TreeError::NoChildrenForEphemerals);
        }
        // A valid path that got a suffix has the parent that it had before.
        self.do_create(path, parent_path, parent, create.data.clone(), acl, owner)
    }

    /// Refuses modes that are switched off, and TTLs that are none or where there must be none.
    fn owner_of(&self, create: &Create) -> Result<Owner, TreeError> {
        if create.mode.is_ttl() {
            if !self.context.options.extended_types {
                return Err(TreeError::Unimplemented);
            }
            return match create.ttl_ms {
                Some(ttl_ms @ 1..=TTL_MS_MAX) => Ok(Owner::Ttl(ttl_ms)),
                _ => Err(TreeError::BadArguments),
            };
        }
        if create.ttl_ms.is_some() {
            return Err(TreeError::BadArguments);
        }
        if create.mode.is_ephemeral() {
            return self.context.session.map(Owner::Session).ok_or(TreeError::BadArguments);
        }
        Ok(if create.mode == crate::CreateMode::Container { Owner::Container } else { Owner::Persistent })
    }

    fn do_create(
        &mut self,
        path: Arc<str>,
        parent_path: &str,
        mut parent: NodeState,
        mut data: Option<Bytes>,
        acl: AclList,
        owner: Owner,
    ) -> Result<Planned, TreeError> {
        let zxid = self.context.zxid;
        let length = data.as_ref().map_or(0, Bytes::len) as i64;
        self.use_quota(&path, Usage { bytes: length, count: 1 })?;
        if quota::is_limits(&path) {
            self.pending.note_quota();
        }
        if let Some(top) = quota::counted_by_stats(&path) {
            data = Some(quota::counted(self.tree, self.pending, top));
            self.usage.retain(|(counted, _)| **counted != *top);
        }
        parent.children += 1;
        parent.cversion = parent.cversion.wrapping_add(1);
        self.pending.put_node_at(zxid, parent_path, parent);
        let state = NodeState {
            acl: acl.clone(),
            owner,
            version: 0,
            cversion: 0,
            aversion: 0,
            children: 0,
            mtime_ms: self.context.time_ms,
            mzxid: zxid,
            data: DataState::InFlight(data.clone()),
        };
        self.pending.put_node(zxid, path.clone(), Some(state));
        if let Owner::Session(session) = owner {
            self.pending.add_ephemeral(session, path.clone());
        }
        Ok(Planned::Create(self.push(Change::Create { path, data, acl, owner })))
    }

    /// Deletes at a client's wish; `container` narrows it to containers and TTL nodes.
    fn delete(&mut self, path: &Arc<str>, version: i32, container: bool) -> Result<Planned, TreeError> {
        self.check_session()?;
        let (parent_path, _) = path::split_parent(path).ok_or(TreeError::BadArguments)?;
        if path::is_reserved(path) {
            return Err(TreeError::BadArguments);
        }
        let parent = self.node(parent_path)?;
        self.check_acl(&parent.acl, Perms::DELETE)?;
        let node = self.node(path)?;
        check_version(node.version, version)?;
        if node.children > 0 {
            return Err(TreeError::NotEmpty);
        }
        if container && !matches!(node.owner, Owner::Container | Owner::Ttl(_)) {
            return Err(TreeError::BadVersion);
        }
        self.do_delete(path.clone(), parent_path, parent, &node)
    }

    fn do_delete(
        &mut self,
        path: Arc<str>,
        parent_path: &str,
        mut parent: NodeState,
        node: &NodeState,
    ) -> Result<Planned, TreeError> {
        let zxid = self.context.zxid;
        self.add_usage(&path, Usage { bytes: -(node.data_length() as i64), count: -1 });
        parent.children = parent.children.saturating_sub(1);
        self.pending.put_node_at(zxid, parent_path, parent);
        self.pending.put_node(zxid, path.clone(), None);
        Ok(Planned::Delete(self.push(Change::Delete { path })))
    }

    fn reap(&mut self, path: &Arc<str>) -> Result<(), TreeError> {
        let (parent_path, _) = path::split_parent(path).ok_or(TreeError::BadArguments)?;
        let node = self.node(path)?;
        if node.children > 0 {
            return Err(TreeError::NotEmpty);
        }
        if !is_due(node.owner, node.children, node.cversion, node.mtime_ms, self.context.time_ms) {
            return Err(TreeError::BadVersion);
        }
        let parent = self.node(parent_path)?;
        let planned = self.do_delete(path.clone(), parent_path, parent, &node)?;
        self.plan.push(planned);
        Ok(())
    }

    fn set_data(
        &mut self,
        path: &Arc<str>,
        data: &Option<Bytes>,
        version: i32,
    ) -> Result<Planned, TreeError> {
        self.check_session()?;
        path::validate(path)?;
        let judge = |node: &NodeState| self.judge_set_data(node, path, data, version);
        let (node, usage) = self.pending.look_at(self.tree, path, judge).ok_or(TreeError::NoNode)??;
        self.add_usage(path, usage);
        let version = node.version;
        self.pending.put_node(self.context.zxid, path.clone(), Some(node));
        Ok(Planned::SetData(self.push(Change::SetData { path: path.clone(), data: data.clone(), version })))
    }

    /// What a node becomes with other data, and what that adds to the quota over it.
    fn judge_set_data(
        &self,
        node: &NodeState,
        path: &str,
        data: &Option<Bytes>,
        version: i32,
    ) -> Result<(NodeState, Usage), TreeError> {
        self.check_acl(&node.acl, Perms::WRITE)?;
        let length = data.as_ref().map_or(0, Bytes::len) as i64;
        let usage = Usage { bytes: length - node.data_length() as i64, count: 0 };
        self.check_quota(path, usage)?;
        check_version(node.version, version)?;
        let set = NodeState {
            acl: node.acl.clone(),
            owner: node.owner,
            version: next_version(node.version),
            cversion: node.cversion,
            aversion: node.aversion,
            children: node.children,
            mtime_ms: self.context.time_ms,
            mzxid: self.context.zxid,
            data: DataState::InFlight(data.clone()),
        };
        Ok((set, usage))
    }

    fn set_acl(&mut self, path: &Arc<str>, acl: &AclList, version: i32) -> Result<Planned, TreeError> {
        self.check_session()?;
        path::validate(path)?;
        let acl = auth::expand(acl, self.context.auth, self.context.options)?;
        let mut node = self.node(path)?;
        self.check_acl(&node.acl, Perms::ADMIN)?;
        check_version(node.aversion, version)?;
        node.aversion = next_version(node.aversion);
        node.acl = acl.clone();
        let data = match &node.data {
            DataState::InFlight(data) => data.clone(),
            DataState::Applied(_) => {
                self.tree.get(path).and_then(|node| node.data()).map(Bytes::copy_from_slice)
            }
        };
        let change =
            Change::SetAcl { path: path.clone(), acl, aversion: node.aversion, data, mzxid: node.mzxid };
        self.pending.put_node(self.context.zxid, path.clone(), Some(node));
        Ok(Planned::SetAcl(self.push(change)))
    }

    fn check(&mut self, path: &Arc<str>, version: i32) -> Result<Planned, TreeError> {
        self.check_session()?;
        path::validate(path)?;
        let node = self.node(path)?;
        self.check_acl(&node.acl, Perms::READ)?;
        check_version(node.version, version)?;
        Ok(Planned::Check)
    }

    fn put(&mut self, path: &Arc<str>, data: &Option<Bytes>) -> Result<Planned, TreeError> {
        path::validate(path)?;
        if self.pending.exists(self.tree, path) {
            return self.set_data(path, data, ANY_VERSION);
        }
        self.create(&Create {
            path: path.clone(),
            data: data.clone(),
            acl: AclList::open(),
            mode: crate::CreateMode::Persistent,
            ttl_ms: None,
        })
    }

    fn close_session(&mut self, id: SessionId) -> Result<(), TreeError> {
        if !self.pending.session_open(self.tree, id) {
            return Err(TreeError::SessionExpired);
        }
        for path in self.pending.ephemerals(self.tree, id) {
            let (parent_path, _) = path::split_parent(&path).ok_or(TreeError::BadArguments)?;
            let parent = self.node(parent_path)?;
            let node = self.node(&path)?;
            self.do_delete(path.clone(), parent_path, parent, &node)?;
        }
        self.pending.put_session(self.context.zxid, id, false);
        self.push(Change::CloseSession { id });
        Ok(())
    }

    fn push(&mut self, change: Change) -> usize {
        self.changes.push(change);
        self.changes.len() - 1
    }

    fn node(&self, path: &str) -> Result<NodeState, TreeError> {
        self.pending.node(self.tree, path).ok_or(TreeError::NoNode)
    }

    fn check_session(&self) -> Result<(), TreeError> {
        match self.context.session {
            Some(session) if !self.pending.session_open(self.tree, session) => Err(TreeError::SessionExpired),
            _ => Ok(()),
        }
    }

    fn check_acl(&self, acl: &AclList, perm: Perms) -> Result<(), TreeError> {
        if auth::permits(acl, self.context.auth, perm, self.context.options) {
            Ok(())
        } else {
            Err(TreeError::NoAuth)
        }
    }

    /// Checks and counts what a write adds to the subtree with a quota that holds the node, if there is one.
    fn use_quota(&mut self, path: &str, usage: Usage) -> Result<(), TreeError> {
        self.check_quota(path, usage)?;
        self.add_usage(path, usage);
        Ok(())
    }

    fn check_quota(&self, path: &str, usage: Usage) -> Result<(), TreeError> {
        if !self.context.options.enforce_quota {
            return Ok(());
        }
        let Some(top) = quota::top_with_limits(self.tree, self.pending, path) else {
            return Ok(());
        };
        let already = self.usage.iter().find(|(counted, _)| **counted == *top).map(|(_, usage)| *usage);
        quota::check(self.tree, self.pending, top, already.unwrap_or_default(), usage)
    }

    fn add_usage(&mut self, path: &str, usage: Usage) {
        let Some(top) = quota::top_with_limits(self.tree, self.pending, path) else {
            return;
        };
        match self.usage.iter_mut().find(|(counted, _)| **counted == *top) {
            Some((_, sum)) => {
                sum.bytes += usage.bytes;
                sum.count += usage.count;
            }
            None => self.usage.push((top.into(), usage)),
        }
    }

    /// Ends the transaction with the new counts of the quotas that it touched.
    fn log_usage(&mut self) {
        for (top, usage) in std::mem::take(&mut self.usage) {
            let path = quota::stats_path(&top);
            let Some(mut node) = self.pending.node(self.tree, &path) else {
                continue;
            };
            let Some(data) = quota::updated(self.tree, self.pending, &path, usage) else {
                continue;
            };
            if usage == Usage::default() {
                continue;
            }
            let mzxid = node.mzxid;
            node.data = DataState::InFlight(Some(data.clone()));
            self.pending.put_node(self.context.zxid, path.clone(), Some(node));
            self.push(Change::SetUsage { path, data, mzxid });
        }
    }
}

fn check_version(current: i32, expected: i32) -> Result<(), TreeError> {
    if expected == ANY_VERSION || expected == current { Ok(()) } else { Err(TreeError::BadVersion) }
}
