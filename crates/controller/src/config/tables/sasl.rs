//! Broker keys of SASL, principals and delegation tokens.
//!
//! Names, types, defaults and ranges are those of Kafka 4.3; the sentences are our own.
use super::server_rows;

server_rows! { SASL, Always;
    "connections.max.reauth.ms", Long, Some("0"), Any, ReadOnly,
        "How long a login lasts before a client must log in again on the same connection, in \
         milliseconds; 0 asks for no new login.";
    "delegation.token.expiry.check.interval.ms", Long, Some("3600000"), AtLeast(1), ReadOnly,
        "How often expired delegation tokens are removed, in milliseconds.";
    "delegation.token.expiry.time.ms", Long, Some("86400000"), AtLeast(1), ReadOnly,
        "How long a delegation token is good before it must be renewed, in milliseconds.";
    "delegation.token.max.lifetime.ms", Long, Some("604800000"), AtLeast(1), ReadOnly,
        "The age beyond which a delegation token cannot be renewed, in milliseconds.";
    "delegation.token.secret.key", Password, None, Any, ReadOnly,
        "The secret that signs delegation tokens, the same on every node. Without it there are no tokens.";
    "principal.builder.class", Class, Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"),
        Any, PerBroker,
        "The class that turns a connection's credentials into the name of a user.";
    "sasl.client.callback.handler.class", Class, None, Any, ReadOnly,
        "The class that supplies credentials when the broker logs in as a client.";
    "sasl.enabled.mechanisms", List, Some("GSSAPI"), LIST, PerBroker,
        "The SASL mechanisms that clients may log in with.";
    "sasl.jaas.config", Password, None, Any, PerBroker,
        "The login settings of SASL in JAAS form. On a broker it is written with the prefix of a listener \
         and a mechanism.";
    "sasl.kerberos.kinit.cmd", String, Some("/usr/bin/kinit"), Any, PerBroker,
        "The path of the kinit command.";
    "sasl.kerberos.min.time.before.relogin", Long, Some("60000"), Any, PerBroker,
        "The shortest time between two refreshes of the Kerberos login, in milliseconds.";
    "sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT"), LIST, PerBroker,
        "Rules that shorten Kerberos principals to user names; the first that matches wins.";
    "sasl.kerberos.service.name", String, None, Any, PerBroker,
        "The service part of the broker's Kerberos principal.";
    "sasl.kerberos.ticket.renew.jitter", Double, Some("0.05"), Any, PerBroker,
        "The random share added to the time at which the ticket is renewed.";
    "sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8"), Any, PerBroker,
        "The share of a ticket's life after which it is renewed.";
    "sasl.login.callback.handler.class", Class, None, Any, ReadOnly,
        "The class that supplies the credentials of a login.";
    "sasl.login.class", Class, None, Any, ReadOnly,
        "The class that performs a login.";
    "sasl.login.connect.timeout.ms", Int, None, Any, ReadOnly,
        "How long connecting to an outside login service may take, in milliseconds.";
    "sasl.login.read.timeout.ms", Int, None, Any, ReadOnly,
        "How long reading from an outside login service may take, in milliseconds.";
    "sasl.login.refresh.buffer.seconds", Short, Some("300"), Any, PerBroker,
        "How much of a credential's life must be left when it is refreshed, in seconds.";
    "sasl.login.refresh.min.period.seconds", Short, Some("60"), Any, PerBroker,
        "The shortest time between two refreshes of a credential, in seconds.";
    "sasl.login.refresh.window.factor", Double, Some("0.8"), Any, PerBroker,
        "The share of a credential's life after which it is refreshed.";
    "sasl.login.refresh.window.jitter", Double, Some("0.05"), Any, PerBroker,
        "The random share added to the time at which a credential is refreshed.";
    "sasl.login.retry.backoff.max.ms", Long, Some("10000"), Any, ReadOnly,
        "The longest wait before a failed login at an outside service is tried again, in milliseconds.";
    "sasl.login.retry.backoff.ms", Long, Some("100"), Any, ReadOnly,
        "The first wait before a failed login at an outside service is tried again, in milliseconds.";
    "sasl.mechanism.controller.protocol", String, Some("GSSAPI"), Any, ReadOnly,
        "The SASL mechanism between nodes and controllers.";
    "sasl.mechanism.inter.broker.protocol", String, Some("GSSAPI"), Any, PerBroker,
        "The SASL mechanism between brokers.";
    "sasl.oauthbearer.assertion.algorithm", String, Some("RS256"),
        OneOfIgnoringCase(&["ES256", "RS256"]), ReadOnly,
        "The algorithm that signs the assertion sent to an OAuth service.";
    "sasl.oauthbearer.assertion.claim.aud", String, None, Any, ReadOnly,
        "The audience claim of the assertion sent to an OAuth service.";
    "sasl.oauthbearer.assertion.claim.exp.seconds", Int, Some("300"), Between(0, 86400), ReadOnly,
        "How far in the future the assertion expires, in seconds.";
    "sasl.oauthbearer.assertion.claim.iss", String, None, Any, ReadOnly,
        "The issuer claim of the assertion sent to an OAuth service.";
    "sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false"), Any, ReadOnly,
        "Whether each assertion carries a unique id.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Some("60"), Between(0, 3600), ReadOnly,
        "How far in the past the assertion becomes valid, in seconds.";
    "sasl.oauthbearer.assertion.claim.sub", String, None, Any, ReadOnly,
        "The subject claim of the assertion sent to an OAuth service.";
    "sasl.oauthbearer.assertion.file", String, None, Any, ReadOnly,
        "A file with a ready assertion for an OAuth service.";
    "sasl.oauthbearer.assertion.private.key.file", String, None, Any, ReadOnly,
        "The file of the private key that signs assertions, in PEM form.";
    "sasl.oauthbearer.assertion.private.key.passphrase", Password, None, Any, ReadOnly,
        "The passphrase of the private key that signs assertions.";
    "sasl.oauthbearer.assertion.template.file", String, None, Any, ReadOnly,
        "A JSON file with headers and claims for assertions.";
    "sasl.oauthbearer.client.credentials.client.id", String, None, Any, ReadOnly,
        "The client id for OAuth's client credentials grant.";
    "sasl.oauthbearer.client.credentials.client.secret", Password, None, Any, ReadOnly,
        "The client secret for OAuth's client credentials grant.";
    "sasl.oauthbearer.clock.skew.seconds", Int, Some("30"), Any, ReadOnly,
        "How far the clocks of this node and the OAuth service may differ, in seconds.";
    "sasl.oauthbearer.expected.audience", List, Some(""), LIST, ReadOnly,
        "The audiences of which a token must name at least one. Empty skips the check.";
    "sasl.oauthbearer.expected.issuer", String, None, Any, ReadOnly,
        "The issuer that a token must name. Unset skips the check.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000"), Any, ReadOnly,
        "How often the keys of the OAuth service are read again, in milliseconds.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Some("10000"), Any, ReadOnly,
        "The longest wait before reading the keys is tried again, in milliseconds.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100"), Any, ReadOnly,
        "The first wait before reading the keys is tried again, in milliseconds.";
    "sasl.oauthbearer.jwks.endpoint.url", String, None, Any, ReadOnly,
        "Where the keys of the OAuth service are read, a web address or a file.";
    "sasl.oauthbearer.jwt.retriever.class", Class, Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        Any, ReadOnly,
        "The class that fetches tokens.";
    "sasl.oauthbearer.jwt.validator.class", Class, Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        Any, ReadOnly,
        "The class that checks tokens.";
    "sasl.oauthbearer.scope", String, None, Any, ReadOnly,
        "The scope that is asked of the OAuth service.";
    "sasl.oauthbearer.scope.claim.name", String, Some("scope"), Any, ReadOnly,
        "The claim of a token that holds its scopes.";
    "sasl.oauthbearer.sub.claim.name", String, Some("sub"), Any, ReadOnly,
        "The claim of a token that holds the user.";
    "sasl.oauthbearer.token.endpoint.url", String, None, Any, ReadOnly,
        "Where tokens are fetched, a web address or a file.";
    "sasl.server.callback.handler.class", Class, None, Any, ReadOnly,
        "The class that checks credentials on the server, written with the prefix of a listener and a \
         mechanism.";
    "sasl.server.max.receive.size", Int, Some("524288"), Any, ReadOnly,
        "The largest message that is read before a client has logged in, in bytes.";
}
