//! SaslAuthenticate, key 36: the tables of its request and its response.

use crate::table::messages;
use crate::{Bytes, ErrorCode, Str};

messages! {
    SaslAuthenticateRequest [0-2] flexible [2+] {
        auth_bytes: Bytes [0+];
    }

    SaslAuthenticateResponse [0-2] flexible [2+] {
        error_code: ErrorCode [0+];
        error_message: Option<Str> [0+] null[0+];
        auth_bytes: Bytes [0+];
        session_lifetime_ms: i64 [1+], ignorable;
    }
}
