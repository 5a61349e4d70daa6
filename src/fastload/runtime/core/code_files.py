"""Code records beside a twin: who made what is kept there under one key, and by which code."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from fastload.cache.entry import CacheEntry, CacheFile
from fastload.errors import CacheError
from fastload.lean_dataclass import dataclass
from fastload.runtime.core.code_record import CODE_VERSION, CodeRecord, OtherCodeError
from fastload.runtime.core.eager import start_runtime

_logger: Final = logging.getLogger(__name__)
#: How many are kept under one key: each is of other code.
_MOST: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFiles:
    """The code records under one key, whether any exists or not.

    Attributes:
        entry: beside whose twin they are.
        key: what was made; letters, digits and hyphens.
    """

    entry: CacheEntry
    key: str

    def file(self, number: int) -> CacheFile:
        """Return the file of one of them."""
        return self.entry.side(f"code{CODE_VERSION}-{self.key}-{number}")

    def matching(
        self, objects: Iterable[Any] = (), books: frozenset[str] = frozenset()
    ) -> CodeRecord | None:
        """Return the record that holds in this process; None if none does.

        Args:
            objects: as in `CodeRecord.of`.
            books: as in `CodeRecord.of`.
        """
        objects = list(objects)
        for number in range(_MOST):
            file = self.file(number)
            try:
                record = CodeRecord.of_json(file.read_bytes())
                start_runtime()  # it ran when the record was made
                record.require_here(objects, books)
            except FileNotFoundError:
                return None
            except OtherCodeError as error:
                _logger.info("%s was recorded with other code: %s", file.path, error)
            except (OSError, ValueError, TypeError, KeyError) as error:
                _logger.info("%s is not a code record: %s", file.path, error)
            else:
                return record
        return None

    @property
    def free(self) -> CacheFile | None:
        """The file of the next one; None where there is no room for it, or nobody can look."""
        try:
            files = map(self.file, range(_MOST))
            return next((file for file in files if not file.is_there()), None)
        except CacheError as error:
            _logger.info("no code record is kept: %s", error)
            return None

    def add(self, record: CodeRecord) -> bool:
        """Publish *record*, and say whether it was; there may be no room for it."""
        free = self.free
        return free is not None and written(free, record.to_json())

    @property
    def _installed(self) -> CacheFile:
        return self.entry.side(f"code{CODE_VERSION}-{self.key}-installed")

    def matching_installed(self, package: str) -> str | None:
        """Return the name of the record that will hold once *package* is imported; None if none.

        Args:
            package: a Keras that is not imported, nor is TensorFlow.
        """
        # Imported here: with Keras imported, it is not asked.
        from fastload.runtime.core.installed_code import InstalledCode

        try:
            found = InstalledCode.of_json(self._installed.read_bytes())
            found.require_untouched(package)
        except FileNotFoundError:
            return None
        except OtherCodeError as error:
            _logger.info("%s was recorded with other code: %s", self._installed.path, error)
        except (OSError, ValueError, TypeError, KeyError) as error:
            _logger.info("%s is not a code record: %s", self._installed.path, error)
        else:
            return found.name
        return None

    def add_installed(self, record: CodeRecord, before: frozenset[str] | None) -> None:
        """Note that *record*, which holds here, is of the installed files' code, if it is.

        Args:
            record: one of those under this key.
            before: what `modules_before` said when the load began.
        """
        if before is None:
            return
        from fastload.runtime.core.installed_code import InstalledCode

        try:
            content = InstalledCode.of(record, before).to_json()
        except OtherCodeError as error:
            _logger.info("%s: %s", self._installed.path, error)
        else:
            written(self._installed, content)


def written(file: CacheFile, content: bytes) -> bool:
    """Keep *content* as *file*, and say whether it is; the cache may not be writable."""
    try:
        file.keep(content)
    except CacheError as error:
        _logger.info("%s is not kept: %s", file.path, error)
        return False
    return True
