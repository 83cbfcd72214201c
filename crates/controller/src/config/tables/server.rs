//! Broker keys of the node itself and of replication.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { SERVER, Always;
    "authorizer.class.name", String, Some(""), Any, ReadOnly,
        "The class that decides who may do what. Empty means that everything is allowed.";
    "background.threads", Int, Some("10"), AtLeast(1), ClusterWide,
        "How many threads do the broker's background work.";
    "broker.heartbeat.interval.ms", Int, Some("2000"), Any, ReadOnly,
        "How often a broker tells the controller that it is alive, in milliseconds.";
    "broker.id", Int, Some("0"), Any, ReadOnly,
        "The number of this broker, the older name of node.id. When only one of the two is set, the other \
         one follows.";
    "broker.rack", String, None, Any, ReadOnly,
        "Where this broker stands. Replica placement spreads over racks, and consumers may fetch from \
         their own.";
    "broker.session.timeout.ms", Int, Some("9000"), Any, ReadOnly,
        "How long a broker may stay silent before the controller takes it for gone, in milliseconds.";
    "client.quota.callback.class", Class, None, Any, ReadOnly,
        "A class that computes client quotas in place of the built-in rules.";
    "compression.gzip.level", Int, Some("-1"), BetweenOr(1, 9, -1), ClusterWide,
        "Server default of the topic setting of the same name: the gzip level, from 1 (fast) to 9 \
         (small), or -1 for the library's choice.";
    "compression.lz4.level", Int, Some("9"), Between(1, 17), ClusterWide,
        "Server default of the topic setting of the same name: the lz4 level, from 1 (fast) to 17 (small).";
    "compression.type", String, Some("producer"),
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide,
        "Server default of the topic setting of the same name: `producer` stores batches as they arrive, \
         `uncompressed` or a codec name brings all batches into that form.";
    "compression.zstd.level", Int, Some("3"), Between(-131072, 22), ClusterWide,
        "Server default of the topic setting of the same name: the zstd level, up to 22 for the smallest \
         result.";
    "config.providers", List, Some(""), LIST, ClusterWide,
        "Names of plug-ins that fill in values written as ${provider:path:key}.";
    "controlled.shutdown.enable", Boolean, Some("true"), Any, ReadOnly,
        "Whether a stopping broker first hands its leaderships over.";
    "controller.listener.names", List, None, NON_EMPTY_LIST, ReadOnly,
        "Names of the listeners that only controllers use, in order of preference. Unset means that nodes \
         talk over the brokers' listeners.";
    "delete.topic.enable", Boolean, Some("true"), Any, ReadOnly,
        "Whether topics may be deleted. When false, DeleteTopics is refused.";
    "early.start.listeners", List, None, LIST, ReadOnly,
        "Listeners that open before the node has caught up with the cluster's metadata. Unset means the \
         controller's listeners.";
    "fetch.max.bytes", Int, Some("57671680"), AtLeast(1024), ReadOnly,
        "The most bytes that one fetch answer carries, whatever the client asks for; a first batch that \
         is larger is still sent.";
    "initial.broker.registration.timeout.ms", Int, Some("60000"), Any, ReadOnly,
        "How long a starting broker tries to register before it gives up, in milliseconds.";
    "max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0), ReadOnly,
        "How many incremental fetch sessions the broker remembers.";
    "max.request.partition.size.limit", Int, Some("2000"), AtLeast(1), ReadOnly,
        "The most partitions that one answer of a paged metadata request describes.";
    "message.max.bytes", Int, Some("1048588"), AtLeast(0), ClusterWide,
        "The largest record batch, after compression, that a topic accepts unless it sets \
         max.message.bytes, in bytes.";
    "metadata.log.dir", String, None, Any, ReadOnly,
        "The folder of the cluster's own metadata log. Unset means the first folder of log.dirs.";
    "metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520"), AtLeast(1), ReadOnly,
        "How many bytes of new metadata records lead to a snapshot.";
    "metadata.log.max.snapshot.interval.ms", Long, Some("3600000"), AtLeast(0), ReadOnly,
        "The longest time between snapshots while there are new metadata records, in milliseconds; 0 \
         turns the timer off.";
    "metadata.log.segment.bytes", Int, Some("1073741824"), AtLeast(8388608), ReadOnly,
        "The size at which a segment of the metadata log is closed, in bytes.";
    "metadata.log.segment.ms", Long, Some("604800000"), Any, ReadOnly,
        "The age at which a segment of the metadata log is closed, in milliseconds.";
    "metadata.max.idle.interval.ms", Int, Some("500"), AtLeast(0), ReadOnly,
        "How often an idle active controller appends an empty record so that followers can tell it is \
         alive, in milliseconds; 0 turns that off.";
    "metadata.max.retention.bytes", Long, Some("104857600"), Any, ReadOnly,
        "How large the metadata log and its snapshots may grow before the oldest are removed, in bytes.";
    "metadata.max.retention.ms", Long, Some("604800000"), Any, ReadOnly,
        "How old metadata log segments and snapshots may grow before they are removed, in milliseconds.";
    "node.id", Int, Some("0"), AtLeast(0), ReadOnly,
        "The number of this node, unique in the cluster.";
    "num.io.threads", Int, Some("8"), AtLeast(1), ClusterWide,
        "How many threads work on requests, disk access included.";
    "num.network.threads", Int, Some("3"), AtLeast(1), ClusterWide,
        "How many threads read requests from the network and write answers to it, for each listener.";
    "num.replica.alter.log.dirs.threads", Int, None, Any, ReadOnly,
        "How many threads move replicas between folders. Unset means one for each folder.";
    "process.roles", List, Some("broker,controller"), non_empty_list_of(&["broker", "controller"]), ReadOnly,
        "What this process is: a broker, a controller, or both.";
    "request.timeout.ms", Int, Some("30000"), Any, ReadOnly,
        "How long this node waits for another node's answer before it tries again or gives up, in \
         milliseconds.";
    "security.providers", String, None, Any, ReadOnly,
        "Classes that register further security algorithms, in order.";
    "socket.connection.setup.timeout.max.ms", Long, Some("30000"), Any, ReadOnly,
        "The upper bound of the growing wait for a connection to be set up, in milliseconds.";
    "socket.connection.setup.timeout.ms", Long, Some("10000"), Any, ReadOnly,
        "How long a connection to another node may take to be set up, in milliseconds; it doubles with \
         each failure.";
    "telemetry.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly,
        "The largest compressed metrics payload accepted from a client, in bytes.";
    "auto.leader.rebalance.enable", Boolean, Some("true"), Any, ReadOnly,
        "Whether leadership goes back to each partition's preferred replica by itself.";
    "controller.socket.timeout.ms", Int, Some("30000"), Any, ReadOnly,
        "How long the controller waits for a broker on its channel, in milliseconds.";
    "default.replication.factor", Int, Some("1"), Any, ReadOnly,
        "How many replicas a topic gets that is created without a number of its own, automatic creation \
         included.";
    "delete.records.purgatory.purge.interval.requests", Int, Some("1"), Any, ReadOnly,
        "After how many finished requests the waiting list of DeleteRecords is tidied.";
    "fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly,
        "After how many finished requests the waiting list of Fetch is tidied.";
    "follower.fetch.last.tiered.offset.enable", Boolean, Some("false"), Any, ClusterWide,
        "Whether a new follower of a tiered topic starts at the last tiered offset and skips what only \
         the remote store has.";
    "inter.broker.listener.name", String, None, Any, ReadOnly,
        "The listener over which brokers talk to each other. Set either this or \
         security.inter.broker.protocol.";
    "leader.imbalance.check.interval.seconds", Long, Some("300"), AtLeast(1), ReadOnly,
        "How often preferred leadership is checked, in seconds.";
    "num.replica.fetchers", Int, Some("1"), AtLeast(1), ClusterWide,
        "How many connections a broker uses to fetch from each other broker. More of them replicate \
         faster and cost more memory and CPU.";
    "producer.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly,
        "After how many finished requests the waiting list of Produce is tidied.";
    "replica.fetch.backoff.ms", Int, Some("1000"), AtLeast(0), ReadOnly,
        "How long a follower waits after a failed fetch, in milliseconds.";
    "replica.fetch.max.bytes", Int, Some("1048576"), AtLeast(0), ReadOnly,
        "How many bytes of each partition a follower tries to fetch at once; a first batch that is larger \
         is still sent.";
    "replica.fetch.min.bytes", Int, Some("1"), Any, ReadOnly,
        "How many bytes a follower's fetch waits for before it is answered.";
    "replica.fetch.response.max.bytes", Int, Some("10485760"), AtLeast(0), ReadOnly,
        "How many bytes a follower expects in one whole fetch answer; a first batch that is larger is \
         still sent.";
    "replica.fetch.wait.max.ms", Int, Some("500"), Any, ReadOnly,
        "How long a follower's fetch waits for replica.fetch.min.bytes, in milliseconds. Keep it below \
         replica.lag.time.max.ms.";
    "replica.high.watermark.checkpoint.interval.ms", Long, Some("5000"), Any, ReadOnly,
        "How often high watermarks are written to disk, in milliseconds.";
    "replica.lag.time.max.ms", Long, Some("30000"), Any, ReadOnly,
        "How long a follower may go without catching up to the leader's end before it leaves the in-sync \
         set, in milliseconds.";
    "replica.selector.class", String, None, Any, ReadOnly,
        "The class that picks the replica that a consumer reads from. Unset means the leader.";
    "replica.socket.receive.buffer.bytes", Int, Some("65536"), Any, ReadOnly,
        "The receive buffer of replication connections, in bytes.";
    "replica.socket.timeout.ms", Int, Some("30000"), Any, ReadOnly,
        "How long replication waits for the other side, in milliseconds. It must be at least \
         replica.fetch.wait.max.ms.";
    "security.inter.broker.protocol", String, Some("PLAINTEXT"),
        OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly,
        "The security protocol between brokers. Set either this or inter.broker.listener.name.";
    "share.fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly,
        "After how many finished requests the waiting list of ShareFetch is tidied.";
    "unclean.leader.election.enable", Boolean, Some("false"), Any, ClusterWide,
        "Server default of the topic setting of the same name: whether a replica that fell out of sync \
         may lead when no other is left.";
}

