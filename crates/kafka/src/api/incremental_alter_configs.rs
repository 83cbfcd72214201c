//! IncrementalAlterConfigs: settings are changed one by one (KIP-339).
use super::alter_configs::{TIMEOUT_MS, repeated};
use super::{Call, config_resources};
use crate::errors::Failure;
use controller::admin::ConfigChanges;
use controller::config::{AlterOperation, Alteration};
use kafka_wire::ErrorCode;
use kafka_wire::messages::incremental_alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use kafka_wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

pub(super) async fn handle(
    call: &Call<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let named = |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let repeated = repeated(request.resources.iter().map(named));
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let outcome = match repeated.contains(&named(&resource)) {
            true => Err(super::alter_configs::named_twice()),
            false => alter(call, &resource, request.validate_only).await,
        };
        let failure = outcome.err();
        responses.push(AlterConfigsResourceResponse {
            error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
            error_message: failure.and_then(|failure| failure.message),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    IncrementalAlterConfigsResponse { responses, ..Default::default() }
}

async fn alter(call: &Call<'_>, wanted: &AlterConfigsResource, validate_only: bool) -> Result<(), Failure> {
    let resource = config_resources::from_wire(wanted.resource_type, &wanted.resource_name)?;
    let mut changes = Vec::with_capacity(wanted.configs.len());
    for config in &wanted.configs {
        let operation = AlterOperation::from_code(config.config_operation).ok_or_else(|| {
            let reason = format!(
                "Unknown operation {} for the configuration {}.",
                config.config_operation, config.name
            );
            Failure::new(ErrorCode::INVALID_REQUEST, reason)
        })?;
        changes.push(Alteration { key: &config.name, operation, value: config.value.as_deref() });
    }
    let changes = ConfigChanges::Incremental(&changes);
    let altered =
        call.door.node.controller.alter_configs(&resource, changes, validate_only, TIMEOUT_MS).await;
    Ok(altered?)
}
