//! The settings of brokers.
use super::super::*;
use super::{broker, broker_errors, configs};

fn names(listeners: &[Listener]) -> Vec<String> {
    listeners.iter().map(ToString::to_string).collect()
}

#[test]
fn broker_without_a_file() {
    let broker = BrokerConfig::default();
    assert_eq!(broker.node_id, 0);
    assert_eq!(names(&broker.listeners), ["PLAINTEXT://:9092"]);
    assert_eq!(broker.advertised_listeners, broker.listeners);
    assert_eq!(broker.inter_broker_listener_name, "PLAINTEXT");
    assert_eq!(broker.log_dirs, ["./zoolog-data"]);
    assert_eq!(
        (broker.topics.partitions, broker.topics.auto_create_enable, broker.topics.delete_enable),
        (1, true, true)
    );
    assert_eq!((broker.offsets.topic_partitions, broker.offsets.topic_replication_factor), (50, 3));
    assert_eq!(
        (broker.groups.initial_rebalance_delay_ms, broker.groups.min_session_timeout_ms),
        (3000, 6000)
    );
    assert_eq!(broker.network.fetch_session_slots_max, 1000);
    assert_eq!(broker.transactions.producer_id_expiration_ms, 86_400_000);
    assert_eq!(broker.zookeeper.session_timeout_ms, 18_000);
    assert_eq!(broker.replication.leader_throttled_bytes_per_second, i64::MAX);
    assert!(broker.quorum_voters.is_empty());
}

#[test]
fn broker_of_a_zookeeper_mode_file() {
    let (broker, warnings) = BrokerConfig::from_file([
        ("broker.id", "7"),
        ("zookeeper.connect", "zk1:2181,zk2:2181/kafka"),
        ("zookeeper.connection.timeout.ms", "18000"),
        ("inter.broker.protocol.version", "3.9"),
        ("log.dirs", "/var/lib/a, /var/lib/b"),
        ("my.plugin.setting", "x"),
        ("metric.reporters", "com.example.Reporter"),
    ])
    .expect("operators have such files");
    assert_eq!(broker.node_id, 7);
    assert_eq!(broker.zookeeper.connect.as_deref(), Some("zk1:2181,zk2:2181/kafka"));
    assert_eq!(broker.log_dirs, ["/var/lib/a", "/var/lib/b"]);
    assert_eq!(broker.file_value("my.plugin.setting"), Some("x"));
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "inter.broker.protocol.version is a key of Kafka before 4.0 and has no effect here",
            "metric.reporters names a Java class, which cannot be loaded into this server; it is ignored",
            "my.plugin.setting is no configuration key of ZooKeeper or Kafka; it is ignored",
            "zookeeper.connection.timeout.ms is a key of Kafka before 4.0 and has no effect here",
        ]
    );
}

#[test]
fn broker_ids_are_one() {
    assert_eq!(broker(&[("broker.id", "3")]).value("node.id"), Some(ConfigValue::Int(3)));
    assert_eq!(broker(&[("node.id", "3")]).value("broker.id"), Some(ConfigValue::Int(3)));
    assert_eq!(broker(&[("broker.id", "-1")]).node_id, 0);
    assert_eq!(broker(&[("broker.id", "3"), ("node.id", "3")]).node_id, 3);
    assert_eq!(
        broker_errors(&[("broker.id", "3"), ("node.id", "4")]),
        "node.id and broker.id must be the same number if both are set"
    );
    assert!(broker_errors(&[("node.id", "-2")]).contains("node.id: Value must be at least 0"));
}

#[test]
fn broker_reports_all_bad_values_at_once() {
    let errors = broker_errors(&[
        ("num.partitions", "0"),
        ("log.retention.ms", "soon"),
        ("listener.name.internal.max.connections", "-1"),
        ("offsets.topic.replication.factor", "70000"),
    ]);
    assert_eq!(
        errors,
        "Invalid value -1 for configuration listener.name.internal.max.connections: Value must be at least 0\n\
         Invalid value soon for configuration log.retention.ms: Not a number of type LONG\n\
         Invalid value 0 for configuration num.partitions: Value must be at least 1\n\
         Invalid value 70000 for configuration offsets.topic.replication.factor: Not a number of type SHORT"
    );
}

