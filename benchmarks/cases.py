"""What is measured: networks, the formats they are saved in, and the loaders that open them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatch
from typing import Final


class Format(str, Enum):
    """A format that a stock saver writes; the value is part of a loader's name."""

    SAVED_MODEL = "savedmodel"
    HDF5 = "h5"
    KERAS = "keras"

    @property
    def file_name(self) -> str:
        """Name of a model of this format in the folder of its network."""
        return "model" if self is Format.SAVED_MODEL else f"model.{self.value}"


class Generation(str, Enum):
    """The Keras that saves and loads."""

    KERAS2 = "keras2"
    KERAS3 = "keras3"

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats that this Keras both writes and reads, its own first."""
        if self is Generation.KERAS2:
            return (Format.SAVED_MODEL, Format.HDF5)
        return (Format.KERAS, Format.HDF5)


class Function(str, Enum):
    """The function of fastload that a case measures."""

    LOAD_MODEL = "load_model"
    LOAD_SAVED_MODEL = "load_saved_model"
    LOAD_PREDICTOR = "load_predictor"

    @property
    def stands_in_for(self) -> str:
        """The stock loader that it is measured against."""
        return "load_model" if self is Function.LOAD_MODEL else "tf.saved_model.load"


MISS: Final = "fastload_miss"
HIT: Final = "fastload_hit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One network in one format, opened by fastload and by the stock loaders.

    Attributes:
        name: as selected on the command line.
        network: which network; see `networks` and `fetch`.
        input_shape: shape of the one batch that is predicted.
        generation: the Keras that loads.
        source: the format that fastload opens; its stock loader is what ratios refer to.
        rivals: the formats that the stock loader opens, with the same weights and generation.
        compile: passed to every Keras loader.
        function: what of fastload opens it; the stock loader is the one that it stands in for.
    """

    name: str
    network: str
    input_shape: tuple[int, ...]
    generation: Generation = Generation.KERAS2
    source: Format = Format.SAVED_MODEL
    rivals: tuple[Format, ...] = (Format.SAVED_MODEL, Format.HDF5)
    compile: bool = True
    function: Function = Function.LOAD_MODEL

    @property
    def loaders(self) -> tuple[str, ...]:
        """Names of the loaders to measure, in the order of a round."""
        return (*(stock_loader(rival) for rival in self.rivals), MISS, HIT)

    @property
    def folder(self) -> str:
        """Name of the folder that holds the network, saved by this generation in every format."""
        return f"{self.network}-{self.generation.value}"

    def format_of(self, loader: str) -> Format:
        """Return the format that *loader* opens in this case."""
        return self.source if loader in {MISS, HIT} else Format(loader.removeprefix("stock_"))


def stock_loader(rival: Format) -> str:
    """Return the name of the stock loader of *rival*.

    Example:
        >>> stock_loader(Format.HDF5)
        'stock_h5'
    """
    return f"stock_{rival.value}"


def _in_every_format(network: str, *shape: int) -> tuple[Case, ...]:
    """One case as Keras 2 SavedModel, one as Keras 3 archive, one as Keras 3 HDF5."""
    keras3 = Generation.KERAS3
    return (
        Case(name=network, network=network, input_shape=shape),
        Case(
            name=f"{network}-keras3",
            network=network,
            input_shape=shape,
            generation=keras3,
            source=Format.KERAS,
            rivals=(Format.KERAS, Format.HDF5),
        ),
        Case(
            name=f"{network}-keras3-h5",
            network=network,
            input_shape=shape,
            generation=keras3,
            source=Format.HDF5,
            rivals=(Format.HDF5,),
        ),
    )


def _without_keras(network: str, *shape: int) -> tuple[Case, ...]:
    """Cases of a SavedModel that is opened without Keras: as an object, and to predict alone."""
    functions = {
        "saved-model": Function.LOAD_SAVED_MODEL,
        "predictor": Function.LOAD_PREDICTOR,
    }
    return tuple(
        Case(
            name=f"{network}-{name}",
            network=network,
            input_shape=shape,
            rivals=(Format.SAVED_MODEL,),
            function=function,
        )
        for name, function in functions.items()
    )


