"""SavedModels: TensorFlow's own loader, run over a twin.

In: a twin with a function section. Out: the object of `tf.saved_model.load`, whose functions
materialize on first access; for Keras 2 the variables and signatures of a model. Only `loader`
knows Keras's layers.
"""
