//! The committed history of `__znodes`, as the nodes show it, and what every znode was at every zxid.
//!
//! Invariant: what any node ever showed as committed stays as it is: every node that shows the same offset later must show the same bytes.
use bytes::Bytes;
use kafka_wire::messages::control_records::VotersRecord;
use kafka_wire::{Decoder, Message};
use log::{Batch, BatchHeader, RecordView, Scratch};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The size of a batch's header.
const HEADER_SIZE: usize = 61;

/// The type of the control record that lists the voters.
const VOTERS: i16 = 6;
/// Below here is the state of each partition.
const TOPICS: &str = "/brokers/topics/";
/// The topic that consensus replicates.
const ZNODES: &str = "/brokers/topics/__znodes/";

/// A znode at some zxid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::nodes) struct Node {
    pub(super) data: Bytes,
    pub(super) version: i32,
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    /// The session that an ephemeral belongs to.
    pub(super) owner: i64,
}

/// A session's place in the history.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) opened: i64,
    /// The transaction that closed it, when it was first seen, and who asked.
    pub(super) closed: Option<(i64, u64, Option<i64>)>,
}

/// A transaction.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) session: Option<i64>,
    /// What changed: path and data (none: deleted).
    pub(super) changes: Vec<(String, Option<Bytes>)>,
}

/// The history.
#[derive(Default)]
pub(in crate::nodes) struct Ledger {
    batches: BTreeMap<i64, Bytes>,
    end: i64,
    pub(super) transactions: BTreeMap<i64, Transaction>,
    paths: BTreeMap<String, Vec<(i64, Option<Node>)>>,
    pub(super) sessions: BTreeMap<i64, Span>,
    /// Living ephemerals by owner.
    ephemerals: BTreeMap<i64, BTreeSet<String>>,
    /// The voters of the quorum with the ids of their disks, as each committed record had them, oldest first.
    voter_sets: Vec<BTreeMap<i32, Uuid>>,
    /// The end of the last of these records.
    voters_end: i64,
}

impl Ledger {
    /// What changed in Kafka's part of the tree from an offset on: path and data.
    pub(in crate::nodes) fn kafka_changes(&self, from: i64) -> impl Iterator<Item = (i64, &str, &[u8])> {
        let transactions = self.transactions.range(from..);
        let changes = transactions.flat_map(|(zxid, transaction)| {
            transaction
                .changes
                .iter()
                .map(|(path, data)| (*zxid, path.as_str(), data.as_deref().unwrap_or(b"-")))
        });
        changes.filter(|(_, path, _)| path.starts_with("/brokers") || path.starts_with("/controller"))
    }

    /// The voters of the quorum with the ids of their disks, which are nil as long as they aren't known.
    pub(in crate::nodes) fn voters(&self) -> BTreeMap<i32, Uuid> {
        self.voter_sets.last().cloned().unwrap_or_default()
    }

    /// Where the log must reach at least to hold all of these records.
    pub(in crate::nodes) fn voters_end(&self) -> i64 {
        self.voters_end
    }

    /// The same as of each committed record, oldest first.
    pub(in crate::nodes) fn voter_sets(&self) -> &[BTreeMap<i32, Uuid>] {
        &self.voter_sets
    }

    /// The partitions that brokers replicate: the path of each one's state, and who is in sync.
    pub(in crate::nodes) fn in_sync(&self) -> impl Iterator<Item = (&str, Vec<i32>)> {
        let below = self.paths.range(TOPICS.to_owned()..).take_while(|(path, _)| path.starts_with(TOPICS));
        let states = below.filter(|(path, _)| path.ends_with("/state") && !path.starts_with(ZNODES));
        states.filter_map(|(path, history)| {
            let state = text(&history.last()?.1.as_ref()?.data);
            let isr = state.split_once("\"isr\":[")?.1.split_once(']')?.0;
            Some((path.as_str(), isr.split(',').filter_map(|id| id.trim().parse().ok()).collect()))
        })
    }

    /// The end of what is known to be committed.
    pub(in crate::nodes) fn end(&self) -> i64 {
        self.end
    }

