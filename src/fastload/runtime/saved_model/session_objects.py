"""SavedModels of TensorFlow 1: what `tf.saved_model.load` returns, over a twin.

Variables share the twin's pages, and the graph's initialisation is run. A signature's function is
made on first access, of the part of the graph that it needs; the whole graph is imported, by
TensorFlow's own loader, when it is asked for itself (`graph`, `prune`, `restore`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Final

from fastload.runtime.core.blank_variables import assign
from fastload.runtime.core.bookkeeping import kernel_patches
from fastload.runtime.core.materialize import materialized_on_access, taking_state
from fastload.runtime.core.rebuild import Rebuild, available, rebuilding
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.transplant import Overlay, entry_over, transplant, transplanted
from fastload.runtime.core.zero_copy import tensor_over
from fastload.runtime.requirements import SESSION
from fastload.runtime.saved_model.concrete_functions import tracked_state
from fastload.runtime.saved_model.loader import no_debug_info
from fastload.runtime.saved_model.objects import require_operations
from fastload.runtime.saved_model.session_document import SessionGraph, session_model
from fastload.runtime.saved_model.session_facts import parts_of
from fastload.runtime.saved_model.session_parts import Parts, known_shape
from fastload.twin.reader import Twin

#: What stock's loader runs besides the initialisation, so that there is something to fetch.
_ANCHOR: Final = "dummy_fetch"
#: What only the whole graph can give.
_OF_THE_WHOLE: Final = ("restore", "graph", "prune")


def load_session(twin: Twin, path: str, tags: Any) -> Any:
    """Return what `tf.saved_model.load` returns for the twin's source.

    Args:
        twin: a twin of a SavedModel that TensorFlow 1 wrote.
        path: the SavedModel's folder, where its assets are.
        tags: as in the stock loader.

    Raises:
        UnsupportedRuntimeError: TensorFlow lacks an operation of the model, or is not as expected.
    """
    saved_model, graphs = session_model(twin)
    stock, loads = SESSION.part("load"), []

    def load(_path: str, wanted: Any, *_options: Any) -> Any:
        loader = _stock_loader(saved_model, path)
        chosen = loader.get_meta_graph_def_from_tags(wanted)
        graph = next(each for each in graphs if each.meta_graph is chosen)
        require_operations(chosen.meta_info_def)
        loads.append(_Load(twin, loader, graph))
        return loads[0].root()

    parse = {"parse_saved_model_with_debug_info": lambda _: (saved_model, no_debug_info())}
    run = entry_over(
        stock,
        "load_partial",
        {
            "loader_impl": Overlay(stock.loader_impl, parse),
            "load_v1_in_v2": SimpleNamespace(load=load),
        },
    )
    with rebuilding(Rebuild(), available(kernel_patches)):
        root = run(path, None, tags)["root"]
    return materialized_on_access(type(root), loads[0].add_whole_graph, vars(root))


def _stock_loader(saved_model: Any, path: str) -> Any:
    """Return TensorFlow's loader of TensorFlow 1's graphs, over the twin's."""
    stock = SESSION.part("session_loader")
    loader = stock._EagerSavedModelLoader.__new__(stock._EagerSavedModelLoader)
    loader._export_dir, loader._saved_model = path, saved_model
    return loader


