//! Producer ids: handed out from blocks that the cluster gives to this broker, each id once.
use crate::ErrorCode;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A block of ids, or why there is none.
pub type ProducerIdBlock<'a> = Pin<Box<dyn Future<Output = Result<RangeInclusive<i64>, String>> + Send + 'a>>;

/// Who hands out blocks of producer ids: the controller.
pub trait ProducerIdBlocks: Send + Sync + 'static {
    /// A block that no other broker has or ever had.
    ///
    /// # Errors
    /// Why there is none now.
    fn next_block(&self) -> ProducerIdBlock<'_>;
}

/// InitProducerId.
#[derive(Clone, Debug, Default)]
pub struct InitProducerId {
    /// The producer's transactional id; none for a merely idempotent one.
    pub transactional_id: Option<Arc<str>>,
    /// The id that the producer has, or -1.
    pub producer_id: i64,
    /// The epoch that the producer has, or -1.
    pub producer_epoch: i16,
}

/// The reply to InitProducerId.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// Success, or why not.
    pub error: ErrorCode,
    /// The id; -1 in an error.
    pub producer_id: i64,
    /// The epoch; -1 in an error.
    pub producer_epoch: i16,
}

impl ProducerIdentity {
    fn refused(error: ErrorCode) -> ProducerIdentity {
        ProducerIdentity { error, producer_id: -1, producer_epoch: -1 }
    }
}

/// The ids that this broker has left.
pub(crate) struct ProducerIds {
    blocks: Arc<dyn ProducerIdBlocks>,
    left: Mutex<Option<RangeInclusive<i64>>>,
}

impl ProducerIds {
    pub(crate) fn new(blocks: Arc<dyn ProducerIdBlocks>) -> ProducerIds {
        ProducerIds { blocks, left: Mutex::new(None) }
    }

    /// Gives an idempotent producer its id. One that bumps its epoch (KIP-360) gets a new id with epoch 0, as in Kafka.
    ///
    /// A transactional id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED: of all codes it is the one that every client
    /// reports at once as fatal, where others are retried until a timeout.
    pub(crate) async fn init(&self, request: &InitProducerId) -> ProducerIdentity {
        if let Some(id) = &request.transactional_id {
            let error = match id.is_empty() {
                true => ErrorCode::INVALID_REQUEST,
                false => ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            };
            return ProducerIdentity::refused(error);
        }
        if (request.producer_id == -1) != (request.producer_epoch == -1) {
            return ProducerIdentity::refused(ErrorCode::INVALID_REQUEST);
        }
        match self.next().await {
            Ok(producer_id) => ProducerIdentity { error: ErrorCode::NONE, producer_id, producer_epoch: 0 },
            Err(reason) => {
                tracing::warn!(reason, "no block of producer ids can be had");
                // Clients retry this one.
                ProducerIdentity::refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
            }
        }
    }

    async fn next(&self) -> Result<i64, String> {
        let mut left = self.left.lock().await;
        if let Some(id) = left.as_mut().and_then(Iterator::next) {
            return Ok(id);
        }
        let mut block = self.blocks.next_block().await?;
        let id = block.next().ok_or_else(|| "the block of producer ids is empty".to_owned())?;
        *left = Some(block);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Blocks of two ids; fails once it has none left.
    struct Blocks(AtomicI64);

    impl ProducerIdBlocks for Blocks {
        fn next_block(&self) -> ProducerIdBlock<'_> {
            let first = self.0.fetch_add(2, Ordering::Relaxed);
            Box::pin(async move {
                match first {
                    0..4 => Ok(first..=first + 1),
                    _ => Err("no more".to_owned()),
                }
            })
        }
    }

    fn ids() -> ProducerIds {
        ProducerIds::new(Arc::new(Blocks(AtomicI64::new(0))))
    }

    fn idempotent() -> InitProducerId {
        InitProducerId { transactional_id: None, producer_id: -1, producer_epoch: -1 }
    }

    #[tokio::test]
    async fn every_id_is_given_once_across_blocks() {
        let ids = ids();
        for expected in 0..4 {
            let given = ids.init(&idempotent()).await;
            assert_eq!(
                given,
                ProducerIdentity { error: ErrorCode::NONE, producer_id: expected, producer_epoch: 0 }
            );
        }
        assert_eq!(ids.init(&idempotent()).await.error, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    }

    #[tokio::test]
    async fn half_an_identity_and_transactions_are_refused() {
        let ids = ids();
        let half = InitProducerId { producer_id: 5, ..idempotent() };
        assert_eq!(ids.init(&half).await.error, ErrorCode::INVALID_REQUEST);
        let empty = InitProducerId { transactional_id: Some("".into()), ..idempotent() };
        assert_eq!(ids.init(&empty).await.error, ErrorCode::INVALID_REQUEST);
        let transactional = InitProducerId { transactional_id: Some("t".into()), ..idempotent() };
        assert_eq!(ids.init(&transactional).await.error, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    }

    #[tokio::test]
    async fn an_idempotent_producer_that_bumps_its_epoch_gets_a_new_id() {
        let ids = ids();
        ids.init(&idempotent()).await;
        let bumping = InitProducerId { producer_id: 0, producer_epoch: 0, ..idempotent() };
        let given = ids.init(&bumping).await;
        assert_eq!((given.producer_id, given.producer_epoch), (1, 0));
    }
}
