"""What differs between the backends of Keras 3: how a variable starts blank and gets its weight.

In: Keras's classes of variables and initializers. Out: patches for a rebuild. Each module knows one
backend, and imports no other.
"""
