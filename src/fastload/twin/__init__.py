"""The twin: one immutable HDF5 file with a model's configuration and weights, to be mapped."""
