//! How a transaction, and a znode in a snapshot, look as records of `__znodes` (the table in ARCHITECTURE.md).
//!
//! Invariants: decoding what was encoded gives the same transaction; everything but a znode's data is readable text; a key
//! that begins with `/` is a znode's path, any other is none.
use crate::asks::Origin;
use bytes::{Bytes, BytesMut};
use log::builder::BuildError;
use log::{Batch, BatchBuilder, Codec, EncodedHeaders, RecordView, Scratch};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use tree::{
    Acl, AclList, Change, NodeImage, Owner, PasswordDigest, Perms, RawStat, SessionId, SessionImage, Txn,
    Zxid,
};

/// Keys of session records begin with this.
const SESSION_KEY: &str = "session:";
/// About what a record needs beside its key and its value: lengths and the usual headers.
const RECORD_FRAME_BYTES: usize = 96;
/// Bodies of small batches share blocks of this size; a block lives until the last of them is written.
const BLOCK_BYTES: usize = 64 << 10;
/// For how many changes of a transaction there is room before they are read.
const CHANGES_AHEAD_MAX: i32 = 1_024;
/// Memory beyond this is given back after a large transaction.
const RECORDS_KEPT_MAX: usize = 1 << 20;
/// About what a session's key and value need.
const SESSION_BYTES: usize = 120;

/// A record of `__znodes` that can't be understood: the log was written by something else, or is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record at offset {offset} of __znodes: {what}")]
pub(crate) struct RecordFault {
    /// The record's offset.
    pub(crate) offset: i64,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// A transaction of the log.
pub(crate) struct Entry {
    pub(crate) txn: Txn,
    /// The node that forwarded it, if it was not asked of the leader itself.
    pub(crate) origin: Option<Origin>,
}

/// Memory that encoding uses again and again: transactions are encoded in one thread and let go of in another, which costs an
/// allocator more than the encoding itself.
#[derive(Default)]
pub(crate) struct EncodeMemory {
    headers: HeaderText,
    session: String,
    records: Vec<u8>,
    /// What is left of the block that bodies of batches are parts of.
    block: BytesMut,
}

/// Encodes a transaction as the batch that is its place in the log.
pub(crate) fn encode_txn(
    txn: &Txn,
    epoch: i32,
    origin: Option<Origin>,
    memory: &mut EncodeMemory,
) -> Result<Batch, BuildError> {
    let EncodeMemory { headers, session, records, block } = memory;
    let content: usize = txn.changes.iter().map(content_bytes).sum();
    let mut builder = BatchBuilder::new(txn.zxid.0).leader_epoch(epoch).with_memory(std::mem::take(records));
    builder.reserve(content + RECORD_FRAME_BYTES * txn.changes.len());
    session.clear();
    if let Some(id) = txn.session {
        write!(session, "{id}").expect("writing to a string cannot fail");
    }
    for (index, change) in txn.changes.iter().enumerate() {
        headers.clear();
        let (key, value) = describe(change, headers);
        if index > 0 {
            headers.add_number("index", index);
        } else if let Some(origin) = origin {
            headers.add("from", format_args!("{origin}"));
        }
        if txn.session.is_some() {
            headers.add_text("session", session);
        }
        let offset = builder.next_offset();
        let (key, value) = (key.as_bytes(), value.as_deref());
        builder.append_encoded(offset, txn.time_ms, Some(key), value, &headers.encoded)?;
    }
    let (batch, used) = builder.build_in(block, BLOCK_BYTES)?;
    if used.capacity() <= RECORDS_KEPT_MAX {
        *records = used;
    }
    Ok(batch)
}

/// Bytes of a change's path and data.
fn content_bytes(change: &Change) -> usize {
    let length = |data: &Option<Bytes>| data.as_ref().map_or(0, Bytes::len);
    match change {
        Change::Create { path, data, .. }
        | Change::SetData { path, data, .. }
        | Change::SetAcl { path, data, .. } => path.len() + length(data),
        Change::SetUsage { path, data, .. } => path.len() + data.len(),
        Change::Delete { path } => path.len(),
        Change::OpenSession { .. } | Change::CloseSession { .. } => SESSION_BYTES,
    }
}

/// The change's key and value, and its own headers.
fn describe<'a>(change: &'a Change, headers: &mut HeaderText) -> (Cow<'a, str>, Option<Cow<'a, [u8]>>) {
    match change {
        Change::Create { path, data, acl, owner } => {
            headers.add_text("op", "create");
            add_owner(headers, *owner);
            add_acl(headers, acl);
            ((&**path).into(), Some(value_of(data, headers)))
        }
        Change::SetData { path, data, version } => {
            headers.add_text("op", "set");
            headers.add_number("version", *version);
            ((&**path).into(), Some(value_of(data, headers)))
        }
        Change::SetAcl { path, acl, aversion, data, mzxid } => {
            headers.add_text("op", "setacl");
            headers.add_number("version", *aversion);
            headers.add("acl", format_args!("{}", AclText(acl)));
            headers.add_stat(&[("mzxid=", mzxid.0)]);
            ((&**path).into(), Some(value_of(data, headers)))
        }
        Change::SetUsage { path, data, mzxid } => {
            headers.add_text("op", "usage");
            headers.add_stat(&[("mzxid=", mzxid.0)]);
            ((&**path).into(), Some((&**data).into()))
        }
        Change::Delete { path } => {
            headers.add_text("op", "delete");
            ((&**path).into(), None)
        }
        Change::OpenSession { id, timeout_ms, password_sha256 } => {
            headers.add_text("op", "open");
            (session_key(*id).into(), Some(session_value(*timeout_ms, password_sha256).into_bytes().into()))
        }
        Change::CloseSession { id } => {
            headers.add_text("op", "close");
            (session_key(*id).into(), None)
        }
    }
}

