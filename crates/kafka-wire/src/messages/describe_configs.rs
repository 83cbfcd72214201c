//! DescribeConfigs, key 32: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    DescribeConfigsRequest [1-4] flexible [4+] {
        resources: Vec<DescribeConfigsResource> [0+];
        include_synonyms: bool [1+];
        include_documentation: bool [3+];
    }

    DescribeConfigsResource {
        resource_type: i8 [0+];
        resource_name: Str [0+];
        configuration_keys: Option<Vec<Str>> [0+] null[0+];
    }

    DescribeConfigsResponse [1-4] flexible [4+] {
        throttle_time_ms: i32 [0+];
        results: Vec<DescribeConfigsResult> [0+];
    }

    DescribeConfigsResult {
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
        resource_type: i8 [0+];
        resource_name: Str [0+];
        configs: Vec<DescribeConfigsResourceResult> [0+];
    }

    DescribeConfigsResourceResult {
        name: Str [0+];
        value: Option<Str> [0+] null[0+];
        read_only: bool [0+];
        config_source: i8 [1+] = -1, ignorable;
        is_sensitive: bool [0+];
        synonyms: Vec<DescribeConfigsSynonym> [1+], ignorable;
        config_type: i8 [3+], ignorable;
        documentation: Option<Str> [3+] null[0+], ignorable;
    }

    DescribeConfigsSynonym {
        name: Str [1+];
        value: Option<Str> [1+] null[0+];
        source: i8 [1+];
    }
}
