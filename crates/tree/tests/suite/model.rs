//! Owns a second, naive tree: a sorted map of whole nodes that each request changes at once. It shares no code with the
//! real one but the types, so that the two agree only if both are right.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tree::{
    AclList, CreateMode, EventKind, Image, NodeImage, Op, Owner, Perms, RawStat, Request, SessionId,
    SessionImage, TreeError, Zxid,
};

#[derive(Clone, Debug, PartialEq)]
struct Node {
    data: Option<Bytes>,
    acl: AclList,
    owner: Owner,
    stat: RawStat,
    last_offset: i64,
}

#[derive(Clone, Default)]
pub(crate) struct Model {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<i64, SessionImage>,
    /// Records of the request under way.
    records: i64,
    pub(crate) events: Vec<(EventKind, String)>,
}

/// Who asks and when.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) session: Option<i64>,
    pub(crate) zxid: i64,
    pub(crate) time_ms: i64,
}

impl Model {
    /// A model of the bootstrapped tree, from its images.
    pub(crate) fn of(images: Vec<Image>) -> Model {
        let mut model = Model::default();
        for image in images {
            match image {
                Image::Node(node) => {
                    let NodeImage { path, data, acl, owner, stat, last_offset } = node;
                    model.nodes.insert(path.to_string(), Node { data, acl, owner, stat, last_offset });
                }
                Image::Session(session) => {
                    model.sessions.insert(session.id.0, session);
                }
            }
        }
        model
    }

    /// All that the model holds, sorted by last offset as snapshots are.
    pub(crate) fn images(&self) -> Vec<Image> {
        let node = |(path, node): (&String, &Node)| {
            Image::Node(NodeImage {
                path: path.as_str().into(),
                data: node.data.clone(),
                acl: node.acl.clone(),
                owner: node.owner,
                stat: node.stat,
                last_offset: node.last_offset,
            })
        };
        let mut images: Vec<Image> = self.nodes.iter().map(node).collect();
        images.extend(self.sessions.values().cloned().map(Image::Session));
        images.sort_by_key(Image::last_offset);
        images
    }

    pub(crate) fn children(&self, path: &str) -> BTreeSet<String> {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        self.nodes
            .keys()
            .filter_map(|other| other.strip_prefix(&prefix))
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        self.nodes.keys()
    }

    /// Executes a request, or leaves everything as it is. Gives the number of records.
    pub(crate) fn run(&mut self, asker: Asker, request: &Request) -> Result<i64, TreeError> {
        let before = self.clone();
        self.records = 0;
        self.events.clear();
        let result = match request {
            Request::Op(Op::Check { .. }) => Err(TreeError::Unimplemented),
            Request::Op(op) => self.op(asker, op),
            Request::Multi(ops) => ops.iter().try_for_each(|op| self.op(asker, op)),
            Request::OpenSession { id, timeout_ms, password_sha256 } => {
                let (timeout_ms, password_sha256) = (*timeout_ms, *password_sha256);
                let image = SessionImage { id: *id, timeout_ms, password_sha256, last_offset: asker.zxid };
                self.open(image)
            }
            Request::CloseSession { id } => self.close(asker, *id),
            Request::Reap { path } => self.reap(asker, path),
        };
        match result {
            Ok(()) => Ok(self.records),
            Err(error) => {
                *self = before;
                self.events.clear();
                Err(error)
            }
        }
    }

    fn open(&mut self, session: SessionImage) -> Result<(), TreeError> {
        match self.sessions.entry(session.id.0) {
            Entry::Occupied(_) => Err(TreeError::BadArguments),
            Entry::Vacant(vacant) => {
                vacant.insert(session);
                self.records += 1;
                Ok(())
            }
        }
    }

    fn op(&mut self, asker: Asker, op: &Op) -> Result<(), TreeError> {
        if let Some(session) = asker.session
            && !self.sessions.contains_key(&session)
        {
            return Err(TreeError::SessionExpired);
        }
        match op {
            Op::Create(create) => {
                let owner = match create.mode {
                    CreateMode::Persistent | CreateMode::PersistentSequential => Owner::Persistent,
                    CreateMode::Container => Owner::Container,
                    CreateMode::Ttl | CreateMode::TtlSequential => {
                        Owner::Ttl(create.ttl_ms.ok_or(TreeError::BadArguments)?)
                    }
                    CreateMode::Ephemeral | CreateMode::EphemeralSequential => {
                        Owner::Session(SessionId(asker.session.ok_or(TreeError::BadArguments)?))
                    }
                };
                let parent = self.node(parent(&create.path))?;
                permit(parent, Perms::CREATE)?;
                let path = if create.mode.is_sequential() {
                    format!("{}{:010}", create.path, parent.stat.cversion)
                } else {
                    create.path.to_string()
                };
                if self.nodes.contains_key(&path) {
                    return Err(TreeError::NodeExists);
                }
                if matches!(parent.owner, Owner::Session(_)) {
                    return Err(TreeError::NoChildrenForEphemerals);
                }
                self.create(asker, path, create.data.clone(), create.acl.clone(), owner);
            }
            Op::Delete { path, version } => self.delete(asker, path, *version, false)?,
            Op::Remove { path } => self.delete(asker, path, -1, false)?,
            Op::DeleteContainer { path } => self.delete(asker, path, -1, true)?,
            Op::SetData { path, data, version } => self.set(asker, path, data, *version)?,
            Op::Put { path, data } => {
                if self.nodes.contains_key(&**path) {
                    self.set(asker, path, data, -1)?;
                } else {
                    let parent = self.node(parent(path))?;
                    permit(parent, Perms::CREATE)?;
                    if matches!(parent.owner, Owner::Session(_)) {
                        return Err(TreeError::NoChildrenForEphemerals);
                    }
                    self.create(asker, path.to_string(), data.clone(), AclList::open(), Owner::Persistent);
                }
            }
            Op::SetAcl { path, acl, version } => {
                let node = self.node(path)?;
                permit(node, Perms::ADMIN)?;
                if ![-1, node.stat.aversion].contains(version) {
                    return Err(TreeError::BadVersion);
                }
                let last_offset = self.record(asker);
                let node = self.nodes.get_mut(&**path).ok_or(TreeError::NoNode)?;
                node.acl = acl.clone();
                node.stat.aversion += 1;
                node.last_offset = last_offset;
            }
            Op::Check { path, version } => {
                let node = self.node(path)?;
                permit(node, Perms::READ)?;
                if ![-1, node.stat.version].contains(version) {
                    return Err(TreeError::BadVersion);
                }
            }
        }
        Ok(())
    }

