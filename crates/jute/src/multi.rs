//! Owns the sequences of multi and multiRead: ops and results, each after a `MultiHeader`, ended by
//! `MultiHeader(-1, true, -1)`. Invariant: the ops of one sequence either all read or all write.

use bytes::{Bytes, BytesMut};

use crate::consts::{CREATE_FLAG_MAX, ErrorCode, OpCode};
use crate::records::{
    ChildrenResponse, CreateRequest, CreateTtlRequest, DataResponse, MultiHeader, PathResponse,
    PathStatResponse, PathVersionRequest, PathWatchRequest, SetDataRequest, Stat, StatResponse,
};
use crate::wire::{DecodeError, Wire};

const END: MultiHeader = MultiHeader { op: -1, done: true, err: -1 };

/// One op of a multi or a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiOp {
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
    /// setData.
    SetData(SetDataRequest),
    /// check.
    Check(PathVersionRequest),
    /// getChildren; the watch flag means nothing.
    GetChildren(PathWatchRequest),
    /// getData; the watch flag means nothing.
    GetData(PathWatchRequest),
}

impl MultiOp {
    /// The op's code.
    pub fn op_code(&self) -> OpCode {
        match self {
            MultiOp::Create(_) => OpCode::Create,
            MultiOp::Create2(_) => OpCode::Create2,
            MultiOp::CreateContainer(_) => OpCode::CreateContainer,
            MultiOp::CreateTtl(_) => OpCode::CreateTtl,
            MultiOp::Delete(_) => OpCode::Delete,
            MultiOp::SetData(_) => OpCode::SetData,
            MultiOp::Check(_) => OpCode::Check,
            MultiOp::GetChildren(_) => OpCode::GetChildren,
            MultiOp::GetData(_) => OpCode::GetData,
        }
    }

    /// Whether it belongs into a multiRead.
    pub fn is_read(&self) -> bool {
        matches!(self, MultiOp::GetChildren(_) | MultiOp::GetData(_))
    }

    fn decode(op: i32, input: &mut Bytes) -> Result<MultiOp, DecodeError> {
        Ok(match OpCode::from_code(op) {
            Some(OpCode::Create) => MultiOp::Create(known_flag(Wire::decode(input)?)?),
            Some(OpCode::Create2) => MultiOp::Create2(known_flag(Wire::decode(input)?)?),
            Some(OpCode::CreateContainer) => MultiOp::CreateContainer(known_flag(Wire::decode(input)?)?),
            Some(OpCode::CreateTtl) => MultiOp::CreateTtl(Wire::decode(input)?),
            Some(OpCode::Delete) => MultiOp::Delete(Wire::decode(input)?),
            Some(OpCode::SetData) => MultiOp::SetData(Wire::decode(input)?),
            Some(OpCode::Check) => MultiOp::Check(Wire::decode(input)?),
            Some(OpCode::GetChildren) => MultiOp::GetChildren(Wire::decode(input)?),
            Some(OpCode::GetData) => MultiOp::GetData(Wire::decode(input)?),
            _ => return Err(DecodeError::BadMultiOp(op)),
        })
    }

    fn encode(&self, out: &mut BytesMut) {
        MultiHeader { op: self.op_code().code(), done: false, err: -1 }.encode(out);
        match self {
            MultiOp::Create(request) | MultiOp::Create2(request) | MultiOp::CreateContainer(request) => {
                request.encode(out);
            }
            MultiOp::CreateTtl(request) => request.encode(out),
            MultiOp::Delete(request) | MultiOp::Check(request) => request.encode(out),
            MultiOp::SetData(request) => request.encode(out),
            MultiOp::GetChildren(request) | MultiOp::GetData(request) => request.encode(out),
        }
    }
}

/// In a multi a bad create flag makes the whole request malformed; alone it is a bad argument.
fn known_flag(request: CreateRequest) -> Result<CreateRequest, DecodeError> {
    if (0..=CREATE_FLAG_MAX).contains(&request.flags) {
        Ok(request)
    } else {
        Err(DecodeError::BadCreateFlag(request.flags))
    }
}

/// There is room for so many operations from the beginning, because moving them costs more than the room. Their number is known at the end.
const OPS_USUAL: usize = 16;

/// The body of a multi or a multiRead.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MultiRequest {
    /// The ops in order.
    pub ops: Vec<MultiOp>,
}

impl Wire for MultiRequest {
    const SIZE_MIN: usize = MultiHeader::SIZE_MIN;

