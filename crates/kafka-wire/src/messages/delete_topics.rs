//! DeleteTopics, key 20: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str, Uuid};

messages! {
    DeleteTopicsRequest [1-6] flexible [4+] {
        topics: Vec<DeleteTopicState> [6+];
        topic_names: Vec<Str> [0-5], ignorable;
        timeout_ms: i32 [0+];
    }

    DeleteTopicState {
        name: Option<Str> [6+] null[6+];
        topic_id: Uuid [6+];
    }

    DeleteTopicsResponse [1-6] flexible [4+] {
        throttle_time_ms: i32 [1+], ignorable;
        responses: Vec<DeletableTopicResult> [0+];
    }

    DeletableTopicResult {
        name: Option<Str> [0+] null[6+];
        topic_id: Uuid [6+], ignorable;
        error_code: ErrorCode [0+];
        error_message: Option<Str> [5+] null[5+], ignorable;
    }
}