    fn node(&self, path: &str) -> Result<&Node, TreeError> {
        self.nodes.get(path).ok_or(TreeError::NoNode)
    }

    fn record(&mut self, asker: Asker) -> i64 {
        self.records += 1;
        asker.zxid + self.records - 1
    }

    fn create(&mut self, asker: Asker, path: String, data: Option<Bytes>, acl: AclList, owner: Owner) {
        let (zxid, time_ms) = (Zxid(asker.zxid), asker.time_ms);
        let stat = RawStat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            ..RawStat::default()
        };
        let last_offset = self.record(asker);
        self.nodes.insert(path.clone(), Node { data, acl, owner, stat, last_offset });
        let parent = parent(&path).to_owned();
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.stat.cversion += 1;
            node.stat.pzxid = zxid;
        }
        self.events.extend([(EventKind::Created, path), (EventKind::ChildrenChanged, parent)]);
    }

    fn delete(&mut self, asker: Asker, path: &str, version: i32, container: bool) -> Result<(), TreeError> {
        if ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"].contains(&path) {
            return Err(TreeError::BadArguments);
        }
        permit(self.node(parent(path))?, Perms::DELETE)?;
        let node = self.node(path)?;
        if ![-1, node.stat.version].contains(&version) {
            return Err(TreeError::BadVersion);
        }
        if !self.children(path).is_empty() {
            return Err(TreeError::NotEmpty);
        }
        if container && !matches!(node.owner, Owner::Container | Owner::Ttl(_)) {
            return Err(TreeError::BadVersion);
        }
        self.remove(asker, path);
        Ok(())
    }

    fn remove(&mut self, asker: Asker, path: &str) {
        self.record(asker);
        self.nodes.remove(path);
        let parent = parent(path).to_owned();
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.stat.pzxid = Zxid(asker.zxid);
        }
        self.events.extend([(EventKind::Deleted, path.to_owned()), (EventKind::ChildrenChanged, parent)]);
    }

    fn set(&mut self, asker: Asker, path: &str, data: &Option<Bytes>, version: i32) -> Result<(), TreeError> {
        let node = self.node(path)?;
        permit(node, Perms::WRITE)?;
        if ![-1, node.stat.version].contains(&version) {
            return Err(TreeError::BadVersion);
        }
        let last_offset = self.record(asker);
        let node = self.nodes.get_mut(path).ok_or(TreeError::NoNode)?;
        node.data = data.clone();
        node.stat.version += 1;
        node.stat.mzxid = Zxid(asker.zxid);
        node.stat.mtime_ms = asker.time_ms;
        node.last_offset = last_offset;
        self.events.push((EventKind::DataChanged, path.to_owned()));
        Ok(())
    }

    fn close(&mut self, asker: Asker, id: SessionId) -> Result<(), TreeError> {
        self.sessions.remove(&id.0).ok_or(TreeError::SessionExpired)?;
        let owned = self.nodes.iter().filter(|(_, node)| node.owner == Owner::Session(id));
        for path in owned.map(|(path, _)| path.clone()).collect::<Vec<_>>() {
            self.remove(asker, &path);
        }
        self.record(asker);
        Ok(())
    }

    fn reap(&mut self, asker: Asker, path: &str) -> Result<(), TreeError> {
        let node = self.node(path)?;
        if !self.children(path).is_empty() {
            return Err(TreeError::NotEmpty);
        }
        match node.owner {
            Owner::Container if node.stat.cversion > 0 => {}
            Owner::Ttl(ttl_ms) if asker.time_ms - node.stat.mtime_ms > ttl_ms => {}
            _ => return Err(TreeError::BadVersion),
        }
        self.remove(asker, path);
        Ok(())
    }
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

/// The model's ACLs say only what everybody may do.
fn permit(node: &Node, perm: Perms) -> Result<(), TreeError> {
    if node.acl.entries().iter().any(|entry| entry.perms.intersects(perm)) {
        Ok(())
    } else {
        Err(TreeError::NoAuth)
    }
}
