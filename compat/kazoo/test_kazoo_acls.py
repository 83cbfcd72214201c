"""ACLs and authentication through kazoo."""

import pytest
from kazoo.exceptions import AuthFailedError, InvalidACLError, NoAuthError
from kazoo.security import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    Id,
    Permissions,
    make_acl,
    make_digest_acl,
    make_digest_acl_credential,
)


def test_open_is_the_default(zk, base):
    acls, stat = zk.get_acls(base)
    assert acls == OPEN_ACL_UNSAFE
    assert stat.aversion == 0


def test_digest_acl_guards_every_permission(zk, zk_client, base):
    owner = zk_client(auth_data=[("digest", "alice:secret")])
    path = owner.create(f"{base}/a", b"private", acl=[make_digest_acl("alice", "secret", all=True)])
    # The other client may be on a node that is a little behind.
    zk.sync(path)
    for attempt in (
        lambda: zk.get(path),
        lambda: zk.set(path, b"x"),
        lambda: zk.create(f"{path}/child"),
        lambda: zk.get_children(path),
        lambda: zk.set_acls(path, OPEN_ACL_UNSAFE),
    ):
        with pytest.raises(NoAuthError):
            attempt()
    # exists on a node that one may not read is refused as of 3.9.
    with pytest.raises(NoAuthError):
        zk.exists(path)
    assert owner.get(path)[0] == b"private"
    owner.create(f"{path}/child")
    with pytest.raises(NoAuthError):
        zk.delete(f"{path}/child")
    owner.delete(f"{path}/child")
    owner.set_acls(path, OPEN_ACL_UNSAFE)
    zk.sync(path)
    assert zk.get(path)[0] == b"private"


def test_read_only_for_the_world(zk, base):
    path = zk.create(f"{base}/r", b"1", acl=READ_ACL_UNSAFE)
    assert zk.get(path)[0] == b"1"
    with pytest.raises(NoAuthError):
        zk.set(path, b"2")


def test_set_acls_bumps_the_acl_version_only(zk, base):
    path = zk.create(f"{base}/a")
    before = zk.exists(path)
    after = zk.set_acls(path, [make_acl("world", "anyone", all=True)], version=0)
    assert (after.aversion, after.version, after.mzxid) == (1, before.version, before.mzxid)


def test_auth_expands_to_the_ids_of_the_connection(zk, zk_client, base):
    owner = zk_client()
    owner.add_auth("digest", "alice:secret")
    owner.add_auth("digest", "bob:hidden")
    path = owner.create(f"{base}/a", acl=CREATOR_ALL_ACL)
    ids = sorted(acl.id.id for acl in owner.get_acls(path)[0])
    expected = [make_digest_acl_credential("alice", "secret"), make_digest_acl_credential("bob", "hidden")]
    assert ids == sorted(expected)


def test_auth_without_an_identity_is_refused(zk, base):
    with pytest.raises(InvalidACLError):
        zk.create(f"{base}/a", acl=[ACL(Permissions.ALL, Id("auth", ""))])


def test_an_empty_list_and_unknown_schemes_are_refused(zk, base):
    for acl in ([ACL(Permissions.ALL, Id("nothing", "x"))], [ACL(Permissions.ALL, Id("ip", "not-an-address"))]):
        with pytest.raises(InvalidACLError):
            zk.create(f"{base}/a", acl=acl)


def test_ip_acl_matches_addresses_and_prefixes(zk, base):
    mine = zk.create(f"{base}/mine", acl=[make_acl("ip", "127.0.0.0/8", all=True)])
    zk.set(mine, b"x")
    theirs = zk.create(f"{base}/theirs", acl=[make_acl("ip", "192.0.2.1", all=True)])
    with pytest.raises(NoAuthError):
        zk.set(theirs, b"x")


def test_an_unknown_auth_scheme_fails_the_connection(zk_client):
    client = zk_client()
    with pytest.raises(AuthFailedError):
        client.add_auth("nonsense", "x:y")


def test_digests_are_masked_without_admin(zk, base):
    acl = [make_digest_acl("alice", "secret", all=True), make_acl("world", "anyone", read=True)]
    path = zk.create(f"{base}/a", acl=acl)
    ids = {acl.id.id for acl in zk.get_acls(path)[0]}
    assert ids == {"alice:x", "anyone"}


def test_ensure_path_with_acl(zk, base):
    acl = [make_acl("world", "anyone", all=True)]
    zk.ensure_path(f"{base}/x/y", acl=acl)
    assert zk.get_acls(f"{base}/x/y")[0] == acl
