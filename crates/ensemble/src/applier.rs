//! Moves the tree along the committed log, fires watches, and answers those who wait.
//!
//! Invariants: the tree is changed only here, in log order, one transaction after another under its write lock; a watch event
//! is in its outbox before the answer of the transaction that caused it; sessions begin and end with their transactions.
use crate::core::{Core, Shared};
use crate::outcome::Outcome;
use crate::records::decode_txn;
use crate::sequencer::{Sequencer, Waiting, Work, complete, results_of};
use log::{Batch, Scratch};
use std::sync::atomic::Ordering;
use tree::{Applied, Change, Event, Perms, Txn};

/// How many transactions are applied before readers get their turn.
const APPLIED_AT_ONCE_MAX: usize = 256;
/// How many bytes of the log are read at once to follow it.
const FOLLOW_BYTES: usize = 4 << 20;

/// Applies whatever is committed, until stopped.
pub(crate) async fn run(core: std::sync::Arc<Core>) {
    let mut committed = core.committed.subscribe();
    let mut scratch = Scratch::new();
    loop {
        if core.stopped() {
            return;
        }
        let target = *committed.borrow_and_update();
        if let Err(error) = advance(&core, target, &mut scratch) {
            core.fail(error);
            return;
        }
        if committed.changed().await.is_err() {
            return;
        }
    }
}

/// Applies everything below `target`.
fn advance(core: &Core, target: i64, scratch: &mut Scratch) -> Result<(), String> {
    loop {
        let (applied_end, next) = apply_waiting(core, target)?;
        if applied_end >= target {
            core.after_apply(applied_end);
            return Ok(());
        }
        match next {
            Some(zxid) if zxid == applied_end => {}
            _ => follow_log(core, applied_end, next.unwrap_or(target).min(target), scratch)?,
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
            Work::Answer(result) => complete(done, &core.view(&shared), result),
            Work::Txn(txn, plan) => {
                apply_one(core, &mut shared, &txn)?;
                let results = results_of(&plan, &txn, &shared.applied.results);
                done(Outcome { zxid: txn.zxid, result: Ok(results) }, &core.view(&shared));
                end_sessions(core, &txn);
            }
        }
    }
    forget_pending(&mut sequencer, &shared);
    Ok((shared.applied_end, sequencer.next_txn().map(|zxid| zxid.0)))
}

/// Applies transactions that are only in the log: after a start, or sequenced by another node.
fn follow_log(core: &Core, from: i64, to: i64, scratch: &mut Scratch) -> Result<(), String> {
    let chunks = core.znode_log.read_tail(from, to, FOLLOW_BYTES).map_err(|error| error.to_string())?;
    let mut end = from;
    let mut txns = Vec::new();
    'read: for chunk in chunks {
        for batch in Batch::iter(chunk) {
            let batch = match batch {
                Ok(batch) => batch,
                // A read ends anywhere in a batch; the next one begins with that batch.
                Err(_) if end > from => break 'read,
                Err(error) => return Err(format!("__znodes at offset {end}: {error}")),
            };
            if batch.header().base_offset >= to {
                break;
            }
            end = batch.header().next_offset();
            txns.push((end, decode_txn(&batch, scratch).map_err(|fault| fault.to_string())?));
        }
    }
    if end == from {
        return Err(format!("__znodes ends at offset {from}, although it is committed up to {to}"));
    }
    for group in txns.chunks(APPLIED_AT_ONCE_MAX) {
        let mut shared = core.shared.write();
        for (end, txn) in group {
            match txn {
                Some(txn) => {
                    apply_one(core, &mut shared, txn)?;
                    end_sessions(core, txn);
                }
                None => shared.applied_end = *end,
            }
        }
    }
    Ok(())
}

fn forget_pending(sequencer: &mut Sequencer, shared: &Shared) {
    sequencer.applied_through(shared.tree.last_zxid());
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
