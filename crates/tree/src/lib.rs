//! The znode state machine: pure prepare(request) and apply(txn).
