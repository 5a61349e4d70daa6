"""The private names of TensorFlow, Keras, JAX and PyTorch that fastload leans on: all of them.

They stand by the feature that needs them, module by module. Adapters ask for a part of a feature,
as in `FLAT.part("context")`, so a module that moved or a name that changed is followed here alone:
docs/versions.md says how. `fastload doctor --internals` prints which of them this installation has.

Names are separated by spaces; `importing.Name.parsed` reads them:

- `Class.name` is looked up in the class; `Class().name` is what its instances have, and
  `function().name` what a function sets.
- `?name` is one that the feature can do without.
- `name[a,b]` is called with the parameters `a` and `b`.
- `name>=2.12` and `name<2.12` say which versions of its package have it, as far as they were tried.

Modules that Python reads before any of this keep tables of their own: `hooks.patch_points`,
`imports.light_import` and `imports.linking`.
"""

from __future__ import annotations

from typing import Final

from fastload.runtime.importing import Feature, Part


def _feature(what: str, *, on: str = "", **parts: Part) -> Feature:
    return Feature(what, parts, backend=on)


def _of(places: str, names: str = "", *, since: str = "", before: str = "") -> Part:
    """Return a module: where it is, the newest place first, and what is used of it."""
    return Part(tuple(places.split()), names, since, before)


def _tf(places: str, names: str = "", *, since: str = "", before: str = "") -> Part:
    return Part(tuple(f"tensorflow.python.{each}" for each in places.split()), names, since, before)


def _keras2(places: str, names: str, *, since: str = "") -> Part:
    """Return a module of Keras 2, which is below `src` since 2.13."""
    found = (f"{{keras}}.{below}{place}" for place in places.split() for below in ("src.", ""))
    return Part(tuple(found), names, since)


# --- TensorFlow itself ----------------------------------------------------------------------------

EAGER: Final = _feature(
    "the eager runtime",
    context=_tf(
        "eager.context",
        "context executing_eagerly eager_mode Context.add_function_def Context.remove_function "
        "Context.function_call_options Context.ensure_initialized",
    ),
    execute=_tf("eager.execute", "execute"),
    dlpack=_tf("dlpack.dlpack", "from_dlpack"),
    config=_tf(
        "framework.config",
        "list_logical_devices ?is_op_determinism_enabled ?tensor_float_32_execution_enabled",
    ),
    constant_op=_tf("framework.constant_op", "constant"),
    dtypes=_tf("framework.dtypes", "as_dtype"),
    errors_impl=_tf("framework.errors_impl", "InvalidArgumentError OpError"),
    ops=_tf("framework.ops", "device EagerTensor"),
    versions=_tf("framework.versions", "__version__"),
    function_pb2=_of("tensorflow.core.framework.function_pb2", "FunctionDef"),
    config_pb2=_of("tensorflow.core.protobuf.config_pb2", "ConfigProto"),
    _pywrap_util_port=_tf("util._pywrap_util_port", "IsMklEnabled"),
)
#: What is looked at besides, where it is imported.
BESIDE: Final = _feature(
    "what depends on the moment",
    # TensorFlow 2.13 has both modules, and the class in the second.
    tensor=_tf("framework.tensor", "?Tensor.OVERLOADABLE_OPERATORS", since="2.14"),
    ops=_tf("framework.ops", "?Tensor.OVERLOADABLE_OPERATORS<2.14"),
    variables=_tf("ops.variables", "Variable"),
    # They say whether a strategy is active: the second up to TensorFlow 2.12.
    distribute_lib=_tf("distribute.distribute_lib", "?has_strategy>=2.13 ?get_strategy>=2.13"),
    distribution_strategy_context=_tf(
        "distribute.distribution_strategy_context",
        "has_strategy get_strategy",
        before="2.13",
    ),
    summary_ops_v2=_tf("ops.summary_ops_v2", "_current_trace_context"),
)
DEFERRED_IMPORT: Final = _feature(
    "a deferred import of TensorFlow",
    pywrap_tensorflow=_tf("pywrap_tensorflow"),
    tf2=_tf("tf2", "enable"),
    load_library=_tf("framework.load_library", "load_library"),
)
TRACEBACKS: Final = _feature(
    "cutting frames of fastload's from tracebacks",
    tensorflow=_tf("util.traceback_utils", "?_EXCLUDED_PATHS"),
    keras=_of("keras.src.utils.traceback_utils keras.utils.traceback_utils", "?_EXCLUDED_PATHS"),
    tf_keras=_of(
        "tf_keras.src.utils.traceback_utils keras.src.utils.traceback_utils "
        "keras.utils.traceback_utils",
        "?_EXCLUDED_PATHS",
    ),
)
MESSAGES: Final = _feature(
    "reading a SavedModel",
    saved_model=_of("tensorflow.core.protobuf.saved_model_pb2", "SavedModel"),
    object_graph=_of("tensorflow.core.protobuf.saved_object_graph_pb2", "SavedObjectGraph"),
    meta_graph=_of("tensorflow.core.protobuf.meta_graph_pb2", "MetaGraphDef"),
    keras_metadata=_tf("keras.protobuf.saved_metadata_pb2", "SavedMetadata"),
    debug_info=_of(
        "tensorflow.core.framework.graph_debug_info_pb2 "
        "tensorflow.core.protobuf.graph_debug_info_pb2",
        "GraphDebugInfo",
    ),
)

