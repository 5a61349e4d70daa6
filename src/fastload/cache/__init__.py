"""The folder of twins: entries found by content, written by one process, evicted by last use.

In come digests, Keras generations and load reports; out go paths, which exist or not, and
statistics. Nothing here knows what is inside of a twin or a model: `twin` and `source` do.
"""
