//! InitProducerId: an id for an idempotent producer.
use super::Call;
use broker::InitProducerId;
use kafka_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use std::sync::Arc;

pub(super) async fn handle(call: &Call<'_>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let identity = call
        .door
        .node
        .broker
        .init_producer_id(&InitProducerId {
            transactional_id: request.transactional_id.as_deref().map(Arc::from),
            producer_id: request.producer_id,
            producer_epoch: request.producer_epoch,
        })
        .await;
    InitProducerIdResponse {
        error_code: identity.error,
        producer_id: identity.producer_id,
        producer_epoch: identity.producer_epoch,
        ..Default::default()
    }
}
