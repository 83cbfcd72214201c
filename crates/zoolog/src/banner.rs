//! What the node prints on the standard output once it serves, for people and for scripts that wait for it.
//!
//! Invariant: the lines `zookeeper listening on`, `kafka listening on`, `nodes listening on`, `data in` and the last line `ready` keep
//! their form; a script may rely on them. Everything else goes to the standard error.
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the node can be found.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The address for ZooKeeper clients.
    pub(crate) zookeeper: SocketAddr,
    /// The addresses for Kafka clients, one for each listener.
    pub(crate) kafka: Vec<SocketAddr>,
    /// The addresses that only other nodes use.
    pub(crate) peers: Vec<SocketAddr>,
    /// The data folders.
    pub(crate) data: Vec<PathBuf>,
}

/// Prints the lines and flushes them.
pub(crate) fn print(out: &mut dyn Write, places: &Places) -> io::Result<()> {
    out.write_all(text(places).as_bytes())?;
    out.flush()
}

fn text(places: &Places) -> String {
    let mut text = format!("zookeeper listening on {}\n", places.zookeeper);
    for address in &places.kafka {
        text += &format!("kafka listening on {address}\n");
    }
    for address in &places.peers {
        text += &format!("nodes listening on {address}\n");
    }
    let data: Vec<String> = places.data.iter().map(|dir| dir.display().to_string()).collect();
    text += &format!("data in {}\n", data.join(", "));
    let zookeeper = reachable(places.zookeeper);
    text += &format!("try: zkCli.sh -server {zookeeper} ls /brokers/topics\n");
    if let Some(kafka) = places.kafka.first().map(|address| reachable(*address)) {
        text += &format!(
            "try: kafka-topics.sh --bootstrap-server {kafka} --create --topic orders --partitions 3\n\
             try: kafka-console-consumer.sh --bootstrap-server {kafka} --topic __znodes --from-beginning \
             --property print.key=true\n"
        );
    }
    text += "ready\n";
    text
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_scripts_wait_for() {
        let places = Places {
            zookeeper: "[::]:2181".parse().expect("an address"),
            kafka: vec!["127.0.0.1:9092".parse().expect("an address")],
            peers: vec!["127.0.0.1:2888".parse().expect("an address")],
            data: vec![PathBuf::from("/a"), PathBuf::from("/b")],
        };
        let text = text(&places);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "zookeeper listening on [::]:2181");
        assert_eq!(lines[1], "kafka listening on 127.0.0.1:9092");
        assert_eq!(lines[2], "nodes listening on 127.0.0.1:2888");
        assert_eq!(lines[3], "data in /a, /b");
        assert!(lines[4].contains("-server localhost:2181 ") && lines[6].contains(" 127.0.0.1:9092 "));
        assert_eq!(lines[7..], ["ready"]);
    }
}