/// Appends a live znode to a batch of a snapshot, at the offset of its last change.
pub(crate) fn append_node(
    builder: &mut BatchBuilder,
    headers: &mut HeaderText,
    node: &NodeImage,
) -> Result<(), BuildError> {
    headers.clear();
    headers.add_text("op", "node");
    add_owner(headers, node.owner);
    add_acl(headers, &node.acl);
    let s = &node.stat;
    headers.add_stat(&[
        ("czxid=", s.czxid.0),
        (",mzxid=", s.mzxid.0),
        (",pzxid=", s.pzxid.0),
        (",ctime=", s.ctime_ms),
        (",mtime=", s.mtime_ms),
        (",version=", i64::from(s.version)),
        (",cversion=", i64::from(s.cversion)),
        (",aversion=", i64::from(s.aversion)),
    ]);
    if node.data.is_none() {
        headers.add_text("data", "null");
    }
    let value = node.data.as_deref().unwrap_or_default();
    let key = Some(node.path.as_bytes());
    builder.append_encoded(node.last_offset, s.mtime_ms, key, Some(value), &headers.encoded)
}

/// Appends an open session to a batch of a snapshot, at the offset where it opened.
pub(crate) fn append_session(
    builder: &mut BatchBuilder,
    headers: &mut HeaderText,
    session: &SessionImage,
    time_ms: i64,
) -> Result<(), BuildError> {
    headers.clear();
    headers.add_text("op", "open");
    let key = session_key(session.id);
    let value = session_value(session.timeout_ms, &session.password_sha256);
    let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
    builder.append_encoded(session.last_offset, time_ms, key, value, &headers.encoded)
}

/// What a record of a snapshot holds.
pub(crate) enum SnapshotRecord {
    /// A live znode.
    Node(NodeImage),
    /// An open session.
    Session(SessionImage),
}

