"""Rules for layers."""

from __future__ import annotations

from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.rule import (
    ANY,
    Item,
    Rule,
    class_renamed,
    owner,
    refused,
    renamed,
    with_config,
    without,
)
from fastload.keras2to3.rules.weight_names import HARD_SIGMOID, can_scale_weights

_NORMALISED: Final = frozenset({"BatchNormalization", "LayerNormalization"})
_AUGMENTING: Final = frozenset(
    {"RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip", "RandomHeight"}
    | {"RandomRotation", "RandomTranslation", "RandomWidth", "RandomZoom"}
)
_LOOKUPS: Final = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
_DEPTHWISE: Final = frozenset({"DepthwiseConv1D", "DepthwiseConv2D"})
#: Applied to each layer with weights that are scaled.
HARD_SIGMOIDS_RULE: Final = "hard-sigmoid"
_ACTIVATIONS: Final = ("activation", "recurrent_activation")
#: What depends on the size of a layer's weights.
_OF_WEIGHTS: Final = tuple(
    f"{weight}_{kind}"
    for kind in ("regularizer", "constraint")
    for weight in ("kernel", "recurrent", "bias")
)
_LAMBDA_TYPES: Final = frozenset(
    {"module", "function_type", "output_shape_type", "output_shape_module"}
)
_SEPARABLE: Final = frozenset({"SeparableConv1D", "SeparableConv2D"})


def _batch_shape(item: Item) -> Item:
    """Rename the shape of an `InputLayer`."""
    shape = item["config"].get("batch_input_shape")
    if shape is None:
        return item
    return with_config(item, {"batch_shape": tuple(shape)}, less={"batch_input_shape"})


def _no_empty_type_spec(item: Item) -> Item:
    config = item["config"]
    given = {"type_spec"} & config.keys()
    return with_config(item, {}, less=given) if given and config["type_spec"] is None else item


def _single_axis(item: Item) -> Item:
    axis = item["config"].get("axis")
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        return with_config(item, {"axis": int(axis[0])})
    return item


def _plain_slope(item: Item) -> Item:
    """Return numbers in place of the arrays that some versions wrote."""
    config = item["config"]
    arrays = {key: value for key, value in config.items() if _is_scalar_array(value)}
    return with_config(item, {k: v["value"] for k, v in arrays.items()}) if arrays else item


