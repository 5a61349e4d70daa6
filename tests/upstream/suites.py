"""The tests of other projects that load models, as their wheels ship them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
_LOADS: Final = ("load_model(", "load_model_from_hdf5(", "saved_model.load(", "load_weights(")


class SuiteError(Exception):
    """A suite cannot be run here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tests in one package.

    Attributes:
        name: what the command line and the page call it.
        distribution: what to install; its version is reported.
        package: the module whose folder holds the tests.
        folders: folders, or files, whose tests are run even where they load nothing themselves.
        left_out: files that cannot run here, with the reason.
        quick: the files of a short run.
        quick_tests: which of their tests, in the words of pytest's `-k`; empty for all.
        environment: variables of its processes.
    """

    name: str
    distribution: str
    package: str
    folders: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    quick: tuple[str, ...] = ()
    quick_tests: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def files(self, *, is_quick: bool = False) -> list[Path]:
        """Return the test files to run: those that load models, and those of the folders.

        Raises:
            SuiteError: the package is not installed, or ships no such tests.
        """
        root = package_folder(self.package)
        if is_quick:
            return [root / name for name in self.quick]
        found = [path for path in sorted(root.rglob("*_test.py")) if self._takes(root, path)]
        if not found:
            raise SuiteError(f"{self.distribution} ships no tests that load models")
        return found

    def _takes(self, root: Path, path: Path) -> bool:
        name = path.relative_to(root).as_posix()
        if name in self.left_out:
            return False
        text = path.read_text(encoding="utf-8")
        return name.startswith(self.folders) or any(each in text for each in _LOADS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenSuite(Suite):
    """Tests of our own that drive what a package ships for its tests."""

    driver: str

    def files(self, *, is_quick: bool = False) -> list[Path]:
        """Return the one file, also for a short run."""
        package_folder(self.package)
        return [HERE / self.driver]


def package_folder(package: str) -> Path:
    """Return where *package* is installed, without importing it.

    Raises:
        SuiteError: it is not.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SuiteError(f"{package} is not installed")
    return Path(spec.origin).parent


_OTHER_BACKEND: Final = "needs another backend than TensorFlow"

KERAS: Final = Suite(
    name="keras",
    distribution="keras",
    package="keras",
    # Those of models pickle them, and of layers and scikit-learn wrappers too.
    folders=(
        "src/saving/",
        "src/legacy/saving/",
        "src/models/",
        "src/layers/layer_test.py",
        "src/wrappers/",
    ),
    left_out={
        "src/backend/jax/core_test.py": _OTHER_BACKEND,
        "src/utils/jax_layer_test.py": _OTHER_BACKEND,
        "src/utils/torch_utils_test.py": _OTHER_BACKEND,
        "src/callbacks/orbax_checkpoint_test.py": "needs orbax and JAX",
        "src/export/onnx_test.py": "needs onnxruntime",
        "src/export/openvino_test.py": "needs OpenVINO",
    },
    quick=("src/saving/saving_api_test.py", "src/legacy/saving/legacy_h5_format_test.py"),
    environment={"KERAS_BACKEND": "tensorflow"},
)
#: tf-keras ships no tests, but the models, modes and formats that its tests run over.
TF_KERAS: Final = DrivenSuite(
    name="tf-keras",
    distribution="tf-keras",
    package="tf_keras",
    driver="tf_keras_round_trips.py",
    quick_tests="small_mlp or missing or lookup or docstrings",
    environment={"TF_USE_LEGACY_KERAS": "1"},
)
#: Its wheel has tests, and they load models with tf-keras.
RECOMMENDERS: Final = Suite(
    name="recommenders",
    distribution="tensorflow-recommenders",
    package="tensorflow_recommenders",
    quick=("layers/feature_interaction/multi_layer_dcn_test.py",),
    environment={"TF_USE_LEGACY_KERAS": "1"},
)
#: So has this one's, and they load policies and networks with `tf.saved_model.load`.
AGENTS: Final = Suite(
    name="agents",
    distribution="tf-agents",
    package="tf_agents",
    folders=("policies/policy_loader_test.py", "policies/py_tf_eager_policy_test.py"),
    quick=("policies/policy_loader_test.py", "networks/sequential_test.py"),
    environment={"TF_USE_LEGACY_KERAS": "1"},
)
SUITES: Final = {suite.name: suite for suite in (KERAS, TF_KERAS, RECOMMENDERS, AGENTS)}
