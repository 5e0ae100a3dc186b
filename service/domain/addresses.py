"""Which addresses are in the public internet: all that code of others may make us or itself connect to."""

import ipaddress

# Networks whose addresses hold one of the older kind, which a gateway on the way may take out and connect to.
_EMBEDDED_V4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))


def is_public(address: str) -> bool:
    """Whether it is, judged also by an address of the older kind in it. Raises `ValueError` if it is no address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        # Site-local addresses are private although they are no longer listed as such.
        if ip.is_site_local or any(ip in network for network in _EMBEDDED_V4):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
