"""From a torch module to nodes: its calls are traced by torch.fx and handed to the builders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from threading import Lock, get_ident
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from sknninterp.nn.builders import FUNCTIONS, METHODS, MODULES
from sknninterp.nn.embeddings import NumericEmbedding
from sknninterp.nn.nodes import Activation, Input, Node, Reshape, UnsupportedModuleError

# While torch.fx traces, torch's own calls of modules are the tracer's, in all threads.
_TRACING = Lock()


class _Tracer(fx.Tracer):
    """Goes into the modules that no builder knows, and remembers the one where it failed.

    What other threads call meanwhile is none of its business.
    """

    failed: nn.Module | None = None

    def __init__(self) -> None:
        super().__init__()
        self._thread = get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _module_builder(m) is not None or super().is_leaf_module(m, module_qualified_name)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict) -> Any:
        if get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        if get_ident() != self._thread:
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or m
            raise


def _module_builder(module: nn.Module) -> Callable | None:
    """Builder of the class that `module` has its computation from, if one is known.

    Of an embedding it does not matter what it computes: its `origins` tell all.
    """
    if isinstance(module, NumericEmbedding):
        return MODULES[NumericEmbedding]
    for cls in type(module).__mro__:
        if cls in MODULES:
            return MODULES[cls] if type(module).forward is getattr(cls, "forward", None) else None
    return None


def trace(module: nn.Module) -> fx.Graph:
    """The calls that `module` makes, without those that do not reach its output.

    Raises
    ------
    UnsupportedModuleError
        If they cannot be followed, or the module takes more than one input.
    """
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise UnsupportedModuleError(
            f"{type(module).__name__} cannot be read: it spreads a network over devices. Hand over"
            " the network, its `module`; neurons are tuned and entropy is watched on one device."
        )
    if _is_chain(module):
        return _chain(module)
    parameters = signature(module.forward).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not Parameter.empty}
    tracer = _Tracer()
    try:
        with _TRACING:
            calls = tracer.trace(module, concrete_args=defaults)
    except Exception as error:  # fx raises many kinds; all mean that forward can't be followed
        failed = tracer.failed or module
        path = {m: path for path, m in module.named_modules()}.get(failed)
        place = f" at {path!r}" if path else ""
        raise UnsupportedModuleError(
            f"{type(failed).__name__}{place} cannot be read: its control flow depends on the data"
            f" or it uses something that torch.fx cannot trace ({error})."
        ) from error
    calls.owning_module = module  # type: ignore[assignment] # which says what may be left out
    calls.eliminate_dead_code()
    inputs = [n.name for n in calls.nodes if n.op == "placeholder" and not n.args]
    if len(inputs) != 1:
        raise UnsupportedModuleError(
            f"{type(module).__name__} takes {len(inputs)} inputs {inputs}; one is read."
        )
    return calls


def _is_chain(module: nn.Module) -> bool:
    """Whether it is modules that builders know, one after another."""
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return False
    return len(module) > 0 and all(_module_builder(child) for child in module)


def _chain(module: nn.Module) -> fx.Graph:
    """What torch.fx would find, without running the module."""
    calls = fx.Graph()
    value = calls.placeholder("input")
    for name in module._modules:  # named_children leaves out those met before
        value = calls.call_module(name, (value,))
    calls.output(value)
    return calls


class _Recorder(fx.Interpreter):
    """Runs the calls of a module and keeps every value."""

    def __init__(self, module: nn.Module, calls: fx.Graph):
        super().__init__(module, garbage_collect_values=False, graph=calls)
        self.extra_traceback = False
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.latest = n
        self.values[n] = super().run_node(n)
        return self.values[n]


def example_values(module: nn.Module, calls: fx.Graph, example: Tensor) -> dict:
    """Value of every call for an example batch.

    Raises
    ------
    ValueError
        If a call does not take what it gets: the samples have a wrong shape.
    """
    recorder = _Recorder(module, calls)
    try:
        recorder.run(example.clone())
    except Exception as error:
        shape = tuple(example.shape[1:])
        call = Call(recorder.latest, {}, recorder.values, module)
        raise ValueError(
            f"{type(module).__name__} cannot take samples of shape {shape}: {call.label}: {error}"
        ) from error
    return recorder.values


def build_nodes(module: nn.Module, calls: fx.Graph, values: dict) -> tuple[list[Node], Node]:
    """Nodes in the order of computation, and the one that is the output.

    Raises
    ------
    UnsupportedModuleError
        If a call is none that can be read; the message names it and where it is made.
    """
    found: dict[fx.Node, Node] = {}
    order: list[Node] = []
    for fx_node in calls.nodes:
        call = Call(fx_node, found, values, module)
        if fx_node.op == "output":
            break
        if fx_node.op == "placeholder" and isinstance(call.value, Tensor):
            node: Node = Input(fx_node.name, (), call.shape)
        elif fx_node.op == "call_module" or (fx_node.op != "get_attr" and call.holds_tensor):
            node = call.build()
        else:  # a parameter, a size, an optional argument
            continue
        if call.in_place:  # who reads its input from here on finds the new value there
            found |= {before: node for before in found if found[before] is node.inputs[0]}
        found[fx_node] = node
        order.append(node)
    (returned,) = fx_node.args
    if not isinstance(returned, fx.Node) or returned not in found:
        raise UnsupportedModuleError(
            f"{type(module).__name__} must return one tensor made from its input, got {returned}."
        )
    return order, found[returned]


class Call:
    """One call of the trace, as the builders see it.

    Attributes
    ----------
    name : str
        Unique: the module's path, the weight's path, or the name of the function.
    module : torch.nn.Module or None
    inputs : tuple of Node
    shape : tuple of int
        Of its value, without the batch axis.
    args, kwargs : tuple and dict
        As the code gives them; values that are computed are nodes of the trace.
    """

    def __init__(self, fx_node: fx.Node, found: dict, values: dict, root: nn.Module):
        self.fx_node, self.root = fx_node, root
        self.target: Any = fx_node.target
        self.args, self.kwargs = fx_node.args, fx_node.kwargs
        called = fx_node.op == "call_module"
        self.module: Any = root.get_submodule(str(self.target)) if called else None
        self.value = values.get(fx_node)
        self.shape = tuple(self.value.shape[1:]) if isinstance(self.value, Tensor) else ()
        self.inputs = tuple(found[n] for n in self._operands() if n in found)
        self._values = values
        self.name = self._unique_name({node.name for node in found.values()})

    def _operands(self) -> list[fx.Node]:
        flat: list = []
        for argument in (*self.args, *self.kwargs.values()):
            flat.extend(argument if isinstance(argument, (tuple, list)) else [argument])
        return [a for a in flat if isinstance(a, fx.Node)]

    def _unique_name(self, taken: set[str]) -> str:
        weights = [str(n.target) for n in self._operands() if n.op == "get_attr"]
        name = weights[0].removesuffix(".weight") if weights else self.fx_node.name
        name = self.target if self.module is not None else name
        # Of a module that is used again, fx has numbered the second use.
        name = name if name not in taken else self.fx_node.name
        return name if name not in taken else f"{name}_{len(taken)}"

    @property
    def kind(self) -> str:
        """Name of the module's class or of the function."""
        named = type(self.module) if self.module is not None else self.target
        return getattr(named, "__name__", str(self.target))

    @property
    def label(self) -> str:
        """What it is and where, for messages."""
        if self.module is not None:
            return f"{self.kind} at {self.target!r}"
        inside = [*self.fx_node.meta.get("nn_module_stack", {}).values()]
        path, cls = inside[-1] if inside else ("", type(self.root))
        return f"{self.kind} in {cls.__name__}" + (f" at {path!r}" if path else "")

    @property
    def holds_tensor(self) -> bool:
        """Whether its value is a tensor, or several."""
        values = self.value if isinstance(self.value, (tuple, list)) else [self.value]
        return any(isinstance(value, Tensor) for value in values)

    @property
    def in_place(self) -> bool:
        """Whether it overwrites its first input."""
        inplace = getattr(self.module, "inplace", self.kwargs.get("inplace", False))
        return bool(inplace) or (self.module is None and self.kind.endswith("_"))

    @property
    def head(self) -> tuple[str, tuple[Node, ...], tuple[int, ...]]:
        """What every node begins with."""
        return self.name, self.inputs, self.shape

    @property
    def function(self) -> Callable[[Tensor], Tensor]:
        """The call as a function of its first input alone, which it never overwrites."""
        function = self.module if self.module is not None else self._bound()
        return (lambda x: function(x.clone())) if self.in_place else function

    def _bound(self) -> Callable[[Tensor], Tensor]:
        args = self.resolve(self.args[1:])
        kwargs = self.resolve({k: v for k, v in self.kwargs.items() if k != "input"})
        if self.fx_node.op == "call_method":
            return lambda x: getattr(x, self.target)(*args, **kwargs)
        return lambda x: self.target(x, *args, **kwargs)

    def resolve(self, arguments: Any) -> Any:
        """Arguments with the example's value in place of what is computed (sizes)."""
        return fx.node.map_arg(arguments, self._values.__getitem__)

    def arguments(self, names: Sequence[str]) -> dict:
        """Positional and keyword arguments by name."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    def parameters(self) -> tuple:
        """Owner and names of weight and bias, of a module or of a functional call."""
        if self.module is not None:
            return self.module, "weight", "bias"
        given = self.arguments(["input", "weight", "bias"])
        owner, name = self._attribute(given.get("weight"))
        bias = given.get("bias")
        return owner, name, (owner, None) if bias is None else self._attribute(bias)

    def _attribute(self, argument: Any) -> tuple[nn.Module, str]:
        if not isinstance(argument, fx.Node) or argument.op != "get_attr":
            raise self.error("computes its weight; only a parameter as it stands is read")
        path, _, name = str(argument.target).rpartition(".")
        return self.root.get_submodule(path), name

    def build(self) -> Node:
        """The node of the kind that a builder knows for it."""
        builder = self._builder()
        if builder is None or not self.inputs or not isinstance(self.value, Tensor):
            raise self.error("is not a layer that can be read")
        if any(isinstance(node, Activation) and node.is_softmax for node in self.inputs):
            raise self.error("follows a softmax, which is read only at the end")
        node = builder(self)
        sizes = {int(np.prod(n.shape)) for n in (node, *node.inputs)}
        if isinstance(node, Reshape) and len(sizes) != 1:
            raise self.error("does not keep the samples of a batch apart")
        return node

    def _builder(self) -> Callable | None:
        if self.module is not None:
            return _module_builder(self.module)
        return (FUNCTIONS if self.fx_node.op == "call_function" else METHODS).get(self.target)

    def error(self, why: str) -> UnsupportedModuleError:
        """An error that says what the call is, where it is made and why it cannot be read."""
        return UnsupportedModuleError(f"{self.label} {why}.")
