//! DescribeConfigs: every setting of a resource, with where its value comes from.
use super::{Call, config_resources, keep_first};
use crate::errors::Failure;
use controller::config::ConfigEntry;
use kafka_wire::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_wire::{ErrorCode, Str};

/// How many settings one answer shows; those of ten thousand topics and more.
const ENTRIES_MAX: usize = 500_000;

pub(super) async fn handle(call: &Call<'_>, mut request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    keep_first(&mut request.resources, |resource| (resource.resource_type, resource.resource_name.clone()));
    let mut left = ENTRIES_MAX;
    let shown = Shown { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let results = request.resources.into_iter().map(|resource| match entries(call, &resource, &mut left) {
        Ok(entries) => DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs: entries.into_iter().map(|entry| to_wire(entry, shown)).collect(),
            ..Default::default()
        },
        Err(failure) => DescribeConfigsResult {
            error_code: failure.code,
            error_message: failure.message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            ..Default::default()
        },
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

/// What the client wants to see besides the values.
#[derive(Clone, Copy)]
struct Shown {
    synonyms: bool,
    documentation: bool,
}

/// The settings of a resource, of which `left` more fit into the answer.
fn entries(
    call: &Call<'_>,
    wanted: &DescribeConfigsResource,
    left: &mut usize,
) -> Result<Vec<ConfigEntry>, Failure> {
    if *left == 0 {
        let reason = format!(
            "The answer would show more than {ENTRIES_MAX} settings; ask for fewer resources at once."
        );
        return Err(Failure::new(ErrorCode::INVALID_REQUEST, reason));
    }
    let resource = config_resources::from_wire(wanted.resource_type, &wanted.resource_name)?;
    let keys: Option<Vec<&str>> =
        wanted.configuration_keys.as_ref().map(|keys| keys.iter().map(|key| &**key).collect());
    let entries = call.door.node.controller.describe_configs(&resource, keys.as_deref())?;
    *left = left.saturating_sub(entries.len());
    Ok(entries)
}

fn to_wire(entry: ConfigEntry, shown: Shown) -> DescribeConfigsResourceResult {
    let synonyms = if shown.synonyms { entry.synonyms } else { Vec::new() };
    DescribeConfigsResourceResult {
        name: Str::from(entry.name),
        value: entry.value.map(Str::from),
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.is_sensitive,
        synonyms: synonyms
            .into_iter()
            .map(|synonym| DescribeConfigsSynonym {
                name: Str::from(synonym.name),
                value: synonym.value.map(Str::from),
                source: synonym.source.code(),
            })
            .collect(),
        config_type: entry.config_type,
        documentation: entry.documentation.filter(|_| shown.documentation).map(Str::from_static),
    }
}
