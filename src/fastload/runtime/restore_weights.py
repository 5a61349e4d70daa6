"""Twin to the weights of a model that exists: Keras's own `load_weights`, run over the twin.

Where that fails, the model is as it was: the stock function starts from the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastload.cache.entry import KERAS3
from fastload.errors import BypassError, RestoreError, TwinCorruptError, UnsupportedRequestError
from fastload.imports.collector import paused_collector
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.put_off import PutOff
from fastload.runtime.core.rebuild import Rebuild
from fastload.runtime.core.restore_request import WeightsOrder
from fastload.runtime.core.told import Told, noting
from fastload.source.detect import ModelSource, SourceKind
from fastload.twin.reader import Twin

#: What the functions of all versions take; those of a version fail with what they do not take.
_ARGUMENTS: Final = frozenset({"skip_mismatch", "by_name", "objects_to_skip", "options"})


def require_takes_weights(keras: Keras, model: Any, arguments: Mapping[str, Any]) -> None:
    """Check that a call of `load_weights` is one that a twin serves.

    Raises:
        UnsupportedRequestError: it is not.
    """
    if not isinstance(model, keras.module.Model):
        raise UnsupportedRequestError(f"a {type(model).__name__} is not a model of {keras.package}")
    others = sorted(name for name in arguments if name not in _ARGUMENTS)
    if arguments.get("options") is not None:
        others.append("options")
    if others:
        raise UnsupportedRequestError(f"{', '.join(others)}= was given")


def require_reads(keras: Keras, source: ModelSource, path: Any) -> None:
    """Check that this version of a Keras reads the weights of *source* from *path*.

    Raises:
        UnsupportedRequestError, UnsupportedRuntimeError: it does not.
    """
    if source.kind is not SourceKind.KERAS_SHARDS or keras.generation != KERAS3:
        return
    from fastload.runtime.keras3.keras3_weights import require_reads_shards

    require_reads_shards(path)


def load_weights_from(twin: Twin, keras: Keras, order: WeightsOrder) -> Any:
    """Run the stock function over *twin* and return what it returns.

    Raises:
        TwinCorruptError: a document of the twin is not what was written.
        RestoreError: Keras raised an error that stock may not have raised.
        BypassError: Keras cannot be driven as expected.
    """
    from fastload.runtime.core.global_state import undone_on_failure

    load = _loader(keras)
    undo: list[Callable[[], None]] = []
    put_off, told = PutOff(undo), Told()
    rebuild = Rebuild(may_be_read=True, undo=undo, put_off=put_off)
    try:
        with paused_collector(), undone_on_failure(keras), noting(told):
            found = load(twin, keras, order, rebuild)
            put_off.settle()
            return found
    except (BypassError, TwinCorruptError, MemoryError):
        rebuild.put_back()
        raise
    except Exception as error:
        rebuild.put_back()
        reason = f"{type(error).__name__}: {error}"
        raise RestoreError(twin.path, reason, told=tuple(told.given)) from error
    except BaseException:  # an interrupt leaves what was assigned until then, as in stock
        put_off.settle()
        raise


def _loader(keras: Keras) -> Callable[[Twin, Keras, WeightsOrder, Rebuild], Any]:
    # Imported here: one Keras is enough.
    if keras.generation == KERAS3:
        from fastload.runtime.keras3.keras3_weights import load_weights_keras3

        return load_weights_keras3
    from fastload.runtime.keras2.keras2_weights import load_weights_keras2

    return load_weights_keras2