/// Decodes a record of a snapshot.
pub(crate) fn decode_snapshot_record(record: &RecordView<'_>) -> Result<SnapshotRecord, RecordFault> {
    let fields = Fields::of(record)?;
    if fields.op == "open" {
        let (timeout_ms, password_sha256) = fields.session_value()?;
        let id = fields.session_id()?;
        return Ok(SnapshotRecord::Session(SessionImage {
            id,
            timeout_ms,
            password_sha256,
            last_offset: record.offset,
        }));
    }
    if fields.op != "node" {
        return Err(fields.fault(format!("{:?} is no operation of a snapshot", fields.op)));
    }
    Ok(SnapshotRecord::Node(NodeImage {
        path: fields.path()?,
        data: fields.data(),
        acl: fields.acl()?,
        owner: fields.owner()?,
        stat: fields.stat()?,
        last_offset: record.offset,
    }))
}

/// Decodes a batch of the tail; `None` for a control batch.
pub(crate) fn decode_txn(batch: &Batch, scratch: &mut Scratch) -> Result<Option<Entry>, RecordFault> {
    let header = batch.header();
    if header.is_control() {
        return Ok(None);
    }
    let unreadable =
        |fault: log::RecordFault| RecordFault { offset: header.base_offset, what: fault.to_string() };
    let mut txn = Txn {
        zxid: Zxid(header.base_offset),
        time_ms: header.base_timestamp,
        session: None,
        changes: Vec::with_capacity(header.record_count.clamp(0, CHANGES_AHEAD_MAX) as usize),
    };
    let mut origin = None;
    // What is compressed lies in the scratch memory, which is used again.
    let shared = (header.codec() == Some(Codec::None)).then_some(batch.body());
    for record in batch.records(scratch).map_err(unreadable)? {
        let record = record.map_err(unreadable)?;
        let fields = Fields { shared, ..Fields::of(&record)? };
        if txn.changes.is_empty() {
            txn.session = fields.session.map(parse_session).transpose().map_err(|what| fields.fault(what))?;
            origin = fields.from.map(parse_origin).transpose().map_err(|what| fields.fault(what))?;
        }
        txn.changes.push(fields.change()?);
    }
    Ok(Some(Entry { txn, origin }))
}

/// The headers of one record as they are made; kept for the next one because of its memory.
#[derive(Default)]
pub(crate) struct HeaderText {
    encoded: EncodedHeaders,
    /// A value that is put together of several parts.
    text: String,
}

impl HeaderText {
    fn clear(&mut self) {
        self.encoded.clear();
    }

    fn add(&mut self, name: &'static str, value: std::fmt::Arguments<'_>) {
        self.text.clear();
        self.text.write_fmt(value).expect("writing to a string cannot fail");
        self.encoded.add(name, &self.text);
    }

    #[inline]
    fn add_text(&mut self, name: &'static str, value: &str) {
        self.encoded.add(name, value);
    }

    fn add_number(&mut self, name: &'static str, value: impl itoa::Integer) {
        self.encoded.add(name, itoa::Buffer::new().format(value));
    }

    /// The header `stat`: each number behind its name.
    fn add_stat(&mut self, fields: &[(&str, i64)]) {
        self.text.clear();
        for (name, value) in fields {
            self.text.push_str(name);
            self.text.push_str(itoa::Buffer::new().format(*value));
        }
        self.encoded.add("stat", &self.text);
    }
}

fn add_owner(headers: &mut HeaderText, owner: Owner) {
    match owner {
        Owner::Persistent => {}
        Owner::Session(id) => headers.add("owner", format_args!("{id}")),
        Owner::Container => headers.add_text("owner", "container"),
        Owner::Ttl(ttl_ms) => headers.add("owner", format_args!("ttl:{ttl_ms}")),
    }
}

fn add_acl(headers: &mut HeaderText, acl: &AclList) {
    if !acl.is_open() {
        headers.add("acl", format_args!("{}", AclText(acl)));
    }
}

/// The record's value for a znode's data: a null value would be a tombstone, so null data is an empty value and a header.
fn value_of<'a>(data: &'a Option<Bytes>, headers: &mut HeaderText) -> Cow<'a, [u8]> {
    if data.is_none() {
        headers.add_text("data", "null");
    }
    Cow::Borrowed(data.as_deref().unwrap_or_default())
}

