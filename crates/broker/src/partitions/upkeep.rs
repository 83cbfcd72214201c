//! The work on logs in the background: retention, compaction, flushes, checkpoints, memory.
//!
//! Each loop takes its interval from the view that is applied, so a changed setting holds from the next round on. A log
//! whose disk fails is logged once by the log itself and left out afterwards.
use super::follow::share_out;
use super::{Partitions, Replica};
use controller::config::BrokerConfig;
use log::{Checkpoint, LogDir, LogError, TopicPartition};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long batches stay in the tail caches of logs that nobody appends to, in milliseconds.
const CACHE_AGE_MS: u64 = 60_000;
/// How often caches, idle producers and removed files are looked at.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(10);
/// How many logs are closed at a time: closing is mostly waiting for the disk, which serves many flushes as one.
const CLOSING_THREADS: usize = 32;
/// The least and the most time between two looks at `flush.ms`.
const FLUSH_CHECK_MS_MIN: i64 = 10;
const FLUSH_CHECK_MS_MAX: i64 = 1_000;

impl Partitions {
    /// Runs all loops until the future is dropped.
    pub(crate) async fn keep_up(self: Arc<Partitions>) {
        tokio::join!(
            self.clone().repeat(
                |config| millis(config.log.initial_task_delay_ms),
                |config| millis(config.log.retention_check_interval_ms),
                Partitions::enforce_retention,
            ),
            self.clone().repeat(
                |_| HOUSEKEEPING_INTERVAL,
                |_| HOUSEKEEPING_INTERVAL,
                Partitions::housekeeping
            ),
            self.clone().repeat(recovery_interval, recovery_interval, Partitions::checkpoint_recovery_points),
            self.clone().repeat(log_start_interval, log_start_interval, Partitions::checkpoint_log_starts),
            self.clone().repeat(
                high_watermark_interval,
                high_watermark_interval,
                Partitions::checkpoint_high_watermarks,
            ),
            self.clone().flush_when_due(),
            self.clone().clean_when_due(),
        );
    }

    /// Calls `work` on a blocking thread, again and again.
    async fn repeat(
        self: Arc<Partitions>,
        first: fn(&BrokerConfig) -> Duration,
        interval: fn(&BrokerConfig) -> Duration,
        work: fn(&Partitions),
    ) {
        let mut wait = first(&self.view().broker_config);
        loop {
            tokio::time::sleep(wait).await;
            let partitions = self.clone();
            if let Err(error) = self.world.workers.blocking(move || work(&partitions)).await {
                tracing::error!(%error, "work on the logs in the background failed");
            }
            wait = interval(&self.view().broker_config);
        }
    }

    /// `flush.ms`: looks as often as the shortest one asks for.
    async fn flush_when_due(self: Arc<Partitions>) {
        loop {
            let shortest =
                self.replicas().iter().map(|replica| replica.partition.log().config().flush_ms).min();
            let scheduled = self.view().broker_config.log.flush_scheduler_interval_ms;
            let due = shortest.unwrap_or(i64::MAX).min(scheduled);
            tokio::time::sleep(millis(due.clamp(FLUSH_CHECK_MS_MIN, FLUSH_CHECK_MS_MAX))).await;
            if shortest.is_none_or(|ms| ms == i64::MAX) {
                continue;
            }
            let partitions = self.clone();
            let work = move || partitions.each(|replica| replica.partition.log().flush_if_due());
            if let Err(error) = self.world.workers.blocking(work).await {
                tracing::error!(%error, "flushing by flush.ms failed");
            }
        }
    }

    /// Does something with every log that is online; a failure concerns that log only.
    fn each(&self, work: impl Fn(&Replica) -> Result<(), LogError>) {
        for replica in self.replicas() {
            if replica.partition.log().offline_reason().is_some() {
                continue;
            }
            match work(&replica) {
                Ok(()) | Err(LogError::Closed { .. }) => {}
                Err(error) => {
                    tracing::warn!(partition = %replica.partition, %error, "work on the log failed");
                    replica.partition.note_failure(&error);
                }
            }
        }
    }

