"""The twin: one immutable HDF5 file that holds a model's configuration and weights, ready to be mapped."""
