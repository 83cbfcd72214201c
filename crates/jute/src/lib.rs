//! ZooKeeper protocol codec.