#[test]
fn broker_listeners() {
    let broker = broker(&[
        ("listeners", "internal://0.0.0.0:9092,EXTERNAL://[::1]:9094,CTRL://:9093"),
        ("listener.security.protocol.map", "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CTRL:PLAINTEXT"),
        ("advertised.listeners", "INTERNAL://b1.example:9092,EXTERNAL://203.0.113.1:19094"),
        ("inter.broker.listener.name", "internal"),
        ("controller.listener.names", "CTRL"),
    ]);
    assert_eq!(
        names(&broker.listeners),
        ["INTERNAL://0.0.0.0:9092", "EXTERNAL://[::1]:9094", "CTRL://:9093"]
    );
    assert_eq!(
        names(&broker.advertised_listeners),
        ["INTERNAL://b1.example:9092", "EXTERNAL://203.0.113.1:19094"]
    );
    assert_eq!(broker.inter_broker_listener_name, "INTERNAL");
    assert_eq!(broker.controller_listener_names, ["CTRL"]);
    assert_eq!(broker.listener_protocol("external"), Some(SecurityProtocol::Plaintext));
}

#[test]
fn broker_advertises_its_listeners_but_no_meta_address() {
    let defaulted = broker(&[
        ("listeners", "PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093"),
        ("controller.listener.names", "CONTROLLER"),
    ]);
    assert_eq!(names(&defaulted.advertised_listeners), ["PLAINTEXT://:9092"]);
    for host in ["0.0.0.0", "[::]"] {
        let errors = broker_errors(&[("advertised.listeners", &format!("PLAINTEXT://{host}:9092"))]);
        assert!(errors.contains("cannot be advertised"), "{errors}");
    }
}

#[test]
fn broker_listeners_that_are_refused() {
    let refused = |pairs: &[(&str, &str)], part: &str| {
        let errors = broker_errors(pairs);
        assert!(errors.contains(part), "{errors}");
    };
    refused(&[("listeners", "PLAINTEXT:9092")], "NAME://host:port");
    refused(&[("listeners", "PLAINTEXT://h:99999")], "NAME://host:port");
    refused(&[("listeners", "PLAINTEXT://h o:1")], "NAME://host:port");
    refused(&[("listeners", "MINE://:9092")], "No security protocol defined for listener MINE");
    refused(&[("listeners", "PLAINTEXT://a:1,PLAINTEXT://b:2")], "same name");
    refused(
        &[
            ("listeners", "PLAINTEXT://:9092,OTHER://:9092"),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT"),
        ],
        "share a port",
    );
    refused(&[("listeners", "SSL://:9093")], "TLS and SASL are not available yet");
    refused(&[("listener.security.protocol.map", "PLAINTEXT:WHAT")], "Invalid security protocol `WHAT`");
    refused(&[("listener.security.protocol.map", "PLAINTEXT")], "name:protocol");
    refused(
        &[
            ("advertised.listeners", "OTHER://h:1"),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT"),
        ],
        "must be names of listeners",
    );
    refused(&[("inter.broker.listener.name", "MINE")], "inter.broker.listener.name is MINE");
    refused(
        &[("inter.broker.listener.name", "PLAINTEXT"), ("security.inter.broker.protocol", "PLAINTEXT")],
        "say the same",
    );
    refused(
        &[("listeners", "CONTROLLER://:9093"), ("controller.listener.names", "CONTROLLER")],
        "Brokers need a listener for clients",
    );
}

#[test]
fn broker_two_address_families_may_share_a_port() {
    let map = ("listener.security.protocol.map", "FOUR:PLAINTEXT,SIX:PLAINTEXT");
    let broker = broker(&[
        ("listeners", "FOUR://127.0.0.1:9092,SIX://[::1]:9092"),
        map,
        ("inter.broker.listener.name", "FOUR"),
    ]);
    assert_eq!(broker.listeners.len(), 2);
    assert_eq!(
        super::broker(&[("listeners", "FOUR://:0,SIX://:0"), map, ("inter.broker.listener.name", "SIX")])
            .listeners
            .len(),
        2
    );
}

