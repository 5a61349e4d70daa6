"""Every error that fastload raises on purpose, with its code.

    FastloadError
    |-- CacheError                    the cached way failed: load_model() uses the stock loader
    |   |-- CacheUnwritableError      FL101  the folder cannot be made, written or trusted
    |   |-- CacheLockTimeoutError     FL102  another process kept the entry locked for too long
    |   |-- TwinCorruptError          FL103  a twin exists but is not what was written
    |   |-- TwinVersionError          FL104  a twin of another format version
    |   `-- RestoreError              FL105  the twin is sound, but this Keras failed to load it
    |-- BypassError                   this load is the stock loader's; the message is the reason
    |   |-- UnsupportedSourceError    FL201  not a format that fastload converts
    |   |-- UnsafeSourceError         FL202  a link, bomb or escape that fastload refuses to read
    |   |-- UnconvertibleModelError   FL203  the files do not hold all that a rebuild needs
    |   |-- UnsupportedRuntimeError   FL204  this TensorFlow or Keras is not shaped as expected
    |   |-- UnresolvedObjectError     FL205  a custom class or function is not at hand
    |   |-- UnsupportedRequestError   FL206  an argument that only the stock loader honours
    |   `-- MigrationError            FL207  (also ValueError) Keras 3 has no like of the model
    |-- MissingTensorFlowError        FL301  (also ImportError) no TensorFlow is installed
    |-- EntryNotFoundError            FL401  nothing, or more than one thing, in the cache is meant
    |-- StockLoadError                FL402  the stock loader failed where it was to be the measure
    |-- NoSuchSignatureError          FL403  (also ValueError) the model has no such signature
    |-- ModelChangedError             FL404  (also ValueError) not the model that a pickle refers to
    |-- NoFunctionError               FL405  (also ValueError) the model has nothing to predict with
    `-- MemoryBudgetError             FL406  (also MemoryError) a memory budget is too small

`load_model` turns the first two branches into a stock load with a stated reason; with `strict` they
are raised. Codes never change their meaning; `docs/errors.md` has a row for each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class FastloadError(Exception):
    """Base of all errors that fastload raises on purpose; catch it to catch them all."""

    code = "FL000"

    def __str__(self) -> str:
        return f"[{self.code}] {self.explanation()}"

    def explanation(self) -> str:
        """Say what happened, what fastload did about it and what the reader can do."""
        return ", ".join(str(argument) for argument in self.args)


class CacheError(FastloadError):
    """The cache, or a twin in it, cannot serve this load. The source is untouched."""

    code = "FL100"


class CacheUnwritableError(CacheError):
    """The cache folder cannot be made, written or trusted."""

    code = "FL101"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def explanation(self) -> str:
        return (
            f"the cache folder {str(self.path)!r} cannot be used: {self.reason}. "
            "Set FASTLOAD_CACHE_DIR to a folder that you own and can write to."
        )


class CacheLockTimeoutError(CacheError):
    """Another process held the lock of an entry for longer than this one may wait."""

    code = "FL102"

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__(path, timeout_s)
        self.path, self.timeout_s = path, timeout_s

    def explanation(self) -> str:
        return (
            f"the lock {str(self.path)!r} was not free within {self.timeout_s:g} s. "
            "Another process is converting this model; FASTLOAD_LOCK_TIMEOUT sets how long to wait."
        )


class TwinCorruptError(CacheError):
    """A twin file exists but is not what was written."""

    code = "FL103"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def explanation(self) -> str:
        return f"the twin {str(self.path)!r} is unusable: {self.reason}. It will be rebuilt."


class TwinVersionError(CacheError):
    """A twin of a format version that this fastload does not read."""

    code = "FL104"

    def __init__(self, path: Path, found: int, readable: int) -> None:
        super().__init__(path, found, readable)
        self.path, self.found, self.readable = path, found, readable

    def explanation(self) -> str:
        found = f"the twin {str(self.path)!r} has format version {self.found}"
        return f"{found}; this fastload reads version {self.readable}."


class RestoreError(CacheError):
    """The twin is sound, but the Keras in use could not be driven from it; or it went meanwhile."""

    code = "FL105"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def explanation(self) -> str:
        return f"the twin {str(self.path)!r} could not be restored: {self.reason}."


class BypassError(FastloadError):
    """This load belongs to the stock loader; the message says why."""

    code = "FL200"


class UnsupportedSourceError(BypassError):
    """Not a file or folder of a format that fastload converts."""

    code = "FL201"


class UnsafeSourceError(BypassError):
    """The source holds something that fastload refuses to read (link, bomb, escape)."""

    code = "FL202"


class UnconvertibleModelError(BypassError):
    """The files do not hold all that a rebuild needs; only the stock loader can open them."""

    code = "FL203"


class UnsupportedRuntimeError(BypassError):
    """This TensorFlow or Keras is not shaped as fastload expects."""

    code = "FL204"


class UnresolvedObjectError(BypassError):
    """A custom class or function that the model names is not at hand."""

    code = "FL205"

    def __init__(self, name: str, user: str) -> None:
        super().__init__(name, user)
        self.name, self.user = name, user

    def explanation(self) -> str:
        return (
            f"{self.name!r}, used by {self.user}, is neither part of Keras nor registered. "
            f"Add `fastload.register({self.name.rsplit('>', 1)[-1]})` before loading, "
            "or pass it in custom_objects=."
        )


class UnsupportedRequestError(BypassError):
    """An argument of this call is honoured by the stock loader only."""

    code = "FL206"


class MigrationError(BypassError, ValueError):
    """A Keras 2 model of which no Keras 3 model with the same outputs can be made."""

    code = "FL207"

    def __init__(self, owner: str, reason: str) -> None:
        super().__init__(owner, reason)
        self.owner, self.reason = owner, reason

    def explanation(self) -> str:
        return (
            f"Keras 3 cannot have this Keras 2 model: {self.owner}: {self.reason}. "
            'Use keras="tf_keras" (which needs tf-keras); or, of a SavedModel, '
            "fastload.load_predictor."
        )


class MissingTensorFlowError(FastloadError, ImportError):
    """No TensorFlow is installed, so there is no model to make."""

    code = "FL301"

    def __init__(self, missing: str) -> None:
        super().__init__(missing)
        self.missing = missing

    def __str__(self) -> str:
        return f"[{self.code}] {self.explanation()}"

    def explanation(self) -> str:
        extra = "legacy" if self.missing == "tf_keras" else "tensorflow"
        alternative = "" if extra == "legacy" else " (or 'tf-fastload[tensorflow-cpu]')"
        return (
            f"loading a model needs {self.missing}, which is not installed. "
            f"Run: python -m pip install 'tf-fastload[{extra}]'{alternative}"
        )


class EntryNotFoundError(FastloadError):
    """What the caller named is no entry of the cache, or could be several."""

    code = "FL401"


class StockLoadError(FastloadError):
    """The stock loader cannot open a model, so nothing can be compared with it."""

    code = "FL402"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def explanation(self) -> str:
        return f"the stock loader cannot open {self.path!r}, so nothing was compared: {self.reason}"


class NoSuchSignatureError(FastloadError, ValueError):
    """A predictor was asked for a signature that the model does not have."""

    code = "FL403"

    def __init__(self, path: str, name: str, names: list[str]) -> None:
        super().__init__(path, name, names)
        self.path, self.name, self.names = path, name, names

    def explanation(self) -> str:
        there = ", ".join(repr(name) for name in self.names) or "no signatures"
        return f"{self.path!r} has no signature {self.name!r}; it has {there}."


class ModelChangedError(FastloadError, ValueError):
    """The model at a path is not the one that a pickled predictor refers to."""

    code = "FL404"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def explanation(self) -> str:
        return (
            f"the pickled predictor was of another model than the one now at {self.path!r}. "
            "Load that one with fastload.load_predictor, or put the old one back."
        )


class NoFunctionError(FastloadError, ValueError):
    """A Keras model whose inference function cannot be known without calling it."""

    code = "FL405"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def explanation(self) -> str:
        return f"no predictor can be made of this model: {self.reason}. Use fastload.load_model."


class MemoryBudgetError(FastloadError, MemoryError):
    """The weights of a model need more bytes than their memory budget has."""

    code = "FL406"

    def __init__(self, purpose: str, limit: int, needed: int) -> None:
        self.purpose, self.limit, self.needed = purpose, limit, needed
        # Keras hands on the first argument of what a layer raises, and nothing else.
        super().__init__(f"[{self.code}] {self.explanation()}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.purpose, self.limit, self.needed)

    def __str__(self) -> str:
        return f"[{self.code}] {self.explanation()}"

    def explanation(self) -> str:
        return (
            f"{self.purpose} needs {self.needed} bytes for weights at once, but the memory budget "
            f"is {self.limit}. Nothing was lost; give a memory_budget= of at least {self.needed}."
        )
