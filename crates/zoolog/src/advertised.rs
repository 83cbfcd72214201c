//! What clients and other nodes are told to connect to.
//!
//! An address that the configuration gives is told as it is. Without one it is the host that the listener has, and the port that it
//! got. A listener on every address has no host: then it is the host of the node's own line (`server.N`, `controller.quorum.voters`), or
//! this machine's name, as in Kafka, or `localhost` for a node that nobody configured and that has no others elsewhere, because that
//! one is for trying out on the same machine.
use crate::config::{Cluster, is_unspecified};
use controller::config::{BrokerConfig, Listener};
use peers::Address;

/// The host of a node that nobody configured, or whose machine has no usable name.
const LOCAL_HOST: &str = "localhost";

/// Knows the names of a node.
pub(crate) struct Naming<'a, F> {
    config: &'a BrokerConfig,
    cluster: &'a Cluster,
    /// Gives this machine's name.
    host_name: F,
}

impl<'a, F: Fn() -> std::io::Result<String>> Naming<'a, F> {
    /// The names that the configuration and the machine give.
    pub(crate) fn new(config: &'a BrokerConfig, cluster: &'a Cluster, host_name: F) -> Naming<'a, F> {
        Naming { config, cluster, host_name }
    }

    /// The addresses of all listeners for brokers and clients. `bound` has the port of each listener by name.
    pub(crate) fn for_clients(&self, bound: &[(String, u16)]) -> Vec<Listener> {
        let fill_in = |listener: &Listener| {
            let mut listener = listener.clone();
            listener.port = port_of(&listener, bound);
            listener.host = Some(listener.host.take().unwrap_or_else(|| self.host()));
            listener
        };
        self.config.advertised_listeners.iter().map(fill_in).collect()
    }

    /// Where the other nodes reach this one: as its own line says, or at its listener for them, or where brokers reach it.
    pub(crate) fn for_peers(&self, bound: &[(String, u16)], for_clients: &[Listener]) -> Address {
        if let Some(own) = &self.cluster.own {
            let host = self.cluster.host().map_or_else(|| self.machine(), str::to_owned);
            return Address { host, port: own.port };
        }
        let controllers = &self.config.controller_listener_names;
        let apart = self.config.listeners.iter().find(|listener| controllers.contains(&listener.name));
        let inter_broker = &self.config.inter_broker_listener_name;
        let shared = for_clients.iter().find(|listener| listener.name == *inter_broker);
        // The configuration has a listener under the inter-broker name in any case.
        let listener = apart.or(shared).or(for_clients.first());
        let port = listener.map_or(0, |listener| port_of(listener, bound));
        let given = self.config.listeners.iter().chain(&self.config.advertised_listeners);
        let mut given = given.filter(|given| listener.is_some_and(|listener| given.name == listener.name));
        let is_named = given.any(|given| given.host.as_deref().is_some_and(|host| !is_unspecified(host)));
        let host = listener.and_then(|listener| listener.host.clone()).filter(|_| is_named);
        Address { host: host.unwrap_or_else(|| self.host_for_peers()), port }
    }

    /// The host for other nodes where nothing names one. Those that join a node that was alone can be on any machine.
    fn host_for_peers(&self) -> String {
        match self.cluster.is_alone() {
            true => (self.host_name)().unwrap_or_else(|_| LOCAL_HOST.to_owned()),
            false => self.host(),
        }
    }

    /// The host where nothing names one.
    fn host(&self) -> String {
        if let Some(host) = self.cluster.host() {
            return host.to_owned();
        }
        let is_configured = self.config.file_value("listeners").is_some() || !self.cluster.is_alone();
        if is_configured { self.machine() } else { LOCAL_HOST.to_owned() }
    }

    fn machine(&self) -> String {
        (self.host_name)().unwrap_or_else(|error| {
            tracing::warn!(
                %error,
                "others are told to connect to {LOCAL_HOST}; set advertised.listeners for clients elsewhere"
            );
            LOCAL_HOST.to_owned()
        })
    }
}