def _is_scalar_array(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "ndarray" and "value" in value


def _untrainable(item: Item) -> Item:
    """Leave out `trainable=True` where Keras 3 takes no such argument."""
    given = {"trainable"} & item["config"].keys()
    return with_config(item, {}, less=given) if given else item


def _known_bins(item: Item) -> Item:
    if item["config"].get("bin_boundaries") is None:
        raise MigrationError(owner(item), "its bins were learnt, and are in no configuration")
    return item


def _as_tuples(item: Item) -> Item:
    axes = item["config"].get("attention_axes")
    return with_config(item, {"attention_axes": tuple(axes)}) if isinstance(axes, list) else item


def _hard_sigmoid(item: Item) -> Item:
    """Reject a hard sigmoid that scaled weights cannot stand for, and mark any other by a copy."""
    config = item["config"]
    if HARD_SIGMOID not in (config.get(key) for key in _ACTIVATIONS):
        return item
    if not can_scale_weights(item["class_name"].removeprefix("CuDNN")):
        raise MigrationError(owner(item), "the hard_sigmoid of Keras 3 has another slope")
    for key in _OF_WEIGHTS:
        if config.get(key) is not None:
            reason = "the hard_sigmoid of Keras 3 has another slope, and scaled weights another"
            raise MigrationError(owner(item), f"{reason} {key}")
    return dict(item)


def _named_function(item: Item) -> Item:
    """Reject bytecode in the file; keep a function that is referred to by name."""
    config = item["config"]
    function = config.get("function")
    if not isinstance(function, str):
        raise MigrationError(owner(item), "it holds Python bytecode, which is not run")
    named = {"class_name": "function", "config": function, "registered_name": function}
    less = config.keys() & _LAMBDA_TYPES
    return with_config(item, {"function": {**named, "module": None}}, less=less)


#: In the order in which they are applied.
RULES: Final = (
    Rule(
        name="batch-input-shape",
        mends="files of every Keras 2: an InputLayer has a batch_shape now",
        classes=frozenset({"InputLayer"}),
        change=_batch_shape,
    ),
    Rule(
        name="input-type-spec",
        mends="files of Keras 2.4 to 2.15 with an InputLayer made of a type",
        classes=frozenset({"InputLayer"}),
        change=_no_empty_type_spec,
    ),
    Rule(
        name="depthwise-groups",
        mends="files of Keras 2.3 to 2.15 with DepthwiseConv2D (MobileNet, EfficientNet)",
        classes=_DEPTHWISE,
        change=without(
            groups=1,
            filters=ANY,
            kernel_initializer=ANY,
            kernel_regularizer=ANY,
            kernel_constraint=ANY,
        ),
    ),
    Rule(
        name="separable-kernels",
        mends="files of Keras 2 with SeparableConv2D (Xception), which named a kernel it lacks",
        classes=_SEPARABLE,
        change=without(
            groups=1, kernel_initializer=ANY, kernel_regularizer=ANY, kernel_constraint=ANY
        ),
    ),
    Rule(
        name="transposed-groups",
        mends="files of Keras 2.3 to 2.15 with Conv2DTranspose (U-Nets, decoders)",
        classes=frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"}),
        change=without(groups=1),
    ),
    Rule(
        name="batch-normalisation",
        mends="files of tf.keras in TensorFlow 1 with BatchNormalizationV1 and its like",
        classes=frozenset({"BatchNormalizationV1", "BatchNormalizationV2"}),
        change=class_renamed("BatchNormalization"),
    ),
    Rule(
        name="synchronised-normalisation",
        mends="files of Keras 2.4 to 2.12 with SyncBatchNormalization",
        classes=frozenset({"SyncBatchNormalization"}),
        change=lambda item: {
            **with_config(item, {"synchronized": True}),
            "class_name": "BatchNormalization",
        },
    ),
    Rule(
        name="fused-normalisation",
        mends="files of Keras 2 whose BatchNormalization has arguments of its implementation",
        classes=frozenset({"BatchNormalization"}),
        change=without(
            fused=ANY, renorm=(False, None), virtual_batch_size=None, adjustment=None, mode=0
        ),
    ),
    Rule(
        name="single-axis",
        mends="files of tf.keras, whose normalisations have a list of one axis",
        classes=_NORMALISED,
        change=_single_axis,
    ),
    Rule(
        name="leaky-slope",
        mends="files of every Keras 2 with LeakyReLU",
        classes=frozenset({"LeakyReLU"}),
        change=renamed(alpha="negative_slope"),
    ),
    Rule(
        name="scalar-arrays",
        mends="files of Keras 2.0 to 2.3 whose activations have numbers in arrays",
        classes=frozenset({"LeakyReLU", "ReLU", "ELU", "ThresholdedReLU"}),
        change=_plain_slope,
    ),
    Rule(
        name="attention-shapes",
        mends="files of Keras 2.4 to 2.15 with MultiHeadAttention",
        classes=frozenset({"MultiHeadAttention"}),
        change=without(query_shape=ANY, key_shape=ANY, value_shape=ANY, softmax_robust_masking=ANY),
    ),
    Rule(
        name="attention-axes",
        mends="files of Keras 2.4 to 2.15 with MultiHeadAttention over given axes",
        classes=frozenset({"MultiHeadAttention"}),
        change=_as_tuples,
    ),
    Rule(
        name="attention-causality",
        mends="files of Keras 2.3 to 2.8, whose attention layers were causal by argument",
        classes=frozenset({"Attention", "AdditiveAttention"}),
        change=without(causal=False),
    ),
    Rule(
        name="random-state",
        mends="files of Keras 2.9 to 2.15 with RandomFlip and its like",
        classes=_AUGMENTING,
        change=without(rng_type=ANY),
    ),
    Rule(
        name="dropout-noise",
        mends="files of Keras 2 with SpatialDropout, which has one shape of noise only",
        classes=frozenset({"SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"}),
        change=without(noise_shape=None, rng_type=ANY, trainable=True),
    ),
    Rule(
        name="dropout-state",
        mends="files of tf-keras with Dropout, which says where its random state is",
        classes=frozenset({"Dropout", "GaussianDropout", "GaussianNoise", "AlphaDropout"}),
        change=without(rng_type=ANY),
    ),
    Rule(
        name="vocabulary-size",
        mends="files of Keras 2.6 to 2.15 with StringLookup or TextVectorization",
        classes=_LOOKUPS,
        change=without(vocabulary_size=ANY, has_input_vocabulary=ANY, max_values=ANY),
    ),
    Rule(
        name="discretisation-trainable",
        mends="files of Keras 2.6 to 2.15 with Discretization",
        classes=frozenset({"Discretization"}),
        change=lambda item: without(bins=ANY)(_untrainable(item)),
    ),
    Rule(
        name="learnt-bins",
        mends="nothing: it says why a Discretization that was adapted is refused",
        classes=frozenset({"Discretization"}),
        change=_known_bins,
    ),
    Rule(
        name="embedding-length",
        mends="files of Keras 2 with an Embedding, which kept the length of its input",
        classes=frozenset({"Embedding"}),
        change=without(input_length=ANY, sparse=ANY),
    ),
    Rule(
        name="first-layer-shapes",
        mends="files of Keras 2 whose first layer has the shape of the input",
        change=without(batch_input_shape=ANY, batch_size=ANY, input_dtype=ANY),
    ),
    Rule(
        name=HARD_SIGMOIDS_RULE,
        mends="nothing by itself: weights are scaled, or the layer is rejected",
        change=_hard_sigmoid,
    ),
    Rule(
        name="lambda-functions",
        mends="files of Keras 2 with a Lambda of a function that has a name",
        classes=frozenset({"Lambda"}),
        change=_named_function,
    ),
    Rule(
        name="added-losses",
        mends="nothing: it says why functional models with add_loss are refused",
        classes=frozenset({"AddLoss"}),
        change=refused("a functional model of Keras 3 has no add_loss"),
    ),
    Rule(
        name="added-metrics",
        mends="nothing: it says why functional models with add_metric are refused",
        classes=frozenset({"AddMetric"}),
        change=refused("a functional model of Keras 3 has no add_metric"),
    ),
    Rule(
        name="feature-columns",
        mends="nothing: it says why models with feature columns are refused",
        classes=frozenset({"DenseFeatures", "SequenceFeatures", "LinearModel", "WideDeepModel"}),
        change=refused("Keras 3 has no such class"),
    ),
    Rule(
        name="local-layers",
        mends="nothing: it says why models with locally connected layers are refused",
        classes=frozenset({"LocallyConnected1D", "LocallyConnected2D"}),
        change=refused("Keras 3 has no locally connected layers"),
    ),
)
