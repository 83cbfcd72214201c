//! FetchSnapshot, key 59: the tables of its request and its response.

use crate::table::messages;
use crate::{ErrorCode, Records, Str, Uuid};

messages! {
    FetchSnapshotRequest [0-1] flexible [0+] {
        cluster_id: Option<Str> [0+] null[0+] tag 0 [0+];
        replica_id: i32 [0+] = -1;
        max_bytes: i32 [0+] = i32::MAX;
        topics: Vec<FetchSnapshotRequestTopicSnapshot> [0+];
    }

    FetchSnapshotRequestTopicSnapshot {
        name: Str [0+];
        partitions: Vec<FetchSnapshotRequestPartitionSnapshot> [0+];
    }

    FetchSnapshotRequestPartitionSnapshot {
        partition: i32 [0+];
        current_leader_epoch: i32 [0+];
        snapshot_id: FetchSnapshotRequestSnapshotId [0+];
        position: i64 [0+];
        replica_directory_id: Uuid [1+] tag 0 [1+], ignorable;
    }

    FetchSnapshotRequestSnapshotId {
        end_offset: i64 [0+];
        epoch: i32 [0+];
    }

    FetchSnapshotResponse [0-1] flexible [0+] {
        throttle_time_ms: i32 [0+], ignorable;
        error_code: ErrorCode [0+];
        topics: Vec<FetchSnapshotResponseTopicSnapshot> [0+];
        node_endpoints: Vec<NodeEndpoint> [1+] tag 0 [1+];
    }

    NodeEndpoint {
        node_id: i32 [1+];
        host: Str [1+];
        port: u16 [1+];
    }

    FetchSnapshotResponseTopicSnapshot {
        name: Str [0+];
        partitions: Vec<FetchSnapshotResponsePartitionSnapshot> [0+];
    }

    FetchSnapshotResponsePartitionSnapshot {
        index: i32 [0+];
        error_code: ErrorCode [0+];
        snapshot_id: FetchSnapshotResponseSnapshotId [0+];
        current_leader: LeaderIdAndEpoch [0+] tag 0 [0+];
        size: i64 [0+];
        position: i64 [0+];
        unaligned_records: Records [0+];
    }

    LeaderIdAndEpoch {
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
    }

    FetchSnapshotResponseSnapshotId {
        end_offset: i64 [0+];
        epoch: i32 [0+];
    }
}
