"""Rules that turn Keras 2 configurations into Keras 3's: plain dictionaries in and out.

In: a decoded configuration of Keras 2. Out: that of Keras 3, and a record of the rules that were
applied. Nothing here imports Keras or TensorFlow, or reads files.
"""