# --- variables, in either Keras -------------------------------------------------------------------

ASSIGNMENT: Final = _feature(
    "sharing the memory of weights",
    operations=_tf("ops.gen_resource_variable_ops", "assign_variable_op read_variable_op"),
    variables=_tf("ops.resource_variable_ops", "BaseResourceVariable.assign"),
    tapes=_tf("pywrap_tfe", "?TFE_Py_TapeSetIsEmpty"),
)
KERNELS: Final = _feature(
    "making variables without kernels of their own",
    operations=_tf("ops.gen_resource_variable_ops", "var_handle_op assign_variable_op"),
    context=_tf(
        "eager.context",
        "context Context.ensure_initialized Context()._context_handle "
        "?run_eager_op_as_function_enabled",
    ),
    pywrap_tfe=_tf("pywrap_tfe", "?TFE_ContextSetRunEagerOpAsFunction>=2.12"),
)
BLANKS: Final = _feature(
    "variables that start blank",
    ops=_tf("framework.ops", "get_default_graph Graph._variable_creator_stack"),
    variables=_tf(
        "ops.resource_variable_ops",
        "BaseResourceVariable.handle BaseResourceVariable()._handle BaseResourceVariable.assign",
    ),
    # Graphs of conditions and loops, which belong to the graph around them.
    branches=_tf(
        "ops.control_flow_v2_func_graphs", "ControlFlowFuncGraph ControlFlowFuncGraph().outer_graph"
    ),
    # They take a variable's handle for no more than a name.
    optimizer_of_keras2=_keras2("optimizers.optimizer", "?Optimizer._var_key", since="2.15"),
)
NESTS: Final = _feature(
    "packing lists and tuples",
    nest_util=_tf("util.nest_util", "?sequence_like", since="2.15"),
)
STATE: Final = _feature(
    "undoing a restore that failed",
    context=_tf("eager.context", "context ?Context()._rng"),
    keras2=_keras2(
        "backend",
        "?_SEED_GENERATOR>=2.12 ?OBSERVED_NAMES>=2.12 ?get_default_graph_uid_map "
        "?global_learning_phase_is_set ?learning_phase",
    ),
    keras3=_of(
        "keras.src.backend.common.global_state",
        "get_global_attribute[default] set_global_attribute",
    ),
)

# --- Keras 2 --------------------------------------------------------------------------------------

