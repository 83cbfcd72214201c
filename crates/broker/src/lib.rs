//! Partitions, in-sync replication, delayed requests, groups and transactions.
