//! Which sessions live, until when, and which connection each is attached to.
//!
//! Invariants: a session is here exactly while the tree has it; expiry only proposes a closeSession, so that a session ends
//! by a transaction and never by a clock alone; being alive costs a connection one atomic store per packet, in itself: it is asked
//! only when the answer matters; the expiry scan looks at a session once per its timeout and not at all between.
use crate::subscriber::{Closed, Subscriber};
use crate::watches::WatcherId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tree::{DenseMap, SessionId};

/// Client sessions of one node count up from its start time; below this the ids are of the node's own sessions.
pub(crate) const OWN_SESSIONS_MAX: i64 = 1 << 20;
/// The bits of a session id below the node's.
pub(crate) const SESSION_COUNTER_MASK: i64 = 0x00ff_ffff_ffff_ffff;

/// Whether a node opened the session for itself.
pub(crate) fn is_of_a_node(id: SessionId) -> bool {
    id.0 & SESSION_COUNTER_MASK < OWN_SESSIONS_MAX
}

/// The node that gave the session its id.
pub(crate) fn node_of(id: SessionId) -> i32 {
    ((id.0 >> 56) & 0xff) as i32
}

/// A run of another node, to whose connection a session may be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The node.
    pub(crate) node: i32,
    /// Its run.
    pub(crate) incarnation: i64,
}

/// The connection that a session is attached to.
#[derive(Clone)]
pub(crate) struct Attachment {
    /// Its place in the watch table.
    pub(crate) watcher: WatcherId,
    /// Where events and the end go.
    pub(crate) subscriber: Arc<dyn Subscriber>,
}

/// Who speaks for a session.
enum Voice {
    /// Nobody, as far as is known here.
    None,
    /// A connection of this node.
    Here(Attachment),
    /// Another node, as far as the leader knows.
    Elsewhere(Owner),
}

struct Tracked {
    timeout_ms: u32,
    closing: bool,
    /// The bucket in which the session is looked at next.
    bucket_ms: u64,
    /// When it was last heard of by others than the connection that it is attached to now, which knows for itself.
    touched_ms: u64,
    voice: Voice,
    /// When the session was last heard of, as the leader was told.
    reported_ms: u64,
}

impl Tracked {
    fn attachment(&self) -> Option<&Attachment> {
        match &self.voice {
            Voice::Here(attachment) => Some(attachment),
            Voice::None | Voice::Elsewhere(_) => None,
        }
    }

    /// When the session was last heard of.
    fn heard_ms(&self) -> u64 {
        self.touched_ms.max(self.attachment().map_or(0, |attachment| attachment.subscriber.heard_ms()))
    }

    /// Says that the session was heard of now (monotonic milliseconds).
    fn touch(&mut self, now_ms: u64) {
        self.touched_ms = self.touched_ms.max(now_ms);
    }

    /// Gives the session another voice; what the connection before heard is remembered.
    fn give_voice(&mut self, voice: Voice) -> Option<Attachment> {
        self.touched_ms = self.heard_ms();
        std::mem::replace(&mut self.voice, voice).into_attachment()
    }

    fn is_attached_to(&self, watcher: WatcherId) -> bool {
        self.attachment().is_some_and(|attachment| attachment.watcher == watcher)
    }

    fn timeout_ms(&self) -> u64 {
        u64::from(self.timeout_ms)
    }
}

impl Voice {
    fn into_attachment(self) -> Option<Attachment> {
        match self {
            Voice::Here(attachment) => Some(attachment),
            Voice::None | Voice::Elsewhere(_) => None,
        }
    }
}

/// The tracker.
pub(crate) struct Sessions {
    tick_ms: u64,
    tracked: DenseMap<SessionId, Tracked>,
    /// The sessions that nodes opened for themselves, by node.
    of_nodes: BTreeMap<i32, BTreeSet<SessionId>>,
    buckets: BTreeMap<u64, Vec<SessionId>>,
}

