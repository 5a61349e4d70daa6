"""The jobs of this project, one session each; `.ci/run` calls these, or targets of make like them.

Each session makes its own environment with uv from an installed interpreter; none is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True

NEWEST = "2.21"
nox.options.sessions = ["lint", "types", "imports", "examples", "docs", f"tests-{NEWEST}"]
#: Each TensorFlow that is tested, with the Pythons: 2.15 has no wheel for 3.12, 2.8 none for 3.11.
PYTHONS_OF = {"2.8": ["3.10"], "2.12": ["3.10"], "2.15": ["3.11"], NEWEST: ["3.11", "3.13"]}
#: What a TensorFlow needs of its time.
PINS_OF = {"2.8": ("protobuf<3.21", "numpy==1.23.5")}
#: On this Python the newest TensorFlow is alone with Keras 3; on the other it has tf-keras too.
WITHOUT_TF_KERAS = "3.13"


def interpreter(version: str) -> str:
    """Return the path of a Python *version* that starts, or *version* for nox to report."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = [found] if (found := shutil.which(name)) else []
    by_pyenv = sorted(str(path) for path in pyenv.glob(f"versions/{version}.*/bin/{name}"))
    # A pyenv shim is on the path for every installed version, and fails for those not chosen.
    return next((path for path in on_path + by_pyenv if _starts(path)), version)


def _starts(path: str) -> bool:
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


def _prepare(session: nox.Session) -> None:
    session.env.update(
        UV_PYTHON_DOWNLOADS="never", CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3"
    )
    session.env["PYTHONDONTWRITEBYTECODE"] = None


def _install_tensorflow(session: nox.Session, version: str) -> None:
    """Install the project with TensorFlow *version*, and tf-keras where Keras is 3."""
    needs = (f"tensorflow-cpu=={version}.*", *PINS_OF.get(version, ()))
    session.install("--group", "test", "-e", ".", *needs)
    if version == NEWEST and not str(session.python).endswith(WITHOUT_TF_KERAS):
        # tf-keras asks for `tensorflow`, which would be installed over `tensorflow-cpu`.
        session.install("--no-deps", f"tf-keras=={version}.*")
        # With matplotlib, which Keras imports where it is: `make test` is without.
        session.install("--group", "bench")


def _compile(session: nox.Session) -> None:
    """Have Python compile TensorFlow: old sources bring warnings, which are errors in a test."""
    session.run("python", "-c", "import tensorflow")


#: What describes the project to GitHub, by schema.
GITHUB_FILES = {
    "github-workflows": "workflows/ci.yml",
    "github-issue-forms": "ISSUE_TEMPLATE/bug.yml",
    "github-issue-config": "ISSUE_TEMPLATE/config.yml",
}


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and spelling."""
    session.install("--group", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.install("check-jsonschema")
    for schema, path in GITHUB_FILES.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", f".github/{path}")


@nox.session(python=interpreter("3.11"))
def types(session: nox.Session) -> None:
    """Check the types against the newest TensorFlow's numpy."""
    session.install("--group", "types", "--group", "bench", "-e", ".", "numpy>=2")
    session.run("mypy", *session.posargs)


@nox.session(python=interpreter("3.11"))
def imports(session: nox.Session) -> None:
    """Check the import contracts."""
    session.install("--group", "imports", "-e", ".")
    session.run("lint-imports")


@nox.session(python=interpreter("3.11"))
def examples(session: nox.Session) -> None:
    """Run the examples in docstrings."""
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    apart = [f"--ignore=src/fastload/fleet/{name}.py" for name in ("beam", "dask")]
    session.run("pytest", "--doctest-modules", "src/fastload", *apart)


@nox.session(python=interpreter("3.11"))
def docs(session: nox.Session) -> None:
    """Build the site into build/site; any warning fails it."""
    session.install("--group", "docs", "-e", ".")
    session.env["NO_MKDOCS_2_WARNING"] = "1"
    session.run("mkdocs", "build", "--strict", *session.posargs)


