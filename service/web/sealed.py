"""Keys in addresses that say, sealed, what they are good for: clients open such an address without a token.

Every web process can serve one, and none has to remember it.
"""

import base64
import binascii
from typing import TypeVar

import msgspec

from service.domain.errors import Refused
from service.store.secrets import Vault

Said = TypeVar("Said", bound=msgspec.Struct)


def key_of(vault: Vault, said: msgspec.Struct, purpose: str) -> str:
    """Seal what a key says, for this purpose alone."""
    sealed = vault.seal(msgspec.json.encode(said), purpose)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def opened(vault: Vault, key: str, of: type[Said], purpose: str) -> Said | None:
    """Return what a key says; None when we have made none such for this purpose."""
    try:
        sealed = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
        return msgspec.json.decode(vault.unseal(sealed, purpose), type=of)
    except (binascii.Error, ValueError, Refused):
        return None
