"""Influential scores for all outputs, in time and memory, beside Captum and bare torch.

    python -m benchmarks.influence_speed [--repeats 7] [--threads 2] [--batch 256]

All contestants explain one batch towards all ten outputs and take turns in every repeat; memory is
measured in a fresh process for each. Networks have random weights: no contestant is faster or
slower on trained ones.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks._timing import paired, peak_memory_mib, print_rows, table, write
from sknninterp import InfluentialScores
from sknninterp.nn.chunks import chunk_sizes, most_rows
from sknninterp.nn.cnn import FixedKernelCNN
from sknninterp.nn.graph import evaluation, read
from sknninterp.nn.influence import Influence
from sknninterp.nn.mlp import MLP
from sknninterp.nn.nodes import MaxPool, Weighted

N_OUTPUTS = 10
NETWORKS = {
    "MLP 784-800-800-10": (lambda: MLP(784, N_OUTPUTS, (800, 800)), (784,)),
    "CNN 41-64-128-625-10": (FixedKernelCNN, (1, 28, 28)),
}


def make(name: str, n_samples: int) -> tuple[nn.Module, torch.Tensor]:
    """A network in evaluation mode and a batch for it."""
    torch.manual_seed(0)
    factory, shape = NETWORKS[name]
    return factory().eval(), torch.rand(n_samples, *shape)


def influence(network, x):
    """The mathematics alone, tensor to tensor."""
    scores = Influence(read(network, tuple(x.shape[1:])))
    rows = scores.each_node()
    return lambda: scores.scores(x, rows)


def explainer(network, x):
    """What users call, arrays to arrays, the reading of the network included."""
    X = x.numpy()
    fitted = InfluentialScores(network).fit(X[:2])
    return lambda: fitted.explain(X)


def autograd(network, x):
    """Gradients of all outputs on one graph, one after another."""

    def run():
        inputs = x.clone().requires_grad_()
        outputs = network(inputs)
        gradients = x.new_empty((N_OUTPUTS, *x.shape))
        for i in range(N_OUTPUTS):
            gradients[i] = torch.autograd.grad(outputs[:, i].sum(), inputs, retain_graph=True)[0]
        return gradients

    return run


class Unflattened(nn.Module):
    """A chain that flattens by a function: Captum's LRP knows no module for it."""

    def __init__(self, network):
        super().__init__()
        modules = copy.deepcopy(list(network))
        self.places = [isinstance(module, nn.Flatten) for module in modules]
        self.layers = nn.ModuleList(m for m in modules if not isinstance(m, nn.Flatten))

    def forward(self, x):
        layers = iter(self.layers)
        for flattens in self.places:
            x = x.flatten(1) if flattens else next(layers)(x)
        return x


def captum(method):
    """A method of Captum, called for one class after another."""

    def contestant(network, x):
        import captum.attr

        explain = getattr(captum.attr, method)(Unflattened(network)).attribute

        def run():
            inputs = x.clone().requires_grad_()
            return [explain(inputs, target=i).detach() for i in range(N_OUTPUTS)]

        return run

    return contestant


def products(network, x):
    """The products of matrices and convolutions that scores cannot do without, and nothing else.

    Forward with the weights and with their magnitudes, and back for each output; on memory that
    is there already, in the chunks that the scores are made in.
    """
    graph = read(network, tuple(x.shape[1:]))
    layers = [node for node in graph.nodes if isinstance(node, Weighted)]
    weights = {node: node.weight.detach() for node in layers}
    _, size = chunk_sizes(N_OUTPUTS, most_rows(graph.nodes, x))
    forward = {n: torch.rand(size, *n.inputs[0].shape) for n in layers}
    back = {n: torch.rand(N_OUTPUTS * size, *n.shape) for n in layers}

    def run():
        with torch.no_grad():
            for start in range(0, len(x), size):
                n = min(size, len(x) - start)
                for node in layers:
                    node.apply(forward[node][:n], weights[node])
                    node.apply(forward[node][:n], weights[node])
                    node.apply_transposed(back[node][: N_OUTPUTS * n], weights[node])

    return run


CONTESTANTS = {
    "nn.influence": influence,
    "InfluentialScores.explain": explainer,
    "products alone": products,
    "torch autograd, all outputs": autograd,
    "Captum InputXGradient": captum("InputXGradient"),
    "Captum LRP": captum("LRP"),
}


def timings(name: str, options) -> list[dict]:
    network, x = make(name, options.batch)
    runs = {label: contestant(network, x) for label, contestant in CONTESTANTS.items()}
    return table(paired(runs, options.repeats), "nn.influence")


# --- memory -------------------------------------------------------------------------------------


