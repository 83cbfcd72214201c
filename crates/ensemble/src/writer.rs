//! Brings queued transactions to the disk: one vectored write and one flush for everything that arrived during the last flush.
//!
//! Invariants: the log is appended to only under the consensus lock and in the epoch in which the batches were queued; what is
//! reported as flushed is on the medium; after a failed write or flush nothing is written any more and the node stops,
//! because the pages may have been marked clean.
use crate::core::Core;
use quorum::Event;
use std::sync::Arc;

/// Writes until stopped.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        core.work.notified().await;
        if let Err(error) = write_all(&core) {
            core.fail(error);
            return;
        }
        if core.stopped() {
            return;
        }
    }
}

/// Writes and flushes groups until nothing is queued.
fn write_all(core: &Arc<Core>) -> Result<(), String> {
    loop {
        core.append_queued()?;
        if core.znode_log.flushed() == core.znode_log.end() {
            return Ok(());
        }
        core.znode_log.flush().map_err(|error| error.to_string())?;
        core.step(Event::Flushed)?;
    }
}
