"""Weights within a byte budget: everything behind `memory_budget=`.

In: an open twin, a restored model or a predictor's functions, a budget in bytes. Out: variables and
functions whose weights are read when they are needed, and `fastload.residency`'s figures. Only the
`tf_*` modules import TensorFlow; nothing here knows how a load was requested.
"""
