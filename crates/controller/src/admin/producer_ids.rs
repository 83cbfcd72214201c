//! Blocks of producer ids, taken by compare-and-set of `/latest_producer_id_block` (KIP-360's `ZkProducerIdManager`).
use super::AdminError;
use crate::controller::Controller;
use crate::duties::create;
use crate::layout::{self, PRODUCER_ID_BLOCK, ProducerIdBlock};
use ensemble::{CoordinatorError, Write};
use std::ops::Range;
use tree::TreeError;

/// How many ids a broker takes at once.
const BLOCK: i64 = 1_000;

impl Controller {
    /// Takes the next block of producer ids for this broker.
    pub async fn producer_id_block(&self) -> Result<Range<i64>, AdminError> {
        let coordinator = self.coordinator()?;
        loop {
            let (start, version) = match coordinator.get(PRODUCER_ID_BLOCK).await? {
                None => (0, None),
                Some((data, stat)) => {
                    let data = data.unwrap_or_default();
                    (if data.is_empty() { 0 } else { next_start(&data)? }, Some(stat.version))
                }
            };
            let end = start.checked_add(BLOCK - 1).ok_or_else(|| {
                AdminError::InvalidRequest("all producer ids have been given out".to_owned())
            })?;
            let block = ProducerIdBlock {
                version: 1,
                broker: self.node_id(),
                block_start: start.to_string(),
                block_end: end.to_string(),
            };
            let data = Some(layout::encode(&block));
            let write = match version {
                Some(version) => Write::Set { path: PRODUCER_ID_BLOCK.to_owned(), data, version },
                None => create(PRODUCER_ID_BLOCK.to_owned(), data),
            };
            match coordinator.multi(vec![write]).await {
                Ok(_) => return Ok(start..end + 1),
                // Another broker was faster.
                Err(CoordinatorError::Refused {
                    error: TreeError::BadVersion | TreeError::NodeExists | TreeError::NoNode,
                    ..
                }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn next_start(data: &[u8]) -> Result<i64, AdminError> {
    let damaged = |why: String| AdminError::InvalidRequest(why);
    let block: ProducerIdBlock = layout::decode("producer id block", PRODUCER_ID_BLOCK, data)
        .map_err(|error| damaged(error.to_string()))?;
    let end: i64 = block.block_end.parse().map_err(|_| {
        damaged(format!("the znode {PRODUCER_ID_BLOCK} has no number as block_end: {:?}", block.block_end))
    })?;
    end.checked_add(1).ok_or_else(|| damaged("all producer ids have been given out".to_owned()))
}
