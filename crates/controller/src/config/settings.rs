//! The broker's settings as typed fields, grouped by the part of the server that uses them.
//!
//! Each field names its key; its type, default and range are those of the key's row.
use super::layers::Layers;

/// Writes a struct of settings: field, type, key.
macro_rules! settings {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $kind:ty = $key:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("`", $key, "`")] pub $field: $kind,)*
        }

        impl $name {
            pub(super) fn read(layers: &Layers) -> $name {
                $name { $($field: layers.get($key),)* }
            }
        }
    };
}

settings! {
    /// Connections, sockets and requests of the Kafka door.
    NetworkSettings {
        socket_send_buffer_bytes: i32 = "socket.send.buffer.bytes",
        socket_receive_buffer_bytes: i32 = "socket.receive.buffer.bytes",
        socket_request_max_bytes: i32 = "socket.request.max.bytes",
        socket_listen_backlog_size: i32 = "socket.listen.backlog.size",
        max_connections: i32 = "max.connections",
        max_connections_per_ip: i32 = "max.connections.per.ip",
        max_connection_creation_rate: i32 = "max.connection.creation.rate",
        connections_max_idle_ms: i64 = "connections.max.idle.ms",
        connections_max_reauth_ms: i64 = "connections.max.reauth.ms",
        failed_authentication_delay_ms: i32 = "connection.failed.authentication.delay.ms",
        queued_max_requests: i32 = "queued.max.requests",
        queued_max_request_bytes: i64 = "queued.max.request.bytes",
        request_timeout_ms: i32 = "request.timeout.ms",
        network_threads: i32 = "num.network.threads",
        io_threads: i32 = "num.io.threads",
        background_threads: i32 = "background.threads",
        fetch_max_bytes: i32 = "fetch.max.bytes",
        fetch_session_slots_max: i32 = "max.incremental.fetch.session.cache.slots",
        request_partitions_max: i32 = "max.request.partition.size.limit",
        telemetry_max_bytes: i32 = "telemetry.max.bytes",
    }
}

settings! {
    /// Creation and deletion of topics.
    TopicSettings {
        auto_create_enable: bool = "auto.create.topics.enable",
        delete_enable: bool = "delete.topic.enable",
        partitions: i32 = "num.partitions",
        replication_factor: i32 = "default.replication.factor",
    }
}

settings! {
    /// Work on all logs of the broker. What single topics can set is in `TopicConfig`.
    LogSettings {
        retention_check_interval_ms: i64 = "log.retention.check.interval.ms",
        flush_scheduler_interval_ms: i64 = "log.flush.scheduler.interval.ms",
        flush_offset_checkpoint_interval_ms: i32 = "log.flush.offset.checkpoint.interval.ms",
        flush_start_offset_checkpoint_interval_ms: i32 = "log.flush.start.offset.checkpoint.interval.ms",
        initial_task_delay_ms: i64 = "log.initial.task.delay.ms",
        recovery_threads_per_data_dir: i32 = "num.recovery.threads.per.data.dir",
        dir_failure_timeout_ms: i64 = "log.dir.failure.timeout.ms",
        cleaner_enable: bool = "log.cleaner.enable",
        cleaner_threads: i32 = "log.cleaner.threads",
        cleaner_backoff_ms: i64 = "log.cleaner.backoff.ms",
        cleaner_dedupe_buffer_bytes: i64 = "log.cleaner.dedupe.buffer.size",
        cleaner_io_buffer_bytes: i32 = "log.cleaner.io.buffer.size",
        cleaner_io_buffer_load_factor: f64 = "log.cleaner.io.buffer.load.factor",
        cleaner_io_bytes_per_second_max: f64 = "log.cleaner.io.max.bytes.per.second",
    }
}

settings! {
    /// Replication between brokers.
    ReplicationSettings {
        lag_time_max_ms: i64 = "replica.lag.time.max.ms",
        fetchers: i32 = "num.replica.fetchers",
        fetch_max_bytes: i32 = "replica.fetch.max.bytes",
        fetch_min_bytes: i32 = "replica.fetch.min.bytes",
        fetch_response_max_bytes: i32 = "replica.fetch.response.max.bytes",
        fetch_wait_max_ms: i32 = "replica.fetch.wait.max.ms",
        fetch_backoff_ms: i32 = "replica.fetch.backoff.ms",
        socket_timeout_ms: i32 = "replica.socket.timeout.ms",
        socket_receive_buffer_bytes: i32 = "replica.socket.receive.buffer.bytes",
        high_watermark_checkpoint_interval_ms: i64 = "replica.high.watermark.checkpoint.interval.ms",
        auto_leader_rebalance_enable: bool = "auto.leader.rebalance.enable",
        leader_imbalance_check_interval_seconds: i64 = "leader.imbalance.check.interval.seconds",
        leader_imbalance_per_broker_percentage: i32 = "leader.imbalance.per.broker.percentage",
        controlled_shutdown_enable: bool = "controlled.shutdown.enable",
        leader_throttled_bytes_per_second: i64 = "leader.replication.throttled.rate",
        follower_throttled_bytes_per_second: i64 = "follower.replication.throttled.rate",
        alter_log_dirs_bytes_per_second: i64 = "replica.alter.log.dirs.io.max.bytes.per.second",
    }
}