    /// Reads what a node has on its disk from `from` on and calls committed, up to `end`; where that ended. `segments` are the files of
    /// its log by base offset; `removed` those that it is about to remove, since a snapshot may take their place at once.
    pub(in crate::nodes) fn follow(
        &mut self,
        node: usize,
        segments: &BTreeMap<i64, &[u8]>,
        removed: &BTreeMap<i64, &[u8]>,
        mut from: i64,
        end: i64,
        now_ms: u64,
    ) -> Result<i64, String> {
        let begins = segments.keys().next().copied().unwrap_or(0);
        if begins > self.end && self.end >= from {
            self.catch_up(node, removed, begins, now_ms)?;
        }
        while from < end {
            let segment = segments.range(..=from).next_back().or_else(|| segments.range(from..).next());
            let Some((base, content)) = segment else { return Ok(from) };
            // A log that begins later was made from a snapshot.
            from = from.max(*base);
            if from >= end {
                return Ok(from);
            }
            let before = from;
            let mut at = 0;
            while let Some(header) = content.get(at..at + HEADER_SIZE) {
                // Zeros were written ahead of what will be appended.
                if header.iter().all(|byte| *byte == 0) {
                    break;
                }
                let header = BatchHeader::parse(header)
                    .map_err(|error| format!("node {node} has a bad batch in its segment {base}: {error}"))?;
                let size = header.size();
                if header.next_offset() > from && from < end {
                    let bytes = content.get(at..at + size).map(Bytes::copy_from_slice);
                    let bytes = bytes.ok_or_else(|| format!("node {node} has half of a committed batch"))?;
                    from = header.next_offset();
                    self.compare(node, bytes, now_ms)?;
                }
                at += size;
            }
            if from == before {
                // The rest is in the next segment, if it was rolled just now.
                match segments.range(base + 1..).next() {
                    Some((next, _)) if *next > from => from = *next,
                    _ => return Err(format!("node {node} calls {end} committed, but has nothing at {from}")),
                }
            }
        }
        Ok(from)
    }

