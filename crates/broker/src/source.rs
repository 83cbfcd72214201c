//! Where records come from: a partition of this node, or the znode log.
use crate::ErrorCode;
use crate::fetch::FetchLimits;
use crate::partition::{Partition, PartitionRead, Portion, Reader};
use crate::requests::{EpochEnd, FetchPartition, Isolation, ListedOffset};
use crate::waiters::Waiters;
use crate::znodes::Znodes;
use log::Codec;
use std::sync::Arc;

/// A source of records.
#[derive(Clone)]
pub(crate) enum Source {
    Partition(Arc<Partition>),
    Znodes(Arc<Znodes>),
}

impl Source {
    /// Who waits for what `reader` reads.
    pub(crate) fn waiters(&self, reader: &Reader) -> &Waiters {
        match self {
            Source::Partition(partition) => partition.waiters_of(reader),
            Source::Znodes(znodes) => znodes.waiters(),
        }
    }

    /// The leader and its epoch, if there is one.
    pub(crate) fn current_leader(&self) -> Option<(i32, i32)> {
        match self {
            Source::Partition(partition) => partition.current_leader(),
            Source::Znodes(znodes) => Some(znodes.current_leader()),
        }
    }

    pub(crate) fn read(
        &self,
        request: &FetchPartition,
        limits: &FetchLimits,
        portion: Portion,
        fresh: bool,
    ) -> Result<PartitionRead, ErrorCode> {
        match self {
            Source::Partition(partition) => {
                let config = partition.log().config();
                let zstd = config.compression.is_some_and(|compression| compression.codec == Codec::Zstd);
                if zstd && !limits.allows_zstd {
                    return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
                }
                partition.read(request, &limits.reader, portion, fresh)
            }
            Source::Znodes(znodes) => znodes.read(request, portion),
        }
    }

    pub(crate) fn list_offset(
        &self,
        timestamp: i64,
        current_leader_epoch: i32,
        isolation: Isolation,
    ) -> Result<ListedOffset, ErrorCode> {
        match self {
            Source::Partition(partition) => partition.list_offset(timestamp, current_leader_epoch, isolation),
            Source::Znodes(znodes) => znodes.list_offset(timestamp, current_leader_epoch),
        }
    }

    pub(crate) fn epoch_end(&self, epoch: i32, current_leader_epoch: i32) -> Result<EpochEnd, ErrorCode> {
        match self {
            Source::Partition(partition) => partition.epoch_end(epoch, current_leader_epoch),
            Source::Znodes(znodes) => znodes.epoch_end(epoch, current_leader_epoch),
        }
    }
}