    /// Removes what is too old or too much.
    pub(crate) fn enforce_retention(&self) {
        self.each(|replica| {
            let removed = replica.partition.log().enforce_retention()?;
            if removed > 0 {
                tracing::debug!(partition = %replica.partition, segments = removed, "old segments removed");
                // Consumers that wait below the new start must hear of it, and replicas follow it.
                replica.partition.tell_everybody();
            }
            Ok(())
        });
    }

    fn housekeeping(&self) {
        self.each(|replica| {
            replica.partition.log().expire_memory(CACHE_AGE_MS);
            replica.partition.log().remove_doomed_files()
        });
    }

    pub(crate) fn checkpoint_recovery_points(&self) {
        self.checkpoint(Checkpoint::RecoveryPoint, |replica| Some(replica.partition.log().flushed_offset()));
    }

    /// Only starts that differ from the first segment's need to be remembered.
    pub(crate) fn checkpoint_log_starts(&self) {
        self.checkpoint(Checkpoint::LogStart, |replica| {
            let log = replica.partition.log();
            let start = log.log_start_offset();
            (log.segment_offsets().first().is_some_and(|first| start > *first)).then_some(start)
        });
    }

    pub(crate) fn checkpoint_high_watermarks(&self) {
        self.checkpoint(Checkpoint::HighWatermark, |replica| Some(replica.partition.high_watermark()));
    }

    fn checkpoint(&self, kind: Checkpoint, offset: impl Fn(&Replica) -> Option<i64>) {
        let replicas = self.replicas();
        for folder in self.folders.all() {
            let offsets: BTreeMap<TopicPartition, i64> = replicas
                .iter()
                .filter(|replica| Arc::ptr_eq(&replica.folder, folder))
                .filter_map(|replica| Some((replica.partition.log().partition().clone(), offset(replica)?)))
                .collect();
            if let Err(error) = folder.checkpoint(kind, offsets) {
                tracing::warn!(%error, "a checkpoint cannot be written");
            }
        }
    }

    /// Closes all logs, writes the checkpoints, and says in which folders everything went well: those may be marked clean.
    pub(crate) fn close(&self) -> Vec<Arc<LogDir>> {
        let mut closed = self.changing.lock();
        *closed = true;
        let replicas = self.replicas();
        let failed = Mutex::new(Vec::new());
        let workers = match self.world.workers {
            base::Workers::Tasks => 1,
            base::Workers::Threads => CLOSING_THREADS,
        };
        share_out(workers, replicas, |replica| {
            replica.partition.end();
            if let Err(error) = replica.partition.log().close() {
                tracing::warn!(partition = %replica.partition, %error, "a log cannot be closed");
                failed.lock().push(replica.folder.clone());
            }
        });
        self.checkpoint_recovery_points();
        self.checkpoint_log_starts();
        self.checkpoint_high_watermarks();
        let failed = failed.into_inner();
        let whole =
            self.folders.all().iter().filter(|folder| !failed.iter().any(|bad| Arc::ptr_eq(bad, folder)));
        whole.map(|folder| folder.dir.clone()).collect()
    }
}

fn recovery_interval(config: &BrokerConfig) -> Duration {
    millis(i64::from(config.log.flush_offset_checkpoint_interval_ms))
}

fn log_start_interval(config: &BrokerConfig) -> Duration {
    millis(i64::from(config.log.flush_start_offset_checkpoint_interval_ms))
}

fn high_watermark_interval(config: &BrokerConfig) -> Duration {
    millis(config.replication.high_watermark_checkpoint_interval_ms)
}

/// Milliseconds of a setting; at least one, so that a loop never spins.
fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(1).unsigned_abs())
}
