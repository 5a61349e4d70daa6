"""Keras 3 ports of the layers with which Basic Pitch hears: a constant-Q transform, in decibels."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import ops
from scipy.signal import firwin2, get_window

#: Arguments of the original, and the only values that its published model has for them.
_FIXED: Final = {
    "fmax": None,
    "filter_scale": 1,
    "norm": True,
    "basis_norm": 1,
    "window": "hann",
    "pad_mode": "reflect",
    "output_format": "Magnitude",
    "match_torch_exactly": True,
}
_FILTER_TAPS: Final = 256
_TRANSITION: Final = 0.001


class CQT2010v2(keras.layers.Layer):
    """The magnitudes of a sound, by time and pitch.

    The top octave is heard by filters; for each octave below, the sound is halved in rate.
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int,
        fmin: float,
        n_bins: int,
        bins_per_octave: int,
        earlydownsample: bool = False,
        **others: Any,
    ) -> None:
        for name, value in _FIXED.items():
            if others.pop(name, value) != value:
                raise ValueError(f"only {name}={value!r} is ported")
        super().__init__(**others)
        self.given = {
            "sample_rate": sample_rate,
            "hop_length": hop_length,
            "fmin": fmin,
            "n_bins": n_bins,
            "bins_per_octave": bins_per_octave,
            "earlydownsample": earlydownsample,
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.given}

    def build(self, _shape: Any) -> None:
        given = self.given
        per_octave, bins = given["bins_per_octave"], given["n_bins"]
        self._octaves = -(-bins // per_octave)
        quality = 1 / (2 ** (1 / per_octave) - 1)
        steps = np.arange(bins) / per_octave
        frequencies = given["fmin"] * 2.0**steps
        top = frequencies[-1] * 2.0 ** ((np.arange(per_octave) + 1) / per_octave - 1)
        self._filters = _tones(top, quality, given["sample_rate"])
        self._loudness = np.sqrt(np.ceil(quality * given["sample_rate"] / frequencies))
        self._halving = _halving_filter()

    def call(self, sound: Any) -> Any:
        sound, hop = sound[..., None], self.given["hop_length"]
        octaves = [self._heard(sound, hop)]
        for _ in range(self._octaves - 1):
            margin = (_FILTER_TAPS - 1) // 2
            sound = ops.pad(sound, [(0, 0), (margin, margin), (0, 0)])
            sound = ops.conv(sound, self._halving, strides=2, padding="valid")
            hop //= 2
            octaves.insert(0, self._heard(sound, hop))
        both = ops.concatenate(octaves, axis=2)[:, :, -self.given["n_bins"] :]
        both = both * self._loudness.astype("float32")[:, None]
        return ops.sqrt(ops.sum(ops.square(both), axis=-1))

    def _heard(self, sound: Any, hop: int) -> Any:
        """Return the two parts of each tone of the top octave, by time and pitch."""
        margin = len(self._filters) // 2
        sound = ops.pad(sound, [(0, 0), (margin, margin), (0, 0)], mode="reflect")
        parts = ops.conv(sound, self._filters, strides=hop, padding="valid")
        return ops.stack(ops.split(parts, 2, axis=-1), axis=-1)


def _tones(frequencies: np.ndarray, quality: float, rate: float) -> np.ndarray:
    """Return filters that hear *frequencies*: first their real parts, then their imaginary ones."""
    size = 2 ** int(np.ceil(np.log2(np.ceil(quality * rate / frequencies[0]))))
    filters = np.zeros((size, len(frequencies)), "complex64")
    for place, frequency in enumerate(frequencies):
        length = int(np.ceil(quality * rate / frequency))
        times = np.arange(-length // 2, -length // 2 + length)
        tone = get_window("hann", length) * np.exp(2j * np.pi * times * frequency / rate)
        start = int(np.ceil((size - length) / 2)) - length % 2
        filters[start : start + length, place] = tone / np.abs(tone).sum()
    return np.concatenate([filters.real, -filters.imag], axis=1)[:, None]


def _halving_filter() -> np.ndarray:
    edges = [0.0, 0.5 / (1 + _TRANSITION), 0.5 * (1 + _TRANSITION), 1.0]
    return firwin2(_FILTER_TAPS, edges, [1.0, 1.0, 0.0, 0.0]).astype("float32")[:, None, None]


class NormalizedLog(keras.layers.Layer):
    """Magnitudes in decibels, from 0 for the faintest to 1 for the loudest of an example."""

    def call(self, magnitudes: Any) -> Any:
        decibels = 10 * ops.log10(ops.square(magnitudes) + 1e-10)
        above = decibels - ops.min(decibels, axis=(1, 2), keepdims=True)
        loudest = ops.max(above, axis=(1, 2), keepdims=True)
        return ops.where(loudest > 0, above / ops.where(loudest > 0, loudest, 1.0), 0.0)
