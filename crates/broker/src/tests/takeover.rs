//! Another node takes over: what was acknowledged stays, who waits is told, and groups move with their partition.
use super::cluster::{TestCluster, record};
use crate::ErrorCode;
use crate::groups::OFFSETS_TOPIC;
use crate::groups::api::{CommitRequest, FetchedOffset, OffsetFetchRequest, OffsetToCommit};
use crate::requests::Acks;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_the_loss_of_the_leader() {
    let mut cluster = TestCluster::start(3, &[]).await;
    cluster.create(&[1, 2, 3], &[("min.insync.replicas", "2")]).await;
    for value in ["a", "b", "c"] {
        assert_eq!(cluster.produce(1, Acks::All, record(value)).await.error, ErrorCode::NONE);
    }
    cluster.stop_node(1).await;
    cluster.deregister(1).await;
    cluster.elect(2, &[2, 3]).await;
    let reply = cluster.produce(2, Acks::All, record("d")).await;
    assert_eq!((reply.error, reply.base_offset), (ErrorCode::NONE, 3));
    cluster.start_node(1).await;
    cluster.until("1 joins", || cluster.isr() == [1, 2, 3]).await;
    cluster.until_same(1, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_waited_at_a_lost_leader_is_not_told_of_other_records() {
    let cluster = TestCluster::start(2, &[("replica.lag.time.max.ms", "60000")]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.shared.cut(1, 2, true);
    cluster.shared.blind(1, true);
    let mine = cluster.produce(1, Acks::All, record("mine"));
    let theirs = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cluster.elect(2, &[2]).await;
        assert_eq!(cluster.produce(2, Acks::All, record("theirs")).await.error, ErrorCode::NONE);
        cluster.shared.cut(1, 2, false);
        cluster.shared.blind(1, false);
    };
    let (reply, ()) = tokio::join!(mine, theirs);
    assert_eq!(reply.error, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    cluster.until_same(1, 2).await;
    assert_eq!(cluster.high_watermark(1), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lonely_leader_that_was_replaced_acknowledges_nothing() {
    let cluster = TestCluster::start(3, &[]).await;
    cluster.create(&[1, 2, 3], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.shared.blind(1, true);
    cluster.elect(2, &[2, 3]).await;
    let reply = cluster.produce(1, Acks::All, record("b")).await;
    assert_eq!(
        reply.error,
        ErrorCode::REQUEST_TIMED_OUT,
        "its followers have left and it can't change the ISR"
    );
    assert_eq!(cluster.isr(), [2, 3]);
    let good = cluster.produce(2, Acks::All, record("c")).await;
    assert_eq!((good.error, good.base_offset), (ErrorCode::NONE, 1));
    cluster.shared.blind(1, false);
    cluster.until("1 joins", || cluster.isr() == [1, 2, 3]).await;
    cluster.until_same(1, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_comes_back_with_less_does_not_lead_before_it_is_elected_again() {
    let mut cluster = TestCluster::start(2, &[("replica.lag.time.max.ms", "60000")]).await;
    cluster.create(&[1, 2], &[]).await;
    for value in ["a", "b"] {
        assert_eq!(cluster.produce(1, Acks::All, record(value)).await.error, ErrorCode::NONE);
    }
    cluster.stop_node(1).await;
    cluster.forget_last_batch(1);
    cluster.start_node(1).await;
    assert_eq!(cluster.log_end(1), 1);
    let refused = cluster.produce(1, Acks::All, record("c")).await;
    assert_eq!(refused.error, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(cluster.log_end(2), 2, "the follower keeps what was acknowledged");
    cluster.elect(2, &[2]).await;
    cluster.until_same(1, 2).await;
    assert_eq!(cluster.log_end(1), 2);
    cluster.until("1 joins", || cluster.isr() == [1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn repeated_batches_are_recognized_by_the_new_leader() {
    let cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    let batch = |sequence| {
        let builder = super::builder(super::WALL_START_MS, &["v"]).producer(9, 0, sequence);
        builder.build().expect("small").to_bytes()
    };
    for sequence in 0..3 {
        assert_eq!(cluster.produce(1, Acks::All, batch(sequence)).await.base_offset, i64::from(sequence));
    }
    cluster.elect(2, &[1, 2]).await;
    assert_eq!(cluster.produce(2, Acks::All, batch(2)).await.base_offset, 2);
    assert_eq!(cluster.produce(2, Acks::All, batch(3)).await.base_offset, 3);
    assert_eq!(cluster.log_end(2), 4);
}

fn commit(offset: i64) -> CommitRequest {
    CommitRequest {
        group_id: "g".into(),
        generation: -1,
        member_id: "".into(),
        instance_id: None,
        retention_ms: None,
        knows_group_id_not_found: true,
        offsets: vec![OffsetToCommit {
            topic: Arc::from("t"),
            partition: 0,
            offset,
            leader_epoch: -1,
            metadata: None,
        }],
    }
}

async fn committed(cluster: &TestCluster, id: i32) -> Result<Vec<FetchedOffset>, ErrorCode> {
    let request = OffsetFetchRequest {
        group_id: "g".into(),
        partitions: Some(vec![("t".into(), 0)]),
        require_stable: false,
    };
    cluster.broker(id).groups().fetch_offsets(request).await
}

#[tokio::test(start_paused = true)]
async fn groups_move_with_their_partition_and_commits_wait_for_the_isr() {
    let offsets = [("offsets.topic.num.partitions", "1"), ("offsets.topic.replication.factor", "3")];
    let cluster = TestCluster::start(3, &offsets).await;
    cluster.create(&[1, 2, 3], &[]).await;
    assert_eq!(cluster.broker(2).groups().find("g").await, Ok(1));
    cluster.settle().await;
    let error = |results: Vec<ErrorCode>| results[0];
    let commit_at = async |id, offset| error(cluster.broker(id).groups().commit(commit(offset)).await);
    while commit_at(1, 5).await == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(commit_at(1, 6).await, ErrorCode::NONE);
    assert_eq!(commit_at(2, 7).await, ErrorCode::NOT_COORDINATOR);
    let end = |id| cluster.broker(id).partition_for_test(OFFSETS_TOPIC, 0).log().log_end_offset();
    assert_eq!((end(2), end(3)), (end(1), end(1)), "the in-sync replicas have it");
    cluster.shared.change_partition(OFFSETS_TOPIC, 0, |partition| {
        partition.leader = 2;
        partition.leader_epoch += 1;
        partition.partition_epoch += 1;
    });
    cluster.settle().await;
    assert_eq!(commit_at(1, 7).await, ErrorCode::NOT_COORDINATOR);
    let fetched = loop {
        match committed(&cluster, 2).await {
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => {
                tokio::time::sleep(Duration::from_millis(1)).await
            }
            fetched => break fetched,
        }
    };
    assert_eq!(fetched.expect("it is loaded")[0].offset, 6);
    assert_eq!(commit_at(2, 8).await, ErrorCode::NONE);
    assert_eq!(committed(&cluster, 2).await.expect("it serves")[0].offset, 8);
}