CASES: Final = (
    *_in_every_format("resnet50", 1, 224, 224, 3),
    *_in_every_format("efficientnetb0", 1, 224, 224, 3),
    *_in_every_format("efficientnetb7", 1, 600, 600, 3),
    Case(
        name="sleepecg",
        network="sleepecg",
        input_shape=(1, 64, 36),
        rivals=(Format.SAVED_MODEL,),
    ),
    Case(
        name="basic-pitch",
        network="basic-pitch",
        input_shape=(1, 43844, 1),
        rivals=(Format.SAVED_MODEL,),
        # Its loss is a lambda that no file holds.
        compile=False,
    ),
    Case(name="layers500", network="layers500", input_shape=(1, 32)),
    Case(name="weights50mb", network="weights50mb", input_shape=(1, 1768)),
    Case(name="weights500mb", network="weights500mb", input_shape=(1, 5590)),
    Case(name="weights2gb", network="weights2gb", input_shape=(1, 11180)),
    *_without_keras("resnet50", 1, 224, 224, 3),
    *_without_keras("efficientnetb7", 1, 600, 600, 3),
    *_without_keras("sleepecg", 1, 64, 36),
    *_without_keras("basic-pitch", 1, 43844, 1),
)


def _in_each_format(network: str, *shape: int) -> tuple[Case, ...]:
    """A case for each format of each Keras, against stock's load of the same file."""
    return tuple(
        Case(
            name=f"first-{network}-{generation.value}-{kind.value}",
            network=network,
            input_shape=shape,
            generation=generation,
            source=kind,
            rivals=(kind,),
        )
        for generation in Generation
        for kind in generation.formats
    )


#: What `first_loads` measures: many bytes, many layers, layers that are slow to trace.
FIRST_LOADS: Final = (
    *_in_each_format("weights50mb", 1, 1768),
    *_in_each_format("weights500mb", 1, 5590),
    *_in_each_format("weights2gb", 1, 11180),
    *_in_each_format("resnet50", 1, 224, 224, 3),
    *_in_each_format("efficientnetb7", 1, 600, 600, 3),
    *_in_each_format("recurrent", 1, 64, 36),
)

#: Networks that only a package with an older TensorFlow can build; see `networks.GIVEN`.
GIVEN: Final = (
    Case(
        name="panopticnet",
        network="panopticnet",
        input_shape=(1, 256, 256, 2),
        rivals=(Format.SAVED_MODEL,),
        compile=False,
    ),
    *_without_keras("panopticnet", 1, 256, 256, 2),
)

#: For the tests of the benchmarks themselves.
TINY: Final = Case(
    name="tiny",
    network="tiny",
    input_shape=(1, 8),
    generation=Generation.KERAS3,
    source=Format.KERAS,
    rivals=(Format.KERAS, Format.HDF5),
)


def select(patterns: str) -> tuple[Case, ...]:
    """Return the cases that any of the comma-separated shell *patterns* names.

    `FIRST_LOADS`, `GIVEN` and `TINY` must be asked for by their full names.

    Raises:
        ValueError: a pattern names no case; the message lists the names.

    Example:
        >>> [case.name for case in select("resnet50,*-keras3-h5")][:2]
        ['resnet50', 'resnet50-keras3-h5']
    """
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    by_name_only = (*FIRST_LOADS, *GIVEN, TINY)
    known = (*CASES, *by_name_only)
    for pattern in wanted:
        if not any(fnmatch(case.name, pattern) for case in known):
            names = ", ".join(case.name for case in known)
            raise ValueError(f"no case is called {pattern!r}; there are {names}")
    return tuple(
        case
        for case in known
        if any(fnmatch(case.name, pattern) for pattern in wanted)
        and (case not in by_name_only or case.name in wanted)
    )