def on_each_tensorflow(job: Callable[[nox.Session, str], None]) -> None:
    """Make a session of *job* for each TensorFlow, called `<job>-<version>`, on each Python."""
    for version, pythons in PYTHONS_OF.items():

        def run(session: nox.Session, version: str = version) -> None:
            _prepare(session)
            _install_tensorflow(session, version)
            job(session, version)

        run.__doc__ = job.__doc__
        name = f"{job.__name__}-{version}"
        nox.session(run, name=name, python=[interpreter(each) for each in pythons])


#: Two workers of pytest-xdist; `-- -n 0` for none.
IN_TWO = ("pytest", "-n", "2", "--dist", "loadfile")
#: With every mark: what is slow, what is said of one more format, and the whole zoo.
ALL = ("-m", "")


@on_each_tensorflow
def tests(session: nox.Session, _version: str) -> None:
    """Run the tests on this TensorFlow."""
    _compile(session)
    session.run(*IN_TWO, *session.posargs)


#: What says something of Keras 3 without TensorFlow.
ON_BACKENDS = ("tests/backends", "tests/contract")


@nox.session(python=interpreter("3.11"))
@nox.parametrize("backend", ["jax", "torch"], ids=["jax", "torch"])
def backends(session: nox.Session, backend: str) -> None:
    """Run what concerns Keras 3 on another backend, where no TensorFlow is installed."""
    _prepare(session)
    session.env["KERAS_BACKEND"] = backend
    session.install("--group", "test", "-e", f".[{backend}]")
    if backend == "jax":
        session.install("orbax-checkpoint")
    session.run(*IN_TWO, *ON_BACKENDS, "-k", "backends or keras3", *session.posargs)


@nox.session(python=interpreter("3.10"))
def tests_min(session: nox.Session) -> None:
    """Run the tests on the lowest versions that pyproject.toml allows."""
    _prepare(session)
    session.install("--resolution", "lowest-direct", "-e", ".[tensorflow-cpu]")
    session.install("--group", "test")
    _compile(session)
    session.run(*IN_TWO, *session.posargs)


@on_each_tensorflow
def contract(session: nox.Session, _version: str) -> None:
    """Compare every model of the zoo, in every format and state, with the stock loaders."""
    session.env["ZOO_SHARDS"] = "2"
    session.run("pytest", "tests/contract", *ALL, *session.posargs)


#: Environments of the matrix with an early, a middle and a late Keras 3.
IN_BETWEEN = "2.*-keras-3.[058]"
#: What `full` runs: sessions, and arguments for them.
FULL = (
    ([f"contract-{version}" for version in PYTHONS_OF], []),
    ([f"tests-{NEWEST}"], [*ALL, "--ignore", "tests/contract"]),
    (
        [*(f"tests-{version}" for version in PYTHONS_OF if version != NEWEST), "tests_min"],
        ["--ignore", "tests/contract"],
    ),
    (["matrix"], ["--rounds", "0", "--whole", "--cells", IN_BETWEEN]),
    (["backends"], [*ALL]),
    (["upstream"], ["--quick"]),
    (["kill", "examples", "docs", "build", "walkthrough"], []),
)


@nox.session(python=interpreter("3.11"))
def matrix(session: nox.Session) -> None:
    """Compare the smoke models on every version that people have: `-- --newest --cells 2.16*`."""
    session.install("nox", "uv")
    page = () if session.posargs else ("--newest", "--page", "docs/versions.md")
    session.run("python", "-m", "tests.matrix", *page, *session.posargs)


@nox.session(venv_backend="none")
def full(session: nox.Session) -> None:
    """Run all that is proved, on all versions, which takes hours; `-- 1` begins with part 1."""
    first = int(session.posargs[0]) if session.posargs else 0
    failed = []
    for number, (names, arguments) in enumerate(FULL[first:], first):
        command = [sys.executable, "-m", "nox", "--session", *names, "--", *arguments]
        session.log(f"part {number}: {' '.join(command)}")
        if subprocess.run(command, check=False).returncode:
            failed.append(number)
    if failed:
        session.error(f"these parts failed: {failed}")


