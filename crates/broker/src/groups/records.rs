//! Records of `__consumer_offsets`: keys and values in Kafka's own schemas, so that Apache's tools can read them.
//!
//! Written as Kafka 4.3 writes them: group metadata with key version 2 and value version 3, offset commits with key
//! version 1 and value version 3 (1 where the client set a retention of its own). All older versions can be read.
use bytes::Bytes;
use kafka_wire::messages::consumer_offsets::MemberMetadata;
use kafka_wire::messages::{GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue};
use kafka_wire::{EncodeError, Str, decode_prefixed, encode_prefixed};
use std::sync::Arc;

/// The last key version that names a committed offset; the next one names a group.
const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
/// The last value versions that are not flexible, which is what Kafka writes (KIP-915).
const GROUP_VALUE_VERSION: i16 = 3;
const OFFSET_VALUE_VERSION: i16 = 3;
/// The only offset value version with an expiry time.
const OFFSET_VALUE_VERSION_WITH_EXPIRY: i16 = 1;

/// A group as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupValue {
    pub(crate) protocol_type: Arc<str>,
    pub(crate) generation: i32,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<Arc<str>>,
    /// Milliseconds since the epoch, or -1.
    pub(crate) state_since: i64,
    pub(crate) members: Vec<MemberValue>,
}

/// A member as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberValue {
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    /// -1 in old records.
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) subscription: Bytes,
    pub(crate) assignment: Bytes,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetValue {
    pub(crate) offset: i64,
    /// -1 for none.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Arc<str>,
    /// Milliseconds since the epoch.
    pub(crate) committed_at: i64,
    /// When it expires whatever its group does; only where the client asked for that.
    pub(crate) expires_at: Option<i64>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupRecord {
    /// A group's state, or its end.
    Group { group_id: Arc<str>, value: Option<GroupValue> },
    /// A committed offset, or its removal.
    Offset { group_id: Arc<str>, topic: Arc<str>, partition: i32, value: Option<OffsetValue> },
}

/// A record's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

impl GroupRecord {
    /// The record's key and value.
    ///
    /// # Errors
    /// A string that is longer than the schema allows.
    pub(crate) fn encode(&self) -> Result<Encoded, EncodeError> {
        match self {
            GroupRecord::Group { group_id, value } => {
                let key = GroupMetadataKey { group: text(group_id) };
                let value =
                    value.as_ref().map(|value| encode_prefixed(&value.to_wire(), GROUP_VALUE_VERSION));
                Ok(Encoded { key: encode_prefixed(&key, GROUP_KEY_VERSION)?, value: value.transpose()? })
            }
            GroupRecord::Offset { group_id, topic, partition, value } => {
                let key =
                    OffsetCommitKey { group: text(group_id), topic: text(topic), partition: *partition };
                let value = value.as_ref().map(OffsetValue::encode).transpose()?;
                Ok(Encoded { key: encode_prefixed(&key, OFFSET_KEY_VERSION)?, value })
            }
        }
    }

    /// Reads a record. None if it is of a kind that this version does not know (another group protocol's).
    ///
    /// # Errors
    /// Why the bytes are not what their version says.
    pub(crate) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, String> {
        let Some(version) = key.first_chunk::<2>().map(|version| i16::from_be_bytes(*version)) else {
            return Err(format!("a key of {} bytes has no version", key.len()));
        };
        let key = Bytes::copy_from_slice(key);
        let value = value.map(Bytes::copy_from_slice);
        match version {
            0..=OFFSET_KEY_VERSION => {
                let (_, key) = decode_prefixed::<OffsetCommitKey>(key).map_err(|error| error.to_string())?;
                Ok(Some(GroupRecord::Offset {
                    group_id: shared(&key.group),
                    topic: shared(&key.topic),
                    partition: key.partition,
                    value: value.map(OffsetValue::decode).transpose()?,
                }))
            }
            GROUP_KEY_VERSION => {
                let (_, key) = decode_prefixed::<GroupMetadataKey>(key).map_err(|error| error.to_string())?;
                Ok(Some(GroupRecord::Group {
                    group_id: shared(&key.group),
                    value: value.map(GroupValue::decode).transpose()?,
                }))
            }
            _ => Ok(None),
        }
    }
}

impl GroupValue {
    fn to_wire(&self) -> GroupMetadataValue {
        GroupMetadataValue {
            protocol_type: text(&self.protocol_type),
            generation: self.generation,
            protocol: self.protocol.as_ref().map(text),
            leader: self.leader.as_ref().map(text),
            current_state_timestamp: self.state_since,
            members: self.members.iter().map(MemberValue::to_wire).collect(),
        }
    }

    fn decode(bytes: Bytes) -> Result<GroupValue, String> {
        let (_, wire) = decode_prefixed::<GroupMetadataValue>(bytes).map_err(|error| error.to_string())?;
        Ok(GroupValue {
            protocol_type: shared(&wire.protocol_type),
            generation: wire.generation,
            protocol: wire.protocol.as_ref().map(shared),
            leader: wire.leader.as_ref().map(shared),
            state_since: wire.current_state_timestamp,
            members: wire.members.iter().map(MemberValue::from_wire).collect(),
        })
    }
}

impl MemberValue {
    fn to_wire(&self) -> MemberMetadata {
        MemberMetadata {
            member_id: text(&self.member_id),
            group_instance_id: self.instance_id.as_ref().map(text),
            client_id: text(&self.client_id),
            client_host: text(&self.client_host),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: self.subscription.clone(),
            assignment: self.assignment.clone(),
        }
    }

    fn from_wire(wire: &MemberMetadata) -> MemberValue {
        MemberValue {
            member_id: shared(&wire.member_id),
            instance_id: wire.group_instance_id.as_ref().map(shared),
            client_id: shared(&wire.client_id),
            client_host: shared(&wire.client_host),
            rebalance_timeout_ms: wire.rebalance_timeout,
            session_timeout_ms: wire.session_timeout,
            subscription: Bytes::copy_from_slice(&wire.subscription),
            assignment: Bytes::copy_from_slice(&wire.assignment),
        }
    }
}

impl OffsetValue {
    fn encode(&self) -> Result<Bytes, EncodeError> {
        let wire = OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: text(&self.metadata),
            commit_timestamp: self.committed_at,
            expire_timestamp: self.expires_at.unwrap_or(-1),
            ..Default::default()
        };
        match self.expires_at {
            Some(_) => encode_prefixed(&wire, OFFSET_VALUE_VERSION_WITH_EXPIRY),
            None => encode_prefixed(&wire, OFFSET_VALUE_VERSION),
        }
    }

    fn decode(bytes: Bytes) -> Result<OffsetValue, String> {
        let (_, wire) = decode_prefixed::<OffsetCommitValue>(bytes).map_err(|error| error.to_string())?;
        Ok(OffsetValue {
            offset: wire.offset,
            leader_epoch: wire.leader_epoch,
            metadata: shared(&wire.metadata),
            committed_at: wire.commit_timestamp,
            expires_at: (wire.expire_timestamp != -1).then_some(wire.expire_timestamp),
        })
    }
}

