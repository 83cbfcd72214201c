//! ApiVersions: what this broker can do (KIP-35, KIP-511), and its features (KIP-584).
use super::{Call, INTERNAL, SERVED};
use crate::quorum;
use kafka_wire::messages::api_versions::{ApiVersion, SupportedFeatureKey};
use kafka_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_wire::{ApiKey, ErrorCode, Str};

/// Features with the levels that this broker knows. Level 0 of `group.version` is the classic group protocol alone.
const FEATURES: &[(&str, i16, i16)] = &[("group.version", 0, 0)];

/// From this version on clients understand a feature whose lowest level is 0 (KAFKA-17011).
const LEVEL_ZERO_SINCE: i16 = 4;

pub(super) async fn handle(call: &Call<'_>, request: ApiVersionsRequest) -> ApiVersionsResponse {
    if call.version >= 3
        && !(is_plain(&request.client_software_name) && is_plain(&request.client_software_version))
    {
        return ApiVersionsResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
    }
    let features = FEATURES.iter().filter(|(_, lowest, _)| *lowest > 0 || call.version >= LEVEL_ZERO_SINCE);
    ApiVersionsResponse {
        api_keys: advertised().map(range).collect(),
        supported_features: features
            .map(|(name, min_version, max_version)| SupportedFeatureKey {
                name: Str::from_static(name),
                min_version: *min_version,
                max_version: *max_version,
            })
            .collect(),
        ..Default::default()
    }
}

/// The answer to a version that there is not, to be encoded as version 0: it names the versions of this API, so that the client can
/// ask again.
pub(super) fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: vec![range(ApiKey::ApiVersions)],
        ..Default::default()
    }
}

/// The APIs that clients are told of, in the order of their keys: those with a handler, and of the quorum's those that Kafka's brokers
/// serve. APIs between nodes are not among them, as on a listener of Kafka's that is not its controllers'.
fn advertised() -> impl Iterator<Item = ApiKey> {
    let is_advertised =
        |api: &ApiKey| SERVED.contains(api) && !INTERNAL.contains(api) || quorum::CLIENT_APIS.contains(api);
    ApiKey::ALL.iter().copied().filter(is_advertised)
}

fn range(api: ApiKey) -> ApiVersion {
    let versions = api.advertised();
    ApiVersion { api_key: api.key(), min_version: versions.min, max_version: versions.max }
}

/// Whether a client's name or version is one that logs and metrics can carry: letters, digits, and in between `.` and `-`.
fn is_plain(text: &str) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_2_1_an_unknown_version_is_told_the_known_ones() {
        let answer = unsupported();
        assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
        let ranges: Vec<_> =
            answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        assert_eq!(ranges, [(18, 0, 4)]);
    }

    #[test]
    fn produce_is_advertised_from_version_0_on() {
        assert_eq!((range(ApiKey::Produce).min_version, range(ApiKey::Produce).max_version), (0, 13));
    }

    #[test]
    fn served_apis_are_listed_once_and_in_order() {
        assert!(SERVED.windows(2).all(|pair| pair[0].key() < pair[1].key()));
    }

    #[test]
    fn names_of_client_software() {
        for good in ["a", "apache-kafka-java", "3.9.0", "x.-y"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "ä", "a\n"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
