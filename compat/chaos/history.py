"""What the clients did and what they were told, in the form in which the oracles read it."""

from dataclasses import dataclass

OK, REFUSED, DOUBT = "ok", "refused", "doubt"


@dataclass(slots=True)
class Write:
    """One attempt to change a znode. `outcome` is what the client knows; `zxid` is 0 where the reply does not tell it."""

    client: str
    op: str
    path: str
    value: bytes | None
    start: float
    end: float
    outcome: str
    zxid: int = 0


@dataclass(slots=True)
class Read:
    """A znode's data as some client saw it."""

    client: str
    path: str
    value: bytes
    mzxid: int


@dataclass(slots=True)
class Abandoned:
    """A session with an ephemeral whose client went away without closing it; times are of the wall clock."""

    session: int
    path: str
    timeout_ms: int
    last_contact_ms: float


@dataclass(slots=True)
class Sent:
    """A record that a producer sent; `offset` is None unless it was acknowledged."""

    topic: str
    partition: int
    value: bytes
    offset: int | None