fn port_of(listener: &Listener, bound: &[(String, u16)]) -> u16 {
    match listener.port {
        0 => bound.iter().find(|(name, _)| *name == listener.name).map_or(0, |(_, port)| *port),
        port => port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use std::io;

    /// What clients are told, then what the other nodes are told.
    fn all_told(pairs: &[(&str, &str)], host_name: io::Result<&str>) -> (Vec<String>, String) {
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = load(&base::SystemDisk, &[], &pairs, &[]).expect("a configuration");
        let bound = [("PLAINTEXT".to_owned(), 4711), ("OTHER".to_owned(), 4712)];
        let name = || match &host_name {
            Ok(name) => Ok((*name).to_owned()),
            Err(error) => Err(io::Error::from(error.kind())),
        };
        let naming = Naming::new(&config.broker, &config.cluster, name);
        let clients = naming.for_clients(&bound);
        let peers = naming.for_peers(&bound, &clients);
        (clients.iter().map(ToString::to_string).collect(), peers.to_string())
    }

    fn told(pairs: &[(&str, &str)], host_name: io::Result<&str>) -> Vec<String> {
        all_told(pairs, host_name).0
    }

    #[test]
    fn a_node_of_a_cluster_has_the_name_of_its_line() {
        let pairs = [("server.1", "zk1:2888:3888"), ("server.2", "zk2:2888:3888"), ("node.id", "2")];
        assert_eq!(
            all_told(&pairs, Ok("n")),
            (vec!["PLAINTEXT://zk2:9092".to_owned()], "zk2:2888".to_owned())
        );
        let pairs = [("server.1", "zk1:2888:3888"), ("server.2", "0.0.0.0:2888:3888"), ("node.id", "2")];
        assert_eq!(all_told(&pairs, Ok("n")), (vec!["PLAINTEXT://n:9092".to_owned()], "n:2888".to_owned()));
    }

    #[test]
    fn other_nodes_are_told_the_listener_for_them() {
        let pairs = [
            ("node.id", "4"),
            ("controller.quorum.bootstrap.servers", "a:9093"),
            ("listeners", "PLAINTEXT://:9092,OTHER://:0"),
            ("controller.listener.names", "OTHER"),
        ];
        assert_eq!(all_told(&pairs, Ok("n")), (vec!["PLAINTEXT://n:9092".to_owned()], "n:4712".to_owned()));
        let pairs = &pairs[..2];
        assert_eq!(all_told(pairs, Ok("n")), (vec!["PLAINTEXT://n:9092".to_owned()], "n:9092".to_owned()));
        assert_eq!(all_told(&[], Ok("n")).1, "n:9092");
        let nameless = Err(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(all_told(&[], nameless).1, "localhost:9092");
        let named =
            [("listeners", "PLAINTEXT://:9092"), ("advertised.listeners", "PLAINTEXT://outside:19092")];
        assert_eq!(all_told(&named, Ok("n")).1, "outside:19092");
        assert_eq!(all_told(&[("listeners", "PLAINTEXT://127.0.0.1:0")], Ok("n")).1, "127.0.0.1:4711");
    }

    #[test]
    fn a_node_without_configuration_is_for_this_machine() {
        assert_eq!(told(&[], Ok("node.example")), ["PLAINTEXT://localhost:9092"]);
    }

    #[test]
    fn a_configured_listener_on_every_address_has_the_name_of_the_machine() {
        for every in ["PLAINTEXT://:9092", "PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://[::]:9092"] {
            assert_eq!(told(&[("listeners", every)], Ok("node.example")), ["PLAINTEXT://node.example:9092"]);
        }
        let nameless = Err(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(told(&[("listeners", "PLAINTEXT://:9092")], nameless), ["PLAINTEXT://localhost:9092"]);
    }

    #[test]
    fn port_0_is_the_port_that_the_listener_got() {
        let listeners = "PLAINTEXT://127.0.0.1:0,OTHER://127.0.0.1:0";
        let map = "PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT";
        let pairs = [("listeners", listeners), ("listener.security.protocol.map", map)];
        assert_eq!(told(&pairs, Ok("n")), ["PLAINTEXT://127.0.0.1:4711", "OTHER://127.0.0.1:4712"]);
    }

    #[test]
    fn what_is_configured_is_told_as_it_is() {
        let pairs =
            [("listeners", "PLAINTEXT://:9092"), ("advertised.listeners", "PLAINTEXT://outside:19092")];
        assert_eq!(told(&pairs, Ok("n")), ["PLAINTEXT://outside:19092"]);
    }
}
