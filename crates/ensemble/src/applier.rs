//! Moves the tree along the committed log, fires watches, and answers those who wait.
//!
//! Invariants: the tree is changed only here, in log order, one transaction after another under its write lock; a watch event
//! is in its outbox before the answer of the transaction that caused it; sessions begin and end with their transactions.
use crate::core::{Core, Shared};
use crate::forwards::Matched;
use crate::outcome::{Outcome, Refusal};
use crate::records::Entry;
use crate::sequencer::{Sequencer, Waiting, Work, complete, results_of};
use crate::upcoming::{Content, Logged, Upcoming};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tree::{Applied, Change, Event, Perms, Txn};

/// How many transactions are applied before readers get their turn.
const APPLIED_AT_ONCE_MAX: usize = 256;

/// Applies whatever is committed, until stopped.
pub(crate) async fn run(core: Arc<Core>) {
    let mut committed = core.committed.subscribe();
    let mut upcoming = Upcoming::new();
    loop {
        if core.stopped() {
            return;
        }
        let target = *committed.borrow_and_update();
        match advance(&core, target, &mut upcoming) {
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
fn advance(core: &Arc<Core>, target: i64, upcoming: &mut Upcoming) -> Result<(), Halt> {
    loop {
        let (applied_end, next) = apply_waiting(core, target).map_err(Halt::Failed)?;
        if applied_end >= target {
            core.after_apply(applied_end);
            return Ok(());
        }
        match next {
            Some(zxid) if zxid == applied_end => {}
            _ => {
                let followed = follow_log(core, applied_end, next.unwrap_or(target).min(target), upcoming);
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

/// Applies transactions that are only in the log: after a start, or sequenced by another node.
fn follow_log(core: &Arc<Core>, from: i64, to: i64, upcoming: &mut Upcoming) -> Result<(), Halt> {
    match upcoming.fill(core, from, to) {
        Ok(()) => {}
        // A snapshot took the place of tree and log meanwhile.
        Err(_) if core.shared.read().applied_end != from => return Ok(()),
        Err(error) => return Err(Halt::Failed(error)),
    }
    while follow_some(core, to, upcoming)? {}
    Ok(())
}

/// Applies what is decoded, so much that readers needn't wait long; whether there may be more.
fn follow_some(core: &Arc<Core>, to: i64, upcoming: &mut Upcoming) -> Result<bool, Halt> {
    let mut sequencer = core.sequencer.lock();
    let mut shared = core.shared.write();
    for _ in 0..APPLIED_AT_ONCE_MAX {
        let next = upcoming.at(shared.applied_end).filter(|next| next.start < to);
        let Some(Logged { end, epoch, content, .. }) = next else {
            core.resume_forwards(&mut sequencer, &shared);
            return Ok(false);
        };
        match content {
            Content::Entry(entry) => apply_entry(core, &mut sequencer, &mut shared, entry)?,
            Content::Control(voters) => {
                shared.applied_end = *end;
                shared.voters = voters.clone().or(shared.voters.take());
            }
        }
        shared.applied_epoch = *epoch;
        upcoming.advance();
        answer_forwards(core, &mut sequencer, &shared);
    }
    core.resume_forwards(&mut sequencer, &shared);
    Ok(true)
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
