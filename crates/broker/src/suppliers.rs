//! The rooms below as the broker's suppliers: the controller creates its internal topics, hands out producer ids and keeps the in-sync
//! replicas, the ensemble's topic is the feed of znodes.
use crate::internal_topics::{Created, InternalTopics, NewTopic};
use crate::producer_ids::{ProducerIdBlock, ProducerIdBlocks};
use crate::replication::{AlteredIsr, InSyncReplicas};
use crate::znodes::{ZnodeFeed, ZnodeFeedError, ZnodeProduced, ZnodeRecords};
use bytes::Bytes;
use controller::admin::AdminError;
use controller::{Controller, IsrChange};
use ensemble::{ZnodeProduceError, ZnodeReadError, ZnodeTopic};
use std::sync::Arc;
use tokio::sync::watch;

/// How long an internal topic may take to show after its creation, in milliseconds.
const CREATION_TIMEOUT_MS: u64 = 10_000;

impl InternalTopics for Controller {
    fn create(&self, topic: NewTopic) -> Created<'_> {
        Box::pin(async move {
            let topic = controller::admin::NewTopic {
                name: topic.name.to_owned(),
                partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                assignments: Vec::new(),
                configs: topic
                    .configs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), Some(value)))
                    .collect(),
            };
            match self.create_topic(&topic, false, CREATION_TIMEOUT_MS).await {
                Ok(_) | Err(AdminError::TopicExists(_)) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

impl ProducerIdBlocks for Controller {
    fn next_block(&self) -> ProducerIdBlock<'_> {
        Box::pin(async {
            let block = self.producer_id_block().await.map_err(|error| error.to_string())?;
            Ok(block.start..=block.end - 1)
        })
    }
}

impl InSyncReplicas for Controller {
    fn alter(&self, changes: Vec<IsrChange>) -> AlteredIsr<'_> {
        Box::pin(self.alter_isr(changes))
    }
}

impl ZnodeFeed for ZnodeTopic {
    fn read(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Vec<Bytes>, ZnodeFeedError> {
        let read = ZnodeTopic::read(self, offset, max_bytes, at_least_one);
        read.map(|read| read.chunks).map_err(read_error)
    }

    fn high_watermark(&self) -> i64 {
        ZnodeTopic::high_watermark(self)
    }

    fn log_start(&self) -> i64 {
        ZnodeTopic::log_start(self)
    }

    fn leader_epoch(&self) -> i32 {
        ZnodeTopic::leader_epoch(self)
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        ZnodeTopic::end_offset_for_epoch(self, epoch)
    }

    fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<(i64, i64)>, ZnodeFeedError> {
        ZnodeTopic::offset_for_timestamp(self, timestamp).map_err(read_error)
    }

    fn size(&self) -> u64 {
        ZnodeTopic::size(self)
    }

    fn subscribe(&self) -> watch::Receiver<i64> {
        ZnodeTopic::subscribe(self)
    }

    fn produce<'a>(&'a self, records: ZnodeRecords, _principal: &'a str) -> ZnodeProduced<'a> {
        Box::pin(async move {
            let paths: Vec<Arc<str>> = records.iter().map(|(path, _)| path.clone()).collect();
            // Kafka's principals are no identities of the tree yet, so producers have the rights of the world.
            match ZnodeTopic::produce(self, records, &[]).await {
                Ok(produced) => Ok(produced.base_offset),
                Err(ZnodeProduceError::Refused { index, error }) => {
                    let path = paths.get(index).map_or("", |path| path);
                    Err(ZnodeFeedError::Refused { index, message: format!("{path}: {error}") })
                }
                Err(ZnodeProduceError::NotServing) => Err(ZnodeFeedError::NotServing),
            }
        })
    }
}

fn read_error(error: ZnodeReadError) -> ZnodeFeedError {
    match error {
        ZnodeReadError::OutOfRange { .. } => ZnodeFeedError::OutOfRange,
        ZnodeReadError::Failed(reason) => ZnodeFeedError::Storage(reason),
    }
}
