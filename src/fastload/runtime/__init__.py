"""Adapters of TensorFlow and Keras: from a twin to models, objects and functions.

In: a twin, and what the caller asked of the stock loader. Out: what the stock loader would return.
Private interfaces are used here, and by rows of `requirements` in `traces`, `keras2to3` and `tf_*`
modules. Every adapter checks, when it is first used, that the interface is shaped as it expects,
and raises `UnsupportedRuntimeError` where it is not: the load then goes to the stock loader.
Nothing here knows how a request was made or reported.
"""
