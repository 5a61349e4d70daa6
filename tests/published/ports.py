"""Keras 3 ports of the custom layers and models of published packages: what a user would write.

Each does what the original does when it predicts. Regularizers and the like are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from tests.published.constant_q import CQT2010v2, NormalizedLog


class ConvDNA(keras.layers.Conv1D):
    """mmsplice: a convolution over the four letters of DNA."""

    def __init__(self, seq_length: int | None = None, **others: Any) -> None:
        super().__init__(**others)
        self.seq_length = seq_length

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seq_length": self.seq_length}


class GlobalAveragePooling1D_Mask0(keras.layers.Layer):  # noqa: N801 - the file has the name
    """mmsplice: the mean of a sequence over the places where another has a letter."""

    def __init__(self, data_format: str = "channels_last", **others: Any) -> None:
        super().__init__(**others)
        self.data_format = data_format

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}

    def call(self, inputs: Any) -> Any:
        values, letters = inputs
        has_letter = ops.max(letters, axis=2, keepdims=True)
        count = ops.maximum(ops.sum(has_letter, axis=1), keras.config.epsilon())
        return ops.sum(values * has_letter, axis=1) / count


class SplineWeight1D(keras.layers.Layer):
    """mmsplice: each place of a sequence gets a weight, from a spline for each channel."""

    def __init__(self, n_bases: int = 10, spline_degree: int = 3, **others: Any) -> None:
        self._others = {
            name: others.pop(name)
            for name in ("share_splines", "l2_smooth", "l2", "use_bias", "bias_initializer")
            if name in others
        }
        super().__init__(**others)
        self.n_bases = n_bases
        self.spline_degree = spline_degree

    def get_config(self) -> dict[str, Any]:
        own = {"n_bases": self.n_bases, "spline_degree": self.spline_degree}
        return {**super().get_config(), **own, **self._others}

    def build(self, shape: tuple[int, ...]) -> None:
        tracks = 1 if self._others.get("share_splines") else shape[2]
        self._bases = _spline_bases(shape[1], self.n_bases, self.spline_degree)
        self.kernel = self.add_weight(
            shape=(self.n_bases, tracks), initializer="zeros", name="kernel"
        )
        if self._others.get("use_bias"):
            self.bias = self.add_weight(shape=(tracks,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        weights = ops.matmul(self._bases, self.kernel) + 1.0
        return inputs * (weights + self.bias if self._others.get("use_bias") else weights)


def _spline_bases(length: int, count: int, degree: int) -> np.ndarray:
    """Return each of *count* B-splines at the places 0 to *length* - 1: Cox and de Boor."""
    margin = 0.001 * (length - 1)
    step = (length - 1 + 2 * margin) / (count - degree)
    knots = np.linspace(
        -margin - step * degree, length - 1 + margin + step * degree, count + degree + 1
    ).astype("float32")
    knots = knots.astype("float64")
    places = np.arange(length)[:, None]
    bases = ((knots[:-1] <= places) & (places < knots[1:])).astype("float64")
    for order in range(1, degree + 1):
        width = knots[order:] - knots[:-order]
        rising = (places - knots[: -order - 1]) / width[:-1] * bases[:, :-1]
        falling = (knots[order + 1 :] - places) / width[1:] * bases[:, 1:]
        bases = rising + falling
    return bases.astype("float32")


def leaky_relu(values: Any) -> Any:
    """deeplc: what its files call `<lambda>`."""
    return keras.activations.relu(values, negative_slope=0.1, max_value=20.0)


class HarmonicStacking(keras.layers.Layer):
    """Basic Pitch: a spectrum beside those of its harmonics, each shifted to where it would be."""

    def __init__(
        self, bins_per_semitone: int, harmonics: list[float], n_output_freqs: int, **others: Any
    ) -> None:
        super().__init__(**others)
        self.bins_per_semitone = bins_per_semitone
        self.harmonics = harmonics
        self.n_output_freqs = n_output_freqs

    def get_config(self) -> dict[str, Any]:
        own = ("bins_per_semitone", "harmonics", "n_output_freqs")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}

    def call(self, spectrum: Any) -> Any:
        shifts = np.round(12 * self.bins_per_semitone * np.log2(self.harmonics)).astype(int)
        moved = [_shifted(spectrum, int(shift)) for shift in shifts]
        return ops.concatenate(moved, axis=-1)[:, :, : self.n_output_freqs]


def _shifted(spectrum: Any, bins: int) -> Any:
    """Return *spectrum* that many bins lower, with nothing where there is nothing."""
    room = [(0, 0), (0, 0), (max(-bins, 0), max(bins, 0)), (0, 0)]
    return ops.pad(spectrum[:, :, bins:] if bins >= 0 else spectrum[:, :, :bins], room)


class FlattenAudioCh(keras.layers.Layer):
    """Basic Pitch: sound without its one channel."""

    def call(self, sound: Any) -> Any:
        return ops.squeeze(sound, axis=2)


class FlattenFreqCh(keras.layers.Layer):
    """Basic Pitch: the channels of a spectrum, one after another."""

    def call(self, spectrum: Any) -> Any:
        _, times, bins, channels = spectrum.shape
        return ops.reshape(spectrum, (-1, times, bins * channels))


class SquareRootProjectionLayer(keras.layers.Layer):
    """imspy: a line over the square root of a mass, one for each charge."""

    def __init__(self, slopes: list[float], intercepts: list[float], **others: Any) -> None:
        super().__init__(**others)
        self.given = {"slopes": slopes, "intercepts": intercepts}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.given}

    def build(self, shapes: Any) -> None:
        charges = (shapes[1][-1],)
        self.slopes = self.add_weight(shape=charges, name="sqrt-coefficients")
        self.intercepts = self.add_weight(shape=charges, name="intercepts")

    def call(self, inputs: Any) -> Any:
        mass, charge = inputs
        lines = self.slopes * ops.sqrt(mass) + self.intercepts
        return ops.sum(lines * charge, axis=-1, keepdims=True)


class _PeptideModel(keras.Model):
    """imspy: what its models do with a peptide; the layers are in the order of the originals."""

    _outputs = 1
    _last: str | None = None

    def __init__(self, *, num_tokens: int, do: float = 0.2, **sizes: Any) -> None:
        super().__init__()
        self.given = {"num_tokens": num_tokens, "do": do, **sizes}
        self.add_first_layers()
        units = [sizes.get("gru_1", 128), sizes.get("gru_2", 64)]
        layers = keras.layers
        self.emb = layers.Embedding(num_tokens + 1, sizes.get("emb_dim", 128))
        self.gru1 = layers.Bidirectional(layers.GRU(units[0], return_sequences=True))
        self.gru2 = layers.Bidirectional(layers.GRU(units[1]))
        self.dense1 = layers.Dense(128, activation="relu")
        self.dense2 = layers.Dense(64, activation="relu")
        self.dropout = layers.Dropout(do)
        self.out = layers.Dense(sizes.get("max_charge", 1), activation=self._last)

    def add_first_layers(self) -> None:
        """Make the layers that come before the others."""

    def get_config(self) -> dict[str, Any]:
        return self.given

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return cls(**config)

    def read(self, tokens: Any) -> Any:
        """Return what the recurrent layers make of the *tokens*."""
        return self.gru2(self.gru1(self.emb(tokens)))

    def told(self, features: Any, training: bool) -> Any:
        """Return what the dense layers make of the *features*."""
        return self.out(self.dense2(self.dropout(self.dense1(features), training=training)))

    def call(self, tokens: Any, training: bool = False) -> Any:
        return self.told(self.read(tokens), training)


class GRURetentionTimePredictor(_PeptideModel):
    """imspy: when a peptide comes."""


class GRUChargeStatePredictor(_PeptideModel):
    """imspy: how probable each charge is."""

    _last = "softmax"


class GRUCCSPredictor(_PeptideModel):
    """imspy: the cross-section of an ion, from its mass, its charge and its peptide."""

    def add_first_layers(self) -> None:
        self.initial = SquareRootProjectionLayer(self.given["slopes"], self.given["intercepts"])

    def call(self, inputs: Any, training: bool = False) -> Any:
        mass, charge, tokens = inputs
        features = ops.concatenate([charge, self.read(tokens)], axis=-1)
        correction = self.told(features, training)
        return self.initial([mass, charge]) + correction, correction


#: By package, what is passed as `custom_objects=`.
PORTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "basic-pitch": {
        "CQT2010v2": CQT2010v2,
        "FlattenAudioCh": FlattenAudioCh,
        "FlattenFreqCh": FlattenFreqCh,
        "HarmonicStacking": HarmonicStacking,
        "NormalizedLog": NormalizedLog,
    },
    "deeplc": {"<lambda>": leaky_relu},
    "imspy": {
        "GRUCCSPredictor": GRUCCSPredictor,
        "GRUChargeStatePredictor": GRUChargeStatePredictor,
        "GRURetentionTimePredictor": GRURetentionTimePredictor,
    },
    "mmsplice": {
        "ConvDNA": ConvDNA,
        "GlobalAveragePooling1D_Mask0": GlobalAveragePooling1D_Mask0,
        "SplineWeight1D": SplineWeight1D,
    },
}
