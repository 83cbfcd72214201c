//! AlterConfigs: all settings of a resource are replaced (reference 2.38).
use super::{Call, config_resources};
use crate::errors::Failure;
use controller::admin::ConfigChanges;
use kafka_wire::messages::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use kafka_wire::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_wire::{ErrorCode, Str};
use std::collections::HashSet;

/// How long a change may take to show; these requests have no timeout of their own.
pub(super) const TIMEOUT_MS: u64 = 30_000;

pub(super) async fn handle(call: &Call<'_>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let named = |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let repeated = repeated(request.resources.iter().map(named));
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let outcome = match repeated.contains(&named(&resource)) {
            true => Err(named_twice()),
            false => replace(call, &resource, request.validate_only).await,
        };
        let failure = outcome.err();
        responses.push(AlterConfigsResourceResponse {
            error_code: failure.as_ref().map_or(ErrorCode::NONE, |failure| failure.code),
            error_message: failure.and_then(|failure| failure.message),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    AlterConfigsResponse { responses, ..Default::default() }
}

async fn replace(call: &Call<'_>, wanted: &AlterConfigsResource, validate_only: bool) -> Result<(), Failure> {
    let resource = config_resources::from_wire(wanted.resource_type, &wanted.resource_name)?;
    let pairs: Vec<(&str, Option<&str>)> =
        wanted.configs.iter().map(|config| (&*config.name, config.value.as_deref())).collect();
    let changes = ConfigChanges::Replacement(&pairs);
    let altered =
        call.door.node.controller.alter_configs(&resource, changes, validate_only, TIMEOUT_MS).await;
    Ok(altered?)
}

/// The resources that a request names more than once.
pub(super) fn repeated(resources: impl Iterator<Item = (i8, Str)>) -> HashSet<(i8, Str)> {
    let mut seen = HashSet::new();
    resources.filter(|resource| !seen.insert(resource.clone())).collect()
}

/// The refusal of such a resource.
pub(super) fn named_twice() -> Failure {
    Failure::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once.")
}
