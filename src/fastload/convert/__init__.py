"""Source to twin: read what the files say; build no model, trace and run no function.

In: a `ModelSource` and its fingerprint. Out: a manifest, weight specs and a stream of weights,
which `twin.writer` writes. Nothing here knows the cache, the request, or which process will load
the twin.
"""
