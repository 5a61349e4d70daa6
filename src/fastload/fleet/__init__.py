"""Twins that travel: what makes a cache folder a layer for others, and twins a file to carry.

In come entries of a cache; out go folders, archives and references that other machines open.

- `sealing`: a cache folder that was written becomes a layer
- `archive`: twins as a tar file, and back
- `ref`: models by reference
- `columns`: a predictor over columns of tables, for `ray`, `spark`, `beam`; `dask` warms workers
"""
