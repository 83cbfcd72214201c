//! What Kafka clients are told to connect to.
//!
//! An address that the configuration gives is told as it is. Without one it is the host that the listener has, and the port that it
//! got. A listener on every address has no host: then it is this machine's name, as in Kafka, if somebody configured the
//! listener, and `localhost` for a node that was started without any configuration of it, because that one is for trying
//! out on the same machine.
use controller::config::{BrokerConfig, Listener};

/// The host of a node that nobody configured, or whose machine has no usable name.
const LOCAL_HOST: &str = "localhost";

/// The addresses of all listeners for brokers and clients. `bound` has the port of each listener by name; `host_name` gives
/// this machine's name.
pub(crate) fn addresses(
    config: &BrokerConfig,
    bound: &[(String, u16)],
    host_name: impl Fn() -> std::io::Result<String>,
) -> Vec<Listener> {
    let is_configured = config.file_value("listeners").is_some();
    let fill_in = |listener: &Listener| {
        let mut listener = listener.clone();
        if listener.port == 0 {
            let own = bound.iter().find(|(name, _)| *name == listener.name);
            listener.port = own.map_or(0, |(_, port)| *port);
        }
        let host = listener.host.take().unwrap_or_else(|| match is_configured {
            false => LOCAL_HOST.to_owned(),
            true => host_name().unwrap_or_else(|error| {
                tracing::warn!(
                    %error,
                    "clients are told to connect to {LOCAL_HOST}; set advertised.listeners for clients elsewhere"
                );
                LOCAL_HOST.to_owned()
            }),
        });
        listener.host = Some(host);
        listener
    };
    config.advertised_listeners.iter().map(fill_in).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn told(pairs: &[(&str, &str)], host_name: io::Result<&str>) -> Vec<String> {
        let (config, _) = BrokerConfig::from_file(pairs.iter().copied()).expect("a configuration");
        let bound = [("PLAINTEXT".to_owned(), 4711), ("OTHER".to_owned(), 4712)];
        let name = || match &host_name {
            Ok(name) => Ok((*name).to_owned()),
            Err(error) => Err(io::Error::from(error.kind())),
        };
        addresses(&config, &bound, name).iter().map(ToString::to_string).collect()
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
