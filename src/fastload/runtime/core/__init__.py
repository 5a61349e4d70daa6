"""What both generations of Keras, SavedModels and functions need of TensorFlow and Keras.

In: a twin's arrays and documents, and what the caller asked of the stock loader. Out: tensors over
the twin's memory, the Keras of this process, and a rebuild with its patches in place. It does not
know the loaders of any generation, and of the cache only `code_files`, which keeps records there.
"""
