"""The model on disk: its kind, its files, its digest, and guarded readers of its content.

In: a path. Out: a `ModelSource`, its `Fingerprint`, and what its files hold, checked. Nothing here
imports TensorFlow or Keras, or knows twins beyond the specs of weights.
"""
