//! Moves the tree along the committed log, fires watches, and answers those who wait.
//!
//! Invariants: the tree is changed only here, in log order, one transaction after another under its write lock; a watch event
//! is in its outbox before the answer of the transaction that caused it; sessions begin and end with their transactions.
use crate::control;
use crate::core::{Core, Shared};
use crate::forwards::Matched;
use crate::outcome::{Outcome, Refusal};
use crate::records::{Entry, decode_txn};
use crate::sequencer::{Sequencer, Waiting, Work, complete, results_of};
use log::{Batch, Scratch};
use quorum::VoterSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tree::{Applied, Change, Event, Perms, Txn};

/// How many transactions are applied before readers get their turn.
const APPLIED_AT_ONCE_MAX: usize = 256;
/// How many bytes of the log are read at once to follow it.
const FOLLOW_BYTES: usize = 4 << 20;

/// Applies whatever is committed, until stopped.
pub(crate) async fn run(core: Arc<Core>) {
    let mut committed = core.committed.subscribe();
    let mut scratch = Scratch::new();
    loop {
        if core.stopped() {
            return;
        }
        let target = *committed.borrow_and_update();
        match advance(&core, target, &mut scratch) {
            Ok(()) => {}
            Err(Halt::Failed(error)) => {
                core.fail(error);
                return;
            }
            // The leader's verdicts are on their way, or a loss of the leader makes them needless.
            Err(Halt::Undecided) => {}
        }
        tokio::select! {
            changed = committed.changed() => if changed.is_err() { return },
            () = core.decided.notified() => {}
        }
    }
}

/// Why the tree can't be moved on at the moment.
enum Halt {
    /// A transaction of this node comes next, and the leader's verdict on it is not here yet.
    Undecided,
    /// The node must stop.
    Failed(String),
}

/// Applies everything below `target`.
fn advance(core: &Arc<Core>, target: i64, scratch: &mut Scratch) -> Result<(), Halt> {
    loop {
        let (applied_end, next) = apply_waiting(core, target).map_err(Halt::Failed)?;
        if applied_end >= target {
            core.after_apply(applied_end);
            return Ok(());
        }
        match next {
            Some(zxid) if zxid == applied_end => {}
            _ => {
                let followed = follow_log(core, applied_end, next.unwrap_or(target).min(target), scratch);
                // What follows takes the lock itself, so it must not be held here: a writer may wait between the two.
                let applied_end = core.shared.read().applied_end;
                core.after_apply(applied_end);
                followed?;
            }
        }
    }
}

/// Applies transactions that this node sequenced itself, and gives the answers that are due. Returns where the tree now
/// ends and the zxid of the first transaction still waiting.
fn apply_waiting(core: &Core, target: i64) -> Result<(i64, Option<i64>), String> {
    let mut sequencer = core.sequencer.lock();
    let mut shared = core.shared.write();
    for _ in 0..APPLIED_AT_ONCE_MAX {
        let Some(Waiting { work, done, .. }) = sequencer.pop_ready(shared.applied_end, target) else { break };
        match work {
            Work::Answer(result) => {
                if let Some(done) = done {
                    complete(done, &core.view(&shared), result);
                }
            }
            Work::Txn(txn, plan) => {
                apply_one(core, &mut shared, &txn)?;
                if let Some(done) = done {
                    let results = results_of(&plan, &txn, &shared.applied.results);
                    done(Outcome { zxid: txn.zxid, result: Ok(results) }, &core.view(&shared));
                }
                end_sessions(core, &txn);
            }
        }
    }
    shared.applied_epoch = sequencer.epoch().unwrap_or(shared.applied_epoch);
    sequencer.applied_through(shared.tree.last_zxid());
    answer_forwards(core, &mut sequencer, &shared);
    Ok((shared.applied_end, sequencer.next_txn().map(|zxid| zxid.0)))
}

/// Gives the answers of the leader that are due.
fn answer_forwards(core: &Core, sequencer: &mut Sequencer, shared: &Shared) {
    while let Some(due) = sequencer.forwards.pop_due(shared.applied_end) {
        complete(due.done, &core.view(shared), due.result);
    }
}

/// What one batch of the log holds.
struct Logged {
    end: i64,
    epoch: i32,
    content: Content,
}

enum Content {
    Entry(Entry),
    Control(Option<(i64, VoterSet)>),
}