    /// Takes what is new up to `to` from segments that are about to be removed.
    fn catch_up(
        &mut self,
        node: usize,
        removed: &BTreeMap<i64, &[u8]>,
        to: i64,
        now_ms: u64,
    ) -> Result<(), String> {
        for content in removed.values() {
            for batch in Batch::iter(Bytes::copy_from_slice(content)).map_while(Result::ok) {
                if batch.header().base_offset == self.end && batch.header().next_offset() <= to {
                    self.compare(node, batch.to_bytes(), now_ms)?;
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, node: usize, bytes: Bytes, now_ms: u64) -> Result<(), String> {
        let batch =
            Batch::parse_one(&bytes).map_err(|error| format!("node {node} has a bad batch: {error}"))?;
        if !batch.crc_is_valid() {
            return Err(format!("node {node} has a damaged batch at {}", batch.header().base_offset));
        }
        let base = batch.header().base_offset;
        if base >= self.end {
            if base != self.end {
                return Err(format!("node {node} goes from {} to {base} in __znodes", self.end));
            }
            self.end = batch.header().next_offset();
            self.batches.insert(base, bytes);
            return match batch.header().is_control() {
                true => self.control(&batch),
                false => self.add(&batch, now_ms),
            };
        }
        match self.batches.get(&base) {
            Some(known) if *known == bytes => Ok(()),
            Some(_) => {
                Err(format!("node {node} shows another batch at offset {base} than was committed there"))
            }
            None => Err(format!("node {node} shows a batch at offset {base}, where another one covers that")),
        }
    }

    fn control(&mut self, batch: &Batch) -> Result<(), String> {
        let at = batch.header().base_offset;
        let mut scratch = Scratch::new();
        for record in batch.records(&mut scratch).map_err(|error| format!("at {at}: {error}"))? {
            let record = record.map_err(|error| format!("at {at}: {error}"))?;
            let is_voters = record.key.and_then(|key| key.get(2..4)) == Some(&VOTERS.to_be_bytes()[..]);
            let Some(value) = record.value.filter(|_| is_voters) else { continue };
            let decoded = VotersRecord::decode(&mut Decoder::new(Bytes::copy_from_slice(value)), 0);
            let voters = decoded.map_err(|error| format!("the voters at {at}: {error}"))?.voters;
            let voters = voters.iter().map(|voter| (voter.voter_id, voter.voter_directory_id)).collect();
            self.voters_change(at, voters)?;
        }
        Ok(())
    }

    /// Two majorities must share a voter, so that a set and its successor may differ by one.
    fn voters_change(&mut self, at: i64, voters: BTreeMap<i32, Uuid>) -> Result<(), String> {
        if let Some(before) = self.voter_sets.last() {
            let gone = before.keys().filter(|id| !voters.contains_key(id)).count();
            let differs = |(id, directory): &(&i32, &Uuid)| before.get(id) != Some(directory);
            let changed = voters.iter().filter(differs).count();
            if gone + changed > 1 {
                return Err(format!("the voters {before:?} become {voters:?} at once, at {at}"));
            }
        }
        self.voter_sets.push(voters);
        self.voters_end = at + 1;
        Ok(())
    }

    fn add(&mut self, batch: &Batch, now_ms: u64) -> Result<(), String> {
        let zxid = batch.header().base_offset;
        let mut scratch = Scratch::new();
        let records = batch.records(&mut scratch).map_err(|error| format!("at {zxid}: {error}"))?;
        let mut transaction = Transaction { session: None, changes: Vec::new() };
        for record in records {
            let record = record.map_err(|error| format!("at {zxid}: {error}"))?;
            transaction.session = transaction.session.or(header(&record, "session").and_then(id_of));
            self.change(zxid, &record, &mut transaction, now_ms)?;
        }
        self.transactions.insert(zxid, transaction);
        Ok(())
    }

    fn change(
        &mut self,
        zxid: i64,
        record: &RecordView<'_>,
        transaction: &mut Transaction,
        now_ms: u64,
    ) -> Result<(), String> {
        let key = text(record.key.unwrap_or_default());
        let op = header(record, "op").unwrap_or_default();
        let value = record.value.map(Bytes::copy_from_slice);
        if let Some(id) = key.strip_prefix("session:").and_then(|id| id_of(id.to_owned())) {
            return self.session(zxid, id, &op, transaction.session, now_ms);
        }
        transaction.changes.push((key.clone(), value.clone()));
        let before = self.at(&key, zxid).cloned();
        let owner = header(record, "owner").and_then(id_of).unwrap_or(0);
        let after = match op.as_str() {
            "create" => {
                if owner != 0 && self.sessions.get(&owner).is_none_or(|span| span.closed.is_some()) {
                    return Err(format!("{key} at {zxid} belongs to 0x{owner:x}, which is no open session"));
                }
                let data = value.unwrap_or_default();
                Some(Node { data, version: 0, czxid: zxid, mzxid: zxid, owner })
            }
            "set" => {
                let node =
                    before.clone().ok_or_else(|| format!("{key} is set at {zxid} but does not exist"))?;
                Some(Node { data: value.unwrap_or_default(), version: node.version + 1, mzxid: zxid, ..node })
            }
            "delete" => None,
            _ => before.clone(),
        };
        if before.is_none() && after.is_none() {
            return Err(format!("{key} is deleted at {zxid} but does not exist"));
        }
        for (node, is_there) in [(&before, false), (&after, true)] {
            if let Some(node) = node.as_ref().filter(|node| node.owner != 0) {
                let owned = self.ephemerals.entry(node.owner).or_default();
                match is_there {
                    true => owned.insert(key.clone()),
                    false => owned.remove(&key),
                };
            }
        }
        let history = self.paths.entry(key).or_default();
        history.retain(|(at, _)| *at != zxid);
        history.push((zxid, after));
        Ok(())
    }

    fn session(&mut self, zxid: i64, id: i64, op: &str, by: Option<i64>, now_ms: u64) -> Result<(), String> {
        if op == "open" {
            self.sessions.insert(id, Span { opened: zxid, closed: None });
            return Ok(());
        }
        let span = self.sessions.get_mut(&id).filter(|span| span.closed.is_none());
        let span = span.ok_or_else(|| format!("0x{id:x} is closed at {zxid} but not open"))?;
        span.closed = Some((zxid, now_ms, by));
        match self.ephemerals.get(&id).and_then(|owned| owned.first()) {
            Some(path) => Err(format!("{path} outlives its session 0x{id:x}, which ended at {zxid}")),
            None => Ok(()),
        }
    }

    /// A znode as of a zxid.
    pub(in crate::nodes) fn at(&self, path: &str, zxid: i64) -> Option<&Node> {
        let history = self.paths.get(path)?;
        let next = history.partition_point(|(at, _)| *at <= zxid);
        history.get(next.checked_sub(1)?)?.1.as_ref()
    }

    /// The zxids of a znode's changes in a range: after `after`, up to `to`.
    pub(in crate::nodes) fn changes(
        &self,
        path: &str,
        after: i64,
        to: i64,
    ) -> impl Iterator<Item = i64> + '_ {
        let history = self.paths.get(path).map_or(&[][..], Vec::as_slice);
        history.iter().map(|(at, _)| *at).filter(move |at| *at > after && *at <= to)
    }

    /// The names of a znode's children as of a zxid, sorted.
    pub(super) fn children(&self, path: &str, zxid: i64) -> Vec<String> {
        let prefix = format!("{path}/");
        let below = self.paths.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        below
            .filter_map(|(name, _)| {
                let rest = &name[prefix.len()..];
                let is_child = !rest.contains('/') && self.at(name, zxid).is_some();
                is_child.then(|| rest.to_owned())
            })
            .collect()
    }

    /// The zxids above `after` at which children of a znode came or went, in no order.
    pub(super) fn child_changes(&self, path: &str, after: i64) -> Vec<i64> {
        let prefix = format!("{path}/");
        let below = self.paths.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        below
            .filter(|(name, _)| !name[prefix.len()..].contains('/'))
            .flat_map(|(_, history)| {
                let mut before = false;
                history.iter().filter_map(move |(at, node)| {
                    let changed = std::mem::replace(&mut before, node.is_some()) != node.is_some();
                    (changed && *at > after).then_some(*at)
                })
            })
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn header(record: &RecordView<'_>, name: &str) -> Option<String> {
    record.header(name.as_bytes()).flatten().map(text)
}

fn id_of(text: String) -> Option<i64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok().map(|id| id as i64)
}
