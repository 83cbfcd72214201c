//! Owns what the authentication schemes mean: who matches an ACL entry, which entries are valid, how `auth` expands,
//! what a password's digest is. Proving an identity is the connection's business; this file only compares.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::acl::{Acl, AclList, AuthId, Id, Perms};
use crate::error::TreeError;
use crate::request::Options;

/// Whether the connection has proven to be the superuser.
pub fn is_super(auth: &[AuthId]) -> bool {
    auth.iter().any(|id| &*id.scheme == "super")
}

/// Whether these identities may do any of `perm` under this ACL (`ZooKeeperServer.checkACL`). An empty ACL permits all.
pub fn permits(acl: &AclList, auth: &[AuthId], perm: Perms, options: &Options) -> bool {
    if options.skip_acl || acl.is_open() || acl.entries().is_empty() || is_super(auth) {
        return true;
    }
    acl.entries().iter().any(|entry| {
        entry.perms.intersects(perm)
            && (is_anyone(&entry.id) || auth.iter().any(|id| matches_entry(id, &entry.id, options)))
    })
}

fn is_anyone(id: &Id) -> bool {
    &*id.scheme == "world" && &*id.id == "anyone"
}

/// Whether a proven identity is what an ACL entry means.
fn matches_entry(proven: &Id, entry: &Id, options: &Options) -> bool {
    proven.scheme == entry.scheme
        && match &*entry.scheme {
            "ip" => IpRange::parse(&entry.id)
                .zip(parse_ip(&proven.id))
                .is_some_and(|(range, address)| range.contains(address)),
            "digest" => proven.id == entry.id,
            "sasl" => options.sasl && proven.id == entry.id,
            "x509" => options.x509 && proven.id == entry.id,
            _ => false,
        }
}

/// What a new ACL becomes: duplicates removed, `auth` replaced by the proven identities (`fixupACL`).
///
/// # Errors
/// `InvalidAcl` for an empty list, an entry that isn't valid, or `auth` without a proven identity.
pub(crate) fn expand(acl: &AclList, auth: &[AuthId], options: &Options) -> Result<AclList, TreeError> {
    if acl.is_open() {
        return Ok(AclList::open());
    }
    let mut unique: Vec<&Acl> = Vec::with_capacity(acl.entries().len());
    for entry in acl.entries() {
        if !unique.contains(&entry) {
            unique.push(entry);
        }
    }
    if unique.is_empty() {
        return Err(TreeError::InvalidAcl);
    }
    let mut expanded = Vec::with_capacity(unique.len());
    for entry in unique {
        if &*entry.id.scheme == "auth" {
            let before = expanded.len();
            expanded.extend(
                auth.iter()
                    .filter(|id| authenticates(&id.scheme, options))
                    .map(|id| Acl { perms: entry.perms, id: id.clone() }),
            );
            if expanded.len() == before {
                return Err(TreeError::InvalidAcl);
            }
        } else if is_anyone(&entry.id) || is_valid(&entry.id, options) {
            expanded.push(entry.clone());
        } else {
            return Err(TreeError::InvalidAcl);
        }
    }
    Ok(AclList::from(expanded))
}

/// Whether a proven identity of this scheme says who somebody is; an address doesn't.
fn authenticates(scheme: &str, options: &Options) -> bool {
    match scheme {
        "digest" => true,
        "sasl" => options.sasl,
        "x509" => options.x509,
        _ => false,
    }
}

/// Whether an ACL may name this id.
fn is_valid(id: &Id, options: &Options) -> bool {
    match &*id.scheme {
        "digest" => digest_is_valid(&id.id),
        "ip" => IpRange::parse(&id.id).is_some(),
        "sasl" => options.sasl && kerberos_name_is_valid(&id.id),
        "x509" => options.x509 && id.id.split(',').all(|part| part.trim().split_once('=').is_some()),
        _ => false,
    }
}

/// Two parts around one colon; empty parts at the end don't count, as in Java's `split`.
fn digest_is_valid(id: &str) -> bool {
    id.trim_end_matches(':').matches(':').count() == 1
}

/// `name[/host]@realm`, or a name without `@`.
fn kerberos_name_is_valid(id: &str) -> bool {
    match id.split_once('@') {
        None => !id.is_empty(),
        Some((principal, realm)) => {
            !principal.is_empty() && !realm.contains(['@', '/']) && principal.matches('/').count() <= 1
        }
    }
}

/// The identity that `user:password` proves: `digest`, `user:base64(sha1(user:password))`.
pub fn digest_id(user_and_password: &[u8]) -> Id {
    let text = String::from_utf8_lossy(user_and_password);
    let user = text.split(':').next().unwrap_or_default();
    let hash = STANDARD.encode(Sha1::digest(text.as_bytes()));
    Id::new("digest", &format!("{user}:{hash}"))
}

/// The ACL as getACL shows it: without ADMIN the digests are hidden as `user:x`.
pub fn masked_for(acl: &AclList, auth: &[AuthId], options: &Options) -> AclList {
    if permits(acl, auth, Perms::ADMIN, options)
        || !acl.entries().iter().any(|entry| &*entry.id.scheme == "digest")
    {
        return acl.clone();
    }
    let mask = |entry: &Acl| match entry.id.id.split_once(':') {
        Some((user, _)) if &*entry.id.scheme == "digest" => {
            Acl { perms: entry.perms, id: Id::new("digest", &format!("{user}:x")) }
        }
        _ => entry.clone(),
    };
    AclList::from(acl.entries().iter().map(mask).collect::<Vec<_>>())
}

/// Addresses that share the first `bits` bits with `base`.
struct IpRange {
    base: IpAddr,
    bits: u32,
}

