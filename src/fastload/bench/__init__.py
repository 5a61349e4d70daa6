"""What a model's loads take, by stock and by fastload, each in a fresh process of its own.

In: the path of a model. Out: frozen results (`result`, `profile`), and a page of them (`page`).
Nothing here touches the user's cache, but for the time of stock's load beside a twin that is there
already. The project's own benchmarks stand on `processes`, `outputs` and `machine`.
"""
