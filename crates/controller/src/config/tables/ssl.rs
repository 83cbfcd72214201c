//! Broker keys of TLS.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { SSL, Always;
    "ssl.allow.dn.changes", Boolean, Some("false"), Any, ReadOnly,
        "Whether a renewed certificate may carry another subject name.";
    "ssl.allow.san.changes", Boolean, Some("false"), Any, ReadOnly,
        "Whether a renewed certificate may drop alternative names.";
    "ssl.cipher.suites", List, Some(""), LIST, PerBroker,
        "The cipher suites that may be used. Empty means all that are available.";
    "ssl.client.auth", String, Some("none"), OneOf(&["required", "requested", "none"]), PerBroker,
        "Whether clients must (required), may (requested) or need not (none) show a certificate.";
    "ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), LIST, PerBroker,
        "The versions of TLS that may be used.";
    "ssl.endpoint.identification.algorithm", String, Some("https"), Any, PerBroker,
        "How a server's certificate is matched to its host name; empty turns the check off.";
    "ssl.engine.factory.class", Class, None, Any, PerBroker,
        "The class that makes TLS engines.";
    "ssl.key.password", Password, None, Any, PerBroker,
        "The password of the private key.";
    "ssl.keymanager.algorithm", String, Some("SunX509"), Any, PerBroker,
        "The algorithm of the key manager.";
    "ssl.keystore.certificate.chain", Password, None, Any, PerBroker,
        "The certificate chain of this node, as PEM text.";
    "ssl.keystore.key", Password, None, Any, PerBroker,
        "The private key of this node, as PEM text.";
    "ssl.keystore.location", String, None, Any, PerBroker,
        "The file that holds this node's key and certificate.";
    "ssl.keystore.password", Password, None, Any, PerBroker,
        "The password of the key store file.";
    "ssl.keystore.type", String, Some("JKS"), Any, PerBroker,
        "The format of the key store file.";
    "ssl.principal.mapping.rules", String, Some("DEFAULT"), Any, ReadOnly,
        "Rules that shorten a certificate's subject to a user name; the first that matches wins.";
    "ssl.protocol", String, Some("TLSv1.3"), Any, PerBroker,
        "The protocol with which a TLS context is made.";
    "ssl.provider", String, None, Any, PerBroker,
        "The security provider that implements TLS.";
    "ssl.secure.random.implementation", String, None, Any, PerBroker,
        "The source of random numbers for TLS.";
    "ssl.trustmanager.algorithm", String, Some("PKIX"), Any, PerBroker,
        "The algorithm of the trust manager.";
    "ssl.truststore.certificates", Password, None, Any, PerBroker,
        "The trusted certificates, as PEM text.";
    "ssl.truststore.location", String, None, Any, PerBroker,
        "The file that holds the trusted certificates.";
    "ssl.truststore.password", Password, None, Any, PerBroker,
        "The password of the trust store file.";
    "ssl.truststore.type", String, Some("JKS"), Any, PerBroker,
        "The format of the trust store file.";
}
