//! Followers copy, leaders commit: positions, the high watermark, in-sync replicas, truncation, deletion.
use super::cluster::{Keeping, TestCluster, consumer_fetch, record};
use crate::ErrorCode;
use crate::requests::{Acks, DeleteRecords};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn followers_copy_byte_by_byte_and_acks_all_waits_for_them() {
    let cluster = TestCluster::start(3, &[]).await;
    cluster.create(&[1, 2, 3], &[]).await;
    for round in 0..5 {
        let reply = cluster.produce(1, Acks::All, record(&format!("value {round}"))).await;
        assert_eq!((reply.error, reply.base_offset), (ErrorCode::NONE, round));
        for id in 1..=3 {
            assert!(cluster.log_end(id) > round, "{id} has what was acknowledged");
        }
    }
    let big = "x".repeat(300_000);
    for _ in 0..8 {
        cluster.produce(1, Acks::Leader, record(&big)).await;
    }
    cluster.until_same(1, 2).await;
    cluster.until_same(1, 3).await;
    assert_eq!(cluster.high_watermark(3), 13);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    assert!(cluster.shared.altered.lock().is_empty(), "nobody left or joined");
}

#[tokio::test(start_paused = true)]
async fn an_idle_follower_asks_rarely_and_hears_at_once() {
    let cluster = TestCluster::start(2, &[]).await;
    cluster.shared.create_many(50, &[1, 2]);
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = cluster.shared.fetches.lock()[&2];
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let asked = cluster.shared.fetches.lock()[&2] - before;
    assert!((8..=12).contains(&asked), "{asked} fetches in ten waits");
    let begun = tokio::time::Instant::now();
    cluster.produce(1, Acks::All, record("b")).await;
    assert!(begun.elapsed() < Duration::from_millis(5), "it took {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_new_partition_does_not_wait_for_the_poll() {
    let cluster = TestCluster::start(2, &[("replica.fetch.wait.max.ms", "200")]).await;
    cluster.shared.create_many(1, &[1, 2]);
    cluster.settle().await;
    tokio::time::sleep(Duration::from_millis(450)).await;
    cluster.create(&[1, 2], &[]).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(cluster.produce(1, Acks::All, record("a")).await.error, ErrorCode::NONE);
    assert!(begun.elapsed() < Duration::from_millis(100), "it took {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_cannot_fetch_leaves_the_isr_and_joins_again_once_it_has_caught_up() {
    let cluster = TestCluster::start(3, &[]).await;
    cluster.create(&[1, 2, 3], &[("min.insync.replicas", "2")]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.shared.cut(1, 3, true);
    let slow = cluster.produce(1, Acks::All, record("b")).await;
    assert_eq!(slow.error, ErrorCode::NONE, "as soon as 3 has left");
    assert_eq!(cluster.isr(), [1, 2]);
    cluster.shared.cut(1, 2, true);
    assert_eq!(cluster.produce(1, Acks::Leader, record("c")).await.error, ErrorCode::NONE);
    cluster.until("2 leaves", || cluster.isr() == [1]).await;
    cluster.settle().await;
    assert_eq!(
        cluster.produce(1, Acks::All, record("d")).await.error,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        "one is too few"
    );
    assert_eq!(cluster.high_watermark(1), 2, "the high watermark stays put (KIP-966)");
    cluster.shared.cut(1, 3, false);
    cluster.until("3 joins", || cluster.isr() == [1, 3]).await;
    assert_eq!(cluster.log_end(3), 3, "it has everything before it joins");
    cluster.until("c is committed", || cluster.high_watermark(1) == 3).await;
    cluster.shared.cut(1, 2, false);
    cluster.until("2 joins", || cluster.isr() == [1, 2, 3]).await;
    cluster.until_same(1, 2).await;
}

#[tokio::test(start_paused = true)]
async fn acks_all_times_out_while_the_isr_does_not_answer() {
    let cluster = TestCluster::start(2, &[("replica.lag.time.max.ms", "60000")]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.shared.cut(1, 2, true);
    assert_eq!(cluster.produce(1, Acks::All, record("b")).await.error, ErrorCode::REQUEST_TIMED_OUT);
    assert_eq!(cluster.high_watermark(1), 1);
    cluster.shared.cut(1, 2, false);
    cluster.until_same(1, 2).await;
    assert_eq!(cluster.high_watermark(1), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_unknown_outcome_is_asked_for_until_it_is_known() {
    let cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.shared.blind(1, true);
    *cluster.shared.keeper.lock() = Keeping::LostAfter;
    cluster.shared.cut(1, 2, true);
    let waiting = cluster.produce(1, Acks::All, record("a")).await;
    assert_eq!(waiting.error, ErrorCode::REQUEST_TIMED_OUT, "nobody has said that 2 is out");
    assert_eq!(cluster.isr(), [1], "though it is");
    assert_eq!(cluster.high_watermark(1), 0);
    *cluster.shared.keeper.lock() = Keeping::Kept;
    cluster.shared.blind(1, false);
    cluster.until("the picture says it", || cluster.high_watermark(1) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_shrinking_that_does_not_get_through_commits_nothing() {
    let cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    *cluster.shared.keeper.lock() = Keeping::LostBefore;
    cluster.shared.cut(1, 2, true);
    assert_eq!(cluster.produce(1, Acks::All, record("a")).await.error, ErrorCode::REQUEST_TIMED_OUT);
    assert_eq!((cluster.high_watermark(1), cluster.isr()), (0, vec![1, 2]));
    *cluster.shared.keeper.lock() = Keeping::Kept;
    cluster.until("2 leaves", || cluster.isr() == [1] && cluster.high_watermark(1) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_of_an_earlier_registration_does_not_count() {
    let cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.shared.cut(1, 2, true);
    cluster.produce(1, Acks::Leader, record("alone")).await;
    cluster.until("2 leaves", || cluster.isr() == [1]).await;
    // Node 2 registers anew but does not know; its fetches name the old epoch.
    cluster.shared.blind(2, true);
    cluster.shared.reregister(2);
    cluster.settle().await;
    cluster.shared.cut(1, 2, false);
    cluster.produce(1, Acks::All, record("a")).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!((cluster.isr(), cluster.log_end(2)), (vec![1], 0));
    cluster.shared.blind(2, false);
    cluster.until("2 joins", || cluster.isr() == [1, 2]).await;
    cluster.until_same(1, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_broker_is_not_taken_into_the_isr() {
    let cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.shared.cut(1, 2, true);
    cluster.produce(1, Acks::Leader, record("alone")).await;
    cluster.until("2 leaves", || cluster.isr() == [1]).await;
    cluster.deregister(2).await;
    cluster.shared.cut(1, 2, false);
    cluster.produce(1, Acks::Leader, record("a")).await;
    cluster.until("2 copies", || cluster.log_end(2) == 2).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(cluster.isr(), [1]);
}

#[tokio::test(start_paused = true)]
async fn kafka_2_17_a_divergent_tail_is_truncated_by_epoch() {
    let cluster = TestCluster::start(3, &[("replica.lag.time.max.ms", "60000")]).await;
    cluster.create(&[1, 2, 3], &[]).await;
    cluster.produce(1, Acks::All, record("committed")).await;
    cluster.until("2 and 3 know", || cluster.high_watermark(2) == 1 && cluster.high_watermark(3) == 1).await;
    // Node 1 goes on alone; nobody has its tail.
    cluster.shared.cut(1, 2, true);
    cluster.shared.cut(1, 3, true);
    for value in ["x", "y", "z"] {
        cluster.produce(1, Acks::Leader, record(value)).await;
    }
    // Node 2 leads without writing, then node 3 writes fewer, and then more.
    cluster.elect(2, &[2, 3]).await;
    cluster.elect(3, &[2, 3]).await;
    assert_eq!(cluster.produce(3, Acks::All, record("p")).await.error, ErrorCode::NONE);
    assert_eq!(cluster.log_end(1), 4);
    cluster.shared.cut(1, 2, false);
    cluster.shared.cut(1, 3, false);
    cluster.until_same(1, 3).await;
    cluster.until_same(2, 3).await;
    assert_eq!(cluster.log_end(1), 2);
    cluster.until("1 joins", || cluster.isr() == [1, 2, 3]).await;
    assert_eq!(cluster.produce(3, Acks::All, record("q")).await.error, ErrorCode::NONE);
    assert_eq!(cluster.log_end(1), 3);
}

#[tokio::test(start_paused = true)]
async fn several_divergent_epochs_are_taken_back_one_by_one() {
    let cluster = TestCluster::start(2, &[("replica.lag.time.max.ms", "60000")]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.until("2 knows", || cluster.high_watermark(2) == 1).await;
    cluster.shared.cut(1, 2, true);
    // Each writes in epochs of its own, while the other one does not hear of them.
    for round in 0..3 {
        cluster.elect(1, &[1]).await;
        cluster.produce(1, Acks::Leader, record(&format!("one {round}"))).await;
        cluster.elect(2, &[2]).await;
        cluster.produce(2, Acks::Leader, record(&format!("two {round}"))).await;
    }
    cluster.shared.cut(1, 2, false);
    cluster.until("1 follows", || cluster.isr() == [1, 2]).await;
    cluster.until_same(1, 2).await;
    assert_eq!(cluster.log_end(1), 4);
}

#[tokio::test(start_paused = true)]
async fn after_an_unclean_election_the_new_leader_is_right_and_says_that_it_has_recovered() {
    let cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.until("2 knows", || cluster.high_watermark(2) == 1).await;
    cluster.shared.cut(1, 2, true);
    for value in ["b", "c"] {
        assert_eq!(cluster.produce(1, Acks::All, record(value)).await.error, ErrorCode::NONE);
    }
    cluster.shared.change_partition("t", 0, |partition| {
        partition.leader = 2;
        partition.leader_epoch += 1;
        partition.partition_epoch += 1;
        partition.isr = vec![2];
        partition.recovering = true;
    });
    cluster.settle().await;
    cluster.until("it recovers", || !cluster.shared.partition("t").recovering).await;
    assert_eq!(cluster.isr(), [2]);
    assert_eq!(cluster.produce(2, Acks::All, record("other")).await.error, ErrorCode::NONE);
    cluster.shared.cut(1, 2, false);
    cluster.until_same(1, 2).await;
    assert_eq!((cluster.log_end(1), cluster.high_watermark(1)), (2, 2), "what was committed is lost");
}

#[tokio::test(start_paused = true)]
async fn kafka_2_21_deleted_records_go_at_every_replica() {
    let cluster = TestCluster::start(3, &[("replica.lag.time.max.ms", "60000")]).await;
    cluster.create(&[1, 2, 3], &[]).await;
    for value in ["a", "b", "c"] {
        cluster.produce(1, Acks::All, record(value)).await;
    }
    let delete = async |offset| {
        let wanted = DeleteRecords { topic: "t".into(), partition: 0, offset };
        let deleted = cluster.broker(1).delete_records(vec![wanted], 500).await[0];
        (deleted.error, deleted.low_watermark)
    };
    assert_eq!(delete(2).await, (ErrorCode::NONE, 2));
    for id in 1..=3 {
        assert_eq!(cluster.log_start(id), 2, "{id}");
    }
    cluster.shared.cut(1, 3, true);
    assert_eq!(delete(3).await, (ErrorCode::REQUEST_TIMED_OUT, -1));
    cluster.deregister(3).await;
    assert_eq!(delete(3).await, (ErrorCode::NONE, 3), "dead replicas are not waited for");
    assert_eq!((cluster.log_start(2), cluster.log_start(3)), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_follower_below_the_leaders_start_begins_anew() {
    let mut cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.stop_node(2).await;
    cluster.deregister(2).await;
    let three = super::batch(&["b", "c", "d"]);
    assert_eq!(cluster.produce(1, Acks::All, three).await.error, ErrorCode::NONE);
    assert_eq!(cluster.isr(), [1]);
    cluster.produce(1, Acks::All, record("e")).await;
    let wanted = DeleteRecords { topic: "t".into(), partition: 0, offset: 2 };
    assert_eq!(cluster.broker(1).delete_records(vec![wanted], 500).await[0].error, ErrorCode::NONE);
    cluster.start_node(2).await;
    cluster.until("2 joins", || cluster.isr() == [1, 2]).await;
    cluster.until_same(1, 2).await;
    assert_eq!((cluster.log_start(2), cluster.log_end(2)), (2, 5), "the start is in the middle of a batch");
}

#[tokio::test(start_paused = true)]
async fn a_follower_comes_back_after_a_restart() {
    let mut cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.stop_node(2).await;
    cluster.produce(1, Acks::All, record("b")).await;
    assert_eq!(cluster.isr(), [1]);
    cluster.start_node(2).await;
    cluster.until("2 joins", || cluster.isr() == [1, 2]).await;
    cluster.until_same(1, 2).await;
    assert_eq!(cluster.produce(1, Acks::All, record("c")).await.error, ErrorCode::NONE);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_process_has_ended_is_taken_for_gone_until_it_answers_but_not_for_long() {
    let mut cluster = TestCluster::start(3, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    let gone = |cluster: &TestCluster, of: i32| cluster.broker(of).has_just_gone(1);
    assert!(!gone(&cluster, 2));
    cluster.stop_node(1).await;
    cluster.until("2 misses 1", || gone(&cluster, 2)).await;
    assert!(!gone(&cluster, 3), "it had nothing to do with it");
    cluster.start_node(1).await;
    cluster.until("1 is back", || !gone(&cluster, 2)).await;
    cluster.stop_node(1).await;
    cluster.until("2 misses 1", || gone(&cluster, 2)).await;
    cluster.until("the picture counts again", || !gone(&cluster, 2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_came_back_with_less_leaves_the_isr_until_it_has_everything_again() {
    let mut cluster = TestCluster::start(2, &[("replica.lag.time.max.ms", "60000")]).await;
    cluster.create(&[1, 2], &[]).await;
    for value in ["a", "b"] {
        cluster.produce(1, Acks::All, record(value)).await;
    }
    cluster.until("2 knows", || cluster.high_watermark(2) == 2).await;
    cluster.stop_node(2).await;
    cluster.forget_last_batch(2);
    assert_eq!(cluster.isr(), [1, 2], "nobody has seen yet that it was gone");
    cluster.start_node(2).await;
    cluster.until_same(1, 2).await;
    cluster.until("2 joins", || cluster.isr() == [1, 2] && cluster.shared.altered.lock().len() == 2).await;
    let altered: Vec<Vec<i32>> =
        cluster.shared.altered.lock().iter().map(|change| change.isr.clone()).collect();
    assert_eq!(altered, [vec![1], vec![1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_reassigned_away_is_removed_and_a_new_one_copies_everything() {
    let cluster = TestCluster::start(3, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    for value in ["a", "b"] {
        cluster.produce(1, Acks::All, record(value)).await;
    }
    cluster.shared.change_partition("t", 0, |partition| {
        partition.replicas = vec![1, 2, 3];
        partition.adding = vec![3];
    });
    cluster.until("3 joins", || cluster.isr() == [1, 2, 3]).await;
    cluster.until_same(1, 3).await;
    cluster.shared.change_partition("t", 0, |partition| {
        partition.replicas = vec![1, 3];
        partition.adding = Vec::new();
        partition.isr = vec![1, 3];
        partition.partition_epoch += 1;
        partition.leader_epoch += 1;
    });
    cluster.settle().await;
    assert_eq!(cluster.broker(2).partition_counts(), (0, 0));
    assert_eq!(cluster.produce(1, Acks::All, record("c")).await.error, ErrorCode::NONE);
    assert_eq!(cluster.log_end(3), 3);
}

#[tokio::test(start_paused = true)]
async fn consumers_are_sent_to_a_replica_of_their_rack_which_serves_them() {
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let cluster = TestCluster::start(3, &[("replica.selector.class", selector)]).await;
    cluster.create(&[1, 2, 3], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.until("2 knows", || cluster.high_watermark(2) == 1).await;
    let ask = async |id, offset, rack: &str, allows_follower| {
        let request = consumer_fetch(offset, rack, allows_follower);
        cluster.broker(id).fetch(request).await.partitions.remove(0)
    };
    let sent = ask(1, 0, "r2", true).await;
    assert_eq!((sent.preferred_read_replica, sent.records.len(), sent.high_watermark), (2, 0, 1));
    assert_eq!(ask(1, 0, "r1", true).await.preferred_read_replica, -1, "the leader is as near");
    assert_eq!(ask(1, 0, "elsewhere", true).await.preferred_read_replica, -1);
    let read = ask(2, 0, "r2", true).await;
    assert_eq!((read.error, read.high_watermark, read.records.is_empty()), (ErrorCode::NONE, 1, false));
    assert_eq!(ask(2, 0, "", false).await.error, ErrorCode::NOT_LEADER_OR_FOLLOWER, "kafka 2.34");
    assert_eq!(ask(2, 9, "r2", true).await.error, ErrorCode::OFFSET_NOT_AVAILABLE);
    assert_eq!(ask(1, 9, "r1", true).await.error, ErrorCode::OFFSET_OUT_OF_RANGE);
    cluster.shared.cut(1, 2, true);
    cluster.produce(1, Acks::Leader, record("alone")).await;
    cluster.until("2 leaves", || cluster.isr() == [1, 3]).await;
    cluster.settle().await;
    assert_eq!(ask(1, 0, "r2", true).await.preferred_read_replica, -1, "only in-sync replicas are chosen");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_is_ahead_of_its_leaders_picture_asks_again_soon() {
    let cluster = TestCluster::start(2, &[]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.shared.blind(2, true);
    cluster.elect(2, &[1, 2]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    cluster.shared.blind(2, false);
    cluster.settle().await;
    let begun = tokio::time::Instant::now();
    assert_eq!(cluster.produce(2, Acks::All, record("b")).await.error, ErrorCode::NONE);
    assert!(begun.elapsed() < Duration::from_millis(120), "it took {:?}", begun.elapsed());
    cluster.until_same(1, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_replica_copies_slowly_until_it_is_in_sync() {
    for (rate, replicas) in [
        ("leader.replication.throttled.rate", "leader.replication.throttled.replicas"),
        ("follower.replication.throttled.rate", "follower.replication.throttled.replicas"),
    ] {
        let cluster = TestCluster::start(3, &[(rate, "100000"), ("replica.fetch.max.bytes", "20000")]).await;
        cluster.create(&[1, 2], &[(replicas, "*")]).await;
        let begun = tokio::time::Instant::now();
        for _ in 0..50 {
            cluster.produce(1, Acks::All, record(&"x".repeat(10_000))).await;
        }
        assert!(begun.elapsed() < Duration::from_millis(500), "in-sync replicas are not held back");
        cluster.shared.change_partition("t", 0, |partition| {
            partition.replicas = vec![1, 2, 3];
            partition.adding = vec![3];
        });
        let begun = tokio::time::Instant::now();
        cluster.until("3 joins", || cluster.isr() == [1, 2, 3]).await;
        let took = begun.elapsed();
        // 500 kB at 100 kB/s, the first 100 kB at once.
        assert!((3_000..6_500).contains(&took.as_millis()), "{rate}: {took:?}");
        cluster.until_same(1, 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_an_idle_partition_stays_in_sync_when_it_wakes() {
    let cluster = TestCluster::start(3, &[]).await;
    cluster.create(&[1, 2, 3], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    tokio::time::sleep(Duration::from_millis(5_000)).await;
    assert_eq!(cluster.high_watermark(2), 1, "the high watermark comes with the poll");
    // A record that no follower has yet when their lag is judged.
    cluster.produce(1, Acks::Leader, record("b")).await;
    cluster.broker(1).partition_for_test("t", 0).check_lag();
    cluster.until_same(1, 2).await;
    assert!(cluster.shared.altered.lock().is_empty(), "nobody was left out: {:?}", cluster.isr());
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_an_idle_partition_joins_again_as_soon_as_it_is_registered() {
    let mut cluster = TestCluster::start(2, &[("replica.lag.time.max.ms", "60000")]).await;
    cluster.create(&[1, 2], &[]).await;
    cluster.produce(1, Acks::All, record("a")).await;
    cluster.stop_node(2).await;
    cluster.deregister(2).await;
    cluster.shared.change_partition("t", 0, |partition| {
        partition.isr = vec![1];
        partition.partition_epoch += 1;
        partition.leader_epoch += 1;
    });
    cluster.start_node(2).await;
    let begun = tokio::time::Instant::now();
    cluster.until("2 joins", || cluster.isr() == [1, 2]).await;
    assert!(begun.elapsed() < Duration::from_millis(1_000), "it took {:?}", begun.elapsed());
    // It registers anew without a restart, as after a lost session.
    cluster.shared.change(|view| {
        view.brokers.remove(&2);
    });
    cluster.shared.change_partition("t", 0, |partition| {
        partition.isr = vec![1];
        partition.partition_epoch += 1;
    });
    cluster.settle().await;
    cluster.shared.reregister(2);
    cluster.until("2 joins again", || cluster.isr() == [1, 2]).await;
}
