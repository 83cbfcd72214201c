//! What a node does by the clock: the quorum's timer, expiry of sessions, removal of containers and TTL nodes, snapshots, clearing away.
//!
//! Invariant: nothing here changes the tree; it proposes what a client could have asked for, and the log decides.
use crate::core::Core;
use crate::ensemble::Ensemble;
use crate::mutant::Mutant;
use crate::snapshot::Summary;
use crate::subscriber::Closed;
use crate::wire;
use peers::{CallError, Lane};
use quorum::{Event, Millis, VoterSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tree::Request;

/// How many images are taken from the tree at a time, so that a snapshot never holds the tree for long.
const SNAPSHOT_IMAGES: usize = 512;
/// How many places of the tree are looked at in one go while what belongs to a snapshot is collected.
const SNAPSHOT_SLOTS: usize = 16_384;
/// The part of the shortest session timeout for which a node may go without its leader.
const LEASE_SHARE: (u64, u64) = (3, 4);
/// How often the flushed offset is noted.
const NOTE_FLUSHED_MS: u64 = 5_000;
/// For how long nothing must have been applied until what a busy time left is cleared away.
const SETTLED_MS: u64 = 1_000;
/// How many transactions make a time busy: fewer leave little behind, and looking for it holds up whoever needs memory meanwhile.
const BUSY_TXNS: u64 = 1_000;
/// How often a leader looks after the other nodes' processes.
const PROBE_MS: u64 = 100;
/// The reaper and its limit look at time in minutes.
const MINUTE_MS: u64 = 60_000;

/// Calls the quorum whenever its timer is due.
pub(crate) async fn tick(core: Arc<Core>) {
    let mut tick_at = core.tick_at.subscribe();
    while !core.stopped() {
        let deadline = *tick_at.borrow_and_update();
        let now = core.world.clock.monotonic_ms();
        if deadline <= now {
            core.tick_at.send_if_modified(|at| std::mem::replace(at, Millis::NEVER.0) != Millis::NEVER.0);
            if let Err(error) = core.step(Event::Tick) {
                core.fail(error);
            }
            continue;
        }
        let wait = Duration::from_millis(deadline.saturating_sub(now).min(MINUTE_MS));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = tick_at.changed() => if changed.is_err() { return },
        }
    }
}

/// Proposes the end of sessions that were not heard of for their timeout.
pub(crate) async fn expire(core: Arc<Core>) {
    let mut interval = tokio::time::interval(Duration::from_millis(core.config.tick_ms.max(1)));
    while !core.stopped() {
        interval.tick().await;
        if core.leading.borrow().is_none() && !core.planted(Mutant::ExpireOnFollowerClock) {
            continue;
        }
        let now = core.world.clock.monotonic_ms();
        let expired = core.sessions.lock().expired(now);
        for id in expired {
            tracing::info!(session = %id, "the session expired");
            core.submit(None, &[], Request::CloseSession { id }, Box::new(|_, _| {}));
        }
    }
}

/// Lets go of the clients of a node that the leader hasn't heard of for so long that it may soon end their sessions: a client must
/// learn that it is cut off before others may take its locks. While no leader is known for a shorter time, reads go on and
/// writes wait.
pub(crate) async fn lease(ensemble: Ensemble) {
    let core = ensemble.core.clone();
    let patience = (core.config.session_timeout_min_ms.max(1) as u64) * LEASE_SHARE.0 / LEASE_SHARE.1;
    let mut interval = tokio::time::interval(Duration::from_millis((core.config.tick_ms / 4).max(1)));
    while !core.stopped() {
        interval.tick().await;
        let silent_for =
            core.world.clock.monotonic_ms().saturating_sub(core.contact_ms.load(Ordering::Relaxed));
        if core.leading.borrow().is_some() || !*core.serving.borrow() || silent_for <= patience {
            continue;
        }
        tracing::warn!(silent_for, "no leader has heard of this node for too long; its clients are let go");
        core.serving.send_replace(false);
        let waiting = core.sequencer.lock().forwards.give_up();
        core.refuse(waiting);
        for (session, attachment) in core.sessions.lock().attachments() {
            // The node's own sessions know when they end; they have no client who could be misled meanwhile.
            if !ensemble.is_own_session(session) {
                attachment.subscriber.closed(Closed::NodeStopping);
            }
        }
    }
}

