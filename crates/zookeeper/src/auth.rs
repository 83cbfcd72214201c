//! How a client proves who it is: the schemes `digest` and `ip` of auth packets.
//!
//! Invariant: a scheme that isn't known here proves nothing; the client is answered with -115 and its connection ends
//! (reference 3.30).
use crate::config::ZooKeeperConfig;
use jute::AuthPacket;
use std::net::IpAddr;
use tree::AuthId;

/// The identities that an auth packet proves; `None` if it proves none.
pub(crate) fn prove(packet: &AuthPacket, remote: IpAddr, config: &ZooKeeperConfig) -> Option<Vec<AuthId>> {
    match packet.scheme.as_str() {
        "ip" => Some(vec![AuthId::new("ip", &remote.to_string())]),
        "digest" if config.digest_enabled => {
            let proven = tree::digest_id(packet.auth.as_deref()?);
            let is_super = config.super_digest.as_deref() == Some(&*proven.id);
            let superuser = is_super.then(AuthId::superuser);
            Some(superuser.into_iter().chain([proven]).collect())
        }
        _ => None,
    }
}

/// The part of an identity that whoAmI calls the user (`AuthenticationProvider.getUserName`).
pub(crate) fn user_of(identity: &AuthId) -> &str {
    match &*identity.scheme {
        "digest" => identity.id.split(':').next().unwrap_or_default(),
        "super" => "",
        _ => &identity.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::net::Ipv4Addr;

    fn proven(scheme: &str, auth: Option<&'static str>, config: &ZooKeeperConfig) -> Option<Vec<String>> {
        let auth = auth.map(|text| Bytes::from_static(text.as_bytes()));
        let packet = AuthPacket { auth_type: 0, scheme: scheme.into(), auth };
        let identities = prove(&packet, IpAddr::V4(Ipv4Addr::LOCALHOST), config)?;
        Some(identities.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_password_proves_its_digest() {
        let config = ZooKeeperConfig::default();
        let expected = vec!["digest:super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned()];
        assert_eq!(proven("digest", Some("super:test"), &config), Some(expected));
        assert_eq!(proven("digest", None, &config), None);
    }

    #[test]
    fn the_super_digest_makes_the_superuser() {
        let config = ZooKeeperConfig {
            super_digest: Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned()),
            ..ZooKeeperConfig::default()
        };
        let identities = proven("digest", Some("super:test"), &config).expect("proven");
        assert_eq!(identities, ["super:", "digest:super:D/InIHSb7yEEbrWz8b9l71RjZJU="]);
        assert_eq!(proven("digest", Some("super:wrong"), &config).expect("proven").len(), 1);
    }

    #[test]
    fn zk_3_30_unknown_schemes_prove_nothing() {
        let config = ZooKeeperConfig { digest_enabled: false, ..ZooKeeperConfig::default() };
        for scheme in ["world", "auth", "super", "sasl", "x509", "digest", ""] {
            assert_eq!(proven(scheme, Some("a:b"), &config), None, "{scheme}");
        }
        assert_eq!(proven("ip", None, &config), Some(vec!["ip:127.0.0.1".to_owned()]));
    }
}
