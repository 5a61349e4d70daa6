"""Serving programs that nobody changed: the opt-in at the start of Python, and patched functions.

In come calls of stock loaders, out go requests with the stock function for the fallback. What
is patched, and in which module, only these modules know; they do not know how a model is loaded.
"""