/// Removes empty containers and TTL nodes whose time has come, at a bounded rate (ContainerManager).
pub(crate) async fn reap(ensemble: Ensemble) {
    let core = ensemble.core.clone();
    let check = core.config.container_check_ms.max(1);
    let share = (core.config.containers_per_minute as u64 * check / MINUTE_MS).max(1) as usize;
    let mut interval = tokio::time::interval(Duration::from_millis(check));
    while !core.stopped() {
        interval.tick().await;
        if core.leading.borrow().is_none() {
            continue;
        }
        let now = core.world.clock.wall_ms();
        let due = ensemble.read(|view| view.tree().reap_candidates(now));
        for path in due.into_iter().take(share) {
            // Whoever changed the node meanwhile wins: the removal is judged anew and may be refused.
            let _ = ensemble.write(None, &[], Request::Reap { path }).await;
        }
    }
}

/// Looks after the other nodes' processes while this node leads: one whose host refuses the connection is gone, and the sessions that it
/// held for itself end at once, with what brokers are registered by. A process that is merely silent keeps them until their timeout.
pub(crate) async fn watch_nodes(core: Arc<Core>) {
    let mut leading = core.leading.subscribe();
    while !core.stopped() {
        let led = leading.wait_for(Option::is_some).await.map(|epoch| *epoch);
        let Ok(Some(epoch)) = led else { return };
        // The lock is let go first: a probe takes that of the consensus, under which others wait for the sessions.
        let nodes = core.sessions.lock().nodes();
        for node in nodes {
            probe(&core, node, epoch);
        }
        tokio::time::sleep(Duration::from_millis(PROBE_MS)).await;
    }
}

/// Asks a node something that any process answers, unless it is being asked already.
fn probe(core: &Arc<Core>, node: i32, epoch: i32) {
    let address = core.consensus.lock().as_ref().and_then(|consensus| consensus.node_address(core, node));
    let (Some(peers), Some(address)) = (&core.peers, address) else { return };
    if node == core.config.node_id || !core.probed.lock().insert(node) {
        return;
    }
    let patience = Duration::from_millis(core.config.cluster.request_timeout_ms);
    let (version, request) = wire::request(None, None, quorum::message::Request::DescribeQuorum);
    let calling = peers.call(&address, Lane::Quorum, version, request, patience);
    let core = core.clone();
    tokio::spawn(async move {
        let answer = calling.await;
        core.probed.lock().remove(&node);
        if !matches!(answer, Err(CallError::Refused(_))) || *core.leading.borrow() != Some(epoch) {
            return;
        }
        let lost = core.sessions.lock().lost_node(node);
        for id in lost {
            tracing::info!(node, session = %id, "the node's process is gone; its own session ends");
            core.submit(None, &[], Request::CloseSession { id }, Box::new(|_, _| {}));
        }
    });
}

/// Notes now and then what is flushed.
pub(crate) async fn note_flushed(core: Arc<Core>) {
    let mut interval = tokio::time::interval(Duration::from_millis(NOTE_FLUSHED_MS));
    let mut noted = 0;
    while !core.stopped() {
        interval.tick().await;
        let flushed = core.znode_log.flushed();
        if flushed == noted {
            continue;
        }
        noted = flushed;
        let noting = core.clone();
        match core.world.workers.blocking(move || noting.znode_log.note_flushed()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => {
                core.fail(format!("noting what is flushed of __znodes: {error}"));
            }
        }
    }
}

/// Clears away what a busy time left, once it is over: readers at the tail have read the newest batches long since, and the allocator
/// holds memory that nobody uses. An idle node stays as it is and isn't looked at.
pub(crate) async fn settle(core: Arc<Core>) {
    let mut applied = core.applied.subscribe();
    let mut cleared_at = 0;
    while applied.changed().await.is_ok() && !core.stopped() {
        // While writes go on, this looks once in a while and not at each of them.
        loop {
            applied.borrow_and_update();
            tokio::time::sleep(Duration::from_millis(SETTLED_MS)).await;
            if !applied.has_changed().unwrap_or(false) {
                break;
            }
        }
        let count = core.applied_count.load(Ordering::Relaxed);
        if count - cleared_at < BUSY_TXNS {
            continue;
        }
        cleared_at = count;
        let clearing = core.clone();
        let cleared = core.world.workers.blocking(move || {
            clearing.znode_log.forget_tail(SETTLED_MS);
            clearing.world.workers.give_memory_back();
        });
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "what a busy time left in memory can't be cleared away");
        }
    }
}

