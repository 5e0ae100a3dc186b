"""What the router allows and how long it waits; the times a user sees are those of Heroku's router."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    first_byte_seconds: float = 30.0  # H12: from the end of the request to the first byte of the answer
    idle_seconds: float = 55.0  # H15, H28: no byte either way, WebSockets included
    head_seconds: float = 30.0  # from a connection's first byte to a whole request head
    keep_alive_seconds: float = 75.0
    connect_seconds: float = 5.0  # H19
    reroute_seconds: float = 1.0  # how long a request waits for another endpoint when none can be reached
    linger_seconds: float = 2.0  # how long an early answer is given to arrive before the connection goes
    line_bytes: int = 16_384
    field_bytes: int = 16_384
    headers: int = 128
    interim_answers: int = 32  # 1xx before the answer itself
    buffer_bytes: int = 65_536
    idle_upstreams: int = 64  # kept open per endpoint
    upstream_keep_seconds: float = 15.0
    # App servers close idle connections after as little as two seconds (gunicorn). A request that cannot be sent
    # twice only takes a connection that was in use a moment ago.
    young_seconds: float = 1.0
    trusted_proxies: frozenset[str] = frozenset({"127.0.0.1", "::1"})  # whose X-Forwarded-Proto is believed