@nox.session(python=interpreter("3.10"))
def deepcell(session: nox.Session) -> None:
    """Have DeepCell's Mesmer segment with mapped models, on the TensorFlow 2.8 that it brings."""
    _prepare(session)
    session.install("--group", "test", "-e", ".", "deepcell-cpu==0.12.10")
    session.env["DEEPCELL_MODELS"] = str(_deepcell_models(session))
    session.run("pytest", "tests/applications/test_deepcell.py", *session.posargs)
    session.notify("deepcell_keras3")


@nox.session(python=interpreter("3.11"))
def deepcell_keras3(session: nox.Session) -> None:
    """Open what `deepcell` left in Keras 3 alone, with a port of DeepCell's layer."""
    _prepare(session)
    newest = f"tensorflow-cpu=={NEWEST}.*"
    session.install("--group", "test", "-e", ".", newest)
    session.env["DEEPCELL_MODELS"] = str(_deepcell_models(session))
    session.run("pytest", "tests/applications/test_deepcell_keras3.py", *session.posargs)


def _deepcell_models(session: nox.Session) -> Path:
    """Return where both keep DeepCell's network."""
    return Path(session.cache_dir, "deepcell").absolute()


#: Basic Pitch asks for `tensorflow`, which would be installed over `tensorflow-cpu`.
BASIC_PITCH_NEEDS = ("librosa", "mir_eval", "pretty_midi", "resampy<0.4.3", "setuptools<81")


@nox.session(python=interpreter("3.11"))
def applications(session: nox.Session) -> None:
    """Run published packages, unmodified, under FASTLOAD=1 and `fastload run`."""
    _prepare(session)
    _install_tensorflow(session, "2.15")
    needs = ("sleepecg==0.5.6", "numpy<2", "gunicorn>=20", "joblib>=1.2", *BASIC_PITCH_NEEDS)
    session.install(*needs)
    session.install("--no-deps", "basic-pitch==0.4.0")
    session.run("pytest", "tests/applications", *session.posargs)


#: What each engine needs; of ECG-Quality only its published networks are used.
ENGINES = {
    "ray": ("ray[data]>=2.30",),
    "spark": ("pyspark>=3.5", "pandas", "pyarrow", "setuptools"),
    "dask": ("dask[distributed]>=2024.1",),
    "beam": ("apache-beam>=2.60",),
}


@nox.session(python=interpreter("3.11"))
@nox.parametrize("engine", list(ENGINES), ids=list(ENGINES))
def engines(session: nox.Session, engine: str) -> None:
    """Predict a thousand rows in workers of Ray, Spark (which needs Java), Dask and Beam."""
    _prepare(session)
    newest = f"tensorflow-cpu=={NEWEST}.*"
    session.install("--group", "test", "-e", ".", newest, *ENGINES[engine])
    session.install("--no-deps", "ecg-quality==0.2.0")
    session.run("pytest", f"tests/engines/test_{engine}.py", *session.posargs)


@nox.session(python=interpreter("3.11"))
def published(session: nox.Session) -> None:
    """Open published Keras 2 models where there is only Keras 3; write docs/migration.md."""
    _prepare(session)
    newest = f"tensorflow-cpu=={NEWEST}.*"
    session.install("--group", "test", "-e", ".", newest, "scipy")
    # Apart, for the processes alone that ask what Keras 2 makes of a file.
    keras2 = Path(session.virtualenv.location, "keras2")
    session.install("--no-deps", "--target", str(keras2), f"tf-keras=={NEWEST}.*")
    page = () if session.posargs else ("--page", "docs/migration.md")
    session.run("python", "-m", "tests.published", "--keras2", str(keras2), *page, *session.posargs)


