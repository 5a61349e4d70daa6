"""Which weights of a model are lent and which are kept, and its smallest budget."""

from __future__ import annotations

import mmap
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fastload.twin.format import WeightRef
from fastload.twin.weights import STRING

#: Weights below this size are kept: they are most of a model's variables, and few of its bytes.
SMALL_BYTES: Final = 64 * 2**10
_ROOTS: Final = ("model_weights/", "state/")
_OPTIMIZERS: Final = ("optimizer_weights/", "state/optimizer/")
#: dtypes whose memory tensors can share.
_SHAREABLE: Final = frozenset({"bfloat16", "complex64", "complex128"}).union(
    f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)
)
_VARIABLE: Final = re.compile(r"/(?:vars/\d+|[^/]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class LazyWeight:
    """A weight of a twin and its pages.

    Attributes:
        ref: where it is.
        layer: the path of its layer in the file.
    """

    ref: WeightRef
    layer: str

    @property
    def name(self) -> str:
        """Its name in the twin."""
        return self.ref.name

    @property
    def start(self) -> int:
        """Offset of its first page in the file."""
        return self.ref.offset - self.ref.offset % mmap.ALLOCATIONGRANULARITY

    @property
    def nbytes(self) -> int:
        """Bytes of its pages: what it takes of a budget."""
        length = self.ref.offset + self.ref.nbytes - self.start
        return -(-length // mmap.PAGESIZE) * mmap.PAGESIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The weights of a model, divided into lent and kept ones.

    Attributes:
        lent: those that are read and dropped, in the expected order of need.
        kept: those that stay in memory: the small ones.
    """

    lent: tuple[LazyWeight, ...]
    kept: tuple[LazyWeight, ...]

    @property
    def kept_nbytes(self) -> int:
        """Bytes of the kept weights."""
        return sum(weight.ref.nbytes for weight in self.kept)

    @property
    def total_nbytes(self) -> int:
        """Bytes of all weights."""
        return self.kept_nbytes + sum(weight.nbytes for weight in self.lent)

    @property
    def largest_layer(self) -> tuple[str, int]:
        """The layer whose lent weights take most bytes, and the bytes; `("", 0)` if none is
        lent.
        """
        sizes: Counter[str] = Counter()
        for weight in self.lent:
            sizes[weight.layer] += weight.nbytes
        return max(sizes.items(), key=lambda item: item[1], default=("", 0))

    def weight(self, name: str) -> LazyWeight | None:
        """Return the weight called *name*, or None."""
        return next((each for each in (*self.lent, *self.kept) if each.name == name), None)

    @property
    def smallest_budget(self) -> int:
        """The smallest budget in which each layer can run: kept weights and the largest layer.

        Reading ahead uses what is left of a budget; where nothing is, it reads into the page
        cache, which is not the process's memory.
        """
        return self.kept_nbytes + self.largest_layer[1]


def plan_of(refs: Iterable[WeightRef]) -> Plan:
    """Divide the weights of a Keras model.

    Args:
        refs: the weights of the twin in its order, which is that of the model's layers. Those of no
            layer are left out.
    """
    return plan_of_functions(ref for ref in refs if ref.name.startswith(_ROOTS))


def plan_of_functions(refs: Iterable[WeightRef]) -> Plan:
    """Divide all weights of a SavedModel, which its functions may need.

    Args:
        refs: the weights of the twin.
    """
    weights = [LazyWeight(ref=ref, layer=layer_of(ref.name)) for ref in refs if _is_needed(ref)]
    return Plan(
        lent=tuple(weight for weight in weights if _can_be_lent(weight.ref)),
        kept=tuple(weight for weight in weights if not _can_be_lent(weight.ref)),
    )


def _can_be_lent(ref: WeightRef) -> bool:
    return ref.nbytes >= SMALL_BYTES and ref.dtype in _SHAREABLE


def layer_of(name: str) -> str:
    """Return the path of a weight's layer; a weight of no layer counts as a layer.

    Args:
        name: the weight's name in a twin.

    Example:
        >>> layer_of("model_weights/conv1/conv1/kernel:0"), layer_of("state/layers/dense/vars/0")
        ('conv1/conv1', 'layers/dense')
        >>> layer_of("variables/conv1/weights")
        'variables/conv1/weights'
    """
    for root in _ROOTS:
        if name.startswith(root):
            return _VARIABLE.sub("", name[len(root) :])
    return name


def _is_needed(ref: WeightRef) -> bool:
    return not ref.name.startswith(_OPTIMIZERS) and ref.dtype != STRING and ref.nbytes > 0
