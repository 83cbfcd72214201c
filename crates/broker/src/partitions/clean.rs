//! Compaction of the logs whose `cleanup.policy` asks for it: which one next, and where the last cleaning of each ended.
//!
//! Invariants: the dirtiest log that is due goes first; a log that cannot be cleaned is left out until the next start and no other
//! waits for it; where a cleaning ended is written down before the next one begins, so that a crash repeats at most one.
use super::folders::Folder;
use super::{Partitions, Replica};
use log::{Checkpoint, Cleanable, LogError, TopicPartition};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The least memory that a cleaning gets for the keys that it has seen.
const DEDUPE_BYTES_MIN: i64 = 1 << 20;

/// What the cleaner knows between two rounds.
#[derive(Default)]
pub(super) struct CleanerState {
    /// Logs whose cleaning failed.
    uncleanable: Mutex<HashSet<(TopicPartition, uuid::Uuid)>>,
    /// Logs whose last cleaning moved nothing (a deletion came between, or there was no key in the dirty part), with where it
    /// might have gone; they are looked at again once there is more.
    unmoved: Mutex<HashMap<(TopicPartition, uuid::Uuid), i64>>,
    /// Logs that are being cleaned.
    busy: Mutex<HashSet<TopicPartition>>,
}

impl Partitions {
    /// Cleans logs that are due, on `log.cleaner.threads` workers, until the future is dropped.
    pub(super) async fn clean_when_due(self: Arc<Partitions>) {
        loop {
            let settings = self.view().broker_config.log.clone();
            if settings.cleaner_enable {
                let threads = settings.cleaner_threads.max(1).unsigned_abs();
                let bytes = (settings.cleaner_dedupe_buffer_bytes / i64::from(threads)).max(DEDUPE_BYTES_MIN);
                let workers: Vec<_> = (0..threads)
                    .map(|_| {
                        let partitions = self.clone();
                        self.world.workers.blocking(move || partitions.clean_all_due(bytes.unsigned_abs()))
                    })
                    .collect();
                for worker in workers {
                    if let Err(error) = worker.await {
                        tracing::error!(%error, "a cleaner of logs failed");
                    }
                }
            }
            let backoff = settings.cleaner_backoff_ms.max(1).unsigned_abs();
            tokio::time::sleep(Duration::from_millis(backoff)).await;
        }
    }

    /// Cleans one log after another until none is due.
    pub(crate) fn clean_all_due(&self, dedupe_bytes: u64) {
        while let Some((replica, dirty)) = self.dirtiest() {
            let name = replica.partition.log().partition().clone();
            if self.cleaner.busy.lock().insert(name.clone()) {
                self.clean(&replica, &dirty, dedupe_bytes);
                self.cleaner.busy.lock().remove(&name);
            }
        }
    }

    /// The log that is due and has the largest share of dirty bytes.
    fn dirtiest(&self) -> Option<(Arc<Replica>, Cleanable)> {
        let mut dirtiest: Option<(Arc<Replica>, Cleanable)> = None;
        for replica in self.replicas() {
            let log = replica.partition.log();
            let config = log.config();
            let key = (log.partition().clone(), replica.partition.topic_id());
            if !config.cleanup.compact
                || log.offline_reason().is_some()
                || self.cleaner.uncleanable.lock().contains(&key)
                || self.cleaner.busy.lock().contains(&key.0)
            {
                continue;
            }
            match log.cleanable(replica.folder.cleaned_to(log.partition())) {
                Ok(dirty) if self.cleaner.unmoved.lock().get(&key) == Some(&dirty.first_uncleanable) => {}
                Ok(dirty) if dirty.is_due(&config) => {
                    if dirtiest.as_ref().is_none_or(|(_, worst)| dirty.ratio() > worst.ratio()) {
                        dirtiest = Some((replica, dirty));
                    }
                }
                Ok(_) => {}
                Err(error) => self.give_up(&replica, &error),
            }
        }
        dirtiest
    }

    fn clean(&self, replica: &Replica, dirty: &Cleanable, dedupe_bytes: u64) {
        let partition = &replica.partition;
        match partition.log().clean(dirty, dedupe_bytes) {
            Ok(cleaned) => {
                tracing::debug!(
                    %partition,
                    removed = cleaned.records_removed,
                    bytes_before = cleaned.bytes_before,
                    bytes_after = cleaned.bytes_after,
                    "compacted"
                );
                let key = (partition.log().partition().clone(), partition.topic_id());
                if cleaned.first_dirty <= dirty.first_dirty {
                    self.cleaner.unmoved.lock().insert(key, dirty.first_uncleanable);
                } else {
                    self.cleaner.unmoved.lock().remove(&key);
                }
                if let Err(error) =
                    replica.folder.note_cleaned(partition.log().partition(), cleaned.first_dirty)
                {
                    tracing::warn!(%error, "where compaction ended cannot be written down");
                }
            }
            Err(error) => self.give_up(replica, &error),
        }
    }

    fn give_up(&self, replica: &Replica, error: &LogError) {
        if matches!(error, LogError::Closed { .. }) {
            return;
        }
        tracing::warn!(partition = %replica.partition, %error, "the log cannot be compacted; it is left out until the next start");
        replica.partition.note_failure(error);
        let key = (replica.partition.log().partition().clone(), replica.partition.topic_id());
        self.cleaner.uncleanable.lock().insert(key);
    }
}

impl Folder {
    /// Where the last cleaning of a log ended.
    fn cleaned_to(&self, partition: &TopicPartition) -> Option<i64> {
        self.cleaned.lock().get(partition).copied()
    }

    fn note_cleaned(&self, partition: &TopicPartition, first_dirty: i64) -> Result<(), LogError> {
        let mut cleaned = self.cleaned.lock();
        cleaned.insert(partition.clone(), first_dirty);
        let offsets: BTreeMap<TopicPartition, i64> = cleaned.clone();
        self.checkpoint(Checkpoint::Cleaner, offsets)
    }

    /// Forgets a log that is deleted, so that a later one of its name is cleaned from its start.
    pub(super) fn forget_cleaned(&self, partition: &TopicPartition) {
        self.cleaned.lock().remove(partition);
    }
}
