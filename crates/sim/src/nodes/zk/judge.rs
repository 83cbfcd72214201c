//! The laws of ZooKeeper, applied to what every client saw and to the committed history.
//!
//! - Writes are linearizable: each took effect once, at the zxid of its answer, after everything that any client had been told of when it
//!   was sent; an error rests on a state between that and the answer's zxid.
//! - A session is first in, first out: its writes have growing zxids, its reads show exactly the tree at their zxid and never an older
//!   one than it was shown before, on whichever node (the client itself looks for that).
//! - After a sync a session sees what anybody had been told of before; as in ZooKeeper not while a leader is deposed and doesn't know.
//! - Ephemerals are there exactly as long as their sessions (the ledger looks for that), and no session ends early.
use super::client::{Asked, Life, Seen, TOP};
use super::ledger::{Ledger, Node};
use super::watching;
use super::{Body, Change, Deed};
use bytes::Bytes;
use ensemble::OpResult;
use std::collections::BTreeMap;
use tree::{Stat, TreeError};

/// Who led, since when, as the simulator saw it: none while nobody did or faults were about.
pub(in crate::nodes) type Reigns = [(u64, Option<usize>)];

/// Judges all sessions.
pub(in crate::nodes) fn judge(lives: &[&Life], ledger: &Ledger, reigns: &Reigns) -> Result<(), String> {
    each_write_once(ledger)?;
    for life in lives {
        let of = |what: String| format!("client {} (session 0x{:x}): {what}", life.client, life.id);
        let mut session = Sessionwise { ledger, life, last_write: 0 };
        for seen in &life.seen {
            if let Seen::Answered { index, sent_ms, at_ms } = seen {
                let asked = &life.asked[*index];
                let one_led = reign(reigns, *sent_ms, *at_ms).is_some();
                session.answer(asked, one_led).map_err(|what| of(format!("{:?}: {what}", asked.deed)))?;
            }
        }
        watching::judge(life, ledger)?;
        ended_rightly(life, ledger, reigns).map_err(of)?;
    }
    Ok(())
}

/// Every write has data of its own, so what is there twice was executed twice.
fn each_write_once(ledger: &Ledger) -> Result<(), String> {
    let mut written: BTreeMap<&Bytes, i64> = BTreeMap::new();
    for (zxid, transaction) in &ledger.transactions {
        for (path, data) in &transaction.changes {
            let Some(data) = data.as_ref().filter(|_| path.starts_with(TOP)) else { continue };
            if let Some(first) = written.insert(data, *zxid).filter(|_| !data.is_empty()) {
                return Err(format!(
                    "the write of {data:?} to {path} took effect twice, at {first} and {zxid}"
                ));
            }
        }
    }
    Ok(())
}

struct Sessionwise<'a> {
    ledger: &'a Ledger,
    life: &'a Life,
    last_write: i64,
}

impl Sessionwise<'_> {
    fn answer(&mut self, asked: &Asked, one_led: bool) -> Result<(), String> {
        let Some((zxid, body)) = &asked.answer else { return Ok(()) };
        let (zxid, ledger) = (*zxid, self.ledger);
        match (&asked.deed, body) {
            (Deed::Write(changes), Body::Written(results)) => self.written(asked, zxid, changes, results)?,
            (Deed::Write(changes), Body::Failed { error, index }) => {
                let low = asked.floor.max(asked.known).max(self.last_write).min(zxid);
                self.refused(changes, *error, *index, low, zxid)?;
            }
            (Deed::Get { path, .. } | Deed::Exists { path, .. }, Body::Node(found)) => {
                let node = ledger.at(path, zxid);
                match (node, found) {
                    (None, None) => {}
                    (Some(node), Some((data, stat))) => same(node, data.as_ref(), stat)?,
                    _ => return Err(format!("shows {found:?} at zxid {zxid}, where {node:?} was")),
                }
            }
            (Deed::Children { path, .. }, Body::Children(Some(names))) => {
                let true_names = ledger.children(path, zxid);
                if *names != true_names {
                    return Err(format!("shows {names:?} at zxid {zxid}, where {true_names:?} were"));
                }
            }
            (Deed::Children { path, .. }, Body::Children(None)) if ledger.at(path, zxid).is_none() => {}
            (Deed::Sync, Body::Done) => {
                if one_led && zxid < asked.floor {
                    return Err(format!(
                        "ended at zxid {zxid}, but {} was known when it was asked",
                        asked.floor
                    ));
                }
            }
            (Deed::Ping | Deed::Close | Deed::SetWatches { .. }, _)
            | (_, Body::Failed { error: TreeError::SessionExpired, .. }) => {}
            (_, body) => return Err(format!("was answered by {body:?}")),
        }
        Ok(())
    }

    fn written(
        &mut self,
        asked: &Asked,
        zxid: i64,
        changes: &[Change],
        results: &[OpResult],
    ) -> Result<(), String> {
        let transaction =
            self.ledger.transactions.get(&zxid).ok_or_else(|| {
                format!("was acknowledged at zxid {zxid}, where no transaction is committed")
            })?;
        if transaction.session != Some(self.life.id) {
            return Err(format!(
                "was acknowledged at zxid {zxid}, which is of session {:?}",
                transaction.session
            ));
        }
        if zxid <= asked.floor {
            return Err(format!(
                "took effect at zxid {zxid}, but {} was known when it was asked",
                asked.floor
            ));
        }
        if zxid <= self.last_write {
            return Err(format!(
                "took effect at zxid {zxid}, before the session's earlier write at {}",
                self.last_write
            ));
        }
        self.last_write = zxid;
        if changes.len() != results.len() {
            return Err(format!("has {} results", results.len()));
        }
        for (change, result) in changes.iter().zip(results) {
            let (path, data) = match (change, result) {
                (Change::Create { data, path, sequential, .. }, OpResult::Created(created, _)) => {
                    if !created.starts_with(path.as_str()) || (!sequential && &**created != path) {
                        return Err(format!("created {created}"));
                    }
                    (created.to_string(), Some(data.clone()))
                }
                (Change::Set { path, data, .. }, OpResult::Set(stat)) => {
                    let node = self
                        .ledger
                        .at(path, zxid)
                        .ok_or_else(|| format!("set {path}, which is not there"))?;
                    same(node, None, stat)?;
                    (path.clone(), Some(data.clone()))
                }
                (Change::Delete { path, .. }, OpResult::Deleted) => (path.clone(), None),
                _ => return Err(format!("was answered by {result:?}")),
            };
            if !transaction.changes.contains(&(path, data)) {
                return Err(format!("was acknowledged at zxid {zxid}, where {:?} is", transaction.changes));
            }
        }
        Ok(())
    }

    /// An error must be right at some zxid between what was known when it was asked and its answer.
    fn refused(
        &self,
        changes: &[Change],
        error: TreeError,
        index: usize,
        low: i64,
        zxid: i64,
    ) -> Result<(), String> {
        if error == TreeError::SessionExpired {
            let closed = self.ledger.sessions.get(&self.life.id).and_then(|span| span.closed);
            return match closed {
                Some((at, ..)) if at <= zxid => Ok(()),
                _ => Err(format!("says at zxid {zxid} that the session has expired; its end is {closed:?}")),
            };
        }
        let change = changes.get(index).ok_or_else(|| format!("failed at operation {index}"))?;
        let parent = self.ledger.changes(TOP, low, zxid);
        let moments = std::iter::once(low).chain(self.ledger.changes(change.path(), low, zxid)).chain(parent);
        let is_right = |at: i64| {
            let node = self.ledger.at(change.path(), at);
            match (change, error) {
                (Change::Create { .. }, TreeError::NodeExists) => node.is_some(),
                (Change::Create { .. }, TreeError::NoNode) => self.ledger.at(TOP, at).is_none(),
                (Change::Set { .. } | Change::Delete { .. }, TreeError::NoNode) => node.is_none(),
                (Change::Set { version, .. }, TreeError::BadVersion) => {
                    node.is_some_and(|node| *version != -1 && node.version != *version)
                }
                _ => false,
            }
        };
        match moments.into_iter().any(is_right) {
            true => Ok(()),
            false => {
                let was = self.ledger.at(change.path(), zxid);
                Err(format!(
                    "failed with {error:?} at zxid {zxid}, which nothing from {low} on justifies: {} was {was:?} then",
                    change.path()
                ))
            }
        }
    }
}

