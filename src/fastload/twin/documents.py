"""Names of what a Keras twin holds besides weights: written by `convert`, read by `runtime`."""

from __future__ import annotations

from typing import Final

#: A `SavedModel` message without functions; its object graph is numbered anew.
OBJECT_GRAPH: Final = "object_graph.pb"
#: Keras's metadata by new node id; absent where the object graph carries it (before TF 2.5).
KERAS_METADATA: Final = "keras_metadata.pb"
#: Name of the weight by node id.
VARIABLES: Final = "variables.json"
#: Node ids of the SavedModel by new node id; there only if it has signatures.
SOURCE_NODES: Final = "source_nodes.json"
#: A layer's name by name of the class that the SavedModel's layers are made of.
LAYER_CLASSES: Final = "layer_classes.json"
#: Of a model that Keras 2 wrote and Keras 3 opens: the rules that were applied, and the proof.
MIGRATION: Final = "migration.json"
#: The group with the tree of a `.keras` archive's `model.weights.h5`.
STATE: Final = "state"

#: A `SavedModel` message with the whole object graph and no functions.
SAVED_OBJECTS: Final = "saved_objects.pb"
#: The `FunctionDefLibrary` of the SavedModel, and offset and length of each function in it by name.
FUNCTIONS: Final = "functions.pb"
FUNCTION_INDEX: Final = "functions.json"
#: Name of the weight by node id of the whole object graph.
SAVED_VARIABLES: Final = "saved_variables.json"
#: There if the checkpoint holds more than variables: it is restored from itself then.
OTHER_STATE: Final = "other_state.json"
#: Node id by path of the signatures and all that they capture; empty where objects must be made at
#: once.
SIGNATURE_NODES: Final = "signature_nodes.json"
#: What each signature takes and gives, for people.
SIGNATURES: Final = "signatures.json"
#: Code and reason why a section is missing, by section.
REFUSALS: Final = "refusals.json"

#: Of a SavedModel that TensorFlow 1 wrote: a `MetaGraphDef` with what its signatures need, and the
#: name of the weight by node of each variable.
SESSION_GRAPH: Final = "session_graph.pb"
SESSION_VARIABLES: Final = "session_variables.json"

#: What a SavedModel's twin can serve: a Keras model, the object that TensorFlow itself loads, and
#: predictors.
KERAS_SECTION: Final = "keras"
FUNCTION_SECTION: Final = "functions"
PREDICTION_SECTION: Final = "prediction"
#: A Keras 3 model of what Keras 2 wrote; always in a twin of its own.
MIGRATED_SECTION: Final = "migrated"
