"""The public functions, one a module: each turns its arguments into a request and has it answered.

In: what a caller passes. Out: a model, an object, a predictor or a report. Nothing here knows
twins, TensorFlow or Keras: `loading` does the work.
"""