impl Sessions {
    /// An empty tracker that expires sessions at multiples of the tick.
    pub(crate) fn new(tick_ms: u64) -> Sessions {
        Sessions {
            tick_ms: tick_ms.max(1),
            tracked: DenseMap::new(),
            of_nodes: BTreeMap::new(),
            buckets: BTreeMap::new(),
        }
    }

    /// Begins to track a session, giving it its full timeout from now on.
    pub(crate) fn track(&mut self, id: SessionId, timeout_ms: u64, now_ms: u64) {
        let bucket_ms = self.bucket(now_ms + timeout_ms);
        let tracked = Tracked {
            // A timeout is an int of the protocol.
            timeout_ms: u32::try_from(timeout_ms).unwrap_or(u32::MAX),
            closing: false,
            bucket_ms,
            touched_ms: now_ms,
            voice: Voice::None,
            reported_ms: 0,
        };
        if self.tracked.insert(id, tracked).is_none() {
            self.buckets.entry(bucket_ms).or_default().push(id);
        }
        if is_of_a_node(id) {
            self.of_nodes.entry(node_of(id)).or_default().insert(id);
        }
    }

    /// The nodes that have sessions of their own, which live and die with their processes.
    pub(crate) fn nodes(&self) -> Vec<i32> {
        self.of_nodes.keys().copied().collect()
    }

    /// A node's process is gone: its own sessions are marked as closing and handed out.
    pub(crate) fn lost_node(&mut self, node: i32) -> Vec<SessionId> {
        let own = self.of_nodes.get(&node).into_iter().flatten();
        let mut lost = Vec::new();
        for id in own {
            if let Some(tracked) = self.tracked.get_mut(id).filter(|tracked| !tracked.closing) {
                tracked.closing = true;
                lost.push(*id);
            }
        }
        lost
    }

    /// Gives every session its full timeout from now on: a new leader knows neither when they were heard of nor by whom.
    pub(crate) fn give_time(&mut self, now_ms: u64) {
        self.buckets.clear();
        for (id, tracked) in self.tracked.iter_mut() {
            tracked.touch(now_ms);
            if let Voice::Elsewhere(_) = tracked.voice {
                tracked.voice = Voice::None;
            }
            tracked.closing = false;
            tracked.bucket_ms = ((now_ms + tracked.timeout_ms()) / self.tick_ms + 1) * self.tick_ms;
            self.buckets.entry(tracked.bucket_ms).or_default().push(*id);
        }
        for ids in self.buckets.values_mut() {
            ids.sort_unstable();
        }
    }

    /// This node lost its leadership, and with it perhaps what it proposed: no session is about to end on that account.
    pub(crate) fn forget_proposals(&mut self) {
        for tracked in self.tracked.values_mut() {
            tracked.closing = false;
        }
    }

    /// Another node heard of a session.
    pub(crate) fn heard_of(&mut self, id: SessionId, owner: Owner, now_ms: u64) {
        if self.claim(id, owner) {
            self.touch(id, now_ms);
        }
    }

    /// Says that a session was heard of now.
    pub(crate) fn touch(&mut self, id: SessionId, now_ms: u64) {
        if let Some(tracked) = self.tracked.get_mut(&id) {
            tracked.touch(now_ms);
        }
    }

    /// Whether another node may speak for a session: it does so already, or nobody did (SessionTrackerImpl.checkSession).
    pub(crate) fn claim(&mut self, id: SessionId, owner: Owner) -> bool {
        match self.tracked.get_mut(&id) {
            Some(tracked) => match tracked.voice {
                Voice::Here(_) => false,
                Voice::Elsewhere(known) => known == owner,
                Voice::None => {
                    tracked.voice = Voice::Elsewhere(owner);
                    true
                }
            },
            // The session's transaction is committed and not applied here yet, or it has ended: the tree knows.
            None => true,
        }
    }

    /// Another node attaches a connection to a session; a connection of this node loses it.
    pub(crate) fn attach_elsewhere(
        &mut self,
        id: SessionId,
        owner: Owner,
        now_ms: u64,
    ) -> Option<Attachment> {
        let tracked = self.tracked.get_mut(&id)?;
        tracked.touch(now_ms);
        tracked.give_voice(Voice::Elsewhere(owner))
    }