    fn decode(input: &mut Bytes) -> Result<MultiRequest, DecodeError> {
        let mut ops: Vec<MultiOp> = Vec::with_capacity(OPS_USUAL);
        loop {
            let header = MultiHeader::decode(input)?;
            if header.done {
                return Ok(MultiRequest { ops });
            }
            let op = MultiOp::decode(header.op, input)?;
            if ops.first().is_some_and(|first| first.is_read() != op.is_read()) {
                return Err(DecodeError::MixedMulti);
            }
            ops.push(op);
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        for op in &self.ops {
            op.encode(out);
        }
        END.encode(out);
    }
}

/// One result of a multi or a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiResult {
    /// create.
    Create(PathResponse),
    /// create2, createContainer, createTTL.
    Create2(PathStatResponse),
    /// delete.
    Delete,
    /// setData.
    SetData(Stat),
    /// check.
    Check,
    /// getChildren.
    GetChildren(ChildrenResponse),
    /// getData.
    GetData(DataResponse),
    /// A failed op of a multiRead, or any op of a failed multi: an [`ErrorCode`].
    Error(i32),
}

impl MultiResult {
    fn decode(header: &MultiHeader, input: &mut Bytes) -> Result<MultiResult, DecodeError> {
        Ok(match OpCode::from_code(header.op) {
            Some(OpCode::Create) => MultiResult::Create(Wire::decode(input)?),
            Some(OpCode::Create2) => MultiResult::Create2(Wire::decode(input)?),
            Some(OpCode::Delete) => MultiResult::Delete,
            Some(OpCode::SetData) => MultiResult::SetData(StatResponse::decode(input)?.stat),
            Some(OpCode::Check) => MultiResult::Check,
            Some(OpCode::GetChildren) => MultiResult::GetChildren(Wire::decode(input)?),
            Some(OpCode::GetData) => MultiResult::GetData(Wire::decode(input)?),
            Some(OpCode::Error) => MultiResult::Error(Wire::decode(input)?),
            _ => return Err(DecodeError::BadMultiOp(header.op)),
        })
    }

    fn encode(&self, out: &mut BytesMut) {
        let (op, err) = match self {
            MultiResult::Create(_) => (OpCode::Create, 0),
            MultiResult::Create2(_) => (OpCode::Create2, 0),
            MultiResult::Delete => (OpCode::Delete, 0),
            MultiResult::SetData(_) => (OpCode::SetData, 0),
            MultiResult::Check => (OpCode::Check, 0),
            MultiResult::GetChildren(_) => (OpCode::GetChildren, 0),
            MultiResult::GetData(_) => (OpCode::GetData, 0),
            MultiResult::Error(err) => (OpCode::Error, *err),
        };
        MultiHeader { op: op.code(), done: false, err }.encode(out);
        match self {
            MultiResult::Create(response) => response.encode(out),
            MultiResult::Create2(response) => response.encode(out),
            MultiResult::Delete | MultiResult::Check => {}
            MultiResult::SetData(stat) => stat.encode(out),
            MultiResult::GetChildren(response) => response.encode(out),
            MultiResult::GetData(response) => response.encode(out),
            MultiResult::Error(err) => err.encode(out),
        }
    }
}

/// The answer to a multi or a multiRead.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MultiResponse {
    /// One per op.
    pub results: Vec<MultiResult>,
}

impl MultiResponse {
    /// The answer to a multi of `count` ops that failed at op `index` with `code`: 0 before it, -2 after it. The
    /// reply header's err is 0 all the same.
    pub fn failed(count: usize, index: usize, code: i32) -> MultiResponse {
        let result = |op: usize| match op.cmp(&index) {
            std::cmp::Ordering::Less => ErrorCode::Ok.code(),
            std::cmp::Ordering::Equal => code,
            std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency.code(),
        };
        MultiResponse { results: (0..count).map(|op| MultiResult::Error(result(op))).collect() }
    }
}

impl Wire for MultiResponse {
    const SIZE_MIN: usize = MultiHeader::SIZE_MIN;

    fn decode(input: &mut Bytes) -> Result<MultiResponse, DecodeError> {
        let mut results = Vec::new();
        loop {
            let header = MultiHeader::decode(input)?;
            if header.done {
                return Ok(MultiResponse { results });
            }
            results.push(MultiResult::decode(&header, input)?);
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        for result in &self.results {
            result.encode(out);
        }
        END.encode(out);
    }
}