/// Reads what the log holds between two offsets, as much as one read gives.
fn read_log(core: &Core, from: i64, to: i64, scratch: &mut Scratch) -> Result<Vec<Logged>, String> {
    let content = core.znode_log.read_whole(from, to, FOLLOW_BYTES).map_err(|error| error.to_string())?;
    let mut end = from;
    let mut found = Vec::new();
    for batch in Batch::iter(content) {
        let batch = match batch {
            Ok(batch) => batch,
            // A read ends anywhere in a batch; the next one begins with that batch.
            Err(_) if end > from => break,
            Err(error) => return Err(format!("__znodes at offset {end}: {error}")),
        };
        if batch.header().base_offset >= to {
            break;
        }
        // A disk can lose bits while the node runs, too. The next start cuts the log here and fetches it again.
        if !batch.crc_is_valid() || batch.header().base_offset != end {
            return Err(format!(
                "__znodes is damaged at offset {end}: the batch there has a wrong checksum or another offset"
            ));
        }
        end = batch.header().next_offset();
        let content = match decode_txn(&batch, scratch).map_err(|fault| fault.to_string())? {
            Some(entry) => Content::Entry(entry),
            None => Content::Control(control::voters(&batch)),
        };
        found.push(Logged { end, epoch: batch.header().partition_leader_epoch, content });
    }
    if end == from {
        return Err(format!("__znodes ends at offset {from}, although it is committed up to {to}"));
    }
    Ok(found)
}

/// Applies transactions that are only in the log: after a start, or sequenced by another node.
fn follow_log(core: &Arc<Core>, from: i64, to: i64, scratch: &mut Scratch) -> Result<(), Halt> {
    let logged = match read_log(core, from, to, scratch) {
        Ok(logged) => logged,
        // A snapshot took the place of tree and log meanwhile.
        Err(_) if core.shared.read().applied_end != from => return Ok(()),
        Err(error) => return Err(Halt::Failed(error)),
    };
    let mut expected = from;
    for group in logged.chunks(APPLIED_AT_ONCE_MAX) {
        let mut sequencer = core.sequencer.lock();
        let mut shared = core.shared.write();
        if shared.applied_end != expected {
            return Ok(());
        }
        for Logged { end, epoch, content } in group {
            match content {
                Content::Entry(entry) => apply_entry(core, &mut sequencer, &mut shared, entry)?,
                Content::Control(voters) => {
                    shared.applied_end = *end;
                    shared.voters = voters.clone().or(shared.voters.take());
                }
            }
            shared.applied_epoch = *epoch;
            expected = *end;
            answer_forwards(core, &mut sequencer, &shared);
        }
        core.resume_forwards(&mut sequencer, &shared);
    }
    Ok(())
}

/// Applies one transaction of the log and answers whoever of this node asked for it.
fn apply_entry(
    core: &Core,
    sequencer: &mut Sequencer,
    shared: &mut Shared,
    entry: &Entry,
) -> Result<(), Halt> {
    let Entry { txn, origin } = entry;
    let own = origin.filter(|origin| core.is_own(origin));
    let matched = own.map_or(Matched::Nobody, |origin| sequencer.forwards.matched(origin.number));
    if let Matched::NotYet = matched {
        return Err(Halt::Undecided);
    }
    let mut waiting = None;
    if let Matched::Waiting(due, done, plan) = matched {
        for due in due {
            complete(due.done, &core.view(shared), due.result);
        }
        waiting = Some((done, plan));
    }
    apply_one(core, shared, txn).map_err(Halt::Failed)?;
    if let Some((done, plan)) = waiting {
        let result =
            plan.map(|plan| results_of(&plan, txn, &shared.applied.results)).ok_or(Refusal::NotServing);
        done(Outcome { zxid: txn.zxid, result }, &core.view(shared));
    }
    end_sessions(core, txn);
    Ok(())
}

/// Applies one transaction; its results stay in `shared.applied`. Sessions that it ends are told afterwards.
fn apply_one(core: &Core, shared: &mut Shared, txn: &Txn) -> Result<(), String> {
    let Shared { tree, applied, .. } = shared;
    applied.clear();
    tree.apply(txn, applied).map_err(|misfit| misfit.to_string())?;
    shared.applied_end = txn.last_offset() + 1;
    core.applied_count.fetch_add(1, Ordering::Relaxed);
    fire(core, &shared.applied);
    begin_sessions(core, txn);
    Ok(())
}

fn fire(core: &Core, applied: &Applied) {
    if applied.events.is_empty() {
        return;
    }
    let options = &core.config.tree;
    let mut watches = core.watches.lock();
    for Event { kind, path, zxid, acl } in &applied.events {
        watches.fire(*kind, path, *zxid, &|subscriber| {
            acl.is_open() || tree::permits(acl, &subscriber.identities(), Perms::READ, options)
        });
    }
}

fn begin_sessions(core: &Core, txn: &Txn) {
    for change in &txn.changes {
        if let Change::OpenSession { id, timeout_ms, .. } = change {
            let now = core.world.clock.monotonic_ms();
            core.sessions.lock().track(*id, *timeout_ms as u64, now);
        }
    }
}

fn end_sessions(core: &Core, txn: &Txn) {
    // A closeSession is always the last change of its transaction.
    if let Some(Change::CloseSession { id }) = txn.changes.last() {
        let attachment = core.sessions.lock().end(*id);
        if let Some(attachment) = attachment {
            core.watches.lock().forget(attachment.watcher);
        }
    }
}
