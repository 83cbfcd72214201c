//! The quorum's control records in KRaft's schemas (KIP-595 LeaderChangeMessage, KIP-853 VotersRecord).
use bytes::Bytes;
use kafka_wire::Message;
use kafka_wire::messages::control_records::{
    Endpoint, KRaftVersionFeature, LeaderChangeMessage, LeaderChangeMessageVoter, VotersRecord,
    VotersRecordVoter,
};
use log::{Batch, Scratch};
use quorum::{ControlRecord, ReplicaId, Voter, VoterSet};

/// Control record types (`ControlRecordType`).
const LEADER_CHANGE: i16 = 2;
const VOTERS: i16 = 6;

/// Key and value of a control record.
pub(crate) fn encode(record: &ControlRecord) -> (Bytes, Bytes) {
    match record {
        ControlRecord::LeaderChange { leader_id, voters, granting_voters } => {
            let list = |ids: &[i32]| {
                let voter = |id: &i32| LeaderChangeMessageVoter { voter_id: *id, ..Default::default() };
                ids.iter().map(voter).collect()
            };
            let message = LeaderChangeMessage {
                version: 0,
                leader_id: *leader_id,
                voters: list(voters),
                granting_voters: list(granting_voters),
            };
            (key(LEADER_CHANGE), bytes_of(&message))
        }
        ControlRecord::Voters(set) => {
            let message = VotersRecord { version: 0, voters: set.iter().map(voter_record).collect() };
            (key(VOTERS), bytes_of(&message))
        }
    }
}

/// The voter set of a control batch, if it holds one, with the offset of its record.
pub(crate) fn voters(batch: &Batch) -> Option<(i64, VoterSet)> {
    let mut scratch = Scratch::new();
    let mut found = None;
    for record in batch.records(&mut scratch).ok()? {
        let record = record.ok()?;
        let is_voters = record.key.and_then(|key| key.get(2..4)) == Some(&VOTERS.to_be_bytes()[..]);
        if let Some(value) = record.value.filter(|_| is_voters) {
            found = Some((record.offset, read_voters(value)?));
        }
    }
    found
}

fn read_voters(value: &[u8]) -> Option<VoterSet> {
    let mut decoder = kafka_wire::Decoder::new(Bytes::copy_from_slice(value));
    let record = VotersRecord::decode(&mut decoder, 0).ok()?;
    let endpoint = |endpoint: &Endpoint| quorum::Endpoint {
        listener: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    };
    let voters = record.voters.iter().map(|voter| Voter {
        replica: ReplicaId::new(voter.voter_id, voter.voter_directory_id),
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
    });
    Some(VoterSet::new(voters))
}

fn voter_record(voter: &Voter) -> VotersRecordVoter {
    let endpoint = |endpoint: &quorum::Endpoint| Endpoint {
        name: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
    };
    VotersRecordVoter {
        voter_id: voter.replica.id,
        voter_directory_id: voter.replica.directory,
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        kraft_version_feature: KRaftVersionFeature { min_supported_version: 0, max_supported_version: 1 },
    }
}

/// A control record's key: the schema's version and the type, without a version prefix of its own.
fn key(record_type: i16) -> Bytes {
    let mut key = Vec::with_capacity(4);
    key.extend_from_slice(&0_i16.to_be_bytes());
    key.extend_from_slice(&record_type.to_be_bytes());
    Bytes::from(key)
}

fn bytes_of<M: Message>(message: &M) -> Bytes {
    kafka_wire::encode_body(message, 0).expect("version 0 holds every field of a control record")
}
