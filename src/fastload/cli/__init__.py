"""The command line, `fastload` or `python -m fastload`: a module for each verb.

In come the words after the command, out go text or one JSON document and an exit status. A verb
parses its words, calls a public function or the cache, and prints; it must not know how TensorFlow
and Keras are driven, and only `warm`, `predict`, `bench` and `doctor` import them.
"""
