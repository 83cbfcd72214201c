//! Broker keys of transactions and producer ids.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { TRANSACTION, Always;
    "add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100"), AtLeast(0), ReadOnly,
        "The longest time that the broker keeps trying, on the client's behalf, to add a partition to a \
         transaction that is still completing, in milliseconds.";
    "add.partitions.to.txn.retry.backoff.ms", Int, Some("20"), AtLeast(1), ReadOnly,
        "How long the broker waits between such tries to add a partition to a transaction, in milliseconds.";
    "producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1), ClusterWide,
        "How long a partition remembers the sequence numbers of an idle producer id, in milliseconds.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000"), AtLeast(1), ReadOnly,
        "How often the coordinator looks for transactions to abort because their time is up, in milliseconds.";
    "transaction.max.timeout.ms", Int, Some("900000"), AtLeast(1), ReadOnly,
        "The longest transaction timeout that a producer may ask for, in milliseconds; a longer one is \
         refused.";
    "transaction.partition.verification.enable", Boolean, Some("true"), Any, ClusterWide,
        "Whether a partition asks the coordinator that a transaction is open before it takes the first \
         record of it.";
    "transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000"), AtLeast(1), ReadOnly,
        "How often the coordinator looks for transactional ids to forget, in milliseconds.";
    "transaction.state.log.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly,
        "How many bytes of the transaction state topic are read at once when a coordinator loads its state.";
    "transaction.state.log.min.isr", Int, Some("2"), AtLeast(1), ReadOnly,
        "The min.insync.replicas that the transaction state topic is created with.";
    "transaction.state.log.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly,
        "How many partitions the transaction state topic is created with. Do not change it afterwards.";
    "transaction.state.log.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly,
        "How many replicas the transaction state topic is created with.";
    "transaction.state.log.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly,
        "The segment size of the transaction state topic, in bytes.";
    "transaction.two.phase.commit.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether producers may hold transactions open without a timeout, as part of a two-phase commit.";
    "transactional.id.expiration.ms", Int, Some("604800000"), AtLeast(1), ReadOnly,
        "How long the coordinator remembers a transactional id without a change of its transactions, in \
         milliseconds.";
}

server_rows! { TRANSACTION_INTERNAL, WhenSet;
    "producer.id.expiration.check.interval.ms", Int, Some("600000"), AtLeast(1), ReadOnly,
        "How often partitions look for producer ids to forget, in milliseconds.";
}
