"""Every error that fastload raises on purpose, with its code, but for those of wrong arguments.

    FastloadError
    |-- CacheError                    the cache failed: load_model() uses the stock loader
    |   |-- CacheUnwritableError      FL101  the folder cannot be created, written or trusted
    |   |-- CacheLockTimeoutError     FL102  another process held the entry's lock for too long
    |   |-- TwinCorruptError          FL103  a twin exists but is damaged
    |   |-- TwinVersionError          FL104  a twin has another format version
    |   |-- RestoreError              FL105  the twin is intact, but this Keras failed to load it
    |   |-- StoreAwayError            FL106  the shared store does not answer as it should
    |   `-- StoreObjectError          FL107  what the shared store has is not what it says
    |-- BypassError                   only the stock loader can do this load; the message says why
    |   |-- UnsupportedSourceError    FL201  not a format that fastload converts
    |   |-- UnsafeSourceError         FL202  the source is not safe to read (a link, a bomb)
    |   |-- UnconvertibleModelError   FL203  the files lack something that a twin needs
    |   |-- UnsupportedRuntimeError   FL204  this version of TensorFlow or Keras is not known
    |   |-- UnresolvedObjectError     FL205  a custom class or function cannot be found
    |   |-- UnsupportedRequestError   FL206  an argument that only the stock loader supports
    |   |-- MigrationError            FL207  (also ValueError) Keras 3 cannot have the model
    |   `-- RemoteSourceError         FL208  (also ValueError) an address gives no model
    |-- MissingTensorFlowError        FL301  (also ImportError) no TensorFlow is installed
    |-- EntryNotFoundError            FL401  a name means no entry of the cache, or several
    |-- StockLoadError                FL402  the stock loader failed, so nothing can be compared
    |-- NoSuchSignatureError          FL403  (also ValueError) the model has no such signature
    |-- ModelChangedError             FL404  (also ValueError) the model of a reference changed
    |-- NoFunctionError               FL405  (also ValueError) the model has no known function
    |-- MemoryBudgetError             FL406  (also MemoryError) a memory budget is too small
    |-- DeclarationError              FL407  a custom object cannot be declared as asked
    |-- ArchiveError                  FL408  an archive of twins is not what it says
    |-- ModelNotHereError             FL409  (also ValueError) the model of a reference is away
    `-- MeasurementError              FL410  a figure cannot be taken, or must not be counted

After an error of the first two branches, `load_model` uses the stock loader and reports the reason;
with `strict`, or where stock could not do what was asked, it raises the error. Codes never change
their meaning; `docs/errors.md` has a row for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final


class FastloadError(Exception):
    """Base of all errors that fastload raises on purpose; catch it to catch them all."""

    code = "FL000"

    def __str__(self) -> str:
        return f"[{self.code}] {self.explanation()}"

    def explanation(self) -> str:
        """Say what happened, what fastload did about it and what the reader can do."""
        return ", ".join(str(argument) for argument in self.args)


#: TensorFlow's `error_code`: cancelled, unknown, late, out of a resource, aborted, internal (a
#: device that another process has), unavailable.
_PASSING_CODES: Final = frozenset({1, 2, 4, 8, 10, 13, 14})
#: Names of errors of libraries that are not imported here: PyTorch's, and one of job queues.
_PASSING_NAMES: Final = frozenset({"OutOfMemoryError", "SoftTimeLimitExceeded"})


def is_passing(error: BaseException, outer: BaseException | None = None) -> bool:
    """Say whether a fault that may pass had a part in *error*, which then says nothing of a model.

    Such faults are those of the system, of memory and of the stack, and interrupts. h5py raises an
    `OSError` without a number for a damaged file.

    Args:
        error: what was raised.
        outer: what was being handled before, as `sys.exc_info()[1]`; it had no part.
    """
    pending: list[BaseException | None] = [error]
    seen = {id(None), id(outer)}
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        if _may_pass(each):
            return True
        seen.add(id(each))
        pending += [each.__cause__, each.__context__]
    return False


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return type(error) is not OSError or error.errno is not None
    if getattr(error, "error_code", None) in _PASSING_CODES:
        return True
    if type(error).__name__ in _PASSING_NAMES or "RESOURCE_EXHAUSTED" in str(error):
        return True
    return isinstance(error, (MemoryError, RecursionError)) or not isinstance(error, Exception)


class CacheError(FastloadError):
    """The cache, or a twin in it, cannot serve this load. The source is untouched."""

    code = "FL100"


class CacheUnwritableError(CacheError):
    """The cache folder cannot be created, written or trusted."""

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
    """Another process held the lock of an entry for longer than the timeout."""

    code = "FL102"

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__(path, timeout_s)
        self.path, self.timeout_s = path, timeout_s

    def explanation(self) -> str:
        return (
            f"the lock {str(self.path)!r} was not released within {self.timeout_s:g} s, because "
            "another process is converting this model. Set FASTLOAD_LOCK_TIMEOUT to wait longer."
        )


class TwinCorruptError(CacheError):
    """A twin exists but is damaged."""

    code = "FL103"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def explanation(self) -> str:
        return f"the twin {str(self.path)!r} is unusable: {self.reason}. It will be rebuilt."


class TwinVersionError(CacheError):
    """A twin has a format version that this fastload does not read."""

    code = "FL104"

    def __init__(self, path: Path, found: int, readable: int) -> None:
        super().__init__(path, found, readable)
        self.path, self.found, self.readable = path, found, readable

    def explanation(self) -> str:
        found = f"the twin {str(self.path)!r} has format version {self.found}"
        return (
            f"{found}, and this fastload reads version {self.readable}. "
            "Use one version of fastload with one cache, or remove the twin with `fastload rm`."
        )


class RestoreError(CacheError):
    """The twin is intact, but Keras failed to load it; or the file was removed during the load.

    Attributes:
        told: warnings that were given before it failed, for those who try again.
        failure: a `loading.failures.Failure`, to be remembered if stock loads the model; or None.
    """

    code = "FL105"
    failure: Any = None

    def __init__(
        self, path: Path, reason: str, *, is_known: bool = False, told: Sequence[Any] = ()
    ) -> None:
        super().__init__(path, reason)
        self.path, self.reason, self.is_known, self.told = path, reason, is_known, told

    def explanation(self) -> str:
        when = " by these versions in an earlier load" if self.is_known else ""
        remedy = " `fastload warm` tries again." if self.is_known else ""
        reason = self.reason.rstrip(".")
        return f"the twin {str(self.path)!r} could not be restored{when}: {reason}.{remedy}"


class StoreAwayError(CacheError):
    """The shared store does not answer, not in time, or not as a store should."""

    code = "FL106"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def explanation(self) -> str:
        return (
            f"the shared store {self.url!r} is not used: {self.reason}. "
            "Check FASTLOAD_REMOTE; `fastload doctor` asks the store again."
        )


class StoreObjectError(CacheError):
    """An object of the shared store is not what its name says, or not signed with the key."""

    code = "FL107"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def explanation(self) -> str:
        return (
            f"the object {self.url!r} of the shared store is not used: {self.reason}. "
            "Remove it from the store, and find out who put it there."
        )


class BypassError(FastloadError):
    """Only the stock loader can do this load; the message says why."""

    code = "FL200"


class UnsupportedSourceError(BypassError):
    """The source is not a file or folder of a format that fastload converts."""

    code = "FL201"


class UnsafeSourceError(BypassError):
    """The source holds something that is not safe to read: a link, a bomb, a path out of it."""

    code = "FL202"


class UnconvertibleModelError(BypassError):
    """The files lack something that a twin needs; only the stock loader can open them."""

    code = "FL203"


class UnsupportedRuntimeError(BypassError):
    """This version of TensorFlow or Keras lacks something that fastload uses."""

    code = "FL204"


class UnresolvedObjectError(BypassError):
    """A custom class or function that the model uses cannot be found."""

    code = "FL205"

    def __init__(self, name: str, user: str) -> None:
        super().__init__(name, user)
        self.name, self.user = name, user

    def explanation(self) -> str:
        bare = self.name.rsplit(">", 1)[-1]
        return (
            f"{self.name!r}, used by {self.user}, is neither part of Keras nor registered. "
            f"Add `fastload.register({bare})` before loading, pass it in custom_objects=, "
            f"or run `fastload register {bare}=package.module:{bare}` once."
        )


class UnsupportedRequestError(BypassError):
    """An argument or setting of this call is supported by the stock loader only."""

    code = "FL206"


class MigrationError(BypassError, ValueError):
    """A Keras 2 model cannot be migrated to a Keras 3 model with the same outputs."""

    code = "FL207"
    #: The reason where there is nothing to migrate.
    NO_KERAS_MODEL: ClassVar[str] = "it holds no Keras model"

    def __init__(self, owner: str, reason: str) -> None:
        super().__init__(owner, reason)
        self.owner, self.reason = owner, reason

    def explanation(self) -> str:
        if self.reason == self.NO_KERAS_MODEL:
            return (
                f"{self.owner} holds no Keras model: tf.saved_model.save or model.export() wrote "
                "its functions alone. Use fastload.load_saved_model, or fastload.load_predictor."
            )
        return (
            f"this Keras 2 model cannot be migrated to Keras 3: {self.owner}: {self.reason}. "
            'Use keras="tf_keras", which needs tf-keras; for a SavedModel, '
            "fastload.load_predictor works too."
        )


class RemoteSourceError(BypassError, ValueError):
    """A model at an address cannot be fetched: it is missing, written to, or its store is away."""

    code = "FL208"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def explanation(self) -> str:
        return f"the model at {self.url!r} cannot be fetched: {self.reason}."


class MissingTensorFlowError(FastloadError, ImportError):
    """TensorFlow, or the Keras that was asked for, is not installed."""

    code = "FL301"

    def __init__(self, missing: str) -> None:
        super().__init__(missing)
        self.missing = missing

    def explanation(self) -> str:
        extra = "legacy" if self.missing == "tf_keras" else "tensorflow"
        alternative = "" if extra == "legacy" else " (or 'tf-fastload[tensorflow-cpu]')"
        return (
            f"loading a model needs {self.missing}, which is not installed. "
            f"Run: python -m pip install 'tf-fastload[{extra}]'{alternative}"
        )


class EntryNotFoundError(FastloadError):
    """A name means no entry of the cache, or several."""

    code = "FL401"


class StockLoadError(FastloadError):
    """The stock loader cannot open the model, so there is nothing to compare with."""

    code = "FL402"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def explanation(self) -> str:
        return f"the stock loader cannot open {self.path!r}, so nothing was compared: {self.reason}"


class NoSuchSignatureError(FastloadError, ValueError):
    """The model does not have the signature that a predictor was asked for."""

    code = "FL403"

    def __init__(self, path: str, name: str, names: list[str]) -> None:
        super().__init__(path, name, names)
        self.path, self.name, self.names = path, name, names

    def explanation(self) -> str:
        there = ", ".join(repr(name) for name in self.names) or "no signatures"
        return f"{self.path!r} has no signature {self.name!r}; it has {there}."


class ModelChangedError(FastloadError, ValueError):
    """The model of a reference, or of a pickled predictor, has changed, and has no twin here."""

    code = "FL404"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def explanation(self) -> str:
        return (
            f"the model at {self.path!r} has changed since it was referred to, or pickled. "
            "Load the new one by its path, or put the old one, or its twin, back."
        )


class NoFunctionError(FastloadError, ValueError):
    """The inference function of a Keras model cannot be known without calling the model."""

    code = "FL405"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def explanation(self) -> str:
        reason = f"no predictor can be made of this model: {self.reason}"
        return f"{reason}. Use fastload.load_model."


class MemoryBudgetError(FastloadError, MemoryError):
    """The weights of a model need more bytes than their memory budget allows."""

    code = "FL406"

    def __init__(self, purpose: str, limit: int, needed: int) -> None:
        self.purpose, self.limit, self.needed = purpose, limit, needed
        # Keras keeps only the first argument of an error that a layer raises.
        super().__init__(f"[{self.code}] {self.explanation()}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.purpose, self.limit, self.needed)

    def explanation(self) -> str:
        return (
            f"{self.purpose} needs {self.needed} bytes for weights at once, but the memory budget "
            f"is {self.limit}. Give a memory_budget= of at least {self.needed}."
        )


class DeclarationError(FastloadError):
    """A custom object cannot be declared for later processes, or the file of those is unusable."""

    code = "FL407"

    def __init__(self, what: object, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def explanation(self) -> str:
        return f"{self.what}: {self.reason}"


class ArchiveError(FastloadError):
    """An archive of twins is not one, is damaged, or was made to do harm."""

    code = "FL408"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def explanation(self) -> str:
        return f"the archive {str(self.path)!r} is not imported: {self.reason}."


class ModelNotHereError(FastloadError, ValueError):
    """A reference was opened where neither a twin of its model is, nor the model."""

    code = "FL409"

    def __init__(self, path: str, digest: str, reason: str) -> None:
        super().__init__(path, digest, reason)
        self.path, self.digest, self.reason = path, digest, reason

    def explanation(self) -> str:
        return (
            f"no cache here has a twin of the model {self.digest[:12]}, and it cannot be read at "
            f"{self.path!r} either: {self.reason}. "
            "Warm the model into a folder of FASTLOAD_CACHE_PATH, or import its twin."
        )


class MeasurementError(FastloadError):
    """A figure cannot be taken, or must not be counted."""

    code = "FL410"
