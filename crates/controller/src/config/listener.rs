//! Addresses in configuration: listeners, their protocols, voters of the quorum.
use std::collections::BTreeMap;
use std::fmt;

use super::error::ConfigError;

/// How a listener's connections are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// The protocol that a name in any case stands for.
    pub fn from_name(name: &str) -> Option<SecurityProtocol> {
        match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Some(SecurityProtocol::Plaintext),
            "SSL" => Some(SecurityProtocol::Ssl),
            "SASL_PLAINTEXT" => Some(SecurityProtocol::SaslPlaintext),
            "SASL_SSL" => Some(SecurityProtocol::SaslSsl),
            _ => None,
        }
    }

    /// The name in Kafka's configuration and znodes.
    pub const fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One address of `listeners` or `advertised.listeners`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// The name in upper case.
    pub name: String,
    /// What listener.security.protocol.map says about the name.
    pub protocol: SecurityProtocol,
    /// The host; `None` is every interface.
    pub host: Option<String>,
    /// The port; 0 asks for a free one.
    pub port: u16,
}

impl fmt::Display for Listener {
    /// Writes `NAME://host:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or_default();
        if host.contains(':') {
            write!(f, "{}://[{host}]:{}", self.name, self.port)
        } else {
            write!(f, "{}://{host}:{}", self.name, self.port)
        }
    }
}

/// A voter of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuorumVoter {
    /// The voter's node.id.
    pub id: i32,
    /// Its host.
    pub host: String,
    /// The port of its Kafka-protocol listener.
    pub port: u16,
}

/// Reads `host:port` or `[v6 address]:port`; the host is not empty.
pub(super) fn parse_host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = split_host_port(text)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Reads `id@host:port`.
pub(super) fn parse_quorum_voter(text: &str) -> Option<QuorumVoter> {
    let (id, address) = text.split_once('@')?;
    let id = id.parse().ok().filter(|id| *id >= 0)?;
    let (host, port) = parse_host_port(address)?;
    Some(QuorumVoter { id, host, port })
}

fn split_host_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None => host,
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '%' | '.' | '_' | ':');
    host.chars().all(is_host).then_some((host, port))
}

/// Listener names and the protocols that they stand for.
pub(super) type ProtocolMap = BTreeMap<String, SecurityProtocol>;

/// Reads `listener.security.protocol.map`.
pub(super) fn parse_protocol_map(key: &str, text: &str) -> Result<ProtocolMap, ConfigError> {
    let mut map = ProtocolMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, protocol) = pair.rsplit_once(':').ok_or_else(|| {
            ConfigError::invalid(key, text, format!("`{pair}` should be in the form `name:protocol`"))
        })?;
        let protocol = SecurityProtocol::from_name(protocol.trim()).ok_or_else(|| {
            ConfigError::invalid(
                key,
                text,
                format!("Invalid security protocol `{}` defined in {key}", protocol.trim()),
            )
        })?;
        map.insert(name.trim().to_uppercase(), protocol);
    }
    Ok(map)
}

/// Reads the addresses of `listeners` or `advertised.listeners`; names must differ.
pub(super) fn parse_listeners(
    key: &str,
    texts: &[String],
    protocols: &ProtocolMap,
) -> Result<Vec<Listener>, ConfigError> {
    let mut listeners: Vec<Listener> = Vec::new();
    for text in texts {
        let listener = parse_listener(key, text, protocols)?;
        if listeners.iter().any(|other| other.name == listener.name) {
            return Err(ConfigError::invalid(
                key,
                texts.join(","),
                "no two listeners may have the same name",
            ));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

fn parse_listener(key: &str, text: &str, protocols: &ProtocolMap) -> Result<Listener, ConfigError> {
    let malformed = || ConfigError::invalid(key, text, "it should be in the form `NAME://host:port`");
    let (name, address) = text.split_once("://").ok_or_else(malformed)?;
    let (host, port) = split_host_port(address).ok_or_else(malformed)?;
    let name = name.to_uppercase();
    let protocol = protocols.get(&name).copied().ok_or_else(|| {
        ConfigError::invalid(
            key,
            text,
            format!(
                "No security protocol defined for listener {name}; name it in listener.security.protocol.map"
            ),
        )
    })?;
    Ok(Listener { name, protocol, host: (!host.is_empty()).then(|| host.to_owned()), port })
}

/// Refuses two listeners on one port, unless one has an IPv4 and the other an IPv6 address.
pub(super) fn check_distinct_ports(key: &str, listeners: &[Listener]) -> Result<(), ConfigError> {
    for (at, one) in listeners.iter().enumerate() {
        for other in &listeners[at + 1..] {
            if one.port == 0 || one.port != other.port || is_v4_and_v6(one, other) || is_v4_and_v6(other, one)
            {
                continue;
            }
            return Err(ConfigError::invalid(
                key,
                format!("{one},{other}"),
                "two listeners may share a port only if one has an IPv4 and the other an IPv6 address",
            ));
        }
    }
    Ok(())
}

fn is_v4_and_v6(one: &Listener, other: &Listener) -> bool {
    let host = |listener: &Listener| listener.host.clone().unwrap_or_default();
    host(one).parse::<std::net::Ipv4Addr>().is_ok() && host(other).parse::<std::net::Ipv6Addr>().is_ok()
}
