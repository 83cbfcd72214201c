//! How answers and events are laid out: a frame, a reply header, a body.
//!
//! Invariant: what the tree has at hand as slices is written straight into the connection's buffer, without a record between.
use bytes::{BufMut, BytesMut};
use ensemble::{OpResult, WatchEvent};
use jute::{
    MultiHeader, OpCode, ReplyHeader, STATE_SYNC_CONNECTED, Wire, ZXID_NONE, put_frame, put_text, xid,
};
use tree::Stat;

/// Appends an answer. `body` is written in any case: an error's body is empty but for a few (reference 3.2).
pub(crate) fn put_reply(out: &mut BytesMut, xid: i32, zxid: i64, err: i32, body: impl FnOnce(&mut BytesMut)) {
    put_frame(out, |out| {
        ReplyHeader { xid, zxid, err }.encode(out);
        body(out);
    });
}

/// Appends a watch event (reference 3.8): its header has the transaction's zxid, or -1 for a catch-up of setWatches.
pub(crate) fn put_event(out: &mut BytesMut, event: &WatchEvent) {
    let zxid = event.zxid.map_or(ZXID_NONE, |zxid| zxid.0);
    put_reply(out, xid::WATCH_EVENT, zxid, 0, |out| {
        out.put_i32(event.kind as i32);
        out.put_i32(STATE_SYNC_CONNECTED);
        put_text(&event.path, out);
    });
}

/// Appends a stat.
pub(crate) fn put_stat(out: &mut BytesMut, stat: &Stat) {
    jute::Stat {
        czxid: stat.czxid.0,
        mzxid: stat.mzxid.0,
        ctime: stat.ctime_ms,
        mtime: stat.mtime_ms,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner,
        data_length: stat.data_length,
        num_children: stat.num_children,
        pzxid: stat.pzxid.0,
    }
    .encode(out);
}

/// What the answer to a write looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The path of the created znode (create).
    Path,
    /// The path and stat of the created znode (create2, createContainer, createTTL).
    PathStat,
    /// The changed znode's stat (setData, setACL).
    Stat,
    /// Nothing but the header (delete, closeSession).
    Header,
    /// The path that was asked for (sync).
    Echo(jute::Text),
    /// One result per operation (multi), each in the shape of its opcode.
    Multi(Vec<OpCode>),
}

impl Shape {
    /// Appends the body of a success.
    pub(crate) fn put_success(&self, out: &mut BytesMut, results: &[OpResult]) {
        match self {
            Shape::Header => {}
            Shape::Echo(path) => put_text(path, out),
            Shape::Path => {
                if let Some(OpResult::Created(path, _)) = results.first() {
                    put_text(path, out);
                }
            }
            Shape::PathStat => {
                if let Some(OpResult::Created(path, stat)) = results.first() {
                    put_text(path, out);
                    put_stat(out, stat);
                }
            }
            Shape::Stat => {
                if let Some(OpResult::Set(stat) | OpResult::AclSet(stat)) = results.first() {
                    put_stat(out, stat);
                }
            }
            Shape::Multi(ops) => put_multi_success(out, ops, results),
        }
    }
}

fn put_multi_success(out: &mut BytesMut, ops: &[OpCode], results: &[OpResult]) {
    for (op, result) in ops.iter().zip(results) {
        let put_header = |out: &mut BytesMut, op: OpCode| put_multi_header(out, op.code(), 0);
        match result {
            OpResult::Created(path, stat) => {
                let with_stat = *op != OpCode::Create;
                put_header(out, if with_stat { OpCode::Create2 } else { OpCode::Create });
                put_text(path, out);
                if with_stat {
                    put_stat(out, stat);
                }
            }
            OpResult::Set(stat) | OpResult::AclSet(stat) => {
                put_header(out, OpCode::SetData);
                put_stat(out, stat);
            }
            OpResult::Deleted => put_header(out, OpCode::Delete),
            OpResult::Checked => put_header(out, OpCode::Check),
        }
    }
    put_multi_end(out);
}

/// Appends what precedes one result of a multi.
pub(crate) fn put_multi_header(out: &mut BytesMut, op: i32, err: i32) {
    MultiHeader { op, done: false, err }.encode(out);
}

/// Appends a failed operation of a multi.
pub(crate) fn put_multi_error(out: &mut BytesMut, err: i32) {
    put_multi_header(out, OpCode::Error.code(), err);
    out.put_i32(err);
}

/// Appends the end of the results of a multi.
pub(crate) fn put_multi_end(out: &mut BytesMut) {
    MultiHeader { op: OpCode::Error.code(), done: true, err: -1 }.encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Buf, Bytes};
    use jute::{MultiResponse, MultiResult, Response};
    use std::sync::Arc;
    use tree::{EventKind, Zxid};

    fn frame(mut out: BytesMut) -> (ReplyHeader, Bytes) {
        assert_eq!(out.get_i32() as usize, out.len());
        let mut frame = out.freeze();
        let header = ReplyHeader::decode(&mut frame).expect("a header");
        (header, frame)
    }

    #[test]
    fn zk_3_8_events_carry_the_zxid_of_their_transaction() {
        for (zxid, shown) in [(Some(Zxid(0x42)), 0x42), (None, -1)] {
            let mut out = BytesMut::new();
            put_event(&mut out, &WatchEvent { kind: EventKind::DataChanged, path: Arc::from("/a"), zxid });
            let (header, mut body) = frame(out);
            assert_eq!(header, ReplyHeader { xid: -1, zxid: shown, err: 0 });
            let event = jute::WatcherEvent::decode(&mut body).expect("an event");
            assert_eq!((event.event_type, event.state, event.path.as_str()), (3, 3, "/a"));
            assert!(body.is_empty());
        }
    }

    #[test]
    fn multi_results_are_what_the_codec_reads() {
        let stat = Stat { version: 3, ..Stat::default() };
        let ops = vec![OpCode::Create, OpCode::CreateTtl, OpCode::SetData, OpCode::Delete, OpCode::Check];
        let results = [
            OpResult::Created(Arc::from("/a"), stat),
            OpResult::Created(Arc::from("/b"), stat),
            OpResult::Set(stat),
            OpResult::Deleted,
            OpResult::Checked,
        ];
        let mut out = BytesMut::new();
        put_reply(&mut out, 7, 9, 0, |out| Shape::Multi(ops).put_success(out, &results));
        let (_, mut body) = frame(out);
        let Ok(Response::Multi(MultiResponse { results })) =
            Response::decode(OpCode::Multi.code(), &mut body)
        else {
            panic!("no multi response");
        };
        assert!(body.is_empty());
        assert!(matches!(&results[0], MultiResult::Create(created) if created.path == "/a"));
        assert!(matches!(&results[1], MultiResult::Create2(created) if created.stat.version == 3));
        assert!(matches!(&results[2], MultiResult::SetData(stat) if stat.version == 3));
        assert_eq!(results[3..], [MultiResult::Delete, MultiResult::Check]);
    }
}
