"""The public functions, one a module: each turns its arguments into a request and has it answered.

In: what a caller passes. Out: a model, an object, a predictor or a report. The loads
know no twins, TensorFlow or Keras: `loading` does the work. `warm`, `against_stock` and `explain`
look at twins too.
"""

# Before the rest, so that a process that is forked while another thread imports it has an answer.
import fastload.unfinished  # noqa: F401
