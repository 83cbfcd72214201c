//! What a node does by the clock: the quorum's timer, expiry of sessions, removal of containers and TTL nodes, snapshots.
//!
//! Invariant: nothing here changes the tree; it proposes what a client could have asked for, and the log decides.
use crate::core::Core;
use crate::ensemble::Ensemble;
use crate::snapshot::Summary;
use quorum::{Event, Millis};
use std::sync::Arc;
use std::time::Duration;
use tree::Request;

/// How many images are taken from the tree at a time, so that a snapshot never holds the tree for long.
const SNAPSHOT_IMAGES: usize = 512;
/// How many places of the tree are looked at in one go while what belongs to a snapshot is collected.
const SNAPSHOT_SLOTS: usize = 16_384;
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
        if !*core.serving.borrow() {
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

/// Removes empty containers and TTL nodes whose time has come, at a bounded rate (ContainerManager).
pub(crate) async fn reap(ensemble: Ensemble) {
    let core = ensemble.core.clone();
    let check = core.config.container_check_ms.max(1);
    let share = (core.config.containers_per_minute as u64 * check / MINUTE_MS).max(1) as usize;
    let mut interval = tokio::time::interval(Duration::from_millis(check));
    while !core.stopped() {
        interval.tick().await;
        if !*core.serving.borrow() {
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

/// Writes a snapshot whenever enough was applied since the last one, and removes what it makes needless.
pub(crate) async fn snapshots(core: Arc<Core>) {
    let mut applied = core.applied.subscribe();
    while !core.stopped() {
        let end = *applied.borrow_and_update();
        let last = core.znode_log.newest_snapshot().map_or(0, |snapshot| snapshot.offset);
        if end - last >= core.config.snapshot_every as i64
            && let Err(error) = write_snapshot(&core)
            // A stop gives an unfinished snapshot up; that is nothing to report.
            && !core.stopped()
        {
            // The log still holds everything; a later attempt may find room.
            tracing::error!(%error, "writing a snapshot failed; the log keeps growing until one succeeds");
            let mut stopping = core.stopping.subscribe();
            let _ =
                tokio::time::timeout(Duration::from_millis(MINUTE_MS), stopping.wait_for(|stop| *stop)).await;
        }
        if applied.changed().await.is_err() {
            return;
        }
    }
}

/// Writes one snapshot as of now.
pub(crate) fn write_snapshot(core: &Core) -> Result<(), String> {
    let (end, begun) = {
        let mut shared = core.shared.write();
        (shared.applied_end, shared.tree.begin_snapshot())
    };
    let Some(mut snapshot) = begun else { return Err("a snapshot is under way already".to_owned()) };
    let written = stream_snapshot(core, end, &mut snapshot);
    core.shared.write().tree.end_snapshot(snapshot);
    written.map_err(|error| error.to_string())
}

fn stream_snapshot(core: &Core, end: i64, snapshot: &mut tree::Snapshot) -> std::io::Result<()> {
    while !snapshot.collect(&core.shared.read().tree, SNAPSHOT_SLOTS) {}
    snapshot.sort();
    let records = snapshot.len() as u64;
    let summary = Summary { records, last_zxid: snapshot.at(), time_ms: core.world.clock.wall_ms() };
    let mut writer = core.znode_log.begin_snapshot(end, &summary)?;
    let mut images = Vec::with_capacity(SNAPSHOT_IMAGES);
    while snapshot.next(&core.shared.read().tree, SNAPSHOT_IMAGES, &mut images) > 0 {
        for image in images.drain(..) {
            writer.add(&image)?;
        }
        if core.stopped() {
            return Err(std::io::Error::other("the node stops"));
        }
    }
    let file = writer.finish()?;
    tracing::info!(end, records, bytes = file.size, "wrote a snapshot of __znodes");
    core.znode_log.add_snapshot(file, core.config.snapshots_kept)?;
    core.znode_log.remove_doomed_files().map_err(std::io::Error::other)
}
