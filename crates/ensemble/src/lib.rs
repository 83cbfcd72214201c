//! Drives quorum, log and tree; sessions, watches and the in-process ZooKeeper client API.
