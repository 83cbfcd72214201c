//! Kafka protocol codec: declarative message tables, bounded and borrowed decoding.
