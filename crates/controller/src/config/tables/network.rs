//! Broker keys of listeners, connections and sockets.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { NETWORK, Always;
    "advertised.listeners", List, None, NON_EMPTY_LIST, ReadOnly,
        "The addresses that clients and other brokers are told to use, where they differ from listeners. \
         0.0.0.0 is no address to advertise.";
    "connection.failed.authentication.delay.ms", Int, Some("100"), AtLeast(0), ReadOnly,
        "How long a connection stays open after a failed login, in milliseconds, which slows down guessing.";
    "connections.max.idle.ms", Long, Some("600000"), Any, ReadOnly,
        "How long a connection may stay silent before it is closed, in milliseconds.";
    "listener.security.protocol.map", String, Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        Any, PerBroker,
        "Which security protocol each listener name stands for. Names that are protocols stand for themselves.";
    "listeners", List, Some("PLAINTEXT://:9092"), NON_EMPTY_LIST, PerBroker,
        "Where the broker listens, as NAME://host:port. An empty host means every interface, port 0 a \
         free port.";
    "max.connection.creation.rate", Int, Some("2147483647"), AtLeast(0), ClusterWide,
        "How many new connections a second the broker accepts before it slows down accepting.";
    "max.connections", Int, Some("2147483647"), AtLeast(0), ClusterWide,
        "How many connections the broker holds at a time; at the limit it stops accepting more.";
    "max.connections.per.ip", Int, Some("2147483647"), AtLeast(0), ClusterWide,
        "How many connections one address may hold; more are closed at once. 0 is allowed only together \
         with overrides.";
    "max.connections.per.ip.overrides", String, Some(""), Any, ClusterWide,
        "Other limits for single addresses or host names, as host:limit pairs.";
    "queued.max.request.bytes", Long, Some("-1"), Any, ReadOnly,
        "How many bytes of requests may wait before the broker stops reading; -1 sets no limit.";
    "queued.max.requests", Int, Some("500"), AtLeast(1), ReadOnly,
        "How many requests may wait before the broker stops reading.";
    "socket.listen.backlog.size", Int, Some("1024"), AtLeast(1), ReadOnly,
        "How many connections may wait to be accepted. The kernel's own limit applies as well.";
    "socket.receive.buffer.bytes", Int, Some("102400"), Any, ReadOnly,
        "The receive buffer of client connections, in bytes; -1 leaves it to the operating system.";
    "socket.request.max.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly,
        "The largest request frame that is read, in bytes; a longer one closes its connection.";
    "socket.send.buffer.bytes", Int, Some("102400"), Any, ReadOnly,
        "The send buffer of client connections, in bytes; -1 leaves it to the operating system.";
}