    /// The sessions with a connection here that were heard of since this was last asked.
    pub(crate) fn take_heard_of(&mut self) -> Vec<SessionId> {
        let mut heard = Vec::new();
        for (id, tracked) in self.tracked.iter_mut() {
            if tracked.attachment().is_none() {
                continue;
            }
            let heard_ms = tracked.heard_ms();
            if heard_ms > tracked.reported_ms {
                tracked.reported_ms = heard_ms;
                heard.push(*id);
            }
        }
        heard.sort_unstable();
        heard
    }

    /// Reports all sessions with a connection anew: the leader is another one.
    pub(crate) fn forget_reports(&mut self) {
        for tracked in self.tracked.values_mut() {
            tracked.reported_ms = 0;
        }
    }

    /// Keeps exactly the sessions of a tree that came in the place of the one before; connections of all others are told.
    pub(crate) fn reset(&mut self, sessions: impl Iterator<Item = (SessionId, u64)>, now_ms: u64) {
        self.buckets.clear();
        self.of_nodes.clear();
        for (_, tracked) in self.tracked.drain() {
            if let Voice::Here(attachment) = tracked.voice {
                attachment.subscriber.closed(Closed::NodeStopping);
            }
        }
        for (id, timeout_ms) in sessions {
            self.track(id, timeout_ms, now_ms);
        }
    }

    /// Attaches a connection to a session and returns the connection that had it before, if one had.
    /// The leader has agreed. `None` if the session ended meanwhile.
    pub(crate) fn attach(
        &mut self,
        id: SessionId,
        to: Attachment,
        now_ms: u64,
    ) -> Option<Option<Attachment>> {
        let tracked = self.tracked.get_mut(&id)?;
        tracked.touch(now_ms);
        // The leader says that it is open, so that whatever was to end it did not come to pass.
        tracked.closing = false;
        tracked.reported_ms = 0;
        Some(tracked.give_voice(Voice::Here(to)))
    }

    /// Forgets the connection, if the session is still attached to it.
    pub(crate) fn detach(&mut self, id: SessionId, watcher: WatcherId) {
        if let Some(tracked) = self.tracked.get_mut(&id)
            && tracked.is_attached_to(watcher)
        {
            tracked.give_voice(Voice::None);
        }
    }

    /// Whether the session is attached to this very connection.
    pub(crate) fn is_attached(&self, id: SessionId, watcher: WatcherId) -> bool {
        self.tracked.get(&id).is_some_and(|tracked| tracked.is_attached_to(watcher))
    }

    /// Says that a closeSession is proposed: the session takes no connection any more.
    pub(crate) fn mark_closing(&mut self, id: SessionId) {
        if let Some(tracked) = self.tracked.get_mut(&id) {
            tracked.closing = true;
        }
    }

