"""The programs of `who_calls`: each makes a model with a package, and opens it as its users do."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A package that opens models, and a program of its users.

    Attributes:
        name: of the row.
        package: the distribution that is installed.
        calls: what the program calls, and what that calls.
        imports: before the clock.
        make: saves a model below `folder`; `network(keras)` returns one.
        load: sets `outputs` to a function of no arguments, whose arrays are compared.
        shown: the distribution whose version is told, where it is another one.
        beside: what else has to be installed for it.
    """

    name: str
    package: str
    calls: str
    imports: str
    make: str
    load: str
    shown: str = ""
    beside: tuple[str, ...] = ()

    def program(self, step: str) -> str:
        """Return the text of a program: `make` or `load`."""
        body = dedent(self.make if step == "make" else self.load)
        indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
        return f"{_HEAD}{dedent(self.imports)}\ndef step():\n{indented}    return locals()\n{_TAIL}"


_HEAD: Final = """
import hashlib, json, pathlib, sys, time
import numpy as np
folder = pathlib.Path(sys.argv[1])

def network(keras):
    keras.utils.set_random_seed(1)
    return keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3))

def images():
    return np.linspace(0, 1, 2 * 96 * 96 * 3, dtype="float32").reshape(2, 96, 96, 3)

def save_tensorflow(path):
    import tensorflow as tf
    import keras
    network(keras).export(path)
"""

_TAIL: Final = """
start = time.perf_counter()
made = step()
seconds = time.perf_counter() - start
import fastload
report = fastload.last_load()
told = {"seconds": seconds, "outcome": None if report is None else report.outcome.value,
        "reason": None if report is None else report.reason}
if "outputs" in made:
    arrays = [np.asarray(each) for each in made["outputs"]()]
    told["digest"] = hashlib.sha256(b"".join(each.tobytes() for each in arrays)).hexdigest()
print(json.dumps(told))
"""

_SIGNATURE: Final = """
outputs = lambda: loaded.signatures["serving_default"](tf.constant(images())).values()
"""

