//! Broker keys of the consensus of nodes.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { QUORUM, Always;
    "controller.quorum.append.linger.ms", Int, Some("25"), AtLeast(0), ReadOnly,
        "How long the quorum's leader gathers appends before it writes them, in milliseconds.";
    "controller.quorum.auto.join.enable", Boolean, Some("false"), Any, ReadOnly,
        "Whether a controller that is no voter yet asks to become one by itself.";
    "controller.quorum.bootstrap.servers", List, Some(""), QuorumServers, ReadOnly,
        "Nodes to ask first for the members of the quorum, as host:port.";
    "controller.quorum.election.backoff.max.ms", Int, Some("1000"), AtLeast(0), ReadOnly,
        "The longest wait between two elections that ended without a leader, in milliseconds.";
    "controller.quorum.election.timeout.ms", Int, Some("1000"), AtLeast(0), ReadOnly,
        "How long a node waits without any word from the quorum's leader before it starts an election, in \
         milliseconds.";
    "controller.quorum.fetch.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly,
        "The most bytes of the metadata log in one fetch between members of the quorum.";
    "controller.quorum.fetch.snapshot.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly,
        "The most bytes of a snapshot in one fetch between members of the quorum.";
    "controller.quorum.fetch.timeout.ms", Int, Some("2000"), AtLeast(0), ReadOnly,
        "How long a follower goes without a successful fetch before it becomes a candidate, and how long \
         a leader goes without fetches of a majority before it steps down, in milliseconds.";
    "controller.quorum.request.timeout.ms", Int, Some("2000"), AtLeast(0), ReadOnly,
        "How long a member of the quorum waits for an answer, in milliseconds.";
    "controller.quorum.retry.backoff.ms", Int, Some("20"), AtLeast(0), ReadOnly,
        "How long a member of the quorum waits before it repeats a failed request, in milliseconds.";
    "controller.quorum.voters", List, Some(""), QuorumVoters, ReadOnly,
        "The voters of the quorum, as id@host:port. It says in Kafka's words what server.N says in a zoo.cfg.";
}