def memory_mib() -> float:
    """Resident size of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory_of(network: str, contestant: str, n_samples: int) -> dict:
    """Memory that a contestant adds, its result included, after a warm-up on two samples."""
    module, x = make(network, n_samples)
    CONTESTANTS[contestant](module, x[:2])()
    before = memory_mib()
    CONTESTANTS[contestant](module, x)()
    return {"name": contestant, "added_mib": round(peak_memory_mib() - before, 1)}


def memory_of_rows(n_rows: int) -> dict:
    """Memory that explaining many rows of 30 features on a 64-64 network adds."""
    X = np.random.default_rng(0).random((n_rows, 30), dtype=np.float32)
    torch.manual_seed(0)
    fitted = InfluentialScores(MLP(30, 2, (64, 64))).fit(X[:100])
    fitted.explain(X[:50_000])
    before, start = memory_mib(), time.perf_counter()
    result = fitted.explain(X).values.nbytes / 2**20
    seconds, whole = time.perf_counter() - start, peak_memory_mib() - before
    return {
        "rows": n_rows,
        "seconds": round(seconds, 2),
        "result_mib": round(result, 1),
        "added_mib": round(whole, 1),
    }


def memory_of_batches(n_rows: int) -> dict:
    """The same, one batch after another."""
    X = np.random.default_rng(0).random((n_rows, 30), dtype=np.float32)
    torch.manual_seed(0)
    fitted = InfluentialScores(MLP(30, 2, (64, 64))).fit(X[:100])
    next(fitted.explain_batches(X, batch_size=50_000))
    before, start = memory_mib(), time.perf_counter()
    for _ in fitted.explain_batches(X, batch_size=50_000):
        pass
    return {
        "rows": f"{n_rows}, in batches of 50,000",
        "seconds": round(time.perf_counter() - start, 2),
        "added_mib": round(peak_memory_mib() - before, 1),
    }


def fresh(function: str, *arguments) -> dict:
    """A function of this module in a process of its own."""
    # Forked after the imports, whose own peak would hide what follows.
    call = f"""
import json, os
from benchmarks import influence_speed
child = os.fork()
if child == 0:
    print(json.dumps(influence_speed.{function}(*{arguments!r})), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", call], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


# --- the literal definition ---------------------------------------------------------------------


def literal_step(node, value: torch.Tensor) -> torch.Tensor:
    """The matrix J[i, j] of one weighted layer or max pool for one sample."""
    n_in = value.numel()
    with torch.no_grad():
        if isinstance(node, MaxPool):
            output, places = node.forward_with_indices(value)
            shares = value.new_zeros(n_in, output.numel())
            position = (
                places.flatten(2) + value[0, 0].numel() * torch.arange(value.shape[1])[:, None]
            )
            shares[position.flatten(), torch.arange(output.numel())] = 1.0
            return shares
        basis = torch.eye(n_in, dtype=value.dtype).view(n_in, *node.inputs[0].shape)
        products = node.apply(basis, node.weight).flatten(1) * value.flatten()[:, None]
        return torch.nan_to_num(products / products.abs().sum(0))


def literal_scores(graph, x: torch.Tensor) -> torch.Tensor:
    """Scores of one image by the definition: every step's matrix, multiplied from the input on."""
    steps = [n for n in graph.nodes if isinstance(n, (Weighted, MaxPool))]
    values = graph.run(x, [n.inputs[0] for n in steps])
    product = None
    for node in steps:
        shares = literal_step(node, values[node.inputs[0]].detach())
        product = shares if product is None else product @ shares
    return product


def literal(n_repeats: int) -> dict:
    """Time and difference of the definition, on one image and the CNN, in float64."""
    torch.manual_seed(0)
    network = FixedKernelCNN().double().eval()
    x = torch.rand(1, 1, 28, 28, dtype=torch.float64)
    graph = read(network, (1, 28, 28))
    scores = Influence(graph)
    rows = scores.each_node()
    start = time.perf_counter()
    with evaluation(network):
        expected = literal_scores(graph, x)
    seconds = time.perf_counter() - start
    found = scores.scores(x, rows).flatten(1).T
    times = paired({"ours": lambda: scores.scores(x, rows)}, n_repeats)["ours"]
    return {
        "literal_s": round(seconds, 3),
        "nn_influence_s": round(float(np.median(times)), 5),
        "ratio": round(seconds / float(np.median(times)), 1),
        "largest_difference": float((found - expected).abs().max()),
        "largest_score": float(expected.abs().max()),
        "literal_peak_mib": round(peak_memory_mib()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", module="captum")
    results: dict = {"settings": vars(options), "time": {}, "memory": {}}
    for name in NETWORKS:
        rows = results["time"][name] = timings(name, options)
        print_rows(f"{name}, batch {options.batch}", rows, ["name", "median_s", "ratio"])
        contestants = ["nn.influence", "InfluentialScores.explain", "torch autograd, all outputs"]
        rows = [fresh("memory_of", name, contestant, options.batch) for contestant in contestants]
        results["memory"][name] = rows
        print_rows(f"{name}, memory added at its peak", rows, ["name", "added_mib"])
    rows = [fresh("memory_of_rows", n) for n in (100_000, 300_000, 1_000_000)]
    rows.append(fresh("memory_of_batches", 1_000_000))
    results["many_rows"] = rows
    print_rows("30-64-64-2", rows, ["rows", "seconds", "result_mib", "added_mib"])
    results["literal"] = fresh("literal", options.repeats)
    print("\nliteral definition, one image:", results["literal"])
    write("influence_speed", results)


if __name__ == "__main__":
    main()
