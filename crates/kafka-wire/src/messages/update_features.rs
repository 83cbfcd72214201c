//! UpdateFeatures, key 57: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    UpdateFeaturesRequest [0-2] flexible [0+] {
        timeout_ms: i32 [0+] = 60000;
        feature_updates: Vec<FeatureUpdateKey> [0+];
        validate_only: bool [1+];
    }

    FeatureUpdateKey {
        feature: Str [0+];
        max_version_level: i16 [0+];
        allow_downgrade: bool [0];
        upgrade_type: i8 [1+] = 1;
    }

    UpdateFeaturesResponse [0-2] flexible [0+] {
        throttle_time_ms: i32 [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
        results: Vec<UpdatableFeatureResult> [0-1], ignorable;
    }

    UpdatableFeatureResult {
        feature: Str [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
    }
}
