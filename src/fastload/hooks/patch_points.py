"""The table of functions that are patched, in every Keras and TensorFlow.

A row names the module that defines a function; whatever imports the function from there, the public
packages included, gets the stand-in. Functions that are not public are called by the public ones:
by patching them, calls by names are served too that a program bound before the hooks were
installed.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple

from fastload.hooks.serving import (
    Stand,
    hdf5,
    keras_archive,
    legacy,
    method,
    model,
    open_archive,
    parts,
    pickled,
    saved_model,
    trees,
    weights,
)


class PatchPoint(NamedTuple):
    """A function that is patched.

    Attributes:
        module: the module that defines it.
        name: its name there; `Class.name` for a method.
        stand: the function of `serving` that answers its calls; None for one that builds a model.
        parameters: the first parameters of the stock function; one that has others is not patched.
        is_public: programs call it; else public functions look it up each time they are called.
        calls: a module; where it is, the function calls one of it, which is patched in its stead.
        behind: a module of functions that call it; where there is none, programs call it.
    """

    module: str
    name: str
    stand: Stand | None
    parameters: tuple[str, ...]
    is_public: bool
    calls: str = ""
    behind: str = ""

    @property
    def package(self) -> str:
        """The package of the module: `keras`, `tf_keras` or `tensorflow`."""
        return self.module.partition(".")[0]

    @property
    def subject(self) -> tuple[str, bool]:
        """Its package, and whether it loads weights alone: what is public calls what is not."""
        return self.package, "load_weights" in self.name

    def holder(self, module: Any) -> Any:
        """Return what has the function: *module* or a class in it, or None."""
        parts = self.name.split(".")[:-1]
        return getattr(module, parts[0], None) if parts else module

    @property
    def is_entry(self) -> bool:
        """Whether programs call it, in this version; Keras is imported."""
        return self.is_public or bool(self.behind and self.behind not in sys.modules)

    @property
    def attribute(self) -> str:
        """The name of the function where it is."""
        return self.name.rpartition(".")[2]


_MODEL: Final = ("filepath", "custom_objects", "compile")
_WEIGHTS: Final = ("model", "filepath", "skip_mismatch")
_METHOD: Final = ("self", "filepath", "by_name", "skip_mismatch", "options")
_TREES: Final = ("model", "filepath")
_OPEN: Final = ("fileobj", "custom_objects", "compile", "safe_mode")
_UNPICKLES: Final = "deserialize_model_from_bytecode"
_OBJECTS: Final = ("export_dir", "tags", "options")
_PARTS: Final = ("export_dir", "filters", "tags", "options")
_SAVED_MODEL: Final = "tensorflow.python.saved_model.load"

POINTS: Final = (
    # Keras 3, and Keras 2.13 to 2.15
    PatchPoint("keras.src.saving.saving_api", "load_model", model, _MODEL, True),
    PatchPoint("keras.src.saving.saving_lib", "load_model", keras_archive, _MODEL, False),
    PatchPoint("keras.src.saving.saving_api", "load_weights", weights, _WEIGHTS, True),
    PatchPoint("keras.src.saving.saving_lib", "load_weights_only", trees, _TREES, False),
    # Keras 3
    PatchPoint(
        "keras.src.legacy.saving.legacy_h5_format", "load_model_from_hdf5", hdf5, _MODEL, False
    ),
    PatchPoint(
        "keras.src.saving.saving_lib", "_load_model_from_fileobj", open_archive, _OPEN, False
    ),
    # Keras 2.13 to 2.15
    PatchPoint("keras.src.saving.pickle_utils", _UNPICKLES, pickled, ("serialized_model",), True),
    PatchPoint("keras.src.saving.legacy.save", "load_model", legacy, _MODEL, False),
    # tf_keras
    PatchPoint("tf_keras.src.saving.saving_api", "load_model", model, _MODEL, True),
    PatchPoint("tf_keras.src.saving.saving_lib", "load_model", keras_archive, _MODEL, False),
    PatchPoint("tf_keras.src.saving.legacy.save", "load_model", legacy, _MODEL, False),
    PatchPoint(
        "tf_keras.src.saving.pickle_utils", _UNPICKLES, pickled, ("serialized_model",), True
    ),
    PatchPoint("tf_keras.src.saving.saving_api", "load_weights", weights, _WEIGHTS, True),
    PatchPoint("tf_keras.src.saving.saving_lib", "load_weights_only", trees, _TREES, False),
    # Keras 2.11 and 2.12
    PatchPoint(
        "keras.saving.legacy.save",
        "load_model",
        legacy,
        _MODEL,
        False,
        behind="keras.saving.saving_api",
    ),
    # Keras 2.12
    PatchPoint("keras.saving.saving_api", "load_model", model, _MODEL, True),
    PatchPoint("keras.saving.saving_api", "load_weights", weights, _WEIGHTS, True),
    PatchPoint("keras.saving.saving_lib", "load_weights_only", trees, _TREES, False),
    PatchPoint("keras.saving.pickle_utils", _UNPICKLES, pickled, ("serialized_model",), True),
    # Keras 2.8 to 2.10
    PatchPoint("keras.saving.save", "load_model", model, _MODEL, True),
    # Keras 2.8 to 2.11
    PatchPoint(
        "keras.engine.training",
        "Model.load_weights",
        method,
        _METHOD,
        True,
        calls="keras.saving.saving_api",
    ),
    # TensorFlow; `hub.load` calls the first by its name in `tf.compat.v1`
    PatchPoint(_SAVED_MODEL, "load", saved_model, _OBJECTS, True),
    PatchPoint(_SAVED_MODEL, "load_partial", parts, _PARTS, False),
    # TensorFlow 2.8
    PatchPoint(_SAVED_MODEL, "load_internal", parts, _OBJECTS, False),
)

#: By which each family of applications is built, by module.
_FAMILIES: Final = {
    "convnext": "ConvNeXt",
    "densenet": "DenseNet",
    "efficientnet": "EfficientNet",
    "efficientnet_v2": "EfficientNetV2",
    "inception_resnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3": "MobileNetV3",
    "nasnet": "NASNet",
    "regnet": "RegNet",
    "resnet": "ResNet",
    "resnet_rs": "ResNetRS",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "xception": "Xception",
}
#: Keras 2.13 and later; tf_keras; Keras up to 2.12.
_APPLICATIONS: Final = ("keras.src.applications", "tf_keras.src.applications", "keras.applications")
_PRESETS: Final = "keras_hub.src.utils.preset_utils"
#: Functions that build a model and load its weights.
BUILDERS: Final = (
    *(
        PatchPoint(f"{package}.{module}", name, None, (), False)
        for package in _APPLICATIONS
        for module, name in _FAMILIES.items()
    ),
    *(
        PatchPoint(_PRESETS, f"KerasPresetLoader.{name}", None, ("self", "cls"), False)
        for name in ("load_backbone", "load_task")
    ),
)

#: The names under which modules have those functions or their stand-ins.
NAMES: Final = frozenset(
    {point.name for point in (*POINTS, *BUILDERS) if "." not in point.name} | {"load_v2"}
)

#: The packages that have those functions under public names.
PACKAGES: Final = ("keras", "tf_keras", "tensorflow")