#[test]
fn broker_settings_that_contradict() {
    for (pairs, part) in [
        (&[("log.retention.ms", "0")][..], "log.retention.ms must be -1"),
        (&[("log.roll.ms", "0")], "log.roll.ms must be"),
        (&[("log.roll.jitter.ms", "-1")], "log.roll.jitter.ms must not"),
        (&[("log.cleaner.threads", "200")], "1 MiB for each"),
        (
            &[("log.cleaner.min.compaction.lag.ms", "9"), ("log.cleaner.max.compaction.lag.ms", "8")],
            "log.cleaner.min.compaction.lag.ms must not",
        ),
        (
            &[("replica.fetch.wait.max.ms", "40000")],
            "replica.fetch.wait.max.ms must not be longer than replica.socket.timeout.ms",
        ),
        (&[("queued.max.request.bytes", "5")], "queued.max.request.bytes must"),
        (&[("max.connections.per.ip", "0")], "max.connections.per.ip can be 0 only"),
        (&[("max.connections.per.ip.overrides", "h:x")], "host:limit"),
        (&[("connections.max.idle.ms", "50")], "connection.failed.authentication.delay.ms must"),
        (&[("group.coordinator.rebalance.protocols", "consumer")], "must contain classic"),
        (
            &[("group.consumer.session.timeout.ms", "1000")],
            "group.consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            &[
                ("group.consumer.max.heartbeat.interval.ms", "50000"),
                ("group.consumer.heartbeat.interval.ms", "45000"),
            ],
            "group.consumer.heartbeat.interval.ms must be less than",
        ),
        (&[("group.share.max.share.sessions", "100")], "group.share.max.share.sessions must be"),
    ] {
        let errors = broker_errors(pairs);
        assert!(errors.contains(part), "{errors}");
    }
    let limits = broker(&[
        ("max.connections.per.ip", "0"),
        ("max.connections.per.ip.overrides", "127.0.0.1:200, ::1:5"),
    ]);
    assert_eq!(
        limits.max_connections_per_ip_overrides,
        [("127.0.0.1".to_owned(), 200), ("::1".to_owned(), 5)]
    );
    assert_eq!(broker(&[("log.cleaner.threads", "0")]).log.cleaner_threads, 0);
}

#[test]
fn broker_settings_that_are_not_done_are_refused() {
    for refusal in BROKER_REFUSALS {
        let value = if refusal.refused == Refused::True { "true" } else { "something" };
        let errors = broker_errors(&[(refusal.key, value)]);
        assert!(errors.contains(refusal.reason), "{errors}");
        assert!(broker_config(refusal.key).is_some());
    }
    for refusal in TOPIC_REFUSALS {
        assert!(topic_config(refusal.key).is_some());
    }
    assert!(STATIC_HERE.iter().all(|key| broker_config(key).is_some_and(|row| !row.is_read_only())));
}

#[test]
fn broker_dynamic_settings_written_by_hand_never_break_it() {
    let original = broker(&[("node.id", "1")]);
    let (changed, errors) = original.with_dynamic(
        &configs(&[
            ("message.max.bytes", "lots"),
            ("node.id", "5"),
            ("listeners", "PLAINTEXT://:1"),
            ("max.connections", "9"),
        ]),
        &configs(&[("ssl.keystore.location", "/x"), ("num.io.threads", "3"), ("someone.elses", "x")]),
    );
    let keys: Vec<_> = errors.iter().filter_map(ConfigError::key).collect();
    assert_eq!(keys, ["listeners", "message.max.bytes", "node.id", "ssl.keystore.location"]);
    assert_eq!((changed.node_id, changed.network.max_connections, changed.network.io_threads), (1, 9, 3));
    let (unchanged, errors) =
        changed.with_dynamic(&configs(&[("log.roll.ms", "0"), ("max.connections", "10")]), &ConfigMap::new());
    assert_eq!(unchanged, changed);
    assert_eq!(errors.len(), 1);
}

#[test]
fn broker_quorum_voters() {
    let broker = broker(&[("controller.quorum.voters", "1@a:9092,2@[::1]:9093")]);
    assert_eq!(
        broker.quorum_voters,
        [
            QuorumVoter { id: 1, host: "a".to_owned(), port: 9092 },
            QuorumVoter { id: 2, host: "::1".to_owned(), port: 9093 }
        ]
    );
}