impl IpRange {
    /// Parses `address` or `address/bits`.
    fn parse(text: &str) -> Option<IpRange> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base = parse_ip(address)?;
        let bits_max = if base.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        let bits = match bits {
            Some(bits) => bits.parse::<u32>().ok().filter(|bits| *bits <= bits_max)?,
            None => bits_max,
        };
        Some(IpRange { base, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(Ipv4Addr::BITS - self.bits).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - self.bits).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// An address; the zone of a link-local one (`fe80::1%eth0`) is no part of it.
fn parse_ip(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: Options =
        Options { extended_types: false, skip_acl: false, enforce_quota: false, sasl: false, x509: false };

    fn list(entries: &[(i32, &str, &str)]) -> AclList {
        AclList::from(
            entries.iter().map(|(perms, scheme, id)| Acl::new(Perms(*perms), scheme, id)).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn digest_of_a_password_is_sha1_in_base64() {
        // The value that Apache's documentation shows for its DigestAuthenticationProvider.
        assert_eq!(&*digest_id(b"super:test").id, "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
        assert_eq!(&*digest_id(b"nobody").id, &format!("nobody:{}", STANDARD.encode(Sha1::digest("nobody"))));
        assert_eq!(&*digest_id(b"u:p:q").scheme, "digest");
        assert!(digest_id(b"u:p:q").id.starts_with("u:"));
    }

    #[test]
    fn zk_3_28_auth_expands_to_every_proven_identity() {
        let (ann, bob) = (digest_id(b"ann:1"), digest_id(b"bob:2"));
        let auth = [Id::new("ip", "127.0.0.1"), ann.clone(), bob.clone(), Id::superuser()];
        let input =
            list(&[(31, "auth", ""), (31, "auth", ""), (1, "world", "anyone"), (31, "digest", &ann.id)]);
        let expanded = expand(&input, &auth, &OFF).expect("valid");
        // Duplicates go from the input list only: ann is there twice in the result.
        let wanted = list(&[
            (31, "digest", &ann.id),
            (31, "digest", &bob.id),
            (1, "world", "anyone"),
            (31, "digest", &ann.id),
        ]);
        assert_eq!(expanded, wanted);
    }

    #[test]
    fn zk_3_28_invalid_acls() {
        for bad in [
            list(&[]),
            list(&[(31, "auth", "")]),
            list(&[(31, "world", "nobody")]),
            list(&[(31, "digest", "no-colon")]),
            list(&[(31, "digest", "a:b:c")]),
            list(&[(31, "digest", "a:")]),
            list(&[(31, "ip", "10.0.0.0/33")]),
            list(&[(31, "ip", "10.0.0")]),
            list(&[(31, "ip", "::1/129")]),
            list(&[(31, "sasl", "ann")]),
            list(&[(31, "x509", "CN=ann")]),
            list(&[(31, "super", "")]),
            list(&[(31, "magic", "x")]),
            list(&[(1, "world", "anyone"), (31, "magic", "x")]),
        ] {
            assert_eq!(
                expand(&bad, &[Id::new("ip", "1.2.3.4")], &OFF),
                Err(TreeError::InvalidAcl),
                "{bad:?}"
            );
        }
        let with_providers = Options { sasl: true, x509: true, ..OFF };
        for good in [
            list(&[(31, "digest", "a:b")]),
            list(&[(31, "ip", "10.0.0.0/8"), (1, "ip", "fe80::/10"), (1, "ip", "::1")]),
            list(&[(31, "sasl", "zk/host@REALM"), (31, "sasl", "ann")]),
            list(&[(31, "x509", "CN=ann,OU=x")]),
        ] {
            assert_eq!(expand(&good, &[], &with_providers), Ok(good.clone()));
        }
    }

    #[test]
    fn permissions_by_scheme() {
        let ann = digest_id(b"ann:1");
        let acl = list(&[
            (1, "world", "anyone"),
            (2, "digest", &ann.id),
            (4, "ip", "10.1.0.0/16"),
            (8, "ip", "fe80::/10"),
        ]);
        let at = |address: &str| Id::new("ip", address);
        assert!(permits(&acl, &[], Perms::READ, &OFF));
        assert!(!permits(&acl, &[], Perms::WRITE, &OFF));
        assert!(permits(&acl, std::slice::from_ref(&ann), Perms::WRITE, &OFF));
        assert!(!permits(&acl, &[digest_id(b"ann:2")], Perms::WRITE, &OFF));
        assert!(permits(&acl, &[at("10.1.2.3")], Perms::CREATE, &OFF));
        assert!(!permits(&acl, &[at("10.2.2.3")], Perms::CREATE, &OFF));
        assert!(permits(&acl, &[at("fe80::1%eth0")], Perms::DELETE, &OFF));
        assert!(!permits(&acl, &[at("10.1.2.3")], Perms::DELETE, &OFF));
        assert!(permits(&acl, &[Id::superuser()], Perms::ADMIN, &OFF));
        assert!(permits(&acl, &[], Perms::ADMIN, &Options { skip_acl: true, ..OFF }));
        assert!(permits(&list(&[(31, "ip", "0.0.0.0/0")]), &[at("1.2.3.4")], Perms::ADMIN, &OFF));
        assert!(permits(&list(&[]), &[], Perms::ADMIN, &OFF));
    }

    #[test]
    fn zk_3_28_get_acl_masks_digests_without_admin() {
        let ann = digest_id(b"ann:1");
        let acl = list(&[(31, "digest", &ann.id), (1, "world", "anyone")]);
        assert_eq!(masked_for(&acl, &[], &OFF), list(&[(31, "digest", "ann:x"), (1, "world", "anyone")]));
        assert_eq!(masked_for(&acl, &[ann], &OFF), acl);
        assert_eq!(masked_for(&AclList::open(), &[], &OFF), AclList::open());
    }
}
