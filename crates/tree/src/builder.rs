//! Owns the way back from images to a tree. Invariant: until `finish`, a node that only a descendant has named stands as
//! a placeholder, which its own image fills.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::acl::AclList;
use crate::error::RestoreError;
use crate::ids::{SessionId, Zxid};
use crate::node::{NO_NODE, Node, NodeId};
use crate::owner::Owner;
use crate::path;
use crate::snapshot::{Image, NodeImage, SessionImage};
use crate::stat::RawStat;
use crate::tree::{Ephemerals, Session, Tree};

/// The czxid of a node that was named but never came; no transaction has it.
const PLACEHOLDER: Zxid = Zxid(i64::MIN);

/// Puts a tree together from images, in any order.
#[derive(Default)]
pub struct TreeBuilder {
    tree: Tree,
    placeholders: usize,
    /// Ephemeral nodes by session; the session may come later.
    owned: HashMap<SessionId, HashSet<NodeId>>,
}

impl TreeBuilder {
    /// Begins with nothing.
    pub fn new() -> TreeBuilder {
        TreeBuilder::default()
    }

    /// Adds a znode or a session.
    ///
    /// # Errors
    /// [`RestoreError`] if the path is none, or the znode or session has come before.
    pub fn add(&mut self, image: Image) -> Result<(), RestoreError> {
        match image {
            Image::Node(node) => self.add_node(&node),
            Image::Session(session) => self.add_session(&session),
        }
    }

    fn add_node(&mut self, image: &NodeImage) -> Result<(), RestoreError> {
        let id = self.place(&image.path)?;
        if self.tree.slab.get(id).czxid() != PLACEHOLDER {
            return Err(RestoreError::DuplicateNode(image.path.clone()));
        }
        let acl = self.tree.acls.acquire(&image.acl);
        let slot = self.tree.slab.get(id);
        let node = Node::new(
            slot.parent,
            slot.name(),
            image.data.as_deref(),
            acl,
            image.owner,
            &image.stat,
            image.last_offset,
        );
        self.tree.slab.get_mut(id).fill_from(node);
        self.placeholders -= 1;
        self.tree.count(id, &image.path);
        if let Owner::Session(session) = image.owner {
            self.owned.entry(session).or_default().insert(id);
        }
        Ok(())
    }

    /// The node of a path, with placeholders for it and its ancestors where there is nothing yet.
    fn place(&mut self, path: &Arc<str>) -> Result<NodeId, RestoreError> {
        let segments = path.strip_prefix('/').ok_or_else(|| RestoreError::BadPath(path.clone()))?;
        let mut id = match self.tree.root {
            Some(root) => root,
            None => self.placeholder(NO_NODE, ""),
        };
        if segments.is_empty() {
            return Ok(id);
        }
        for name in segments.split('/') {
            if name.is_empty() {
                return Err(RestoreError::BadPath(path.clone()));
            }
            id = match self.tree.child(id, name) {
                Some(child) => child,
                None => self.placeholder(id, name),
            };
        }
        Ok(id)
    }

    fn placeholder(&mut self, parent: NodeId, name: &str) -> NodeId {
        let stat = RawStat { czxid: PLACEHOLDER, pzxid: PLACEHOLDER, ..RawStat::default() };
        let acl = self.tree.acls.acquire(&AclList::open());
        self.placeholders += 1;
        self.tree.place(Node::new(parent, name, None, acl, Owner::Persistent, &stat, 0))
    }

    fn add_session(&mut self, image: &SessionImage) -> Result<(), RestoreError> {
        let session = Session {
            timeout_ms: image.timeout_ms,
            password_sha256: image.password_sha256,
            last_offset: image.last_offset,
            ephemerals: Ephemerals::default(),
        };
        match self.tree.sessions.insert(image.id, session) {
            None => Ok(()),
            Some(_) => Err(RestoreError::DuplicateSession(image.id)),
        }
    }

    /// The tree, as of transaction `last`.
    ///
    /// # Errors
    /// [`RestoreError`] if a node or a session never came that something else needs.
    pub fn finish(mut self, last: Zxid) -> Result<Tree, RestoreError> {
        let missing_root = || RestoreError::MissingNode(path::ROOT.into());
        let root = self.tree.root.ok_or_else(missing_root)?;
        if self.placeholders > 0 {
            let placeholder = (0..self.tree.slab.slots())
                .find(|&id| self.tree.slab.occupied(id).is_some_and(|node| node.czxid() == PLACEHOLDER));
            return Err(RestoreError::MissingNode(self.tree.path_of(placeholder.unwrap_or(root))));
        }
        for (id, nodes) in self.owned {
            match self.tree.sessions.get_mut(&id) {
                Some(session) => session.ephemerals = Ephemerals::of(nodes),
                None => {
                    let orphan = nodes.into_iter().next().unwrap_or(root);
                    return Err(RestoreError::MissingSession(self.tree.path_of(orphan), id));
                }
            }
        }
        self.tree.last_zxid = last;
        Ok(self.tree)
    }
}

impl From<NodeImage> for Image {
    fn from(image: NodeImage) -> Image {
        Image::Node(image)
    }
}

impl From<SessionImage> for Image {
    fn from(image: SessionImage) -> Image {
        Image::Session(image)
    }
}
