"""Preprocessing layers for both generations: vocabularies, adapted statistics, augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from zoo.catalogue import Kit, zoo_model

_ALL = {"keras2": "tf h5 keras", "keras3": "keras h5"}
_MAIN = {"keras2": "tf h5", "keras3": "keras h5"}
_WORDS = ["the cat sat", "on the mat", "a dog ran", "the end"]


@zoo_model("quick", **_ALL)
def adapted_normalisation(k: Kit) -> Any:
    layer = k.layers.Normalization()
    layer.adapt(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 9.0], [0.0, 1.0, 1.0]]))
    inputs = k.keras.Input((3,))
    return k.keras.Model(inputs, k.layers.Dense(2)(layer(inputs)))


@zoo_model(**_MAIN)
def given_normalisation(k: Kit) -> Any:
    inputs = k.keras.Input((3,))
    layer = k.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 0.5, 2.0], invert=True)
    return k.keras.Model(inputs, layer(inputs))


@zoo_model("quick", **_ALL)
def text_classifier(k: Kit) -> Any:
    layer = k.layers.TextVectorization(max_tokens=12, output_sequence_length=4)
    layer.adapt(np.array(_WORDS))
    inputs = k.keras.Input((1,), dtype="string")
    x = k.layers.Embedding(12, 3, mask_zero=True)(layer(inputs))
    return k.keras.Model(inputs, k.layers.Dense(1)(k.layers.GlobalAveragePooling1D()(x)))


@zoo_model(**_MAIN)
def text_to_tf_idf(k: Kit) -> Any:
    layer = k.layers.TextVectorization(output_mode="tf_idf", ngrams=2)
    layer.adapt(np.array(_WORDS))
    inputs = k.keras.Input((1,), dtype="string")
    return k.keras.Model(inputs, layer(inputs))


@zoo_model("quick", **_ALL)
def string_lookup_given_words(k: Kit) -> Any:
    inputs = k.keras.Input((2,), dtype="string")
    layer = k.layers.StringLookup(vocabulary=["cat", "mat", "été"], output_mode="multi_hot")
    return k.keras.Model(inputs, k.layers.Dense(2)(layer(inputs)))


@zoo_model(**_MAIN)
def string_lookup_adapted(k: Kit) -> Any:
    layer = k.layers.StringLookup(num_oov_indices=2, mask_token="")
    layer.adapt(np.array(["cat", "dog", "cat", "mat"]))
    inputs = k.keras.Input((2,), dtype="string")
    return k.keras.Model(inputs, layer(inputs))


@zoo_model(**_MAIN)
def string_lookup_from_file(k: Kit) -> Any:
    path = k.folder / "words.txt"
    path.write_text("cat\nmat\ndog\n", encoding="utf-8")
    inputs = k.keras.Input((2,), dtype="string")
    return k.keras.Model(inputs, k.layers.StringLookup(vocabulary=str(path))(inputs))


@zoo_model(**_MAIN)
def integer_lookup(k: Kit) -> Any:
    inputs = k.keras.Input((2,), dtype="int64")
    layer = k.layers.IntegerLookup(vocabulary=[3, 5, 7], output_mode="count")
    return k.keras.Model(inputs, k.layers.Dense(1)(layer(inputs)))


@zoo_model(**_MAIN)
def integer_lookup_inverted(k: Kit) -> Any:
    inputs = k.keras.Input((2,), dtype="int64")
    return k.keras.Model(inputs, k.layers.IntegerLookup(vocabulary=[3, 5, 7], invert=True)(inputs))


@zoo_model(**_MAIN)
def hashing_and_categories(k: Kit) -> Any:
    words, numbers = k.keras.Input((1,), dtype="string"), k.keras.Input((2,), dtype="int64")
    x = k.layers.CategoryEncoding(5, output_mode="one_hot")(k.layers.Hashing(5, salt=7)(words))
    y = k.layers.CategoryEncoding(8, output_mode="multi_hot")(numbers)
    return k.keras.Model([words, numbers], k.layers.Dense(2)(k.layers.Concatenate()([x, y])))


@zoo_model(**_MAIN)
def discretisation(k: Kit) -> Any:
    inputs = k.keras.Input((2,))
    given = k.layers.Discretization(bin_boundaries=[-0.5, 0.0, 0.5])(inputs)
    adapted = k.layers.Discretization(num_bins=3)
    adapted.adapt(np.array([[0.1, 0.2], [0.5, 0.7], [0.9, 2.0], [2.0, 3.0]]))
    return k.keras.Model(inputs, [given, adapted(inputs)])


@zoo_model(**_MAIN)
def image_preparation(k: Kit) -> Any:
    inputs = k.keras.Input((9, 9, 3))
    x = k.layers.CenterCrop(6, 6)(
        k.layers.Resizing(8, 8)(k.layers.Rescaling(1 / 255, offset=-1)(inputs))
    )
    return k.keras.Model(inputs, k.layers.Conv2D(2, 3)(x))


@zoo_model(**_MAIN)
def image_augmentation(k: Kit) -> Any:
    inputs = k.keras.Input((8, 8, 3))
    x = k.layers.RandomFlip(seed=1)(inputs)
    x = k.layers.RandomTranslation(0.1, 0.1, seed=3)(k.layers.RandomRotation(0.1, seed=2)(x))
    x = k.layers.RandomContrast(0.2, seed=5)(k.layers.RandomZoom(0.1, seed=4)(x))
    return k.keras.Model(inputs, k.layers.GlobalAveragePooling2D()(x))


@zoo_model(**_MAIN)
def unseeded_augmentation(k: Kit) -> Any:
    inputs = k.keras.Input((8, 8, 3))
    x = k.layers.RandomCrop(6, 6)(k.layers.RandomFlip()(inputs))
    return k.keras.Model(inputs, k.layers.Dropout(0.3)(k.layers.Flatten()(x)))
