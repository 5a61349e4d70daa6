"""A model's functions without the model: what `load_predictor` returns, and what is kept for it.

In: an open twin with its cache entry, and inputs of any kind. Out: a `Predictor`, which checks
inputs against a signature and runs flat functions. Nothing here knows how a load was requested.
"""