settings! {
    /// Groups of the classic and of the consumer protocol.
    GroupSettings {
        rebalance_protocols: Vec<String> = "group.coordinator.rebalance.protocols",
        initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms",
        min_session_timeout_ms: i32 = "group.min.session.timeout.ms",
        max_session_timeout_ms: i32 = "group.max.session.timeout.ms",
        max_size: i32 = "group.max.size",
        append_linger_ms: i32 = "group.coordinator.append.linger.ms",
        consumer_assignors: Vec<String> = "group.consumer.assignors",
        consumer_assignment_interval_ms: i32 = "group.consumer.assignment.interval.ms",
        consumer_heartbeat_interval_ms: i32 = "group.consumer.heartbeat.interval.ms",
        consumer_session_timeout_ms: i32 = "group.consumer.session.timeout.ms",
        consumer_regex_refresh_interval_ms: i32 = "group.consumer.regex.refresh.interval.ms",
        consumer_max_size: i32 = "group.consumer.max.size",
        consumer_migration_policy: String = "group.consumer.migration.policy",
    }
}

settings! {
    /// Committed offsets and the topic that they live in.
    OffsetsSettings {
        topic_partitions: i32 = "offsets.topic.num.partitions",
        topic_replication_factor: i16 = "offsets.topic.replication.factor",
        topic_segment_bytes: i32 = "offsets.topic.segment.bytes",
        topic_compression_codec: i32 = "offsets.topic.compression.codec",
        retention_minutes: i32 = "offsets.retention.minutes",
        retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms",
        metadata_max_bytes: i32 = "offset.metadata.max.bytes",
        commit_timeout_ms: i32 = "offsets.commit.timeout.ms",
        load_buffer_bytes: i32 = "offsets.load.buffer.size",
    }
}

settings! {
    /// Producer ids, transactions and the topic that their state lives in.
    TransactionSettings {
        topic_partitions: i32 = "transaction.state.log.num.partitions",
        topic_replication_factor: i16 = "transaction.state.log.replication.factor",
        topic_min_insync_replicas: i32 = "transaction.state.log.min.isr",
        topic_segment_bytes: i32 = "transaction.state.log.segment.bytes",
        load_buffer_bytes: i32 = "transaction.state.log.load.buffer.size",
        max_timeout_ms: i32 = "transaction.max.timeout.ms",
        transactional_id_expiration_ms: i32 = "transactional.id.expiration.ms",
        abort_timed_out_interval_ms: i32 = "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        remove_expired_interval_ms: i32 = "transaction.remove.expired.transaction.cleanup.interval.ms",
        partition_verification_enable: bool = "transaction.partition.verification.enable",
        two_phase_commit_enable: bool = "transaction.two.phase.commit.enable",
        add_partitions_retry_backoff_ms: i32 = "add.partitions.to.txn.retry.backoff.ms",
        add_partitions_retry_backoff_max_ms: i32 = "add.partitions.to.txn.retry.backoff.max.ms",
        producer_id_expiration_ms: i32 = "producer.id.expiration.ms",
        producer_id_expiration_check_interval_ms: i32 = "producer.id.expiration.check.interval.ms",
    }
}

settings! {
    /// The consensus of nodes and its snapshots.
    QuorumSettings {
        election_timeout_ms: i32 = "controller.quorum.election.timeout.ms",
        election_backoff_max_ms: i32 = "controller.quorum.election.backoff.max.ms",
        fetch_timeout_ms: i32 = "controller.quorum.fetch.timeout.ms",
        request_timeout_ms: i32 = "controller.quorum.request.timeout.ms",
        retry_backoff_ms: i32 = "controller.quorum.retry.backoff.ms",
        append_linger_ms: i32 = "controller.quorum.append.linger.ms",
        fetch_max_bytes: i32 = "controller.quorum.fetch.max.bytes",
        fetch_snapshot_max_bytes: i32 = "controller.quorum.fetch.snapshot.max.bytes",
        snapshot_max_new_record_bytes: i64 = "metadata.log.max.record.bytes.between.snapshots",
        snapshot_max_interval_ms: i64 = "metadata.log.max.snapshot.interval.ms",
        segment_bytes: i32 = "metadata.log.segment.bytes",
        segment_ms: i64 = "metadata.log.segment.ms",
        max_idle_interval_ms: i32 = "metadata.max.idle.interval.ms",
        broker_heartbeat_interval_ms: i32 = "broker.heartbeat.interval.ms",
        broker_session_timeout_ms: i32 = "broker.session.timeout.ms",
    }
}

settings! {
    /// The broker's own ZooKeeper session.
    ZooKeeperSettings {
        connect: Option<String> = "zookeeper.connect",
        session_timeout_ms: i32 = "zookeeper.session.timeout.ms",
        connection_timeout_ms: Option<i32> = "zookeeper.connection.timeout.ms",
        set_acl: bool = "zookeeper.set.acl",
    }
}
