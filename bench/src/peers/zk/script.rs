//! What the connections of a load ask for: frames that are made once, of which only the number and digits in the paths change.
use super::session::{create, delete, frame};
use bytes::Bytes;
use jute::{MultiOp, MultiRequest, PathWatchRequest, Request, SetDataRequest};

/// Stands for a number in a path.
const PLACE: &str = "##########";
/// The xid stands behind the length.
const XID_AT: usize = 4;
const REPLY_HEADER_BYTES: usize = 16;
const STAT_BYTES: usize = 68;
const MULTI_HEADER_BYTES: usize = 9;
const LENGTH_BYTES: usize = 4;
/// The operations of a multi.
pub(super) const MULTI_OPS: usize = 10;
/// One in so many of a mixed load is a write.
const MIXED_WRITE_EVERY: u64 = 10;
/// Znodes that gets and sets go to.
pub(super) const KEYS: u64 = 1_000;
/// Spreads connections over the keys.
const KEY_STRIDE: u64 = 31;

/// A frame whose numbers are filled in when it is sent.
pub(super) struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
    /// The length of the answer to it, without the length itself.
    answer: usize,
}

impl Template {
    fn new(request: &Request, answer: usize) -> Template {
        let bytes = frame(0, request).to_vec();
        let windows = bytes.windows(PLACE.len()).enumerate();
        let places = windows.filter(|(_, window)| *window == PLACE.as_bytes()).map(|(at, _)| at).collect();
        Template { bytes, places, answer: REPLY_HEADER_BYTES + answer }
    }

    /// Appends the frame; the places get the numbers in their order.
    fn put(&self, xid: i32, mut number: impl FnMut(u64) -> u64, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let frame = &mut out[start..];
        frame[XID_AT..XID_AT + 4].copy_from_slice(&xid.to_be_bytes());
        for (index, place) in self.places.iter().enumerate() {
            let mut rest = number(index as u64);
            for digit in frame[*place..*place + PLACE.len()].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        self.answer
    }
}

/// What every connection asks for, one request after another.
pub(super) enum Script {
    /// The one template of each connection, numbered by its requests: creates and deletes of nodes of its own.
    Own(Vec<Template>),
    /// The same template for all, over the keys.
    Keys(Template),
    /// Reads of keys and, now and then, a write.
    Mixed {
        /// The read.
        get: Template,
        /// The write.
        set: Template,
    },
}

impl Script {
    /// Every connection creates nodes in a folder of its own below `root`.
    pub(super) fn create(root: &str, connections: usize, bytes: usize, flags: i32) -> Script {
        let template = |connection| {
            let path = own_path(root, connection);
            let answer = LENGTH_BYTES + path.len();
            Template::new(&create(&path, &payload(bytes), flags), answer)
        };
        Script::Own((0..connections).map(template).collect())
    }

    /// Every connection deletes what it created.
    pub(super) fn delete(root: &str, connections: usize) -> Script {
        let template = |connection| Template::new(&delete(&own_path(root, connection)), 0);
        Script::Own((0..connections).map(template).collect())
    }

    /// Creates the keys below `root`, on one connection.
    pub(super) fn create_keys(root: &str, bytes: usize) -> Script {
        let path = key_path(root);
        let answer = LENGTH_BYTES + path.len();
        Script::Own(vec![Template::new(&create(&path, &payload(bytes), 0), answer)])
    }

    /// Deletes the keys below `root`, on one connection.
    pub(super) fn delete_keys(root: &str) -> Script {
        Script::Own(vec![Template::new(&delete(&key_path(root)), 0)])
    }

    /// Sets the keys below `root`.
    pub(super) fn set(root: &str, bytes: usize) -> Script {
        Script::Keys(set_template(root, bytes))
    }

    /// Reads the keys below `root`.
    pub(super) fn get(root: &str, bytes: usize) -> Script {
        Script::Keys(get_template(root, bytes))
    }

    /// Nine reads and one write.
    pub(super) fn mixed(root: &str, bytes: usize) -> Script {
        Script::Mixed { get: get_template(root, bytes), set: set_template(root, bytes) }
    }

    /// Multis that set ten keys below `root`.
    pub(super) fn multi(root: &str, bytes: usize) -> Script {
        let op = || MultiOp::SetData(set_request(root, bytes));
        let request = Request::Multi(MultiRequest { ops: (0..MULTI_OPS).map(|_| op()).collect() });
        let answer = MULTI_OPS * (MULTI_HEADER_BYTES + STAT_BYTES) + MULTI_HEADER_BYTES;
        Script::Keys(Template::new(&request, answer))
    }

