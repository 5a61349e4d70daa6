"""A shared store of twins, by fsspec: what one machine converted, others fetch. And models there.

In come entries of a cache, by name, or addresses; out go files beside which nothing has to be
believed. Knows nothing of how models are loaded.

- `names`: what an object is called, which says what it has to contain, and who signed it
- `waiting`: calls that nobody waits for too long
- `filesystems`: bounded reads of what an address is of; only this knows fsspec
- `store`: the store itself
- `faults`: a store that is away is told of once, and not asked for a while
- `fetching`: objects become files of the cache
- `publishing`: files of the cache become objects
- `model_files`, `checksums`: models at addresses are listed, copied, and compared
"""
