//! The Kafka door over real sockets, in front of a whole node in a temporary folder. Tests are named after the items of the list of
//! semantics that toy brokers get wrong (`kafka_2_<n>_...`).
mod admin;
mod cluster;
mod configs;
mod connections;
mod fetching;
mod from_files;
mod groups;
mod hostile;
mod metadata;
mod node;
mod offsets;
mod phases;
mod producing;
mod wire;
