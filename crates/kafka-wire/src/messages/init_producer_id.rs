//! InitProducerId, key 22: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    InitProducerIdRequest [0-5] flexible [2+] {
        transactional_id: Option<Str> [0+] null[0+];
        transaction_timeout_ms: i32 [0+];
        producer_id: i64 [3+] = -1;
        producer_epoch: i16 [3+] = -1;
    }

    InitProducerIdResponse [0-5] flexible [2+] {
        throttle_time_ms: i32 [0+], ignorable;
        error_code: ErrorCode [0+];
        producer_id: i64 [0+] = -1;
        producer_epoch: i16 [0+];
    }
}
