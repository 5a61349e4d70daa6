"""A Keras 3 layer over the functions that a SavedModel holds for one of its layers.

It stands where the layer's own class is missing. Weights are Keras 3's; the functions capture
their values, so that training, gradients and assignments need nothing more. A `.keras` archive
keeps the functions as an asset: importing this module is all that Keras needs to open it.
"""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import keras

from fastload import system
from fastload.errors import MissingTensorFlowError
from fastload.runtime.core.twin_archive import FUNCTIONS_ASSET, asset_of
from fastload.runtime.keras3.output_spec_forms import are_given, as_in, call_form, form_of, nest_of
from fastload.runtime.requirements import KERAS3_FUNCTIONS, MIGRATION
from fastload.runtime.saved_model.cut_functions import CutFunctions

PACKAGE: Final = "fastload"
_TENSORFLOW: Final = "tensorflow"
#: Names of functions in an asset: the layer's call, and its activity regularizer.
CALL: Final = "call"
ACTIVITY: Final = "activity_regularizer"
#: What a layer's configuration says to those who read it in Keras's message of an unknown class.
_HINT: Final = (
    "fastload defines this class: pip install tf-fastload, and access fastload.SavedFunctionLayer"
)


class SavedFunctions:
    """Serialized functions of one layer.

    Args:
        content: what `saved_model.cut_functions` made.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.digest = hashlib.sha256(content).hexdigest()


if int(keras.__version__.partition(".")[0]) < 3:  # noqa: PLR2004 - the generation
    raise MissingTensorFlowError("keras 3")

#: Those in use, by digest: a layer that is made of the configuration of another has its functions.
_IN_USE: Final[weakref.WeakValueDictionary[str, SavedFunctions]] = weakref.WeakValueDictionary()


@keras.saving.register_keras_serializable(package=PACKAGE, name="SavedFunctionLayer")
class SavedFunctionLayer(keras.layers.Layer):  # type: ignore[misc]
    """A layer that computes what a function of a SavedModel computes.

    `fastload.load_model` makes such layers of Keras 2 layers whose class Keras 3 lacks. They
    predict and train as any layer does. TensorFlow is the only backend that can run them.

    Args:
        saved: what the SavedModel says of the layer: its `class` in Keras 2 and the `config` of
            that as JSON; of each of its `weights` the `name`, the `scope` (the attributes that
            lead to the part of the layer which has it), `shape`, `dtype`, and whether it is
            `trainable`; the names of the `arguments` of its call, and the form of what it `takes`
            first; the `losses` that are functions,
            each with the number of a weight of its; whether its outputs have a loss
            (`penalizes_outputs`); whether it passes the masks of its inputs on (`passes_masks`);
            `autocast`, as in every layer; and the `digest` of its functions.
        results: what symbolic calls returned, by their arguments.
        defined_by: a hint for readers.
        **kwargs: those of every layer.

    Raises:
        ValueError: Keras does not run on TensorFlow.
    """

    def __init__(
        self,
        saved: Mapping[str, Any],
        *,
        results: Mapping[str, Any] | None = None,
        defined_by: str = _HINT,
        **kwargs: Any,
    ) -> None:
        require_backend(keras.backend.backend())
        super().__init__(autocast=saved["autocast"], **kwargs)
        self.supports_masking = True
        # As text: what Keras and TensorFlow find in attributes, they wrap and track.
        self._saved, self._hint = json.dumps(saved), defined_by
        self._results = json.dumps(results or {})
        self._state = _State(self.name, _IN_USE.get(saved["digest"]))
        self._make_weights(saved["weights"], saved["losses"])
        for each in self.saved_weights if not kwargs.get("trainable", True) else ():
            each.trainable = False
        self.built = True

    @property
    def saved(self) -> dict[str, Any]:
        """What the SavedModel says of the layer."""
        saved: dict[str, Any] = json.loads(self._saved)
        return saved

    def _make_weights(self, specs: Sequence[Mapping[str, Any]], losses: Mapping[str, int]) -> None:
        """Create the weights, each under the name and the path that it had."""
        made = [self._weight(spec) for spec in specs]
        for function, place in losses.items():
            made[place].regularizer = _Loss(self._state, function, made[place].regularizer)
        for spec, variable in zip(specs, made, strict=True):
            if not spec["scope"] and not hasattr(self, spec["name"]):
                setattr(self, spec["name"], variable)
        self.saved_weights = made
        self._state.variables = tuple(made)

    def _weight(self, spec: Mapping[str, Any]) -> Any:
        with ExitStack() as scopes:
            scopes.enter_context(keras.name_scope(self.name, caller=self))
            for name in spec["scope"]:
                scopes.enter_context(keras.name_scope(name))
            variable = keras.Variable(
                initializer="zeros",
                shape=tuple(spec["shape"]),
                dtype=spec["dtype"],
                trainable=spec["trainable"],
                name=spec["name"],
            )
        variable.regularizer = None  # Keras 3.0 gives one to variables of `add_weight` alone
        return variable

    def with_functions(self, content: bytes) -> SavedFunctionLayer:
        """Give it its functions, and return it.

        Raises:
            ValueError: they are not those that its configuration names.
        """
        functions = SavedFunctions(content)
        if functions.digest != self.saved["digest"]:
            raise ValueError(
                f"the functions of layer {self.name!r} are not those it was saved with"
            )
        self._state.functions = _IN_USE.setdefault(functions.digest, functions)
        return self

    def call(
        self, inputs: Any, *others: Any, training: Any = None, mask: Any = None, **named: Any
    ) -> Any:
        """Call the function of the layer; its losses are added to the layer's."""
        saved, made = self.saved, self._state.made()
        context = {"training": bool(training), "mask": _mask(mask)}
        named.update({k: v for k, v in context.items() if k in saved["arguments"]})
        outputs, losses = getattr(made, CALL)(as_in(saved["takes"], inputs), *others, **named)
        for loss in losses:
            self.add_loss(loss)
        if saved["penalizes_outputs"]:
            self._add_activity_losses(getattr(made, ACTIVITY), outputs)
        return outputs

    def _add_activity_losses(self, regularizer: Any, outputs: Any) -> None:
        """Add the losses of the outputs, by batch: Keras 2 did, and Keras 3 does by version."""
        for output in MIGRATION.part("tree").flatten(outputs):
            loss = regularizer(output)
            size = keras.ops.cast(keras.ops.shape(output)[0], loss.dtype)
            self.add_loss(loss / size)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the inputs where the layer passes it on, else None."""
        del inputs
        if self.saved["passes_masks"]:
            return previous_mask
        self._state.has_dropped |= _mask(previous_mask) is not None
        return None

    @property
    def drops_masks(self) -> bool:
        """Whether it was given a mask that it did not pass on."""
        return self._state.has_dropped

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return what was returned for such arguments before, or what the function returns."""
        form = call_form(args, kwargs)
        results = json.loads(self._results)
        if form in results:
            return nest_of(results[form])
        found = super().compute_output_spec(*args, **kwargs)
        if form is not None:
            self._results = json.dumps({**results, form: form_of(found)})
        return found

    def declare_result(self, inputs: Any, result: Any) -> None:
        """Have a symbolic call with *inputs* return *result*, whatever its function says."""
        form = call_form((inputs,), {})
        self._results = json.dumps({**json.loads(self._results), form: form_of(result)})

    def get_config(self) -> dict[str, Any]:
        """Return the configuration; it names the functions, and does not hold them."""
        own = {"saved": self.saved, "results": json.loads(self._results), "defined_by": self._hint}
        return {**super().get_config(), **own}

    def save_assets(self, dir_path: str) -> None:
        """Write the functions into a folder of the archive that the model is saved to."""
        system.write_bytes(Path(dir_path, FUNCTIONS_ASSET), self._state.required().content)

    def load_assets(self, dir_path: str) -> None:
        """Take the functions from a folder of the archive that the model is loaded from."""
        self.with_functions(asset_of(dir_path, FUNCTIONS_ASSET))


