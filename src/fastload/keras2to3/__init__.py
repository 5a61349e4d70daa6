"""Keras 2 models in Keras 3: `migrate.migrate` is the entry.

In: a Keras 2 SavedModel, HDF5 file or archive, Keras 3, and custom objects. Out: the twin of the
Keras 3 model, with the record of rules and the proof. `rules` knows configurations as plain
dictionaries only; `tf_*` modules know Keras 3 and TensorFlow. Nothing here knows when a model is
migrated.
"""
