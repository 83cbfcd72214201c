//! Resources with settings, as the wire names them: a type's number and a name.
use crate::errors::Failure;
use controller::admin::ConfigResource;
use kafka_wire::{ErrorCode, Str};

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// The resource behind a type and a name. The empty name is that of the defaults of all brokers.
pub(super) fn from_wire(resource_type: i8, name: &str) -> Result<ConfigResource, Failure> {
    match resource_type {
        TOPIC => Ok(ConfigResource::Topic(name.to_owned())),
        GROUP => Ok(ConfigResource::Group(name.to_owned())),
        BROKER if name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER => name.parse().map(|id| ConfigResource::Broker(Some(id))).map_err(|_| {
            let reason = format!("Node id must be an integer, but it is: {name}");
            Failure::new(ErrorCode::INVALID_REQUEST, reason)
        }),
        other => {
            let reason = format!("Unsupported resource type: {other}");
            Err(Failure::new(ErrorCode::INVALID_REQUEST, reason))
        }
    }
}

/// The type and name of a resource.
pub(super) fn to_wire(resource: &ConfigResource) -> (i8, Str) {
    match resource {
        ConfigResource::Topic(name) => (TOPIC, Str::from(name.as_str())),
        ConfigResource::Group(name) => (GROUP, Str::from(name.as_str())),
        ConfigResource::Broker(Some(id)) => (BROKER, Str::from(id.to_string())),
        ConfigResource::Broker(None) => (BROKER, Str::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_survive_the_wire() {
        for resource in [
            ConfigResource::Topic("t".to_owned()),
            ConfigResource::Group("g".to_owned()),
            ConfigResource::Broker(Some(7)),
            ConfigResource::Broker(None),
        ] {
            let (resource_type, name) = to_wire(&resource);
            assert_eq!(from_wire(resource_type, &name), Ok(resource));
        }
        for (resource_type, name) in [(BROKER, "x"), (BROKER_LOGGER, "0"), (CLIENT_METRICS, "m"), (0, "")] {
            let refused = from_wire(resource_type, name).err().map(|failure| failure.code);
            assert_eq!(refused, Some(ErrorCode::INVALID_REQUEST));
        }
    }
}
