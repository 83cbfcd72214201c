//! Envelope, key 58: the tables of its request and its response.

use crate::table::messages;
use crate::{Bytes, ErrorCode};

messages! {
    EnvelopeRequest [0] flexible [0+] {
        request_data: Bytes [0+];
        request_principal: Option<Bytes> [0+] null[0+];
        client_host_address: Bytes [0+];
    }

    EnvelopeResponse [0] flexible [0+] {
        response_data: Option<Bytes> [0+] null[0+];
        error_code: ErrorCode [0+];
    }
}
