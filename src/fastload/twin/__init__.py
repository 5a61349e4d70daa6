"""The twin: one immutable HDF5 file with a model's configuration and weights, to be mapped.

In: a manifest, and a stream of weights; or the path of a twin. Out: the file; or a `Twin` whose
arrays are views of the mapped file. Nothing here knows TensorFlow, Keras or the source, and of the
cache only `sources` and `function_file`, which are kept there; h5py is needed for writing only.
"""
