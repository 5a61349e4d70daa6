"""What makes the first `predict` of a loaded model fast: stored traces of its predict function.

In come a model that was just made of its twin, and the twin's cache entry; out goes a concrete
function that TensorFlow need not trace. It must not know how a load was asked for.

- `remember`: the entry; has a loaded model watched for its first `predict`
- `stored_predict`: has a stored trace used, or the trace stored
- `tf_tracing`: where TensorFlow traces, and is kept from it
- `tf_trace`, `trace_file`: what a trace gave, in memory and on disk
- `tf_concrete`: the concrete function of a stored trace
- `tf_key`: the trace key: what a trace depends on besides the model
- `tf_model_state`: whether the model still is what was loaded
"""
