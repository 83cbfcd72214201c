//! What is on its way between the nodes. Invariants: packets are sorted, so that equal networks are equal values; a
//! request that its sender has given up is there once however often it was sent, and its answer never is.

use quorum::message::{Request, Response};

use super::log::Entry;
use super::shared::Shared;

/// The number of a request that its sender has given up: it may still arrive, but nobody waits for the answer.
pub(crate) const GIVEN_UP: u64 = 0;

/// Who waits for an answer: the node and its number for the request.
pub(crate) type Asker = (i32, u64);

/// One message on its way, or the end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Packet {
    /// A request.
    Request {
        /// Who sent it.
        from: i32,
        /// To whom.
        to: i32,
        /// The sender's number for it, or 0 when the sender has given it up.
        correlation: u64,
        /// What is asked.
        request: Request,
    },
    /// An answer.
    Response {
        /// Who answers.
        from: i32,
        /// Who asked.
        to: i32,
        /// The asker's number.
        correlation: u64,
        /// The answer.
        response: Response,
        /// The entries of a fetch response.
        entries: Vec<Entry>,
    },
    /// The process that had the request is gone; the asker will learn that no answer comes.
    Broken {
        /// Who had the request.
        from: i32,
        /// Who asked.
        to: i32,
        /// The asker's number.
        correlation: u64,
    },
}

impl Packet {
    /// Who waits, or would wait, for how this ends.
    pub(crate) fn asker(&self) -> Asker {
        match self {
            Packet::Request { from, correlation, .. } => (*from, *correlation),
            Packet::Response { to, correlation, .. } | Packet::Broken { to, correlation, .. } => {
                (*to, *correlation)
            }
        }
    }

    /// The other side of the asker.
    pub(crate) fn asked(&self) -> i32 {
        match self {
            Packet::Request { to, .. } => *to,
            Packet::Response { from, .. } | Packet::Broken { from, .. } => *from,
        }
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.asker().1 != GIVEN_UP
    }

    /// How many batches a fetch response holds; 0 for everything else.
    pub(crate) fn batches(&self) -> usize {
        match self {
            Packet::Response { entries, .. } => entries.iter().filter(|entry| entry.ends_batch).count(),
            _ => 0,
        }
    }

    fn renumbered(&self, number: u64) -> Self {
        let mut packet = self.clone();
        match &mut packet {
            Packet::Request { correlation, .. }
            | Packet::Response { correlation, .. }
            | Packet::Broken { correlation, .. } => *correlation = number,
        }
        packet
    }
}

/// Everything that is on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Network {
    packets: Vec<Shared<Packet>>,
}

impl Network {
    /// The packets, in an order that only depends on what they are.
    pub fn packets(&self) -> &[Shared<Packet>] {
        &self.packets
    }

    pub(crate) fn push(&mut self, packet: Packet) {
        let packet = Shared::new(packet);
        let at = self.packets.partition_point(|other| other.fingerprint() < packet.fingerprint());
        let known = !packet.is_awaited() && self.packets.get(at) == Some(&packet);
        if !known {
            self.packets.insert(at, packet);
        }
    }

    pub(crate) fn remove(&mut self, at: usize) -> Shared<Packet> {
        self.packets.remove(at)
    }

    /// Gives the requests of `asker` their new numbers; those without one are given up.
    pub(crate) fn renumber(&mut self, asker: i32, numbers: &[(u64, u64)]) {
        let of_asker = |packet: &Shared<Packet>| packet.asker().0 == asker && packet.is_awaited();
        let changes = self.packets.iter().any(|packet| {
            of_asker(packet) && new_number(packet.asker().1, numbers) != Some(packet.asker().1)
        });
        if !changes {
            return;
        }
        for packet in std::mem::take(&mut self.packets) {
            match new_number(packet.asker().1, numbers) {
                _ if !of_asker(&packet) => self.keep(packet),
                Some(number) => self.push(packet.renumbered(number)),
                None if matches!(&*packet, Packet::Request { .. }) => self.push(packet.renumbered(GIVEN_UP)),
                None => {}
            }
        }
    }

    fn keep(&mut self, packet: Shared<Packet>) {
        let at = self.packets.partition_point(|other| other.fingerprint() < packet.fingerprint());
        if packet.is_awaited() || self.packets.get(at) != Some(&packet) {
            self.packets.insert(at, packet);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Shared<Packet>) -> bool) {
        self.packets.retain(keep);
    }
}

pub(crate) fn new_number(old: u64, numbers: &[(u64, u64)]) -> Option<u64> {
    numbers.iter().find(|(from, _)| *from == old).map(|(_, to)| *to)
}