@nox.session(python=interpreter("3.11"))
def fuzz(session: nox.Session) -> None:
    """Open changed models and twins for 20 minutes a kind (`-- --seconds 60`), as stock does.

    Then give a predictor FASTLOAD_FUZZ_COUNT wrong inputs (100,000); each must be a clear error.
    """
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    session.run("python", "-m", "tests.fuzz", *session.posargs)
    session.env.setdefault("FASTLOAD_FUZZ_COUNT", os.environ.get("FASTLOAD_FUZZ_COUNT", "100000"))
    session.run("pytest", "tests/process/test_predictor_fuzz.py")


@nox.session(python=interpreter("3.11"))
def lazy(session: nox.Session) -> None:
    """Run FASTLOAD_LAZY_ROUNDS random models (`-- --rounds 200`) a case within random budgets."""
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    given = list(session.posargs)
    rounds = os.environ.get("FASTLOAD_LAZY_ROUNDS", "50")
    if "--rounds" in given:
        place = given.index("--rounds")
        _, rounds = given[place : place + 2]
        del given[place : place + 2]
    session.env["FASTLOAD_LAZY_ROUNDS"] = rounds
    session.run("pytest", "tests/process/test_lazy_fuzz.py", "--timeout", "0", *ALL, *given)


@nox.session(python=interpreter("3.11"))
def upstream(session: nox.Session) -> None:
    """Run the tests of Keras and others with and without FASTLOAD=1; each must end the same."""
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    session.install("--group", "upstream")
    # They ask for `tensorflow` too, and the second for versions of years ago.
    session.install("--no-deps", "tensorflow-recommenders>=0.7.7", "tf-agents>=0.19")
    session.run("python", "-m", "tests.upstream", *session.posargs)


@nox.session(python=interpreter("3.11"))
def kill(session: nox.Session) -> None:
    """Kill conversions at FASTLOAD_KILL_MOMENTS moments (100); each next load must be right."""
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    session.env.setdefault("FASTLOAD_KILL_MOMENTS", os.environ.get("FASTLOAD_KILL_MOMENTS", "100"))
    session.run("pytest", "tests/process", "-m", "slow or not slow", "-k", "kill", *session.posargs)


@nox.session(python=interpreter("3.11"))
def faults(session: nox.Session) -> None:
    """Fork and interrupt at each step of each load, and have each call on the cache fail."""
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    session.env.update({"FASTLOAD_FORK_EVERY": "1", "FASTLOAD_INTERRUPT_EVERY": "1"})
    session.env.update({"FASTLOAD_INTERRUPT_MOMENTS": "500", "FASTLOAD_FAIL_EVERY": "1"})
    which = ("tests/process", "-k", "forks or interrupts or failing_calls")
    session.run("pytest", *which, "--timeout", "0", *ALL, *session.posargs)


@nox.session(python=interpreter("3.11"))
def store(session: nox.Session) -> None:
    """Load from a bucket, of a server from the package index, behind a proxy that fails."""
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    session.install("s3fs", "moto[server]")
    session.run("pytest", "-n", "0", "-m", "", "tests/remote", *session.posargs)


@nox.session(python=interpreter("3.11"))
def soak(session: nox.Session) -> None:
    """Load, warm, prune and save over in eight processes, with faults, for an hour; `-- 600`."""
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    session.env["PYTHONPATH"] = f"src{os.pathsep}."
    seconds, *processes = session.posargs or ["3600"]
    session.run("python", "tests/process/soak.py", seconds, *(processes or ["8"]))


@nox.session(python=interpreter("3.11"))
def walkthrough(session: nox.Session) -> None:
    """Do what the README and the pages tell a newcomer, on a machine with nothing but a Python."""
    _prepare(session)
    session.install("--group", "test", "-e", ".")
    session.env["FASTLOAD_WALKTHROUGH"] = "1"
    run = ("pytest", "-x", "-m", "walkthrough", "--timeout", "0", "tests/walkthrough")
    session.run(*run, *session.posargs)