    /// Appends the request `number` of `connection`; the length of its answer.
    pub(super) fn put(&self, connection: usize, number: u64, xid: i32, out: &mut Vec<u8>) -> usize {
        let key = |index| (number + index + connection as u64 * KEY_STRIDE) % KEYS;
        match self {
            Script::Own(templates) => templates[connection].put(xid, |_| number, out),
            Script::Keys(template) => template.put(xid, key, out),
            Script::Mixed { set, .. } if number.is_multiple_of(MIXED_WRITE_EVERY) => set.put(xid, key, out),
            Script::Mixed { get, .. } => get.put(xid, key, out),
        }
    }
}

/// The folder of a connection's own nodes.
pub(super) fn own_folder(root: &str, connection: usize) -> String {
    format!("{root}/c{connection:02}")
}

fn own_path(root: &str, connection: usize) -> String {
    format!("{}/n{PLACE}", own_folder(root, connection))
}

fn key_path(root: &str) -> String {
    format!("{root}/k{PLACE}")
}

fn set_request(root: &str, bytes: usize) -> SetDataRequest {
    SetDataRequest { path: key_path(root).into(), data: Some(Bytes::from(payload(bytes))), version: -1 }
}

fn set_template(root: &str, bytes: usize) -> Template {
    Template::new(&Request::SetData(set_request(root, bytes)), STAT_BYTES)
}

fn get_template(root: &str, bytes: usize) -> Template {
    let request = Request::GetData(PathWatchRequest { path: key_path(root).into(), watch: false });
    Template::new(&request, LENGTH_BYTES + bytes + STAT_BYTES)
}

/// Data of znodes; it holds no [`PLACE`].
pub(super) fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| b'a' + (at % 26) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use jute::{
        DataResponse, MultiResponse, MultiResult, PathResponse, ReplyHeader, RequestHeader, Response, Stat,
        StatResponse, Wire,
    };

    const XID: i32 = 7;

    /// The request that a script makes, and the length of the answer that it expects.
    fn request(script: &Script, connection: usize, number: u64) -> (Request, usize) {
        let mut out = Vec::new();
        let answer = script.put(connection, number, XID, &mut out);
        let mut frame = Bytes::from(out);
        assert_eq!(i32::decode(&mut frame).expect("a length"), frame.len() as i32);
        let header = RequestHeader::decode(&mut frame).expect("a header");
        assert_eq!(header.xid, XID);
        let request = Request::decode(header.op, &mut frame).expect("a request");
        assert!(frame.is_empty(), "the frame has more than the request");
        (request, answer)
    }

    /// How long the answer is that jute would send.
    fn length(response: &Response) -> usize {
        let mut out = BytesMut::new();
        ReplyHeader { xid: XID, zxid: 1, err: 0 }.encode(&mut out);
        response.encode(&mut out);
        out.len()
    }

    #[test]
    fn creates_are_numbered_within_a_folder_of_the_connection() {
        let (created, answer) = request(&Script::create("/t", 3, 100, 0), 2, 12_345);
        let Request::Create(create) = created else { panic!("a create") };
        assert_eq!(create.path, "/t/c02/n0000012345");
        assert_eq!(create.data.map(|data| data.len()), Some(100));
        assert_eq!(answer, length(&Response::Create(PathResponse { path: create.path })));
        let (deleted, answer) = request(&Script::delete("/t", 3), 2, 12_345);
        let Request::Delete(delete) = deleted else { panic!("a delete") };
        assert_eq!(delete.path, "/t/c02/n0000012345");
        assert_eq!(answer, length(&Response::Delete));
    }

    #[test]
    fn gets_and_sets_stay_within_the_keys() {
        let (got, answer) = request(&Script::get("/t", 1_024), 1, KEYS - 1);
        let Request::GetData(get) = got else { panic!("a get") };
        assert_eq!(get.path, "/t/k0000000030");
        let data = Some(Bytes::from(payload(1_024)));
        assert_eq!(answer, length(&Response::GetData(DataResponse { data, stat: Stat::default() })));
        let (_, answer) = request(&Script::set("/t", 1_024), 0, 0);
        assert_eq!(answer, length(&Response::SetData(StatResponse { stat: Stat::default() })));
    }

    #[test]
    fn a_multi_sets_ten_keys() {
        let (multi, answer) = request(&Script::multi("/t", 100), 0, 5);
        let Request::Multi(multi) = multi else { panic!("a multi") };
        let last = multi.ops.last().expect("operations");
        assert!(matches!(last, MultiOp::SetData(set) if set.path == "/t/k0000000014"));
        let results = vec![MultiResult::SetData(Stat::default()); MULTI_OPS];
        assert_eq!(answer, length(&Response::Multi(MultiResponse { results })));
    }

    #[test]
    fn one_of_ten_of_a_mixed_load_is_a_write() {
        let script = Script::mixed("/t", 100);
        let writes = (0..100).filter(|number| matches!(request(&script, 0, *number).0, Request::SetData(_)));
        assert_eq!(writes.count(), 10);
    }
}
