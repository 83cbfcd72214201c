//! DeleteAcls, key 31: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    DeleteAclsRequest [1-3] flexible [2+] {
        filters: Vec<DeleteAclsFilter> [0+];
    }

    DeleteAclsFilter {
        resource_type_filter: i8 [0+];
        resource_name_filter: Option<Str> [0+] null[0+];
        pattern_type_filter: i8 [1+] = 3;
        principal_filter: Option<Str> [0+] null[0+];
        host_filter: Option<Str> [0+] null[0+];
        operation: i8 [0+];
        permission_type: i8 [0+];
    }

    DeleteAclsResponse [1-3] flexible [2+] {
        throttle_time_ms: i32 [0+];
        filter_results: Vec<DeleteAclsFilterResult> [0+];
    }

    DeleteAclsFilterResult {
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
        matching_acls: Vec<DeleteAclsMatchingAcl> [0+];
    }

    DeleteAclsMatchingAcl {
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
        resource_type: i8 [0+];
        resource_name: Str [0+];
        pattern_type: i8 [1+] = 3;
        principal: Str [0+];
        host: Str [0+];
        operation: i8 [0+];
        permission_type: i8 [0+];
    }
}