@nox.session(python=interpreter("3.11"))
def pages(session: nox.Session) -> None:
    """Look at the page of `fastload bench` in headless Chromium, which must be installed."""
    _prepare(session)
    session.install("--group", "test", "-e", ".")
    session.env.update({"BENCH_NEEDS_A_BROWSER": "1", "BENCH_SCREENSHOTS": session.create_tmp()})
    session.run("pytest", "tests/bench/test_in_a_browser.py", "tests/bench/test_page.py", *ALL)
    session.log(f"the pictures are in {session.env['BENCH_SCREENSHOTS']}")


@nox.session(python=interpreter("3.11"))
def bench(session: nox.Session) -> None:
    """Measure every case and write docs/benchmarks.md."""
    _prepare(session)
    _install_tensorflow(session, NEWEST)
    session.install("--group", "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


_PERFORMANCE = ("--page", "docs/performance.md")
#: What `figures` runs, in this order: modules of `benchmarks`, and arguments for them.
FIGURES = {
    "models": (),
    "cold": ("--rounds", "3", *_PERFORMANCE),
    "floor": ("--rounds", "5", *_PERFORMANCE),
    "first_predict": ("--rounds", "3", *_PERFORMANCE),
    "build": ("--rounds", "3", *_PERFORMANCE),
    "revived": ("--rounds", "5", *_PERFORMANCE),
    "session_graphs": ("--rounds", "5", *_PERFORMANCE),
    "weights": ("--rounds", "3", *_PERFORMANCE),
    "bypass": _PERFORMANCE,
    "first_loads": _PERFORMANCE,
    "own_imports": ("--page", "docs/benchmarks.md"),
    "__main__": ("--rounds", "3", "--summary", "README.md"),
}


@nox.session(python=interpreter("3.11"))
def figures(session: nox.Session) -> None:
    """Take the figures of docs/performance.md and docs/benchmarks.md again; `-- cold` some only.

    All on one commit, with nothing beside: hours, and 12 GB. What fails does not keep the rest.
    """
    _prepare(session)
    session.env["UV_COMPILE_BYTECODE"] = "1"
    _install_tensorflow(session, NEWEST)
    failed = []
    for name in session.posargs or FIGURES:
        try:
            session.run("python", "-m", f"benchmarks.{name}", *FIGURES[name])
        except nox.command.CommandFailed:
            failed.append(name)
    if failed:
        session.error(f"these failed: {failed}")


@nox.session(python=interpreter("3.11"))
def build(session: nox.Session) -> None:
    """Build what is published, twice; install the wheel alone, and see whether it works."""
    _prepare(session)
    session.install("twine", "uv")
    folder = Path(session.create_tmp(), "built")
    session.run("python", ".ci/build_twice.py", str(folder))
    session.run("twine", "check", "--strict", *map(str, sorted(folder.glob("tf_fastload-*"))))
    session.install("--reinstall", *map(str, folder.glob("*.whl")))
    session.run("fastload", "--version")
    # The wheel brings the start file, and the start file watches for TensorFlow and Keras.
    watched = "import sys; assert 'Watch' in str(sys.meta_path), sys.meta_path"
    session.run("python", "-c", watched, env={"FASTLOAD": "1"})
    session.install("autowrapt>=2")
    hooked = (
        "from wrapt.importer import _post_import_hooks as hooks; assert 'keras' in hooks, hooks"
    )
    session.run("python", "-c", hooked, env={"AUTOWRAPT_BOOTSTRAP": "fastload"})


@nox.session(python=interpreter("3.11"))
def internals(session: nox.Session) -> None:
    """Look for the private names that fastload uses in the newest pre-releases."""
    _prepare(session)
    session.install("--group", "test", "-e", ".")
    # tf-nightly brings keras-nightly, which is Keras 3 as it is today.
    session.install("--upgrade", "--prerelease", "allow", "tf-nightly-cpu", "keras-nightly")
    session.run(
        "python",
        "-c",
        "import tensorflow, keras; print(tensorflow.version.VERSION, keras.__version__)",
    )
    session.run("fastload", "doctor", "--internals", *session.posargs)