KERAS2_LOADS: Final = _feature(
    "restoring Keras 2 models",
    backend=_keras2("backend", "name_scope learning_phase"),
    base_layer=_keras2(
        "engine.base_layer",
        "Layer ?Layer()._self_setattr_tracking ?Layer()._obj_reference_counts_dict "
        "?Layer()._auto_track_sub_layers",
    ),
    base_layer_utils=_keras2("engine.base_layer_utils", "make_variable"),
    keras_tensor=_keras2("engine.keras_tensor", "KerasTensor"),
    functional=_keras2("engine.functional", "connect_ancillary_layers"),
    initializers=_keras2(
        "initializers.initializers initializers.initializers_v2",
        "Initializer Initializer.__call__",
    ),
    tf_inspect=_keras2("utils.tf_inspect", "getfullargspec"),
    legacy_save=_keras2("saving.legacy.save saving.save", "load_model tf.io.gfile"),
)
KERAS2_SAVED_MODEL: Final = _feature(
    "restoring Keras 2 SavedModels",
    load=_keras2(
        "saving.legacy.saved_model.load saving.saved_model.load",
        "load KerasObjectLoader KerasObjectLoader.get_path KerasObjectLoader().loaded_nodes "
        "RevivedLayer RevivedInputLayer tf.__internal__.saved_model.parse_saved_model "
        "tf.__internal__.saved_model.load_partial",
    ),
)
KERAS2_REVIVED: Final = _feature(
    "restoring Keras 2 SavedModels with layers that exist as functions only",
    load=_keras2(
        "saving.legacy.saved_model.load saving.saved_model.load",
        "load KerasObjectLoader KerasObjectLoader().loaded_nodes KerasObjectLoader()._metadata "
        "KerasObjectLoader().model_layer_dependencies RevivedLayer RevivedInputLayer "
        "PUBLIC_ATTRIBUTES tf.__internal__.saved_model.parse_saved_model "
        "tf.__internal__.saved_model.load_partial",
    ),
    load_beside=_tf(
        "saved_model.load",
        "Loader._retrieve_all_filtered_nodes Loader._load_nodes Loader()._loaded_nodes",
    ),
)
KERAS2_HDF5: Final = _feature(
    "restoring Keras 2 HDF5 files",
    hdf5_format=_keras2(
        "saving.legacy.hdf5_format saving.hdf5_format",
        "h5py ?load_optimizer_weights_from_hdf5_group",
    ),
    backend=_keras2("backend", "batch_set_value"),
)
KERAS2_ARCHIVE: Final = _feature(
    "restoring Keras 2 .keras archives",
    saving_lib=_keras2("saving.saving_lib", "load_model H5IOStore zipfile", since="2.12"),
    base_layer=_keras2("engine.base_layer", "?Layer._load_own_variables>=2.12<2.13"),
)
KERAS2_WEIGHTS: Final = _feature(
    "load_weights of Keras 2",
    saving_api=_keras2(
        "saving.saving_api", "load_weights saving_lib legacy_sm_saving_lib", since="2.12"
    ),
    saving_lib=_keras2("saving.saving_lib", "load_weights_only H5IOStore zipfile", since="2.12"),
    legacy_save=_keras2("saving.legacy.save", "load_weights h5py hdf5_format", since="2.12"),
    training=_keras2(
        "engine.training",
        "Model.load_weights Model._flatten_layers ?h5py<2.12 ?hdf5_format<2.12",
    ),
)
#: Seeds that stock draws when it makes a variable.
KERAS2_SEEDS: Final = _feature(
    "drawing the seeds of Keras 2 initializers",
    random_seed=_tf("framework.random_seed", "get_seed"),
    backend=_keras2(
        "backend",
        "RandomGenerator.make_legacy_seed ?RandomGenerator._maybe_init "
        "?RandomGenerator()._rng_type>=2.12 ?RandomGenerator()._generator "
        "?RandomGenerator()._seed "
        "?RandomGenerator()._built",
    ),
    initializers=_keras2(
        "initializers.initializers initializers.initializers_v2",
        "?RandomNormal()._random_generator ?RandomNormal._warn_reuse>=2.12 "
        "?RandomNormal()._used>=2.12",
    ),
)
OUTPUT_SPECS: Final = _feature(
    "the output-spec cache",
    base_layer=_keras2(
        "engine.base_layer",
        "Layer._infer_output_signature Layer._maybe_build Layer._set_save_spec "
        "Layer._flatten_layers Layer._name_scope ?Layer()._called>=2.20 "
        "?Layer()._saved_model_inputs_spec ?Layer()._saved_model_arg_spec "
        "?Layer()._activity_regularizer ?Layer()._keras_mask",
    ),
    base_layer_utils=_keras2("engine.base_layer_utils", "call_context"),
    activations=_keras2("activations", "deserialize"),
    training=_keras2("engine.training", "?Model._set_inputs"),
    keras_tensor=_keras2(
        "engine.keras_tensor",
        "KerasTensor()._inferred_value KerasTensor()._name",
    ),
)

# --- Keras 3 --------------------------------------------------------------------------------------

