"""Transcribe a made-up sound with Basic Pitch as its documentation shows; print a digest of it."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from basic_pitch.inference import predict

RATE = 22_050
SECONDS = 3


def main() -> None:
    """Transcribe with the model of the package, which is the folder on the command line."""
    time = np.arange(RATE * SECONDS) / RATE
    tones = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220, 277.18, 329.63))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chord.wav")
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((tones / 4 * 32_000).astype("<i2").tobytes())
        output, _, notes = predict(path, Path(sys.argv[1]))
    digest = hashlib.sha256(b"".join(output[name].tobytes() for name in sorted(output)))
    print(sorted(output), len(notes), digest.hexdigest())


main()
