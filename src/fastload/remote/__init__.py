"""A shared store of twins, by fsspec: what one machine converted, others fetch.

In come entries of a cache, by name; out go files beside which nothing has to be believed. Knows
nothing of models, nor of how they are loaded.

- `names`: what an object is called, which says what it has to contain, and who signed it
- `waiting`: calls that nobody waits for too long
- `store`: the store itself; only this knows fsspec
- `faults`: a store that is away is told of once, and not asked for a while
- `fetching`, `progress`: objects become files of the cache
- `publishing`: files of the cache become objects
"""