NAMES_OF_KERAS: Final = _feature(
    "knowing Keras's own names",
    losses=_of("keras.src.losses", "?ALL_OBJECTS_DICT"),
    metrics=_of("keras.src.metrics", "?ALL_OBJECTS_DICT"),
    distribution_lib=_of("keras.src.distribution.distribution_lib"),
    config=_of("keras.src.backend.config", "backend ?is_nnx_enabled>=3.11"),
)
KERAS3_LOADS: Final = _feature(
    "restoring Keras 3 models",
    saving_api=_of("keras.src.saving.saving_api", "load_model legacy_h5_format"),
    legacy_h5_format=_of(
        "keras.src.legacy.saving.legacy_h5_format",
        "load_model_from_hdf5 h5py np ?json_utils.decode ?json_utils.tf ?safe_get_h5_group>=3.14 "
        "?safe_get_h5_dataset>=3.14",
    ),
    saving_lib=_of(
        "keras.src.saving.saving_lib",
        "load_model H5IOStore DiskIOStore zipfile ?file_utils.File ?get_attr_skipset>=3.6 "
        "?_load_model_from_fileobj>=3.2 ?_load_model_from_dir>=3.4 ?huggingface_hub>=3.5 "
        "?keras_version ?is_memory_sufficient>=3.5 ?_safe_zip_read>=3.15 ?_reject_zip_bomb>=3.15 "
        "?_ZIP_MEMBER_BOMB_FLOOR_BYTES>=3.15 ?_ZIP_MEMBER_MAX_EXPANSION>=3.15 "
        "?_ZIP_EXTRACT_BOMB_FLOOR_BYTES>=3.15<3.16 ?_ZIP_CUMULATIVE_BOMB_FLOOR_BYTES>=3.16 "
        "?_H5_DATASET_BOMB_FLOOR_BYTES>=3.15 ?_H5_DATASET_MAX_EXPANSION>=3.15",
    ),
    saveable=_of("keras.src.saving.keras_saveable", "?KerasSaveable._obj_type>=3.6", since="3.3"),
    global_state=_of("keras.src.backend.common.global_state", "get_global_attribute"),
    config=_of("keras.src.backend.config", "backend"),
    initializer=_of("keras.src.initializers.initializer", "Initializer"),
    layer=_of("keras.src.layers.layer", "Layer ?Layer._initialize_tracker>=3.2 ?Layer()._tracker"),
)
KERAS3_WEIGHTS: Final = _feature(
    "load_weights of Keras 3",
    saving_api=_of("keras.src.saving.saving_api", "load_weights saving_lib legacy_h5_format ?h5py"),
    saving_lib=_of(
        "keras.src.saving.saving_lib",
        "load_weights_only H5IOStore ?ShardedH5IOStore>=3.10 zipfile",
    ),
    legacy_h5_format=_of(
        "keras.src.legacy.saving.legacy_h5_format",
        "load_weights_from_hdf5_group load_weights_from_hdf5_group_by_name np",
    ),
)
_CORE_ON_TENSORFLOW: Final = (
    "keras.src.backend.tensorflow.ops.core keras.src.backend.tensorflow.core"
)
KERAS3_TENSORFLOW: Final = _feature(
    "Keras 3 on TensorFlow",
    on="tensorflow",
    core=_of(_CORE_ON_TENSORFLOW, "Variable"),
    creation=_of(
        _CORE_ON_TENSORFLOW,
        "?Variable._initialize_with_initializer>=3.5 Variable()._value Variable()._initializer",
    ),
    assignment=_of(
        _CORE_ON_TENSORFLOW,
        "Variable._direct_assign Variable._convert_to_tensor Variable()._value",
    ),
    layer=_of("keras.src.backend.tensorflow.layer", "TFLayer()._tracked"),
    # Blank variables are not read by it.
    optimizer=_of("keras.src.backend.tensorflow.optimizer", "?TFOptimizer._var_key"),
)
KERAS3_FUNCTIONS: Final = _feature(
    "layers of functions in Keras 3",
    on="tensorflow",
    core=_of(_CORE_ON_TENSORFLOW, "Variable()._value"),
)
KERAS3_JAX: Final = _feature(
    "Keras 3 on JAX",
    on="jax",
    core=_of(
        "keras.src.backend.jax.ops.core keras.src.backend.jax.core",
        "?Variable._initialize_with_initializer>=3.13 Variable._direct_assign Variable()._layout "
        "Variable()._value Variable()._shape Variable()._dtype",
    ),
    jax=_of("jax._src.core", "trace_state_clean"),
)
_CORE_ON_TORCH: Final = "keras.src.backend.torch.ops.core keras.src.backend.torch.core"
KERAS3_TORCH: Final = _feature(
    "Keras 3 on PyTorch",
    on="torch",
    core=_of(_CORE_ON_TORCH, "Variable"),
    sharing=_of(
        _CORE_ON_TORCH,
        "Variable._initialize_with_initializer Variable._convert_to_tensor "
        "Variable._direct_assign TORCH_DTYPES convert_to_tensor device_scope get_device "
        "to_torch_dtype Variable()._value Variable()._shape Variable()._dtype",
    ),
    torch=_of(
        "torch",
        "_C._len_torch_dispatch_stack _C._storage_Use_Count autograd.graph.increment_version "
        "Tensor._version UntypedStorage._cdata",
    ),
)

# --- objects of a SavedModel ----------------------------------------------------------------------

