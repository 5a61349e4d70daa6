"""From a request to its answer: the road of every load, a stage a module.

- `request`: what the caller asked (values only)
- `plan`, `plan_keras`: which source, Keras and twin; decided by looking, nothing is done
- `opening`, `build`, `behind`, `shared`: the twin of a plan: opened, built, published, fetched
- `restore`, `restore_model`, `restore_predictor`: from the open twin to what was asked for;
  `failures` remembers what cannot be made of it by these versions
- `stock`: the stock loaders
- `answer`: the stages in order, the one fallback, and the report of a load

In: a `Request`. Out: what the stock loader would return. Nothing here imports TensorFlow or Keras,
or knows how they are driven: `runtime` does.
"""
