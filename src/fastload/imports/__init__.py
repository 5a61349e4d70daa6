"""Importing TensorFlow in less time, and only the part of it that is needed.

In come names of packages and modules, out go modules in `sys.modules` that Python's import system
cannot tell from its own. Programs that may never import TensorFlow import some of these modules, so
those import nothing that a bare interpreter has not imported. Nothing here knows models or twins.
"""