/// Writes a snapshot whenever `snapCount` transactions were applied and the log has grown by as much as the last snapshot holds, so
/// that a large tree doesn't cost more to write down again and again than its log does; removes what the snapshot makes needless. Nodes that
/// don't serve, or are far behind, write none.
pub(crate) async fn snapshots(core: Arc<Core>) {
    let (mut applied, mut serving) = (core.applied.subscribe(), core.serving.subscribe());
    let mut last = (0, 0);
    while !core.stopped() {
        applied.borrow_and_update();
        let now = (core.applied_count.load(Ordering::Relaxed), core.znode_log.appended_bytes());
        let size = core.znode_log.newest_snapshot_file().map_or(0, |snapshot| snapshot.size);
        // A node that catches up has better things to do, and would write one after another.
        let is_due = *serving.borrow_and_update()
            && !core.pace.lock().is_far_behind()
            && now.0 - last.0 >= core.config.snapshot_every
            && now.1.saturating_sub(last.1) >= size;
        let written = if is_due { write_snapshot(&core) } else { Ok(()) };
        if is_due && written.is_ok() {
            last = now;
        }
        // A stop gives an unfinished snapshot up; that is nothing to report.
        if let Err(error) = written
            && !core.stopped()
        {
            // The log still holds everything; a later attempt may find room.
            tracing::error!(%error, "writing a snapshot failed; the log keeps growing until one succeeds");
            let mut stopping = core.stopping.subscribe();
            let _ =
                tokio::time::timeout(Duration::from_millis(MINUTE_MS), stopping.wait_for(|stop| *stop)).await;
        }
        // A node that has caught up may have nothing more to apply for long.
        let changed = tokio::select! {
            changed = applied.changed() => changed,
            changed = serving.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Writes one snapshot as of now.
pub(crate) fn write_snapshot(core: &Core) -> Result<(), String> {
    let _alone = core.snapshotting.lock();
    let (end, voters, begun) = {
        let mut shared = core.shared.write();
        (shared.applied_end, shared.voters.clone(), shared.tree.begin_snapshot())
    };
    let Some(mut snapshot) = begun else { return Err("a snapshot is under way already".to_owned()) };
    let written = stream_snapshot(core, end, voters, &mut snapshot);
    core.shared.write().tree.end_snapshot(snapshot);
    written.map_err(|error| error.to_string())
}

fn stream_snapshot(
    core: &Core,
    end: i64,
    voters: Option<(i64, VoterSet)>,
    snapshot: &mut tree::Snapshot,
) -> std::io::Result<()> {
    while !snapshot.collect(&core.shared.read().tree, SNAPSHOT_SLOTS) {}
    snapshot.sort();
    let records = snapshot.len() as u64;
    let summary = Summary { records, last_zxid: snapshot.at(), time_ms: core.world.clock.wall_ms(), voters };
    let mut writer = core.znode_log.begin_snapshot(end, &summary)?;
    let mut images = Vec::with_capacity(SNAPSHOT_IMAGES);
    while snapshot.next(&core.shared.read().tree, SNAPSHOT_IMAGES, &mut images) > 0 {
        for image in images.drain(..) {
            writer.add(&image)?;
        }
        if core.stopped() || core.installing.load(Ordering::Acquire) {
            return Err(std::io::Error::other("the node stops, or takes over another node's snapshot"));
        }
    }
    // A log that ends below a whole snapshot is taken for a damaged one at the next start.
    if core.znode_log.flushed() < end {
        core.znode_log.flush().map_err(std::io::Error::other)?;
    }
    let file = writer.finish()?;
    tracing::info!(end, records, bytes = file.size, "wrote a snapshot of __znodes");
    core.znode_log.add_snapshot(file, core.config.snapshots_kept)?;
    core.znode_log.remove_doomed_files().map_err(std::io::Error::other)
}
