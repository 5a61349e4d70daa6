"""Stage a night's sleep with sleepecg as its documentation shows; print a digest of the result."""

from __future__ import annotations

import datetime as dt
import hashlib
import sys

import numpy as np
import sleepecg

HOURS = 2


def main() -> None:
    """Stage a made-up night with the classifier that is named on the command line."""
    classifier = sleepecg.load_classifier(sys.argv[1], "SleepECG")
    beats = np.cumsum(np.random.default_rng(5).normal(0.9, 0.05, int(HOURS * 3600 / 0.9)))
    record = sleepecg.SleepRecord(
        sleep_stage_duration=30,
        recording_start_time=dt.time(22),
        heartbeat_times=beats[beats < HOURS * 3600],
    )
    stages = sleepecg.stage(classifier, record, return_mode="prob")
    print(stages.shape, hashlib.sha256(stages.tobytes()).hexdigest())


main()