class _Load:
    """One load of one graph."""

    def __init__(self, twin: Twin, loader: Any, graph: SessionGraph) -> None:
        self._loader, self._graph = loader, graph
        self._holder = SESSION.part("wrap_function").VariableHolder()
        self._variables = {each["node"]: self._variable(each) for each in graph.facts["variables"]}
        self._parts = Parts(graph, self._variables, self._holder)
        self._array = twin.array
        self._are_references_restored = False
        self._restore()
        self._warn_of_references()

    def root(self) -> Any:
        """Return the object, with all that stock gives it but the whole graph."""
        stock = SESSION.part("session_loader")
        root = SESSION.part("autotrackable").AutoTrackable()
        assets = stock.loader_impl.get_asset_tensors(self._loader._export_dir, self._meta_graph)
        paths = [SESSION.part("asset").Asset(path) for path in assets.values()]
        initial = stock._Initializer(self._pending(self._initial, tuple(assets)), paths)
        if not self._graph.facts["is_idle"]:
            self._restore_references()
            initial._initialize()
        root.initializer, root.asset_paths = initial, paths
        root.signatures = self._signatures()
        root.variables = list(self._variables.values())
        root.tensorflow_version = self._meta_graph.meta_info_def.tensorflow_version
        root.tensorflow_git_version = self._meta_graph.meta_info_def.tensorflow_git_version
        return root

    @property
    def _meta_graph(self) -> Any:
        return self._graph.meta_graph

    def _variable(self, described: Mapping[str, Any]) -> Any:
        make = SESSION.part("variables").UninitializedVariable
        variable = make(
            shape=tensorflow().TensorShape(known_shape(described["shape"])),
            dtype=tensorflow().as_dtype(described["dtype"]),
            name=described["node"],
            trainable=described["trainable"],
        )
        self._holder._variables_by_name[variable.name.partition(":")[0]] = variable
        return variable

    def _restore(self) -> None:
        """Give the Python variables their values, as the graph's saver does."""
        for node, name in self._graph.facts["values"].items():
            if node in self._variables:
                assign(self._variables[node], tensor_over(self._array(name)))

    def _restore_references(self) -> None:
        """Give all other variables their values, once: only the graph's operations reach them."""
        facts = self._graph.facts
        fed, part = facts["takers"], facts["assigned"]
        if fed and not self._are_references_restored:
            wrapped = self._wrapped(part["nodes"], fed)
            run = wrapped.prune(feeds=list(fed), fetches=list(part["fetches"]))
            values = [tensor_over(self._array(facts["values"][node])) for node in fed.values()]
            # A call by position would print all values for a message that nobody reads.
            run._call_flat(values, run.captured_inputs)
        self._are_references_restored = True

    def _warn_of_references(self) -> None:
        """Have TensorFlow warn of variables that get no Python object.

        It counts the warnings by the line that brings them about, and stock's loader has four.
        """
        references = [_Reference(text) for text in self._graph.facts["references"]]
        if references:
            graph = SESSION.part("func_graph").FuncGraph("wrapped_function", collections={})
            for each in references:
                graph.add_to_collection(tensorflow().compat.v1.GraphKeys.GLOBAL_VARIABLES, each)
            lift = SESSION.part("wrap_function")._lift_unlifted_variables
            lift(graph, self._holder)  # it wraps the graph,
            lift(graph, self._holder)  # what restores it,
            lift(graph, self._holder)  # its initialisation,
            lift(graph, self._holder)  # and its signatures

    def _signatures(self) -> Any:
        signatures = SESSION.part("session_loader").signature_serialization._SignatureMap()
        for name in self._meta_graph.signature_def:
            signatures._add_signature(name, self._pending(self._signature, name))
        return signatures

    def _pending(self, make: Any, argument: Any) -> Any:
        """Return a function that is made on first access."""

        def made() -> Any:
            with self._parts.as_at_the_load():
                self._restore_references()
                return make(argument)

        kind = SESSION.part("wrap_function").WrappedFunction
        return materialized_on_access(kind, taking_state(made), tracked_state())

    def _signature(self, name: str) -> Any:
        definition = self._meta_graph.signature_def[name]
        fed = [part for info in definition.inputs.values() for part in parts_of(info)]
        wrapped = self._wrapped(self._graph.facts["signatures"][name]["nodes"], fed)
        only = type(self._meta_graph)()
        only.signature_def[name].CopyFrom(definition)
        return self._loader._extract_signatures(wrapped, only)[name]

    def _initial(self, assets: tuple[str, ...]) -> Any:
        part = self._graph.facts["initial"]
        wrapped = self._wrapped(part["nodes"] if part else (), assets)
        with wrapped._func_graph.as_default():
            scaffold = SESSION.part("monitored_session").Scaffold
            operation = (
                wrapped.graph.as_graph_element(part["fetches"][0])
                if part
                else scaffold.default_local_init_op()
            )
            anchor = tensorflow().constant(0.0, name=_ANCHOR)
        feeds = [wrapped.graph.as_graph_element(name) for name in assets]
        return wrapped.prune(feeds=feeds, fetches=[anchor, operation])

    def add_whole_graph(self, root: Any) -> None:
        """Give *root* the whole graph."""
        with self._parts.as_at_the_load():
            self._restore_references()
            state = vars(self._whole)
        vars(root).update({name: state[name] for name in _OF_THE_WHOLE if name in state})

    def _wrapped(self, nodes: Sequence[int], fed: Iterable[str]) -> Any:
        """Return what a function is cut out of: the part that it needs, or the whole graph."""
        definition = self._parts.nodes.graph_def(nodes)
        if self._parts.keep_their_names(definition, fed):
            return self._parts.wrapped(definition, fed)
        return self._whole.prune.__self__

    @cached_property
    def _whole(self) -> Any:
        """What stock's loader returns, over the variables that there are."""
        return self._whole_loader().load(list(self._meta_graph.meta_info_def.tags))

    def _whole_loader(self) -> Any:
        stock = SESSION.part("session_loader")
        complete = type(self._meta_graph)()
        complete.CopyFrom(self._meta_graph)
        complete.graph_def.CopyFrom(self._parts.nodes.graph_def(range(len(self._graph))))
        functions = self._parts.nodes.functions
        nothing = SimpleNamespace(_initialize=lambda: (None, None))
        load = transplanted(
            stock,
            stock._EagerSavedModelLoader.load,
            {
                "function_deserialization": SimpleNamespace(
                    load_function_def_library=lambda *_a, **_k: functions,
                    fix_node_def=lambda *_: None,
                ),
                "wrap_function": SimpleNamespace(wrap_function=self._wrap),
                "signature_serialization": SimpleNamespace(create_signature_map=lambda _: None),
                "_Initializer": lambda *_: nothing,
            },
        )
        kind: Any = type(
            "Loader",
            (stock._EagerSavedModelLoader,),
            {
                "load": load,
                "get_meta_graph_def_from_tags": lambda *_: complete,
                "restore_variables": lambda *_: None,
                "_extract_signatures": lambda *_: {},
            },
        )
        whole = kind.__new__(kind)
        vars(whole).update(vars(self._loader))
        return whole

    def _wrap(self, function: Any, signature: Any) -> Any:
        """Do what `wrap_function` does, with variables that exist."""
        stock = SESSION.part("wrap_function")
        variables = Overlay(stock.resource_variable_ops, {"UninitializedVariable": self._existing})
        lifting = transplant(stock, {"resource_variable_ops": variables})

        def lifted(graph: Any, variable_holder: Any, **options: Any) -> Any:
            lifting["_lift_unlifted_variables"](graph, variable_holder)
            return stock.WrappedFunction(graph, variable_holder=variable_holder, **options)

        return entry_over(stock, "wrap_function", {"WrappedFunction": lifted})(function, signature)

    def _existing(self, *, name: str, **_described: Any) -> Any:
        return self._variables[name]


class _Reference:
    """What TensorFlow takes for a variable without a Python object."""

    _in_graph_mode = False

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text