OBJECTS: Final = _feature(
    "load_saved_model",
    load=_tf(
        "saved_model.load",
        "load_partial _call_attribute _WrapperFunction revived_types.deserialize "
        "loader_impl.parse_saved_model_with_debug_info function_deserialization "
        "Loader._setup_function_captures Loader._restore_checkpoint "
        "Loader._convert_node_paths_to_ints Loader._retrieve_all_filtered_nodes "
        "Loader._add_object_graph_edges "
        "Loader._recreate_function Loader._recreate_bare_concrete_function "
        "Loader._recreate_base_user_object Loader._setup_remaining_functions "
        "Loader._get_tensor_from_fn Loader()._proto Loader()._nodes Loader()._node_filters "
        "Loader()._filtered_nodes Loader()._concrete_functions",
    ),
    restore_captures=_of(
        "tensorflow.core.function.capture.restore_captures "
        "tensorflow.python.eager.polymorphic_function.saved_model_utils "
        "tensorflow.python.eager.function_saved_model_utils",
        "restore_captures",
        since="2.9",
    ),
    # What gives functions their captures and their signatures before.
    load_of_2_8=_tf(
        "saved_model.load",
        "Loader._get_tensor_from_node Loader()._restored_concrete_functions",
        before="2.9",
    ),
    load_of_2_12=_tf("saved_model.load", "_WrapperFunction._set_function_spec", before="2.14"),
    functions=_tf(
        "saved_model.function_deserialization",
        "load_function_def_library[library,saved_object_graph,load_shared_name_suffix,"
        "wrapper_function] "
        "RestoredFunction setup_bare_concrete_function recreate_function "
        "custom_gradient.generate_name _deserialize_function_spec_as_nonmethod "
        "_list_function_deps _sort_function_defs _restore_gradient_functions _gen_gradient_func "
        "?_fix_fdef_in_place>=2.9 ?_fix_fdef<2.9 ?set_preinitialized_function_spec>=2.15 "
        "?nested_structure_coder.decode_proto>=2.10",
    ),
    ops=_tf("framework.ops", "Graph uid"),
    op_def_registry=_tf("framework.op_def_registry", "get"),
    variables=_tf(
        "ops.resource_variable_ops",
        "UninitializedVariable BaseResourceVariable.handle BaseResourceVariable()._handle",
    ),
    trackable=_tf("trackable.base training.tracking.base", "Trackable._maybe_initialize_trackable"),
    context=_tf("eager.context", "context Context.device_name"),
)
SESSION_IMPORT: Final = _feature(
    "converting SavedModels of TensorFlow 1",
    saver=_tf("training.saver", "_import_meta_graph_with_return_elements"),
    loader_impl=_tf("saved_model.loader_impl", "get_init_op get_asset_tensors"),
    variables=_tf("ops.resource_variable_ops", "is_resource_variable"),
)
SESSION: Final = _feature(
    "load_saved_model of TensorFlow 1",
    load=_tf(
        "saved_model.load",
        "load_partial load_v1_in_v2.load loader_impl.parse_saved_model_with_debug_info",
    ),
    session_loader=_tf(
        "saved_model.load_v1_in_v2",
        "_Initializer._initialize _EagerSavedModelLoader.load "
        "_EagerSavedModelLoader._extract_signatures "
        "_EagerSavedModelLoader.restore_variables "
        "_EagerSavedModelLoader.get_meta_graph_def_from_tags "
        "_EagerSavedModelLoader()._export_dir _EagerSavedModelLoader()._saved_model "
        "loader_impl.get_asset_tensors function_deserialization wrap_function "
        "signature_serialization._SignatureMap._add_signature",
    ),
    autotrackable=_tf("trackable.autotrackable training.tracking.tracking", "AutoTrackable"),
    asset=_tf("trackable.asset training.tracking.tracking", "Asset"),
    monitored_session=_tf("training.monitored_session", "Scaffold"),
    wrap_function=_tf(
        "eager.wrap_function",
        "WrappedFunction.prune WrappedFunction._call_flat WrappedFunction()._func_graph "
        "wrap_function "
        "VariableHolder VariableHolder()._variables_by_name "
        "_lift_unlifted_variables func_graph.FuncGraph lift_to_graph "
        "resource_variable_ops.UninitializedVariable",
    ),
    functions=_tf(
        "saved_model.function_deserialization",
        "load_function_def_library[library,load_shared_name_suffix] fix_node_def",
    ),
    func_graph=_tf("framework.func_graph", "FuncGraph"),
    importer=_tf(
        "framework.importer", "import_graph_def[graph_def,name,input_map,producer_op_list]"
    ),
    variables=_tf(
        "ops.resource_variable_ops",
        "UninitializedVariable get_eager_safe_handle_data _set_handle_shapes_and_types",
    ),
    ops=_tf("framework.ops", "uid"),
    context=_tf("eager.context", "context Context.device_name"),
)
MATCHED: Final = _feature(
    "seeing that each variable had a value",
    graph_view=_tf(
        "checkpoint.graph_view training.tracking.graph_view",
        "ObjectGraphView ?ObjectGraphView.list_objects<2.10",
    ),
    util=_tf("checkpoint.util", "list_objects", since="2.10"),
)
REST_OF_A_MODEL: Final = _feature(
    "what no config describes in a Keras 2 SavedModel",
    load=_tf(
        "saved_model.load",
        "load_partial loader_impl.parse_saved_model_with_debug_info Loader._restore_checkpoint "
        "Loader._load_all",
    ),
)
SIGNATURES: Final = _feature(
    "model.signatures",
    signature_serialization=_tf(
        "saved_model.signature_serialization",
        "_SignatureMap _SignatureMap()._signatures",
    ),
    load=_tf(
        "saved_model.load",
        "load_partial Loader._retrieve_all_filtered_nodes Loader._restore_checkpoint "
        "Loader._setup_function_captures",
    ),
)