    /// Forgets an ended session and tells its connection.
    pub(crate) fn end(&mut self, id: SessionId) -> Option<Attachment> {
        let tracked = self.tracked.remove(&id)?;
        if let Some(own) = self.of_nodes.get_mut(&node_of(id)) {
            own.remove(&id);
            if own.is_empty() {
                self.of_nodes.remove(&node_of(id));
            }
        }
        if let Some(ids) = self.buckets.get_mut(&tracked.bucket_ms) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.buckets.remove(&tracked.bucket_ms);
            }
        }
        let attachment = tracked.voice.into_attachment();
        if let Some(attachment) = &attachment {
            attachment.subscriber.closed(Closed::SessionEnded);
        }
        attachment
    }

    /// The sessions whose time is up; they are marked as closing. Those that were heard of are put into a later bucket.
    pub(crate) fn expired(&mut self, now_ms: u64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(entry) = self.buckets.first_entry()
            && *entry.key() <= now_ms
        {
            for id in entry.remove() {
                let Some(tracked) = self.tracked.get_mut(&id) else { continue };
                let deadline = tracked.heard_ms() + tracked.timeout_ms();
                let bucket_ms = (deadline / self.tick_ms + 1) * self.tick_ms;
                if bucket_ms <= now_ms && !tracked.closing {
                    tracked.closing = true;
                    expired.push(id);
                }
                // A closing session stays known until its transaction is applied; it is looked at again in case that
                // the proposal was lost with a leadership.
                let next = bucket_ms.max(now_ms + self.tick_ms);
                tracked.bucket_ms = next;
                self.buckets.entry(next).or_default().push(id);
            }
        }
        expired
    }

    /// How many sessions are tracked.
    pub(crate) fn count(&self) -> usize {
        self.tracked.len()
    }

    /// Session ids by the time of their bucket (`dump`).
    pub(crate) fn by_expiry(&self) -> impl Iterator<Item = (u64, &[SessionId])> {
        self.buckets.iter().map(|(at, ids)| (*at, ids.as_slice()))
    }

    /// Every session with a connection here, to tell it that the node can't serve it.
    pub(crate) fn attachments(&self) -> impl Iterator<Item = (SessionId, &Attachment)> {
        self.tracked.iter().filter_map(|(id, tracked)| Some((*id, tracked.attachment()?)))
    }

    fn bucket(&self, at_ms: u64) -> u64 {
        (at_ms / self.tick_ms + 1) * self.tick_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriber::WatchEvent;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tree::AuthId;

    #[test]
    fn zk_3_21_expiry_is_rounded_up_to_the_next_tick() {
        let mut sessions = Sessions::new(100);
        sessions.track(SessionId(1), 250, 10);
        assert!(sessions.expired(299).is_empty());
        assert_eq!(sessions.expired(300), [SessionId(1)]);
        assert!(sessions.expired(400).is_empty(), "it is proposed once");
    }

    #[test]
    fn a_session_that_is_heard_of_lives_on() {
        let mut sessions = Sessions::new(100);
        sessions.track(SessionId(1), 200, 0);
        for now in (0..2_000).step_by(150) {
            sessions.touch(SessionId(1), now);
            assert!(sessions.expired(now).is_empty(), "at {now}");
        }
        assert_eq!(sessions.expired(10_000), [SessionId(1)]);
    }

    /// A connection that heard of its client at this time.
    struct Heard(AtomicU64);

    impl Subscriber for Heard {
        fn identities(&self) -> Arc<[AuthId]> {
            Arc::from([])
        }

        fn heard_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn event(&self, _: &WatchEvent) {}

        fn closed(&self, _: Closed) {}
    }

    #[test]
    fn a_session_lives_by_what_its_connection_heard_also_after_it_is_gone() {
        let mut sessions = Sessions::new(100);
        sessions.track(SessionId(1), 200, 0);
        let heard = Arc::new(Heard(AtomicU64::new(0)));
        let attachment = Attachment { watcher: WatcherId(1), subscriber: heard.clone() };
        assert!(sessions.attach(SessionId(1), attachment, 0).is_some_and(|before| before.is_none()));
        heard.0.store(1_000, Ordering::Relaxed);
        assert!(sessions.expired(1_100).is_empty());
        assert_eq!(sessions.take_heard_of(), [SessionId(1)]);
        assert!(sessions.take_heard_of().is_empty(), "nothing new");
        heard.0.store(1_150, Ordering::Relaxed);
        sessions.detach(SessionId(1), WatcherId(1));
        assert!(sessions.expired(1_300).is_empty(), "1150 + 200, rounded up to 1400");
        assert_eq!(sessions.expired(1_400), [SessionId(1)]);
    }

    #[test]
    fn an_ended_session_leaves_no_bucket() {
        let mut sessions = Sessions::new(100);
        sessions.track(SessionId(1), 200, 0);
        sessions.track(SessionId(2), 200, 0);
        sessions.end(SessionId(1));
        assert_eq!(sessions.by_expiry().map(|(_, ids)| ids.len()).sum::<usize>(), 1);
        sessions.end(SessionId(2));
        assert!(sessions.by_expiry().next().is_none() && sessions.count() == 0);
    }
}
