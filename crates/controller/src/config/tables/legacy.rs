//! Broker keys of ZooKeeper-mode Kafka 3.9 that Kafka 4 dropped and that operators still have in their files.
//!
//! Names, types, defaults and ranges are those of Kafka 3.9; the sentences are our own.
use super::server_rows;

server_rows! { LEGACY, WhenSet;
    "auto.include.jmx.reporter", Boolean, Some("true"), Any, ReadOnly,
        "Whether JMX metrics were on without being listed in metric.reporters. No effect here.";
    "broker.id.generation.enable", Boolean, Some("true"), Any, ReadOnly,
        "Whether a broker without a number got one from ZooKeeper. No effect here: a node without a \
         number is node 0.";
    "control.plane.listener.name", String, None, Any, ReadOnly,
        "The listener that was kept for the controller's requests. No effect here: metadata arrives with \
         the log.";
    "controlled.shutdown.max.retries", Int, Some("3"), Any, ReadOnly,
        "How often a stopping broker tried to hand its leaderships over. No effect here.";
    "controlled.shutdown.retry.backoff.ms", Long, Some("5000"), Any, ReadOnly,
        "How long a stopping broker waited between those tries, in milliseconds. No effect here.";
    "delegation.token.master.key", Password, None, Any, ReadOnly,
        "The older name of delegation.token.secret.key.";
    "eligible.leader.replicas.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether replicas that left the in-sync set safely may lead again. No effect here.";
    "group.coordinator.new.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether the newer group coordinator was used. No effect here: there is one coordinator.";
    "group.share.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether share groups were offered. No effect here.";
    "group.share.max.groups", Short, Some("10"), Between(1, 100), ReadOnly,
        "How many share groups a broker accepted. No effect here.";
    "inter.broker.protocol.version", String, Some("3.9-IV0"), Any, ReadOnly,
        "The version in which ZooKeeper-mode brokers talked to each other. No effect here.";
    "leader.imbalance.per.broker.percentage", Int, Some("10"), Any, ReadOnly,
        "The share of a broker's preferred leaderships, in percent, that may be with other brokers before \
         the controller moves them back.";
    "log.message.downconversion.enable", Boolean, Some("true"), Any, ReadOnly,
        "Whether records were rewritten into old formats for old consumers. No effect here: only the \
         current format is served.";
    "log.message.format.version", String, Some("3.0-IV1"), Any, ReadOnly,
        "The format of records on disk. No effect here: only the current format is written.";
    "log.message.timestamp.difference.max.ms", Long, Some("9223372036854775807"), AtLeast(0), ReadOnly,
        "The older setting for how far timestamps may lie from the clock, in milliseconds. Use \
         log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms.";
    "metadata.log.segment.min.bytes", Int, Some("8388608"), AtLeast(12), ReadOnly,
        "Overrode the smallest segment of the metadata log, in bytes, for tests. No effect here.";
    "offsets.commit.required.acks", Short, Some("-1"), Any, ReadOnly,
        "The acks of an offset commit. No effect here: a commit always waits for the in-sync replicas.";
    "password.encoder.cipher.algorithm", String, Some("AES/CBC/PKCS5Padding"), Any, ReadOnly,
        "The cipher that protected passwords in ZooKeeper. No effect here.";
    "password.encoder.iterations", Int, Some("4096"), AtLeast(1024), ReadOnly,
        "The key derivation rounds for passwords in ZooKeeper. No effect here.";
    "password.encoder.key.length", Int, Some("128"), AtLeast(8), ReadOnly,
        "The key length for passwords in ZooKeeper. No effect here.";
    "password.encoder.keyfactory.algorithm", String, None, Any, ReadOnly,
        "The key derivation for passwords in ZooKeeper. No effect here.";
    "password.encoder.old.secret", Password, None, Any, ReadOnly,
        "The secret before password.encoder.secret. No effect here.";
    "password.encoder.secret", Password, None, Any, ReadOnly,
        "The secret that protected passwords in ZooKeeper. No effect here.";
    "reserved.broker.max.id", Int, Some("1000"), AtLeast(0), ReadOnly,
        "The largest number that could be given to a broker by hand. No effect here.";
    "zookeeper.clientCnxnSocket", String, None, Any, ReadOnly,
        "The class of the connection to ZooKeeper. No effect here.";
    "zookeeper.connect", String, None, Any, ReadOnly,
        "The ZooKeeper servers that hold the cluster's metadata, as host:port pairs with an optional \
         chroot. Unset means the ensemble inside this process.";
    "zookeeper.connection.timeout.ms", Int, None, Any, ReadOnly,
        "How long connecting to ZooKeeper may take, in milliseconds. Unset means the session timeout.";
    "zookeeper.max.in.flight.requests", Int, Some("10"), AtLeast(1), ReadOnly,
        "How many requests to ZooKeeper may be unanswered at a time.";
    "zookeeper.metadata.migration.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether metadata moves from ZooKeeper to KRaft. No effect here.";
    "zookeeper.metadata.migration.min.batch.size", Int, Some("200"), AtLeast(1), ReadOnly,
        "The batch size of that move. No effect here.";
    "zookeeper.session.timeout.ms", Int, Some("18000"), Any, ReadOnly,
        "The session timeout of the broker's own ZooKeeper session, in milliseconds.";
    "zookeeper.set.acl", Boolean, Some("false"), Any, ReadOnly,
        "Whether the broker's znodes are readable by all but writable only by itself.";
    "zookeeper.ssl.cipher.suites", List, None, Any, ReadOnly,
        "The cipher suites for TLS to ZooKeeper.";
    "zookeeper.ssl.client.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether the connection to ZooKeeper uses TLS.";
    "zookeeper.ssl.crl.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether revocation lists are checked for TLS to ZooKeeper.";
    "zookeeper.ssl.enabled.protocols", List, None, Any, ReadOnly,
        "The versions of TLS to ZooKeeper.";
    "zookeeper.ssl.endpoint.identification.algorithm", String, Some("HTTPS"), Any, ReadOnly,
        "How ZooKeeper's certificate is matched to its host name.";
    "zookeeper.ssl.keystore.location", String, None, Any, ReadOnly,
        "The key store for TLS to ZooKeeper.";
    "zookeeper.ssl.keystore.password", Password, None, Any, ReadOnly,
        "The password of that key store.";
    "zookeeper.ssl.keystore.type", String, None, Any, ReadOnly,
        "The format of that key store.";
    "zookeeper.ssl.ocsp.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether certificates are checked online for TLS to ZooKeeper.";
    "zookeeper.ssl.protocol", String, Some("TLSv1.2"), Any, ReadOnly,
        "The protocol with which a TLS context to ZooKeeper is made.";
    "zookeeper.ssl.truststore.location", String, None, Any, ReadOnly,
        "The trust store for TLS to ZooKeeper.";
    "zookeeper.ssl.truststore.password", Password, None, Any, ReadOnly,
        "The password of that trust store.";
    "zookeeper.ssl.truststore.type", String, None, Any, ReadOnly,
        "The format of that trust store.";
}