# --- functions ------------------------------------------------------------------------------------

FLAT: Final = _feature(
    "a flat function",
    context=_tf(
        "eager.context",
        "Context.device_name FunctionCallOptions.executor_type "
        "FunctionCallOptions.config_proto_serialized",
    ),
    forgetting=_tf("eager.context", "context Context.has_function Context.remove_function"),
    tf_optimizer=_tf("grappler.tf_optimizer", "OptimizeGraph[config_proto,metagraph]"),
    versions=_tf("framework.versions", "GRAPH_DEF_VERSION"),
    op_def_registry=_tf("framework.op_def_registry", "get"),
)
EXECUTED_GRAPHS: Final = _feature(
    "the graph that TensorFlow executes",
    context=_tf(
        "eager.context",
        "Context.is_async Context.enable_graph_collection Context.disable_graph_collection "
        "Context.export_run_metadata",
    ),
    execute=_tf("eager.execute", "execute_with_cancellation"),
    errors_impl=_tf("framework.errors_impl", "CancelledError"),
    cancellation=_tf("eager.cancellation", "CancellationManager.start_cancel"),
)
MODES: Final = _feature(
    "comparing what is traced",
    context=_tf("eager.context", "context Context.op_callbacks Context.device_name"),
    ops=_tf(
        "framework.ops",
        "?is_auto_dtype_conversion_enabled>=2.15 ?is_numpy_style_type_promotion>=2.15",
    ),
    control_flow_util=_tf("ops.control_flow_util", "?ENABLE_CONTROL_FLOW_V2"),
    config=_tf("framework.config", "is_op_determinism_enabled"),
)
FIRST_PREDICT: Final = _feature(
    "a stored first predict",
    context=_tf(
        "eager.context",
        "context Context.add_function_def Context.remove_function Context.call_function "
        "Context.get_function_def Context.get_graph_debug_info Context.function_call_options "
        "FunctionCallOptions.executor_type "
        "FunctionCallOptions.config_proto_serialized",
        since="2.15",
    ),
    tracing_compilation=_tf(
        "eager.polymorphic_function.tracing_compilation",
        "_create_concrete_function[function_type,type_context,func_graph,tracing_options] "
        "func_graph_module ag_ctx.Status ag_ctx.ControlStatusCtx[status,options] "
        "function_type_lib.FunctionType trace_type.from_value",
        since="2.15",
    ),
    atomic_function=_tf(
        "eager.polymorphic_function.atomic_function",
        "AtomicFunction.__init__[name,bound_context,function_type,children] "
        "AtomicFunction.call_preflattened AtomicFunction.name",
        since="2.15",
    ),
    concrete_function=_tf(
        "eager.polymorphic_function.concrete_function",
        "ConcreteFunction ConcreteFunctionGarbageCollector _inference_name "
        "ConcreteFunction()._inference_function ConcreteFunction()._function_type "
        "ConcreteFunction()._captured_inputs ConcreteFunction()._garbage_collector",
        since="2.15",
    ),
    function_context=_tf(
        "eager.polymorphic_function.function_context",
        "make_function_context",
        since="2.15",
    ),
    summary_ops_v2=_tf("ops.summary_ops_v2", "_current_trace_context"),
    op_def_registry=_tf("framework.op_def_registry", "get"),
    func_graph=_tf(
        "framework.func_graph",
        "FuncGraph()._functions FuncGraph().as_graph_def FuncGraph().structured_outputs",
    ),
    # What TensorFlow and Keras note on layers.
    trackable=_tf(
        "trackable.base training.tracking.base",
        "Trackable()._self_name_based_restores Trackable()._self_saveable_object_factories "
        "Trackable()._self_unconditional_checkpoint_dependencies "
        "Trackable()._self_unconditional_deferred_dependencies "
        "Trackable()._self_unconditional_dependency_names",
    ),
    training_of_keras2=_keras2(
        "engine.training",
        "Model.make_predict_function Model._flatten_layers Model.weights Model()._jit_compile "
        "Model()._predict_counter Model()._steps_per_execution",
    ),
    base_layer_of_keras2=_keras2(
        "engine.base_layer",
        "?Layer()._called>=2.20 Layer()._obj_reference_counts_dict Layer()._saved_model_arg_spec "
        "Layer()._saved_model_inputs_spec ?Layer()._thread_local",
    ),
    load_of_keras2=_keras2(
        "saving.legacy.saved_model.load saving.saved_model.load",
        "_maybe_add_serialized_attributes()._serialized_attributes",
    ),
    model_of_keras3=_of(
        "keras.src.models.model",
        "Model.make_predict_function Model._flatten_layers Model.weights Model()._jit_compile",
    ),
    trainer_of_keras3=_of(
        "keras.src.trainers.trainer", "?Trainer()._compiled_trainable_state>=3.15<3.16"
    ),
    layer_of_keras3=_of(
        "keras.src.layers.layer",
        "Layer()._called ?Layer()._parent_path>=3.2 ?Layer()._path>=3.4",
    ),
    dropout_of_keras3=_of(
        "keras.src.layers.rnn.dropout_rnn_cell",
        "DropoutRNNCell()._dropout_mask DropoutRNNCell()._recurrent_dropout_mask",
    ),
)
#: Names of what is filled while code runs and only saves time, and of counters: no trace depends on
#: what they hold.
OF_CACHES: Final = _feature(
    "comparing code",
    context=_tf("eager.context", "?_device_parsing_cache ?_tensor_caches_map"),
    device=_tf("framework.device", "?_cached_mergers ?_string_merge_cache"),
    device_spec=_tf(
        "framework.device_spec", "?_STRING_TO_COMPONENTS_CACHE ?_COMPONENTS_TO_STRING_CACHE"
    ),
    backprop=_tf("eager.backprop", "?_op_attr_type_cache"),
    np_dtypes=_tf("ops.numpy_ops.np_dtypes", "?_cached_np_dtypes"),
    dispatch=_tf("util.dispatch", "?_is_instance_checker_cache"),
    conversion=_tf("autograph.impl.conversion", "?_ALLOWLIST_CACHE"),
    flags=_of("tensorflow.core.config.flags", "?FLAGS", since="2.15"),
    atomic_function=_tf(
        "eager.polymorphic_function.atomic_function", "?RUNTIME_FUNCTION_REFS", since="2.15"
    ),
    ag_ctx=_tf("autograph.core.ag_ctx", "?stacks"),
    autograph=_tf("autograph.impl.api", "?_TRANSPILER"),
    inspect_utils=_tf("autograph.pyct.inspect_utils", "?_BUILTIN_FUNCTION_IDS>=2.15"),
    backend=_keras2("backend", "?_GRAPH"),
    distribute_lib=_tf("distribute.distribute_lib", "?_defaults>=2.15"),
    ops=_tf("framework.ops", "?_default_graph_stack"),
    op_def_registry=_tf("framework.op_def_registry", "?_cache"),
    tensor_conversion_registry=_tf(
        "framework.tensor_conversion_registry", "?_tensor_conversion_func_cache"
    ),
    weak_tensor_ops=_tf("ops.weak_tensor_ops", "?tensor_oper", since="2.15"),
    tf_stack=_tf(
        "util.tf_stack",
        "?_source_filter_stacks ?_source_mapper_stacks ?StackTraceTransform._stack_dict",
    ),
)

