"""The command line. Nothing here imports TensorFlow before a verb needs it; `warm` alone does."""
