"""TensorFlow's functions as plain ones: inlined, without variables, optimized once.

In: concrete functions, or functions of a SavedModel, with what they capture. Out: flat functions,
which take their weights as arguments, and calls of them. Nothing here knows where functions are
kept.
"""
