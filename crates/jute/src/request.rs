//! Owns the table from opcodes to the records of their requests, and of their responses.

use bytes::{Bytes, BytesMut};

use crate::consts::OpCode;
use crate::multi::{MultiRequest, MultiResponse};
use crate::records::*;
use crate::wire::{DecodeError, Wire};

/// Declares an enum of bodies by opcode: `Variant` has no body, `Variant(Record)` has one.
macro_rules! bodies {
    (
        $(#[$meta:meta])* $type:ident {
            $($(#[$empty_meta:meta])* $empty:ident,)*
            ;
            $($(#[$body_meta:meta])* $variant:ident($record:ty),)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $type {
            $($(#[$empty_meta])* $empty,)*
            $($(#[$body_meta])* $variant($record),)*
        }

        impl $type {
            /// The opcode of the body.
            pub fn op_code(&self) -> OpCode {
                match self {
                    $($type::$empty => OpCode::$empty,)*
                    $($type::$variant(_) => OpCode::$variant,)*
                }
            }

            /// Takes the body of an opcode from the front of `input`. Bytes after it are ignored, as ZooKeeper does.
            ///
            /// # Errors
            /// [`DecodeError::UnknownOperation`] for an opcode that is no client's, or that the body isn't one.
            pub fn decode(op: i32, input: &mut Bytes) -> Result<$type, DecodeError> {
                match OpCode::from_code(op) {
                    $(Some(OpCode::$empty) => Ok($type::$empty),)*
                    $(Some(OpCode::$variant) => Ok($type::$variant(Wire::decode(input)?)),)*
                    _ => Err(DecodeError::UnknownOperation(op)),
                }
            }

            /// Appends the body to `out`.
            pub fn encode(&self, out: &mut BytesMut) {
                match self {
                    $($type::$empty => {})*
                    $($type::$variant(body) => body.encode(out),)*
                }
            }
        }
    };
}

bodies! {
    /// A client's request, without its header.
    Request {
        /// ping.
        Ping,
        /// whoAmI.
        WhoAmI,
        /// closeSession.
        CloseSession,
        ;
        /// create.
        Create(CreateRequest),
        /// create2.
        Create2(CreateRequest),
        /// createContainer.
        CreateContainer(CreateRequest),
        /// createTTL.
        CreateTtl(CreateTtlRequest),
        /// delete.
        Delete(PathVersionRequest),
        /// deleteContainer.
        DeleteContainer(PathRequest),
        /// exists.
        Exists(PathWatchRequest),
        /// getData.
        GetData(PathWatchRequest),
        /// setData.
        SetData(SetDataRequest),
        /// getACL.
        GetAcl(PathRequest),
        /// setACL.
        SetAcl(SetAclRequest),
        /// getChildren.
        GetChildren(PathWatchRequest),
        /// getChildren2.
        GetChildren2(PathWatchRequest),
        /// getAllChildrenNumber.
        GetAllChildrenNumber(PathRequest),
        /// getEphemerals.
        GetEphemerals(GetEphemeralsRequest),
        /// sync.
        Sync(PathRequest),
        /// check; refused outside of a multi.
        Check(PathVersionRequest),
        /// multi.
        Multi(MultiRequest),
        /// multiRead.
        MultiRead(MultiRequest),
        /// reconfig.
        Reconfig(ReconfigRequest),
        /// checkWatches.
        CheckWatches(PathWatcherTypeRequest),
        /// removeWatches.
        RemoveWatches(PathWatcherTypeRequest),
        /// addWatch.
        AddWatch(AddWatchRequest),
        /// setWatches.
        SetWatches(SetWatchesRequest),
        /// setWatches2.
        SetWatches2(SetWatches2Request),
        /// auth.
        Auth(AuthPacket),
        /// sasl.
        Sasl(SaslToken),
    }
}

bodies! {
    /// A successful response, without its header.
    Response {
        /// ping.
        Ping,
        /// delete.
        Delete,
        /// deleteContainer.
        DeleteContainer,
        /// checkWatches.
        CheckWatches,
        /// removeWatches.
        RemoveWatches,
        /// setWatches.
        SetWatches,
        /// setWatches2.
        SetWatches2,
        /// auth.
        Auth,
        /// closeSession.
        CloseSession,
        ;
        /// A watch event.
        Notification(WatcherEvent),
        /// create.
        Create(PathResponse),
        /// create2.
        Create2(PathStatResponse),
        /// createContainer.
        CreateContainer(PathStatResponse),
        /// createTTL.
        CreateTtl(PathStatResponse),
        /// exists.
        Exists(StatResponse),
        /// getData.
        GetData(DataResponse),
        /// setData.
        SetData(StatResponse),
        /// getACL.
        GetAcl(AclResponse),
        /// setACL.
        SetAcl(StatResponse),
        /// getChildren.
        GetChildren(ChildrenResponse),
        /// getChildren2.
        GetChildren2(ChildrenStatResponse),
        /// getAllChildrenNumber.
        GetAllChildrenNumber(TotalNumberResponse),
        /// getEphemerals.
        GetEphemerals(EphemeralsResponse),
        /// sync.
        Sync(PathResponse),
        /// multi.
        Multi(MultiResponse),
        /// multiRead.
        MultiRead(MultiResponse),
        /// reconfig.
        Reconfig(DataResponse),
        /// addWatch: an error code, 0, even in success.
        AddWatch(ErrorResponse),
        /// whoAmI.
        WhoAmI(WhoAmIResponse),
        /// sasl.
        Sasl(SaslToken),
    }
}
