"""Source to twin: read what the files say, without building a model, tracing, or running a function."""