def _mask(mask: Any) -> Any:
    """Return *mask*, or None for a nest without any, which Keras 3 makes of several inputs."""
    return mask if any(are_given(mask)) else None


#: Where programs and files find it.
SavedFunctionLayer.__module__ = PACKAGE


class _State:
    """What a layer has besides its weights; Keras and TensorFlow need not track it.

    Attributes:
        functions: serialized; None until they are loaded.
        variables: Keras's variables in the order of the functions'.
        has_dropped: whether a mask was given and not passed on.
    """

    def __init__(self, layer: str, functions: SavedFunctions | None) -> None:
        self._layer, self.functions = layer, functions
        self.variables: tuple[Any, ...] = ()
        self.has_dropped = False
        self._made: CutFunctions | None = None

    def required(self) -> SavedFunctions:
        """Return the functions.

        Raises:
            ValueError: they are not at hand.
        """
        if self.functions is None:
            raise ValueError(
                f"layer {self._layer!r} has no functions: its configuration does not hold them. "
                "Load the model that it is part of, or keep that one while this one is made."
            )
        return self.functions

    def made(self) -> CutFunctions:
        """Return the functions, which can be called.

        Raises:
            ValueError: they are not at hand.
        """
        if self._made is None:
            content = self.required().content
            KERAS3_FUNCTIONS.part("core")
            # Not `value`, which depends on the scope that a call is in.
            self._made = CutFunctions(content, [each._value for each in self.variables])
        return self._made


class _Loss(keras.regularizers.Regularizer):  # type: ignore[misc]
    """A regularizer of a weight which is a function of the SavedModel; it reads its weights."""

    def __init__(self, state: _State, function: str, other: Any) -> None:
        self._state, self._function, self._other = state, function, other

    def __call__(self, variable: Any) -> Any:
        value = getattr(self._state.made(), self._function)()
        return value if self._other is None else value + self._other(variable)


def require_backend(backend: str) -> None:
    """Check that Keras runs on TensorFlow.

    Raises:
        ValueError: it does not.

    Example:
        >>> require_backend("tensorflow")
    """
    if backend != _TENSORFLOW:
        raise ValueError(
            f"a SavedFunctionLayer runs functions of TensorFlow; Keras is on {backend}"
        )
