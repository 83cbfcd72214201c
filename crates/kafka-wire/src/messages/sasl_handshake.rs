//! SaslHandshake, key 17: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Str};

messages! {
    SaslHandshakeRequest [0-1] flexible [none] {
        mechanism: Str [0+];
    }

    SaslHandshakeResponse [0-1] flexible [none] {
        error_code: ErrorCode [0+];
        mechanisms: Vec<Str> [0+];
    }
}
