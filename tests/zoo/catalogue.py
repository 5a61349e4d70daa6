"""The catalogue of the zoo: every model by name, and the decorators that enter it.

A builder makes one small model with the stock Keras of a generation (`keras2`: `tf.keras` of TF
2.15 or tf-keras; `keras3`) and hands it back; `zoo.build` gives it seeded weights and saves it in
each format. Builders import nothing by themselves, so that pytest can list the zoo without
TensorFlow: all they need is in the `Kit`.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

KERAS2: Final = "keras2"
KERAS3: Final = "keras3"
GENERATIONS: Final = (KERAS2, KERAS3)

#: Formats by generation; the stock saver tells `h5` and `keras` by the suffix of the path.
SUFFIXES: Final = {"tf": "", "h5": ".h5", "keras": ".keras"}

_BUILDER_MODULES: Final = (
    "zoo.architectures",
    "zoo.recurrent",
    "zoo.compiled",
    "zoo.preprocessing",
    "zoo.custom",
    "zoo.builders_keras2",
    "zoo.builders_keras3",
    "zoo.legacy_files",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What a builder works with.

    Attributes:
        keras: the Keras module of the generation.
        tf: TensorFlow.
        own: the module `zoo.objects`, our custom layers and functions, made for this Keras.
        folder: an empty folder for files that a model needs (vocabularies).
        downloads: where published models are kept between runs.
    """

    keras: Any
    tf: Any
    own: Any
    folder: Path
    downloads: Path

    @property
    def layers(self) -> Any:
        """The layers of the generation."""
        return self.keras.layers


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooModel:
    """One model of the zoo.

    Attributes:
        name: the builder's name.
        build: makes the model from a kit; or writes it into the kit's folder and returns the path.
        formats: formats to save in, by generation; those that are missing do not know such a model.
        tags: `quick` for the short run, `published` for models from the package index, `untraced`
            for a SavedModel without the functions of each layer (quicker to save and to load),
            `migrated` for what stock Keras 3 refuses and fastload makes a Keras 3 model of.
        custom: names in `zoo.objects` to pass in `custom_objects=`.
        arguments: further arguments of `load_model`.
        is_files: True if *build* writes the files itself.
    """

    name: str
    build: Callable[[Kit], Any]
    formats: Mapping[str, tuple[str, ...]]
    tags: frozenset[str] = frozenset()
    custom: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    is_files: bool = False

    @property
    def has_own_classes(self) -> bool:
        """Whether it is made of classes or functions of `zoo.objects`."""
        return self.build.__module__ == "zoo.custom"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Artefact:
    """One model in one format under one generation: what a contract test is about."""

    generation: str
    name: str
    format: str

    @property
    def id(self) -> str:
        """Name for pytest and for result files (`keras2-lstm-h5`)."""
        return f"{self.generation}-{self.name}-{self.format}"

    @property
    def model(self) -> ZooModel:
        """The catalogue's entry."""
        return catalogue()[self.name]


_catalogue: dict[str, ZooModel] = {}


def zoo_model(
    *tags: str,
    keras2: str = "",
    keras3: str = "",
    custom: tuple[str, ...] = (),
    is_files: bool = False,
    **arguments: Any,
) -> Callable[[Callable[[Kit], Any]], Callable[[Kit], Any]]:
    """Enter the decorated builder into the catalogue.

    Args:
        tags: as in `ZooModel`.
        keras2: formats for Keras 2, apart by spaces (`"tf h5 keras"`).
        keras3: formats for Keras 3 (`"keras h5"`).
        custom: names in `zoo.objects` that the load gets in `custom_objects=`.
        is_files: the builder writes the files itself and returns their path.
        arguments: further arguments of `load_model`.
    """
    formats = {KERAS2: tuple(keras2.split()), KERAS3: tuple(keras3.split())}

    def enter(build: Callable[[Kit], Any]) -> Callable[[Kit], Any]:
        name = build.__name__
        _catalogue[name] = ZooModel(
            name=name,
            build=build,
            formats=formats,
            tags=frozenset(tags),
            custom=custom,
            arguments=arguments,
            is_files=is_files,
        )
        return build

    return enter


def catalogue() -> Mapping[str, ZooModel]:
    """Return every model of the zoo by name."""
    for module in _BUILDER_MODULES:
        importlib.import_module(module)
    return _catalogue


def artefacts(generation: str) -> list[Artefact]:
    """Return what the zoo holds for *generation*, in the order of the catalogue."""
    return [
        Artefact(generation=generation, name=model.name, format=format_name)
        for model in catalogue().values()
        for format_name in model.formats[generation]
    ]


def kit(generation: str, folder: Path, downloads: Path) -> Kit:
    """Import TensorFlow and the Keras of *generation*; one generation a process."""
    framework = importlib.import_module("zoo.framework")
    keras = framework.select(generation)
    own = importlib.import_module("zoo.objects")
    # What was imported is a million objects, which no later garbage collection need look at.
    gc.freeze()
    return Kit(keras=keras, tf=framework.tensorflow(), own=own, folder=folder, downloads=downloads)