fn session_key(id: SessionId) -> String {
    format!("{SESSION_KEY}{id}")
}

fn session_value(timeout_ms: i32, digest: &PasswordDigest) -> String {
    let mut text = format!("timeout={timeout_ms},password-sha256=");
    for byte in digest {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

fn parse_session(text: &str) -> Result<SessionId, String> {
    text.strip_prefix("0x")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .map(|id| SessionId(id as i64))
        .ok_or_else(|| format!("{text:?} is no session id"))
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text).ok_or_else(|| format!("{text:?} names no forwarded request"))
}

/// `scheme:id:perms` entries with `,` between them; `,` and `\` of an id are escaped with `\`.
struct AclText<'a>(&'a AclList);

impl std::fmt::Display for AclText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, acl) in self.0.entries().iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            write!(f, "{}:", acl.id.scheme)?;
            for letter in acl.id.id.chars() {
                if matches!(letter, ',' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(letter)?;
            }
            write!(f, ":{}", acl.perms)?;
        }
        Ok(())
    }
}

fn parse_acl(text: &str) -> Result<AclList, String> {
    let mut entries = Vec::new();
    let mut entry = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next() {
            Some('\\') => entry.extend(letters.next()),
            Some(',') => entries.push(parse_acl_entry(&std::mem::take(&mut entry))?),
            Some(letter) => entry.push(letter),
            None => {
                entries.push(parse_acl_entry(&entry)?);
                return Ok(AclList::from(entries));
            }
        }
    }
}

fn parse_acl_entry(text: &str) -> Result<Acl, String> {
    let parts = text.split_once(':').and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once(':')?)));
    let (scheme, (id, perms)) = parts.ok_or_else(|| format!("{text:?} is no ACL entry"))?;
    let perms: Perms = perms.parse().map_err(|error| format!("{text:?} is no ACL entry: {error}"))?;
    Ok(Acl::new(perms, scheme, id))
}

/// The parts of a record, as text where they must be text.
struct Fields<'a> {
    offset: i64,
    key: &'a str,
    value: Option<&'a [u8]>,
    op: &'a str,
    session: Option<&'a str>,
    from: Option<&'a str>,
    acl: Option<&'a str>,
    owner: Option<&'a str>,
    version: Option<&'a str>,
    stat: Option<&'a str>,
    null_data: bool,
    /// Memory that the value lies in and that can be shared.
    shared: Option<&'a Bytes>,
}

impl<'a> Fields<'a> {
    fn of(record: &RecordView<'a>) -> Result<Fields<'a>, RecordFault> {
        let fault = |what: &str| RecordFault { offset: record.offset, what: what.to_owned() };
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| fault("a text is not UTF-8"));
        let mut fields = Fields {
            offset: record.offset,
            key: text(record.key.ok_or_else(|| fault("the key is missing"))?)?,
            value: record.value,
            op: "",
            session: None,
            from: None,
            acl: None,
            owner: None,
            version: None,
            stat: None,
            null_data: false,
            shared: None,
        };
        for header in record.headers() {
            let value = text(header.value.unwrap_or_default())?;
            match header.key {
                b"op" => fields.op = value,
                b"session" => fields.session = Some(value),
                b"from" => fields.from = Some(value),
                b"acl" => fields.acl = Some(value),
                b"owner" => fields.owner = Some(value),
                b"version" => fields.version = Some(value),
                b"stat" => fields.stat = Some(value),
                b"data" => fields.null_data = value == "null",
                // Newer versions may say more; what they say must not be needed to apply the change.
                _ => {}
            }
        }
        Ok(fields)
    }

    fn fault(&self, what: String) -> RecordFault {
        RecordFault { offset: self.offset, what }
    }