CALLERS: Final = (
    Caller(
        name="mlflow, keras",
        package="mlflow",
        calls="`mlflow.keras.load_model`: `keras.saving.load_model` of a `.keras` file",
        imports="import keras, mlflow.keras",
        make="mlflow.keras.save_model(network(keras), str(folder / 'model'))",
        load="""
            loaded = mlflow.keras.load_model(str(folder / "model"))
            outputs = lambda: [loaded(images(), training=False)]
        """,
    ),
    Caller(
        name="mlflow, tensorflow",
        package="mlflow",
        calls="`mlflow.tensorflow.load_model`: `keras.models.load_model` of a `.keras` file",
        imports="import keras, mlflow.tensorflow",
        make="mlflow.tensorflow.save_model(network(keras), str(folder / 'model'))",
        load="""
            loaded = mlflow.tensorflow.load_model(str(folder / "model"))
            outputs = lambda: [loaded(images(), training=False)]
        """,
    ),
    Caller(
        name="mlflow, pyfunc",
        package="mlflow",
        calls="`mlflow.pyfunc.load_model`: the same of the keras flavour",
        imports="import keras, mlflow.keras, mlflow.pyfunc",
        make="mlflow.keras.save_model(network(keras), str(folder / 'model'))",
        load="""
            loaded = mlflow.pyfunc.load_model(str(folder / "model"))
            outputs = lambda: [loaded.predict(images())]
        """,
    ),
    Caller(
        name="scikeras, pickle",
        package="scikeras",
        calls="`pickle.load` of a `KerasRegressor`: `saving_lib.load_model` of `io.BytesIO`",
        imports="import pickle, keras; from scikeras.wrappers import KerasRegressor",
        make="""
            model = network(keras)
            model.compile("sgd", "mse")
            wrapped = KerasRegressor(model)
            wrapped.initialize(images(), np.ones((2, 1000), "float32"))
            (folder / "model").write_bytes(pickle.dumps(wrapped))
        """,
        load="""
            loaded = pickle.loads((folder / "model").read_bytes())
            outputs = lambda: [loaded.model_(images(), training=False)]
        """,
    ),
    Caller(
        name="joblib",
        package="scikeras",
        shown="joblib",
        calls="`joblib.load` of a Keras model: `saving_lib` with `io.BytesIO`",
        imports="import joblib, keras",
        make="joblib.dump(network(keras), folder / 'model')",
        load="""
            loaded = joblib.load(folder / "model")
            outputs = lambda: [loaded(images(), training=False)]
        """,
    ),
    Caller(
        name="hub, load",
        package="tensorflow_hub",
        calls="`hub.load(path, options=)`: `tf.compat.v1.saved_model.load_v2`",
        imports="import tensorflow as tf, tensorflow_hub as hub",
        make="save_tensorflow(str(folder / 'model'))",
        load="""
            options = tf.saved_model.LoadOptions()
            loaded = hub.load(str(folder / "model"), options=options)
        """
        + _SIGNATURE.replace("\n", "\n            "),
    ),
    Caller(
        name="hub, KerasLayer",
        package="tensorflow_hub",
        calls="`hub.KerasLayer(path, load_options=)`: the same",
        imports="import tensorflow as tf, tensorflow_hub as hub",
        make="save_tensorflow(str(folder / 'model'))",
        load="""
            options = tf.saved_model.LoadOptions()
            loaded = hub.KerasLayer(
                str(folder / "model"), load_options=options, signature="serving_default",
                signature_outputs_as_dict=True)
            outputs = lambda: loaded(tf.constant(images())).values()
        """,
    ),
    Caller(
        name="BentoML, keras",
        package="bentoml",
        calls="`bentoml.keras.load_model`: `keras.models.load_model` inside of `tf.device`",
        imports="""
            import os
            os.environ["BENTOML_HOME"] = str(folder)
            import keras, bentoml
        """,
        make="bentoml.keras.save_model('model', network(keras))",
        load="""
            loaded = bentoml.keras.load_model("model:latest")
            outputs = lambda: [loaded(images(), training=False)]
        """,
    ),
    Caller(
        name="BentoML, tensorflow",
        package="bentoml",
        calls="`bentoml.tensorflow.load_model`: `tf.saved_model.load` inside of `tf.device`",
        imports="""
            import os
            os.environ["BENTOML_HOME"] = str(folder)
            import keras, bentoml, tensorflow as tf
        """,
        make="""
            save_tensorflow(str(folder / "exported"))
            bentoml.tensorflow.save_model(
                "model", tf.saved_model.load(str(folder / "exported")),
                signatures={"__call__": {"batchable": True}})
        """,
        load="""
            loaded = bentoml.tensorflow.load_model("model:latest")
            outputs = lambda: [loaded.serve(tf.constant(images()))]
        """,
    ),
    Caller(
        name="KerasHub",
        package="keras-hub",
        calls="`Backbone.from_preset(folder)`: builds of a configuration, then `load_weights`",
        imports="import keras, keras_hub",
        make="""
            backbone = keras_hub.models.BertBackbone(
                vocabulary_size=1000, num_layers=4, num_heads=4, hidden_dim=256,
                intermediate_dim=512)
            backbone.save_to_preset(str(folder / "model"))
        """,
        load="""
            loaded = keras_hub.models.Backbone.from_preset(str(folder / "model"))
            ids = np.arange(8).reshape(1, 8)
            given = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids * 0 + 1}
            outputs = lambda: loaded(given).values()
        """,
    ),
    Caller(
        name="KerasHub, shards",
        package="keras-hub",
        calls="the same, of weights in shards (those over 10 GB): `load_weights` of a `.json`",
        imports="import keras, keras_hub",
        make="""
            backbone = keras_hub.models.BertBackbone(
                vocabulary_size=1000, num_layers=4, num_heads=4, hidden_dim=256,
                intermediate_dim=512)
            backbone.save_to_preset(str(folder / "model"), max_shard_size=0.002)
        """,
        load="""
            loaded = keras_hub.models.Backbone.from_preset(str(folder / "model"))
            ids = np.arange(8).reshape(1, 8)
            given = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids * 0 + 1}
            outputs = lambda: loaded(given).values()
        """,
    ),
    Caller(
        name="StarDist",
        package="stardist",
        calls="`StarDist2D(None, name)`: builds in code, then `load_weights`",
        imports="from stardist.models import Config2D, StarDist2D",
        make="""
            model = StarDist2D(Config2D(n_rays=16), name="model", basedir=str(folder))
            model.keras_model.save_weights(str(folder / "model" / "weights_best.h5"))
        """,
        load="""
            loaded = StarDist2D(None, name="model", basedir=str(folder))
            image = np.linspace(0, 1, 64 * 64, dtype="float32").reshape(64, 64)
            outputs = lambda: loaded.predict(image)
        """,
    ),
    Caller(
        name="DeepFace",
        package="deepface",
        beside=("werkzeug",),
        calls="`DeepFace.build_model`: builds in code, then `load_weights` (legacy `.h5`)",
        imports="""
            import os
            os.environ["DEEPFACE_HOME"] = str(folder)
            from deepface import DeepFace
        """,
        make="""
            import tf_keras
            from deepface.commons import weight_utils
            tf_keras.utils.set_random_seed(1)
            weight_utils.download_weights_if_necessary = lambda *_, **__: ""
            weight_utils.load_model_weights = lambda model, weight_file: model
            path = folder / ".deepface" / "weights" / "openface_weights.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            DeepFace.build_model("OpenFace").model.save_weights(str(path))
        """,
        load="""
            loaded = DeepFace.build_model("OpenFace")
            outputs = lambda: [loaded.model(images(), training=False)]
        """,
    ),
    Caller(
        name="keras-ocr",
        package="keras-ocr",
        beside=("numpy<2", "opencv-python-headless<4.12"),
        calls="`keras_ocr.recognition.Recognizer()`: builds in code, then `load_weights` (`.h5`)",
        imports="""
            import os, pathlib
            os.environ |= {"TF_USE_LEGACY_KERAS": "1", "KERAS_OCR_CACHE_DIR": str(folder)}
            import tf_keras
            from keras_ocr import recognition, tools
            file = recognition.PRETRAINED_WEIGHTS["kurapan"]["weights"]["top"]
            path = folder / file["filename"]
        """,
        make="""
            tf_keras.utils.set_random_seed(1)
            alphabet = recognition.DEFAULT_ALPHABET
            recognition.Recognizer(alphabet, weights=None).model.save_weights(str(path))
        """,
        load="""
            file["sha256"] = tools.sha256sum(str(path))
            loaded = recognition.Recognizer()
            image = np.linspace(0, 1, 31 * 200, dtype="float32").reshape(1, 31, 200, 1)
            outputs = lambda: [loaded.model(image, training=False)]
        """,
    ),
    Caller(
        name="keras-tuner",
        package="keras-tuner",
        beside=("tensorboard",),
        calls="`tuner.get_best_models()`: builds in code, then `load_weights` of a checkpoint",
        imports="""
            import keras, keras_tuner
            def build(_):
                model = network(keras)
                model.compile("sgd", "mse")
                return model
            def tuner():
                return keras_tuner.RandomSearch(
                    build, objective=keras_tuner.Objective("loss", "min"), max_trials=1,
                    directory=str(folder), project_name="tuned", overwrite=False)
        """,
        make="tuner().search(images(), np.ones((2, 1000), 'float32'), epochs=1, verbose=0)",
        load="""
            loaded = tuner().get_best_models()[0]
            outputs = lambda: [loaded(images(), training=False)]
        """,
    ),
    Caller(
        name="TFMA, serving",
        package="tensorflow-model-analysis",
        calls="the model loader of `default_eval_shared_model`: `tf.compat.v1.saved_model.load_v2`",
        imports="""
            import tensorflow as tf, tensorflow_model_analysis as tfma
            from tensorflow_model_analysis.proto import config_pb2
        """,
        make="save_tensorflow(str(folder / 'model'))",
        load="""
            spec = config_pb2.ModelSpec(signature_name="serving_default")
            config = config_pb2.EvalConfig(model_specs=[spec])
            shared = tfma.default_eval_shared_model(
                str(folder / "model"), tags=["serve"], eval_config=config)
            loaded = shared.model_loader.load()
        """
        + _SIGNATURE.replace("\n", "\n            "),
    ),
    Caller(
        name="TFMA, keras",
        package="tensorflow-model-analysis",
        calls="the same, of a Keras model: `tf.keras.models.load_model`, by tf-keras",
        imports="""
            import os
            os.environ["TF_USE_LEGACY_KERAS"] = "1"
            import tensorflow as tf, tf_keras, tensorflow_model_analysis as tfma
            from tensorflow_model_analysis.proto import config_pb2
        """,
        make="network(tf_keras).save(str(folder / 'model'), save_format='tf')",
        load="""
            config = config_pb2.EvalConfig(model_specs=[config_pb2.ModelSpec()])
            shared = tfma.default_eval_shared_model(
                str(folder / "model"), tags=["serve"], eval_config=config)
            loaded = shared.model_loader.load()
            outputs = lambda: [loaded(images(), training=False)]
        """,
    ),
    Caller(
        name="TFX, transform",
        package="tensorflow-transform",
        calls="`TFTransformOutput.transform_features_layer`: `tf.saved_model.load`",
        imports="import tensorflow as tf, tensorflow_transform as tft",
        make="""
            import tensorflow_transform.beam as tft_beam
            from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
            spec = {name: tf.io.FixedLenFeature([], kind)
                    for name, kind in (("x", tf.float32), ("s", tf.string))}
            metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
            rows = [{"x": float(each), "s": str(each % 7)} for each in range(50)]
            def features(given):
                return {"x": tft.scale_to_z_score(given["x"]),
                        "s": tft.compute_and_apply_vocabulary(given["s"])}
            with tft_beam.Context(temp_dir=str(folder / "beam")):
                made = (rows, metadata) | tft_beam.AnalyzeDataset(features)
                made | tft_beam.WriteTransformFn(str(folder / "model"))
        """,
        load="""
            loaded = tft.TFTransformOutput(str(folder / "model")).transform_features_layer()
            given = {"x": tf.constant([1.0, 2.0]), "s": tf.constant(["3", "no"])}
            outputs = lambda: [each for _, each in sorted(loaded(given).items())]
        """,
    ),
)
