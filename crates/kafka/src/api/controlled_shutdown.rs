//! ControlledShutdown: a broker that is about to stop has its leaderships moved. Only brokers ask for it, and only the controller can do it.
use super::Call;
use crate::errors::code;
use kafka_wire::Str;
use kafka_wire::messages::controlled_shutdown::RemainingPartition;
use kafka_wire::messages::{ControlledShutdownRequest, ControlledShutdownResponse};

pub(super) async fn handle(
    call: &Call<'_>,
    request: ControlledShutdownRequest,
) -> ControlledShutdownResponse {
    let controller = &call.door.node.controller;
    match controller.controlled_shutdown(request.broker_id, request.broker_epoch).await {
        Ok(remaining) => {
            let remaining = remaining.into_iter().map(|(topic, partition_index)| RemainingPartition {
                topic_name: Str::from(&*topic),
                partition_index,
            });
            ControlledShutdownResponse { remaining_partitions: remaining.collect(), ..Default::default() }
        }
        Err(error) => ControlledShutdownResponse { error_code: code(&error), ..Default::default() },
    }
}