/// Whether what a client was shown is the node.
fn same(node: &Node, data: Option<&Bytes>, stat: &Stat) -> Result<(), String> {
    let shown = (stat.version, stat.czxid.0, stat.mzxid.0, stat.ephemeral_owner);
    let fits = shown == (node.version, node.czxid, node.mzxid, node.owner)
        && data.is_none_or(|data| *data == node.data);
    match fits {
        true => Ok(()),
        false => Err(format!("shows {data:?} with {stat:?}, but the znode was {node:?}")),
    }
}

/// A session that was heard of by the leader itself, often enough and through one connection, must not have been expired.
fn ended_rightly(life: &Life, ledger: &Ledger, reigns: &Reigns) -> Result<(), String> {
    let Some(span) = ledger.sessions.get(&life.id) else {
        return Err("was opened, but no committed transaction says so".to_owned());
    };
    let Some((zxid, at_ms, by)) = span.closed else {
        return match life.told_expired {
            true => {
                Err(format!("was told that the session of zxid {} expired, but it never ended", span.opened))
            }
            false => Ok(()),
        };
    };
    if by == Some(life.id) {
        return Ok(());
    }
    // Clocks run at rates of their own, within a few hundredths.
    let from_ms = at_ms.saturating_sub(life.timeout_ms * 9 / 10);
    let Some(leader) = reign(reigns, from_ms, at_ms) else { return Ok(()) };
    let (mut node, mut since) = (None, 0);
    let mut heard: Vec<u64> = Vec::new();
    for seen in &life.seen {
        match seen {
            Seen::Attached { node: at, at_ms: when } if *when <= at_ms => (node, since) = (Some(*at), *when),
            Seen::Lost { at_ms: when } if *when <= from_ms => node = None,
            Seen::Answered { sent_ms, at_ms: when, .. } if *when <= at_ms => heard.push(*sent_ms),
            _ => {}
        }
    }
    // Requests that were answered while the leader was the one who heard them: the last one counts.
    let recent = heard.iter().filter(|sent| **sent > from_ms).max();
    if node == Some(leader)
        && since <= from_ms
        && let Some(recent) = recent
    {
        return Err(format!(
            "expired at {at_ms} ms (zxid {zxid}) after {} ms, but node {leader}, which led all the time, heard of it at {recent} ms",
            life.timeout_ms
        ));
    }
    Ok(())
}

/// Who led without a break from one time to another, no fault being about.
fn reign(reigns: &Reigns, from_ms: u64, to_ms: u64) -> Option<usize> {
    let begun = reigns.partition_point(|(at, _)| *at <= from_ms).checked_sub(1)?;
    let leader = reigns[begun].1?;
    let ended =
        reigns[begun + 1..].iter().find(|(_, who)| *who != Some(leader)).map_or(u64::MAX, |(at, _)| *at);
    (ended > to_ms).then_some(leader)
}