fn text(text: &Arc<str>) -> Str {
    Str::from(&**text)
}

fn shared(text: &Str) -> Arc<str> {
    Arc::from(text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(expires_at: Option<i64>) -> GroupRecord {
        GroupRecord::Offset {
            group_id: "g".into(),
            topic: "t".into(),
            partition: 7,
            value: Some(OffsetValue {
                offset: 42,
                leader_epoch: if expires_at.is_some() { -1 } else { 3 },
                metadata: "m".into(),
                committed_at: 1000,
                expires_at,
            }),
        }
    }

    fn again(record: &GroupRecord) -> GroupRecord {
        let encoded = record.encode().expect("short strings");
        GroupRecord::decode(&encoded.key, encoded.value.as_deref()).expect("own bytes").expect("a known kind")
    }

    #[test]
    fn kafka_2_23_records_have_kafkas_own_schemas() {
        let encoded = offset(None).encode().expect("short strings");
        assert_eq!(&encoded.key[..], b"\0\x01\0\x01g\0\x01t\0\0\0\x07");
        let value = encoded.value.expect("no tombstone");
        assert_eq!(&value[..], b"\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\x03\0\x01m\0\0\0\0\0\0\x03\xe8");
        let expiring = offset(Some(9)).encode().expect("short strings").value.expect("no tombstone");
        assert_eq!(&expiring[..2], b"\0\x01");
        let group = GroupRecord::Group { group_id: "g".into(), value: None }.encode().expect("short strings");
        assert_eq!((&group.key[..], group.value), (&b"\0\x02\0\x01g"[..], None));
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let group = GroupRecord::Group {
            group_id: "g".into(),
            value: Some(GroupValue {
                protocol_type: "consumer".into(),
                generation: 5,
                protocol: Some("range".into()),
                leader: None,
                state_since: 77,
                members: vec![MemberValue {
                    member_id: "m".into(),
                    instance_id: Some("i".into()),
                    client_id: "c".into(),
                    client_host: "/127.0.0.1".into(),
                    rebalance_timeout_ms: 60_000,
                    session_timeout_ms: 10_000,
                    subscription: Bytes::from_static(b"s"),
                    assignment: Bytes::from_static(b"a"),
                }],
            }),
        };
        let tombstone =
            GroupRecord::Offset { group_id: "".into(), topic: "t".into(), partition: 0, value: None };
        for record in [group, offset(None), offset(Some(123)), tombstone] {
            assert_eq!(again(&record), record);
        }
    }

    #[test]
    fn unknown_kinds_are_skipped_and_damaged_ones_reported() {
        assert_eq!(GroupRecord::decode(b"\0\x03\0\x01g", None), Ok(None));
        assert!(GroupRecord::decode(b"\0", None).is_err());
        assert!(GroupRecord::decode(b"\0\x01\0\x05g", None).is_err());
        assert!(GroupRecord::decode(b"\0\x02\0\x01g", Some(b"\0\x09")).is_err());
    }
}