server_rows! { SERVER_INTERNAL, WhenSet;
    "controller.performance.always.log.threshold.ms", Long, Some("2000"), AtLeast(0), ReadOnly,
        "A controller event slower than this is always logged, in milliseconds.";
    "controller.performance.sample.period.ms", Long, Some("60000"), AtLeast(100), ReadOnly,
        "How often the controller logs a summary of its own performance, in milliseconds.";
    "internal.metadata.delete.delay.millis", Long, Some("60000"), Any, ReadOnly,
        "How long a removed file of the metadata log stays on disk, in milliseconds. Meant for tests.";
    "internal.metadata.log.segment.bytes", Int, None, Any, ReadOnly,
        "Overrides metadata.log.segment.bytes without its lower bound, in bytes. Meant for tests.";
    "internal.metadata.max.batch.size.in.bytes", Int, Some("8388608"), Any, ReadOnly,
        "The largest batch of metadata records, in bytes. Meant for tests.";
    "server.max.startup.time.ms", Long, Some("9223372036854775807"), AtLeast(0), ReadOnly,
        "How long the node may take to start before it gives up, in milliseconds.";
    "unstable.api.versions.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether request versions that are still in development are offered.";
    "unstable.feature.versions.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether feature levels that are still in development may be used.";
    "unclean.leader.election.interval.ms", Long, Some("300000"), AtLeast(1), ReadOnly,
        "How often the controller looks for partitions that only an unclean election can bring back, in \
         milliseconds.";
}