    fn change(&self) -> Result<Change, RecordFault> {
        Ok(match self.op {
            "create" => Change::Create {
                path: self.path()?,
                data: self.data(),
                acl: self.acl()?,
                owner: self.owner()?,
            },
            "set" => Change::SetData { path: self.path()?, data: self.data(), version: self.version()? },
            "setacl" => Change::SetAcl {
                path: self.path()?,
                acl: self.acl()?,
                aversion: self.version()?,
                data: self.data(),
                mzxid: self.stat()?.mzxid,
            },
            "usage" => Change::SetUsage {
                path: self.path()?,
                data: self.data().unwrap_or_default(),
                mzxid: self.stat()?.mzxid,
            },
            "delete" => Change::Delete { path: self.path()? },
            "open" => {
                let (timeout_ms, password_sha256) = self.session_value()?;
                Change::OpenSession { id: self.session_id()?, timeout_ms, password_sha256 }
            }
            "close" => Change::CloseSession { id: self.session_id()? },
            other => return Err(self.fault(format!("{other:?} is no operation that this version knows"))),
        })
    }

    fn path(&self) -> Result<Arc<str>, RecordFault> {
        if !self.key.starts_with('/') {
            return Err(self.fault(format!("{:?} is no path", self.key)));
        }
        Ok(Arc::from(self.key))
    }

    fn data(&self) -> Option<Bytes> {
        let value = self.value.filter(|_| !self.null_data)?;
        Some(match self.shared {
            Some(shared) => shared.slice_ref(value),
            None => Bytes::copy_from_slice(value),
        })
    }

    fn acl(&self) -> Result<AclList, RecordFault> {
        match self.acl {
            None => Ok(AclList::open()),
            Some(text) => parse_acl(text).map_err(|what| self.fault(what)),
        }
    }

    fn owner(&self) -> Result<Owner, RecordFault> {
        match self.owner {
            None => Ok(Owner::Persistent),
            Some("container") => Ok(Owner::Container),
            Some(text) => match text.strip_prefix("ttl:") {
                Some(ttl) => {
                    ttl.parse().map(Owner::Ttl).map_err(|_| self.fault(format!("{text:?} is no TTL")))
                }
                None => parse_session(text).map(Owner::Session).map_err(|what| self.fault(what)),
            },
        }
    }

    fn version(&self) -> Result<i32, RecordFault> {
        let version = self.version.and_then(|text| text.parse().ok());
        version.ok_or_else(|| self.fault("the version header is missing or no number".to_owned()))
    }

    fn stat(&self) -> Result<RawStat, RecordFault> {
        let text = self.stat.ok_or_else(|| self.fault("the stat header is missing".to_owned()))?;
        let mut stat = RawStat::default();
        for part in text.split(',') {
            let pair =
                part.split_once('=').and_then(|(name, value)| Some((name, value.parse::<i64>().ok()?)));
            let (name, value) = pair.ok_or_else(|| self.fault(format!("{part:?} is no part of a stat")))?;
            match name {
                "czxid" => stat.czxid = Zxid(value),
                "mzxid" => stat.mzxid = Zxid(value),
                "pzxid" => stat.pzxid = Zxid(value),
                "ctime" => stat.ctime_ms = value,
                "mtime" => stat.mtime_ms = value,
                "version" => stat.version = value as i32,
                "cversion" => stat.cversion = value as i32,
                "aversion" => stat.aversion = value as i32,
                _ => return Err(self.fault(format!("{name:?} is no part of a stat"))),
            }
        }
        Ok(stat)
    }

    fn session_id(&self) -> Result<SessionId, RecordFault> {
        let text = self.key.strip_prefix(SESSION_KEY).unwrap_or_default();
        parse_session(text).map_err(|what| self.fault(what))
    }

    fn session_value(&self) -> Result<(i32, PasswordDigest), RecordFault> {
        let value = self.value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        parse_session_value(value).ok_or_else(|| self.fault(format!("{value:?} describes no session")))
    }
}

