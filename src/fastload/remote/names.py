"""What the objects of a store are called: a name says what the object has to contain.

    <prefix>/<entry>/h5.<SHA-256>[.<HMAC>]                  a twin
    <prefix>/<entry>/<kind>.json|flat.<SHA-256>[.<HMAC>]    what is kept beside it

So an object is never written twice with other bytes, one that is half there cannot pass for a whole
one, and two writers do not disturb each other. The signature is over entry, kind and digest: what
was signed cannot be put in the place of something else that was.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from fastload.cache.travelling import travels
from fastload.lean_dataclass import dataclass

_OBJECT: Final = re.compile(
    r"(?P<kind>[\w.,+-]+?)\.(?P<sha256>[0-9a-f]{64})(\.(?P<mac>[0-9a-f]{64}))?",
    re.ASCII,
)
#: What is signed begins with it, so that the key may serve for other things as well.
_SIGNED: Final = "fastload store 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of an entry, as the store says of it.

    Attributes:
        entry: the entry's name.
        kind: of the file: `h5` for the twin, `specs.json`.
        sha256: hex digest of its content.
        size_bytes: its length.
        mac: its signature; None for none.
    """

    entry: str
    kind: str
    sha256: str
    size_bytes: int
    mac: str | None = None

    @property
    def is_twin(self) -> bool:
        """Whether it is the twin, and not something beside it."""
        return self.kind == "h5"

    @property
    def file_name(self) -> str:
        """What it is called in a cache."""
        return f"{self.entry}.{self.kind}"

    @property
    def object_name(self) -> str:
        """What it is called in a store, below the prefix."""
        mac = f".{self.mac}" if self.mac else ""
        return f"{self.entry}/{self.kind}.{self.sha256}{mac}"

    def is_signed_with(self, key: bytes) -> bool:
        """Say whether who has *key* said that this is what its name says."""
        return hmac.compare_digest(
            self.mac or "", signature(key, self.entry, self.kind, self.sha256)
        )


def parse(entry: str, name: str, size_bytes: object) -> StoredFile | None:
    """Return what the object called *name* in the folder of *entry* is; None for anything else.

    Args:
        entry: the entry's name.
        name: without the folder.
        size_bytes: how long the store says that it is.

    Example:
        >>> parse("ab" * 16, "h5." + "0" * 64, 7).file_name
        'abababababababababababababababab.h5'
    """
    match = _OBJECT.fullmatch(name)
    if match is None or type(size_bytes) is not int or size_bytes < 0:
        return None
    if not travels(entry, f"{entry}.{match['kind']}"):
        return None
    return StoredFile(entry=entry, size_bytes=size_bytes, **match.groupdict())


def signature(key: bytes, entry: str, kind: str, sha256: str) -> str:
    """Return the HMAC-SHA256 of what a name says, in hexadecimal digits."""
    told = f"{_SIGNED}\n{entry}\n{kind}\n{sha256}"
    return hmac.new(key, told.encode(), hashlib.sha256).hexdigest()
