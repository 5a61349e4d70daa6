"""The only importer of TensorFlow and Keras: a small adapter for each interface that is leant on.

Private interfaces are touched here and nowhere else. Every adapter checks, when it is first used,
that the interface is shaped as it expects, and raises `UnsupportedRuntimeError` where it is not:
the load then goes to the stock loader.
"""