# --- lazy weights ---------------------------------------------------------------------------------

LAZY: Final = _feature(
    "lazy weights",
    variables=_tf(
        "ops.resource_variable_ops",
        "variable_accessed gen_resource_variable_ops.assign_variable_op "
        "gen_resource_variable_ops.read_variable_op BaseResourceVariable._read_variable_op "
        "BaseResourceVariable.handle BaseResourceVariable.value BaseResourceVariable.sparse_read "
        "BaseResourceVariable()._handle ?BaseResourceVariable._export_to_saved_model_graph>=2.12 "
        "?BaseResourceVariable._map_resources<2.12",
    ),
    record=_tf("eager.record eager.tape", "record_operation stop_recording"),
    # Functions that take a variable's handle for no more than a name.
    backprop=_tf("eager.backprop", "_handle_or_self"),
    ops=_tf("framework.ops", "_op_to_colocate_with"),
    embedding_ops=_tf("ops.embedding_ops", "_colocate_with"),
    autocast_variable=_keras2("mixed_precision.autocast_variable", "AutoCastVariable()._variable"),
    gen_data_flow_ops=_tf("ops.gen_data_flow_ops", "queue_dequeue_v2"),
    function_def_to_graph=_tf("framework.function_def_to_graph", "function_def_to_graph_def"),
)

# --- Keras 2 models in Keras 3 --------------------------------------------------------------------

