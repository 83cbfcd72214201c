//! A snapshot of another node takes the place of this node's log and tree: it fell behind the others' logs, or is new.
//!
//! Invariants: a snapshot is judged as a whole before anything of the old state goes; log, tree and sessions are replaced at one
//! moment under the tree's lock; clients connected before are told to connect again, because their watches missed what happened between.
use crate::consensus::Consensus;
use crate::core::Core;
use crate::records::SnapshotRecord;
use crate::snapshot::{SnapshotFile, SnapshotReceiver};
use crate::watches::Watches;
use base::Disk;
use kafka_wire::Records;
use quorum::{Event, LogOffset, SnapshotPiece};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tree::{Image, Tree, TreeBuilder};

/// The snapshot that is being fetched.
pub(crate) type Receiver = SnapshotReceiver;

impl Core {
    /// Writes a piece of the snapshot that is being fetched.
    pub(crate) fn receive_snapshot(
        &self,
        consensus: &mut Consensus,
        piece: SnapshotPiece,
        bytes: &Records,
    ) -> Result<(), String> {
        let failed = |error: io::Error| format!("writing a received snapshot of __znodes: {error}");
        if piece.position == 0 || consensus.receiver.as_ref().is_none_or(|it| it.id != piece.snapshot_id) {
            let dir = self.znode_log.dir();
            let receiver = SnapshotReceiver::begin(&*self.world.disk, dir, piece.snapshot_id);
            consensus.receiver = Some(receiver.map_err(failed)?);
        }
        match &consensus.receiver {
            Some(receiver) => receiver.write(&bytes.to_bytes(), piece.position).map_err(failed),
            None => Ok(()),
        }
    }

    /// Begins to put a received snapshot in the place of log and tree; the quorum is told when that is done.
    pub(crate) fn install_snapshot(
        self: &Arc<Self>,
        consensus: &mut Consensus,
        id: LogOffset,
    ) -> Result<(), String> {
        let Some(receiver) = consensus.receiver.take().filter(|receiver| receiver.id == id) else {
            return Err(format!("the quorum wants a snapshot at {} that was not fetched", id.offset));
        };
        let core = self.clone();
        let install = async move {
            let event = match core.install(&receiver) {
                Ok(event) => event,
                Err(reason) => return core.fail(reason),
            };
            if let Err(error) = core.step(event) {
                core.fail(error);
            }
        };
        let worker = self.world.workers.spawn("znodes-install", install);
        worker.map(drop).map_err(|error| format!("starting a thread: {error}"))
    }

    fn install(self: &Arc<Self>, receiver: &SnapshotReceiver) -> Result<Event, String> {
        self.installing.store(true, Ordering::Release);
        let _alone = self.snapshotting.lock();
        let installed = self.judge_and_install(receiver);
        self.installing.store(false, Ordering::Release);
        installed
    }

    fn judge_and_install(self: &Arc<Self>, receiver: &SnapshotReceiver) -> Result<Event, String> {
        let disk = &*self.world.disk;
        let kept = |error: io::Error| format!("keeping a received snapshot: {error}");
        receiver.sync().map_err(kept)?;
        let (snapshot, tree) = match load(disk, receiver) {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!(%error, "a received snapshot can't be used; it is fetched again");
                receiver.discard(disk).map_err(|error| format!("removing a bad snapshot: {error}"))?;
                return Ok(Event::SnapshotRejected);
            }
        };
        let snapshot = receiver.keep(disk, snapshot).map_err(kept)?;
        let (end, voters) = (snapshot.end, snapshot.voters.clone());
        tracing::info!(end = end.offset, bytes = snapshot.size, "starting over from another node's snapshot");
        let mut shared = self.shared.write();
        self.fetched.lock().forget();
        self.znode_log.start_over(snapshot).map_err(|error| format!("starting the log over: {error}"))?;
        shared.tree = tree;
        shared.applied_end = end.offset;
        shared.applied_epoch = end.epoch;
        shared.voters.clone_from(&voters);
        *self.watches.lock() = Watches::default();
        let now = self.world.clock.monotonic_ms();
        let sessions = shared.tree.sessions().map(|(id, session)| (id, session.timeout_ms as u64));
        self.sessions.lock().reset(sessions, now);
        drop(shared);
        self.applied.send_replace(end.offset);
        // What became of the asks that the snapshot passed over is not known here.
        let mut sequencer = self.sequencer.lock();
        let unknown = sequencer.forwards.give_up();
        self.resume_forwards(&mut sequencer, &self.shared.read());
        drop(sequencer);
        self.refuse(unknown);
        Ok(Event::SnapshotInstalled { voters })
    }
}

fn load(disk: &dyn Disk, receiver: &SnapshotReceiver) -> io::Result<(SnapshotFile, Tree)> {
    let mut builder = TreeBuilder::new();
    let snapshot = receiver.load(disk, |record| {
        let image = match record {
            SnapshotRecord::Node(node) => Image::Node(node),
            SnapshotRecord::Session(session) => Image::Session(session),
        };
        builder.add(image).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    })?;
    let tree = builder
        .finish(snapshot.last_zxid)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((snapshot, tree))
}
