"""The output-spec cache as a file, used by the code that recorded it alone."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from fastload.cache.entry import CacheEntry, CacheFile
from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.core.code_files import CodeFiles, written
from fastload.runtime.core.code_record import CodeRecord, OtherCodeError
from fastload.runtime.core.eager import modes
from fastload.runtime.core.keras import Keras, tracing_choices
from fastload.runtime.keras2.output_specs import SpecCache
from fastload.runtime.requirements import OUTPUT_SPECS

#: To compare the code takes as long as to trace about so many calls of a plain layer. Recurrent
#: layers trace loops: a few of those take longer, and are known by their time.
_FEWEST_CALLS: Final = 8
_LEAST_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSpecs:
    """Where the output specs of one model are kept.

    Attributes:
        entry: of the twin.
        package: of the Keras.
        key: the Keras, with its settings.
        code: by which code they were recorded.
    """

    entry: CacheEntry
    package: str
    key: str
    code: CodeFiles

    @classmethod
    def of(cls, entry: CacheEntry, keras: Keras) -> RecordedSpecs:
        """Say where the specs are that *keras* records for the model of *entry*."""
        choices = "\n".join((*tracing_choices(keras), *modes()))
        key = f"calls-{hashlib.sha256(choices.encode()).hexdigest()[:16]}"
        code = CodeFiles(entry=entry, key=key)
        return cls(entry=entry, package=keras.package, key=key, code=code)

    def read(self) -> SpecCache:
        """Read what the code of this process would record; an empty cache where nobody has."""
        with suppress(UnsupportedRuntimeError):
            # Keras creates its state of this thread at the first call of a layer, and before 2.11
            # the globals of `activations` grow when it first looks one up.
            OUTPUT_SPECS.part("base_layer_utils", self.package).call_context()
            OUTPUT_SPECS.part("activations", self.package).deserialize("linear")
        record = self.code.matching()
        return SpecCache({} if record is None else self._recorded(record))

    def write(self, spec_cache: SpecCache) -> None:
        """Keep what was recorded, where that saves time."""
        is_slow = len(spec_cache.calls) >= _FEWEST_CALLS or spec_cache.seconds >= _LEAST_S
        if not (spec_cache.grew and is_slow):
            return
        content = json.dumps(spec_cache.calls, separators=(",", ":")).encode()
        record = self.code.matching()
        if record is not None:  # its file is broken, or gone
            written(self._file(record), content)
        elif self.code.free is not None:
            with suppress(OtherCodeError):
                record = CodeRecord.of(spec_cache.ran)
                if written(self._file(record), content):
                    self.code.add(record)

    def _file(self, record: CodeRecord) -> CacheFile:
        return self.entry.side(f"{self.key}-{record.name}")

    def _recorded(self, record: CodeRecord) -> dict[str, Any]:
        try:
            recorded = json.loads(self._file(record).read_bytes())
        except (OSError, ValueError):
            return {}
        return recorded if isinstance(recorded, dict) else {}