MIGRATION: Final = _feature(
    "a Keras 2 model in Keras 3",
    loader_impl=_tf("saved_model.loader_impl", "?SavedModelLoader.load"),
    # Keras 3.0 has the package dm-tree, and a module of its own over it.
    tree=_of("keras.tree tree", "flatten"),
    nest=_of("keras.tree keras.src.utils.nest", "pack_sequence_as"),
    layer=_of(
        "keras.src.layers.layer",
        "Layer._flatten_layers Layer()._trainable_variables Layer()._non_trainable_variables "
        "Layer()._trainable",
    ),
    functional=_of("keras.src.models.functional", "Functional()._inputs_struct"),
    node=_of("keras.src.ops.node", "Node()._keras_history"),
    operation=_of("keras.src.ops.operation", "Operation()._inbound_nodes"),
    base_optimizer=_of(
        "keras.src.optimizers.base_optimizer",
        "BaseOptimizer()._trainable_variables BaseOptimizer()._learning_rate "
        "?BaseOptimizer()._iterations>=3.5 ?BaseOptimizer()._model_variables_moving_average",
    ),
    adam=_of(
        "keras.src.optimizers.adam",
        "Adam()._momentums Adam()._velocities Adam()._velocity_hats",
    ),
    rmsprop=_of("keras.src.optimizers.rmsprop", "RMSprop()._average_gradients"),
    adagrad=_of("keras.src.optimizers.adagrad", "Adagrad()._accumulators"),
    ftrl=_of("keras.src.optimizers.ftrl", "Ftrl()._linears"),
    adamax=_of("keras.src.optimizers.adamax", "?Adamax()._m ?Adamax()._u"),
    adadelta=_of(
        "keras.src.optimizers.adadelta",
        "?Adadelta()._accumulated_grads ?Adadelta()._accumulated_delta_vars",
    ),
    nadam=_of("keras.src.optimizers.nadam", "?Nadam()._u_product"),
    adafactor=_of(
        "keras.src.optimizers.adafactor", "?Adafactor()._r ?Adafactor()._c ?Adafactor()._v"
    ),
)

# --- measuring ------------------------------------------------------------------------------------

#: Functions whose time is a phase of a stock load; where one is missing, its time is in the rest.
STOCK_PHASES: Final = _feature(
    "telling where a stock load's time goes",
    loader_impl=_tf(
        "saved_model.loader_impl", "?parse_saved_model ?parse_saved_model_with_debug_info"
    ),
    load=_tf(
        "saved_model.load",
        "?Loader._recreate_function ?Loader._recreate_bare_concrete_function "
        "?Loader._setup_function_captures ?Loader._setup_remaining_functions "
        "?Loader._recreate_variable ?Loader._restore_checkpoint",
    ),
    load_v1=_tf(
        "saved_model.load_v1_in_v2",
        "?_EagerSavedModelLoader.load_graph ?_EagerSavedModelLoader.restore_variables",
    ),
    function_deserialization=_tf(
        "saved_model.function_deserialization", "?load_function_def_library"
    ),
    func_graph=_tf("framework.func_graph", "?func_graph_from_py_func"),
    base_layer_of_keras2=_keras2(
        "engine.base_layer", "?Layer._functional_construction_call ?Layer.add_weight"
    ),
    training_of_keras2=_keras2(
        "engine.training", "?Model.compile ?Model.compile_from_config>=2.12"
    ),
    saving_utils_of_keras2=_keras2(
        "saving.legacy.saving_utils saving.saving_utils",
        "?compile_args_from_training_config ?try_build_compiled_arguments",
    ),
    hdf5_format_of_keras2=_keras2(
        "saving.legacy.hdf5_format saving.hdf5_format",
        "?load_weights_from_hdf5_group ?load_optimizer_weights_from_hdf5_group",
    ),
    saving_lib_of_keras2=_keras2("saving.saving_lib", "?_load_state", since="2.12"),
    operation=_of("keras.src.ops.operation", "?Operation.symbolic_call"),
    layer=_of("keras.src.layers.layer", "?Layer.symbolic_call ?Layer.add_weight"),
    trainer=_of(
        "keras.src.trainers.trainer",
        "?Trainer.compile<3.16 ?Trainer.compile_from_config<3.16 "
        "?BaseTrainer.compile>=3.16 ?BaseTrainer.compile_from_config>=3.16",
    ),
    saving_utils=_of(
        "keras.src.legacy.saving.saving_utils",
        "?compile_args_from_training_config ?try_build_compiled_arguments",
    ),
    legacy_h5_format=_of(
        "keras.src.legacy.saving.legacy_h5_format",
        "?load_weights_from_hdf5_group ?load_optimizer_weights_from_hdf5_group",
    ),
    saving_lib=_of("keras.src.saving.saving_lib", "?_load_state"),
)

FEATURES: Final = tuple(
    feature for feature in list(vars().values()) if isinstance(feature, Feature)
)