fn parse_session_value(value: &str) -> Option<(i32, PasswordDigest)> {
    let (timeout, digest) = value.strip_prefix("timeout=")?.split_once(",password-sha256=")?;
    if digest.len() != 64 || !digest.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digest[2 * index..2 * index + 2], 16).ok()?;
    }
    Some((timeout.parse().ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(changes: Vec<Change>) {
        let session = Some(SessionId(0x0100_0000_0000_0007));
        let txn = Txn { zxid: Zxid(41), time_ms: 1_700_000_000_123, session, changes };
        let origin = Some(Origin { node: 2, incarnation: 0x9f_3a21, number: 17 });
        let batch = encode_txn(&txn, 3, origin, &mut EncodeMemory::default()).expect("it can be encoded");
        assert_eq!(batch.header().base_offset, 41);
        assert_eq!(batch.header().last_offset(), txn.last_offset());
        assert_eq!(batch.header().partition_leader_epoch, 3);
        let bytes = batch.to_bytes();
        let batch = Batch::parse_one(&bytes).expect("a batch");
        let read =
            decode_txn(&batch, &mut Scratch::new()).expect("it can be read").expect("it is no control batch");
        assert_eq!((read.txn, read.origin), (txn, origin));
    }

    #[test]
    fn every_change_survives_the_log() {
        let path: Arc<str> = "/a/ü".into();
        let strange = AclList::from(vec![
            Acl::new(Perms::READ, "digest", r"us,er\:ha=sh"),
            Acl::new(Perms::ALL, "ip", "10.0.0.0/8"),
            Acl::new(Perms(0), "world", "anyone"),
        ]);
        let owners = [
            Owner::Persistent,
            Owner::Session(SessionId(i64::MIN + 5)),
            Owner::Container,
            Owner::Ttl(60_000),
        ];
        let mut changes: Vec<Change> = owners
            .into_iter()
            .map(|owner| Change::Create { path: path.clone(), data: None, acl: strange.clone(), owner })
            .collect();
        changes.extend([
            Change::Create {
                path: path.clone(),
                data: Some(Bytes::new()),
                acl: AclList::open(),
                owner: Owner::Persistent,
            },
            Change::SetData {
                path: path.clone(),
                data: Some(Bytes::from_static(b"\0\xff")),
                version: i32::MIN,
            },
            Change::SetData { path: path.clone(), data: None, version: 7 },
            Change::SetAcl { path: path.clone(), acl: strange, aversion: 2, data: None, mzxid: Zxid(3) },
            Change::SetUsage {
                path: path.clone(),
                data: Bytes::from_static(b"count=1,bytes=2"),
                mzxid: Zxid(3),
            },
            Change::Delete { path },
            Change::OpenSession { id: SessionId(-2), timeout_ms: 4000, password_sha256: [0xab; 32] },
            Change::CloseSession { id: SessionId(-2) },
        ]);
        round_trip(changes);
    }

    #[test]
    fn a_strange_record_is_a_fault_and_no_panic() {
        for (key, headers) in [
            (None, vec![]),
            (Some(&b"/a"[..]), vec![]),
            (Some(b"no path"), vec![("op", "create")]),
            (Some(b"/a"), vec![("op", "set")]),
            (Some(b"/a"), vec![("op", "set"), ("version", "x")]),
            (Some(b"/a"), vec![("op", "create"), ("acl", "nonsense")]),
            (Some(b"/a"), vec![("op", "create"), ("owner", "ttl:x")]),
            (Some(b"session:0xzz"), vec![("op", "close")]),
            (Some(b"session:0x1"), vec![("op", "open")]),
            (Some(b"\xff"), vec![("op", "delete")]),
        ] {
            let headers: Vec<_> = headers
                .iter()
                .map(|(key, value)| log::RecordHeader { key: key.as_bytes(), value: Some(value.as_bytes()) })
                .collect();
            let mut builder = BatchBuilder::new(5);
            builder.append(0, key, Some(b""), &headers).expect("it can be built");
            let batch = builder.build().expect("it can be built");
            let fault = decode_txn(&batch, &mut Scratch::new()).err().expect("it makes no sense");
            assert_eq!(fault.offset, 5);
        }
    }
}
