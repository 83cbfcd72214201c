//! UnregisterBroker, key 64: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    UnregisterBrokerRequest [0] flexible [0+] {
        broker_id: i32 [0+];
    }

    UnregisterBrokerResponse [0] flexible [0+] {
        throttle_time_ms: i32 [0+];
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
    }
}
