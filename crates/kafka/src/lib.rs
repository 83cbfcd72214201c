//! Door 9092: frames, ApiVersions and one file per Kafka API.
