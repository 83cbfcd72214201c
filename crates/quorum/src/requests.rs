//! The requests that are out. Invariants: at most one per peer and kind; an answer counts only if its number is the one
//! that is out, so a late or repeated answer of an earlier role or epoch is never taken for a current one.

use std::collections::BTreeMap;

use crate::Millis;
use crate::message::Peer;

/// What a request is about; a peer may have one of each kind out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Vote,
    BeginEpoch,
    EndEpoch,
    Fetch,
    Membership,
}

/// One peer and kind: out until a deadline, or not to be sent before one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Out { correlation: u64, deadline: Millis },
    Idle { not_before: Millis },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Requests {
    pub(crate) next: u64,
    pub(crate) slots: BTreeMap<(Peer, Kind), Slot>,
}

impl Requests {
    /// Whether a request of this kind may be sent to `peer` now.
    pub(crate) fn ready(&self, peer: Peer, kind: Kind, now: Millis) -> bool {
        self.not_before(peer, kind).is_some_and(|moment| moment <= now)
    }

    /// When a request of this kind may be sent to `peer`; `None` while one is out.
    pub(crate) fn not_before(&self, peer: Peer, kind: Kind) -> Option<Millis> {
        match self.slots.get(&(peer, kind)) {
            None => Some(Millis(0)),
            Some(Slot::Out { .. }) => None,
            Some(Slot::Idle { not_before }) => Some(*not_before),
        }
    }

    /// Notes that a request goes out; returns its number.
    pub(crate) fn open(&mut self, peer: Peer, kind: Kind, deadline: Millis) -> u64 {
        self.next += 1;
        self.slots.insert((peer, kind), Slot::Out { correlation: self.next, deadline });
        self.next
    }

    /// Takes the answer with this number; `None` when it isn't awaited (any more).
    pub(crate) fn close(&mut self, peer: Peer, correlation: u64) -> Option<Kind> {
        let (key, _) = self.slots.iter().find(
            |((to, _), slot)| matches!(slot, Slot::Out { correlation: out, .. } if *to == peer && *out == correlation),
        )?;
        let key = *key;
        self.slots.remove(&key);
        Some(key.1)
    }

    /// Lets `peer` have no request of this kind before `until`.
    pub(crate) fn back_off(&mut self, peer: Peer, kind: Kind, until: Millis) {
        self.slots.insert((peer, kind), Slot::Idle { not_before: until });
    }

    /// Gives up the requests whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Millis) -> Vec<(Peer, Kind)> {
        let late: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, slot)| matches!(slot, Slot::Out { deadline, .. } if *deadline <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in &late {
            self.slots.remove(key);
        }
        late
    }

    /// When something changes by itself: a request expires or a pause ends.
    pub(crate) fn next_deadline(&self, now: Millis) -> Millis {
        let moments = self.slots.values().map(|slot| match slot {
            Slot::Out { deadline, .. } => *deadline,
            Slot::Idle { not_before } => *not_before,
        });
        moments.filter(|moment| *moment > now).min().unwrap_or(Millis::NEVER)
    }

    /// Forgets everything that is out; the answers will be ignored.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }
}
