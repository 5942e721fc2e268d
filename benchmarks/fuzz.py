"""Random parameters and data for everything public: only documented errors may come out.

    python -m benchmarks.fuzz [--cases 10000] [--targets NAME ...] [--seed 0]

Each case draws parameters (nine in ten of a kind that is taken, the rest junk) and data (frames,
lists, images, text, NaN, one class, wrong lengths) and does what a user would: fit, predict,
explain, draw conclusions, load a file, run the command. It ends in one of three ways:

- done: and then predictions are finite and of the right shape, importances add up to 1;
- refused: a `ValueError` or `TypeError` that is raised on purpose, by a check of this package or of
  scikit-learn's, and not by what torch or numpy met further down;
- a failure: anything else. Hypothesis then looks for the simplest such case.

Results: how many cases of each target ended how, and the failures with the case that shows them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import traceback
import warnings
from collections import Counter
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknninterp
from benchmarks._fuzz_values import JUNK, TABLES, mostly, parameters, tables
from benchmarks._timing import write
from sknninterp import evaluation
from sknninterp.cli import main as run_command

DONE = "done"
QUICK = {"max_epochs": 2, "hidden_layer_sizes": (4,), "batch_size": 16}
ESTIMATORS = [
    "TorchMLPClassifier",
    "TorchMLPRegressor",
    "ANTClassifier",
    "ANTRegressor",
    "RBMPretrainedMLP",
    "RBMPretrainedMLPRegressor",
    "RBM",
    "ActivationAuxClassifier",
    "ANTClassifierCV",
    "ANTRegressorCV",
    "TorchMLPClassifierCV",
    "TorchMLPRegressorCV",
]
EXPLAINERS = [
    "PWPExplainer",
    "GarsonExplainer",
    "OldenExplainer",
    "InfluentialScores",
    "GradientXInputExplainer",
    "IntegratedGradientsExplainer",
    "RepeatedExplainer",
    "StabilitySelector",
    "KnockoffSelector",
]


class RefusedError(ValueError):
    """What the command said in place of a result."""


class UndocumentedError(AssertionError):
    """An error that no check raised, or a result that cannot be."""


# --- how a case ends ------------------------------------------------------------------------------


def ending(case) -> str:
    """Run a case: "done", or the kind of error that refused it."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            case()
    except RefusedError:
        return "refused: exit code 2"
    except (ValueError, TypeError) as error:
        if not on_purpose(error):
            raise UndocumentedError(f"{type(error).__name__} by accident: {error}") from error
        return f"refused: {type(error).__name__}"
    return DONE


def on_purpose(error: Exception) -> bool:
    """Whether a check of this package or of scikit-learn's raised it, and said something."""
    frames = traceback.extract_tb(error.__traceback__)
    last = next(f for f in reversed(frames) if f"{os.sep}numpy{os.sep}" not in f.filename)
    # scikit-learn's checks let numpy and pandas refuse what is no array; n_jobs=0 is joblib's.
    places = ("joblib", "sklearn", "scipy/sparse", "pandas", "narwhals", "skorch")
    checked = any(f"{os.sep}{place}{os.sep}" in last.filename for place in places)
    ours = f"{os.sep}sknninterp{os.sep}" in last.filename and last.line.startswith("raise ")
    return bool(str(error).strip()) and (checked or ours)


def demand(holds, what: str) -> None:
    if not holds:
        raise UndocumentedError(what)


# --- targets --------------------------------------------------------------------------------------


def n_rows(X) -> int:
    """Rows of what may be no table at all."""
    try:
        return X.shape[0] if hasattr(X, "shape") else len(X)
    except (TypeError, IndexError):
        return 1


def fitted(name: str, draw):
    """An estimator with drawn parameters, fitted to drawn data, and the data."""
    kind = getattr(sknninterp, name)
    X, y = draw(tables())
    chosen = draw(parameters(kind._parameter_constraints))
    some = {k: v for k, v in QUICK.items() if k in kind._parameter_constraints}
    estimator = kind(**(some | chosen))
    if "estimator" in kind._parameter_constraints and estimator.estimator is None:
        base = kind._default if hasattr(kind, "_default") else sknninterp.TorchMLPClassifier
        estimator.set_params(estimator=base(**QUICK))
    weight = draw(mostly([None, np.full(n_rows(X), 0.5)], [np.ones(3), "bogus"]))
    more = {}
    if weight is not None and name.startswith(("Torch", "ANT", "RBMP")) and "CV" not in name:
        more = {"sample_weight": weight}
    return estimator.fit(X, y, **more), X


def fit_and_predict(name: str, draw) -> None:
    estimator, X = fitted(name, draw)
    for method in ("predict", "predict_proba", "transform"):
        if hasattr(estimator, method):
            found = getattr(estimator, method)(X)
            demand(len(found) == n_rows(X), f"{method} of {n_rows(X)} rows gives {len(found)}")
            numbers = np.asarray(found)
            if numbers.dtype.kind == "f":
                demand(np.isfinite(numbers).all(), f"{method} gives NaN or infinity")
    clone(estimator)
    repr(estimator)


def save_and_load(draw) -> None:
    """What is loaded predicts as what was saved; damaged files are refused."""
    place, cut, put_in = draw(st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)))
    estimator, X = fitted(draw(st.sampled_from(ESTIMATORS)), draw)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved"
        sknninterp.save(estimator, path)
        content = path.read_bytes()
        again = sknninterp.load(path)
        for method in ("predict_proba", "predict", "transform"):
            if hasattr(estimator, method):
                same = [np.asarray(getattr(e, method)(X)) for e in (estimator, again)]
                demand(np.array_equal(*same), f"other results of {method}")
        start = int(place * len(content))
        path.write_bytes(content[:start] + put_in + content[start + cut :])
        sknninterp.load(path)


@cache
def networks() -> dict:
    """What is explained: fitted, unfitted, of other libraries, and nothing that can be."""
    X, y = make_classification(60, 4, random_state=0)
    quick = {**QUICK, "random_state": 0}
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "network": sknninterp.TorchMLPClassifier(**quick).fit(X, y),
            "tuned": sknninterp.ANTClassifier(**quick).fit(X, y),
            "regressor": sknninterp.TorchMLPRegressor(**quick).fit(X, X[:, 0]),
            "several": sknninterp.TorchMLPClassifier(n_networks=2, **quick).fit(X, y),
            "bins": sknninterp.TorchMLPClassifier(numeric_embedding="piecewise", **quick).fit(X, y),
            "pipeline": make_pipeline(StandardScaler(), sknninterp.TorchMLPClassifier(**quick)).fit(
                X, y
            ),
            "scikit-learn's": MLPClassifier((3,), max_iter=5).fit(X, y),
            "module": module,
            "unfitted": sknninterp.TorchMLPClassifier(**quick),
            "logistic": LogisticRegression().fit(X, y),
            "none": None,
        }


TARGETS_OF = mostly([None, "predicted", 0, 1, [0, 1]], ["a", 7, [], [0, 0], -1, 0.5, True])


def explain(name: str, draw) -> None:
    kind = getattr(sknninterp, name)
    X, y = draw(tables(st.integers(6, 30), st.sampled_from([4] * 9 + [3])))
    chosen = draw(parameters(kind._parameter_constraints))
    network = draw(mostly([*networks().values()], JUNK))
    if name == "RepeatedExplainer":
        inner = sknninterp.PWPExplainer(network)
        explainer = kind(**({"explainer": inner, "n_repeats": 2} | chosen))
    elif name.endswith("Selector"):
        some = {"n_subsamples": 2} if name == "StabilitySelector" else {"method": "gaussian"}
        inner = draw(mostly([sknninterp.PWPExplainer(network), LogisticRegression()], [network]))
        explainer = kind(**({"estimator": inner} | some | chosen))
    else:
        explainer = kind(**({"estimator": network} | chosen))
    explainer.fit(X, y)
    importances = np.asarray(getattr(explainer, "feature_importances_", np.ones(1)))
    demand(np.isfinite(importances).all(), "importances are NaN or infinite")
    if not hasattr(explainer, "explain"):
        explainer.transform(X)
        return
    total = np.abs(importances).sum()
    demand(total == 0 or np.isclose(total, 1), f"importances add up to {total}")
    found = explainer.explain(X, draw(TARGETS_OF))
    demand(len(found.values) == n_rows(X), "an explanation of other rows")
    demand(np.isfinite(found.values).all(), "attributions are NaN or infinite")
    found.top(draw(st.sampled_from([1, 3, 100])))
    found.to_frame()


@st.composite
def rankings(draw, made_of="values"):
    """Importances or selections of some repeats, valid or not."""
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    values = rng.random((draw(mostly([2, 3, 5], [1])), draw(st.integers(3, 12))))
    plain = {"values": values, "selected": values > 0.4}[made_of]
    made = draw(mostly(["plain", "ties", "frame"], ["values", "selected", *TABLES]))
    if made in ("plain", "frame"):
        return plain if made == "plain" else pd.DataFrame(plain)
    if made == "ties":
        return np.round(values)
    return {"values": values, "selected": values > 0.4}.get(
        made, TABLES.get(made, _same)(rng, values)
    )


def _same(rng, X):
    return X


SHARES = mostly([0.5, 0.9, 0.95], [0, 1, -1, "bogus", None, np.nan])
COUNTS = mostly([1, 2, 3], [5, 10, 1000, 0, -1, 0.5, "bogus", None, np.nan])
MEASURES = mostly(["kendall", "spearman", "jaccard", "rbo"], ["overlap", "bogus", None, 3])
METHODS = mostly(["mean", "rra", "borda", "median_rank", "mean_rank"], ["bogus", None, 3])
OF_RANKINGS = {
    "kuncheva": {},
    "jaccard": {},
    "nogueira": {"confidence_level": SHARES},
    "spearman": {},
    "kendall": {},
    "stability": {"k": COUNTS, "confidence_level": SHARES},
    "rank_biased_overlap": {"persistence": SHARES},
    "pairwise_agreement": {"measure": MEASURES, "k": COUNTS},
    "consensus": {"method": METHODS},
}
OF_SELECTIONS = ("kuncheva", "jaccard", "nogueira")


def of_rankings(name: str, draw) -> None:
    of = draw(rankings("selected" if name in OF_SELECTIONS else "values"))
    getattr(evaluation, name)(of, **draw(st.fixed_dictionaries({}, optional=OF_RANKINGS[name])))


def of_a_truth(draw) -> None:
    importances = draw(rankings())
    if draw(st.booleans()) and isinstance(importances, np.ndarray) and importances.ndim == 2:
        importances = importances[0]
    relevant = draw(mostly([[0], [0, 1]], [[99], ["column 0"], [], "bogus", None]))
    evaluation.recovery(importances, relevant, draw(st.none() | COUNTS))


GENES = [f"g{i}" for i in range(30)]
SCORES = pd.Series(np.linspace(1, 0, 30), index=GENES)
OF_GENE_SETS = {
    "method": mostly(["ora", "prerank"], ["bogus"]),
    "top": mostly([5, 0.2], [None, 100, 0, "bogus"]),
    "min_size": mostly([1, 2], [100, 0, "bogus"]),
    "max_size": mostly([10, 500], [1, 0, None]),
    "weight": mostly([1.0, 0.0], [-1, np.nan]),
    "background": mostly([None, GENES], [GENES[:3], [], "bogus"]),
}


def of_gene_sets(draw) -> None:
    ranking = draw(
        mostly([SCORES], [GENES, SCORES.iloc[[0, 0]], SCORES[:0], SCORES * np.nan, None])
    )
    some = {"a": GENES[:8], "b": GENES[4:20]}
    sets = draw(mostly([some], [{"a": []}, {}, {"a": ["x"] * 9}, None, [GENES], {3: 4}]))
    options = {"top": 5} | draw(st.fixed_dictionaries({}, optional=OF_GENE_SETS))
    evaluation.enrichment(ranking, sets, n_permutations=20, random_state=0, **options)


@cache
def explained():
    """Rows, and explanations of them."""
    X = np.random.default_rng(0).normal(size=(8, 4))
    explainer = sknninterp.GradientXInputExplainer(networks()["network"]).fit(X)
    return X, [explainer.explain(X), explainer.explain(X, "predicted"), explainer.explain(X, 1)]


WAYS = mostly(["mean", "sample"], ["conditional", "bogus", 0.0, None])
OUTPUTS = mostly(["probability", "logit"], ["bogus"])
FEW = mostly([1, 2, 3], [0, -1, "bogus", None])
OF_EXPLANATIONS = {
    "erasure": {"n_random": FEW, "output": OUTPUTS, "confidence_level": SHARES},
    "perturbation_curves": {
        "n_random": FEW,
        "output": OUTPUTS,
        "confidence_level": SHARES,
        "kind": mostly(["deletion", "insertion"], ["bogus"]),
        "n_steps": COUNTS,
    },
    "infidelity": {
        "perturbation": mostly(["removal", "gaussian"], ["bogus"]),
        "share": SHARES,
        "scale": SHARES,
        "n_draws": FEW,
    },
}


def of_explanations(name: str, draw) -> None:
    X, made = explained()
    if draw(mostly([False], [True])):
        X, _ = draw(tables(st.integers(2, 12), st.sampled_from([4, 3])))
    explanation = draw(mostly(made, JUNK))
    network = draw(mostly(["network"], [*networks()]))
    common = {
        "target": TARGETS_OF,
        "replacement": WAYS,
        "random_state": mostly([0, None], ["bogus"]),
    }
    options = draw(st.fixed_dictionaries({}, optional=common | OF_EXPLANATIONS[name]))
    getattr(evaluation, name)(networks()[network], X, explanation, **options)


KEYS = mostly(
    [0, slice(2), [0, 1], ..., np.arange(5) > 2, (slice(None), "a"), (0, ["a", "b"])],
    ["a", 99, None, 1.5, object(), (slice(None), slice(None), "x"), (0, 0, 0, 0)],
)


def make_explanation(draw) -> None:
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    shapes = mostly([(5, 3), (5, 3, 2)], [(5,), (), (0, 3), (5, 0), (2, 1, 4, 4), (5, 2, 4, 4, 2)])
    shape = draw(shapes)
    values = draw(mostly([rng.normal(size=shape)], JUNK))
    outputs = {"output_names": ["x", "y"]} if len(shape) == 3 else {"target": "x"}
    options = {
        "data": mostly([rng.normal(size=(5, 3)), None], [rng.normal(size=(2, 2)), "a"]),
        "feature_names": mostly([["a", "b", "c"]], [["a"], ["a", "a", "b"], "abc", [1, 2, 3], {}]),
        "output_names": mostly([None], [["x", "y"], ["x"], 3]),
        "base_values": mostly([None], [0.0, np.zeros(2), np.zeros((5, 2)), "a", np.zeros(5)]),
        "target": mostly(["x"], [None, 3, ["x", "y"]]),
    }
    chosen = draw(st.fixed_dictionaries({}, optional=options))
    explanation = sknninterp.Explanation(values, **(outputs | chosen))
    explanation.top(draw(st.sampled_from([1, 2, 50])))
    explanation.to_frame()
    explanation._repr_html_()
    explanation.importances(draw(mostly([None], ["x", 0, "bogus"])))
    with contextlib.suppress(IndexError):  # as numpy
        repr(explanation[draw(KEYS)])


CELLS = [
    "1",
    "2.5",
    "-3e5",
    "",
    "NA",
    "?",
    "yes",
    "no",
    "Zürich",
    '"a,b"',
    "1e999",
    "nan",
    "0x10",
    "2020-01-01",
    "\x00",
    "'",
    '"',
    ";",
    "=1+1",
    "a" * 50,
]
OPTIONS = {
    "--target": (["y"], ["a", "bogus", ""]),
    "--positive": (["1", "yes"], ["bogus"]),
    "--task": (["auto", "classification"], ["regression", "bogus"]),
    "--group": (["a"], ["bogus"]),
    "--id-columns": (["a", "a,b"], ["bogus", ","]),
    "--drop": (["a", "a,b"], ["a,b,c", "y"]),
    "--categorical": (["a"], ["bogus"]),
    "--explainer": (["pwp", "garson", "olden"], ["bogus"]),
    "--test-size": (["0.3"], ["0", "1", "-1", "x", "nan", "0.99"]),
    "--budget": (["1s"], ["0s", "x", "10"]),
    "--seed": (["1"], ["-1", "x", "99999999999999"]),
    "--jobs": (["1"], ["0", "x"]),
    "--top": (["1", "1000000"], ["0", "-3"]),
    "--hidden": (["4", "4,4"], ["0", "x", ""]),
    "--pruning-rates": (["0", "0.5"], ["1", "x", "0,0"]),
    "--input-penalties": (["0", "0.1"], ["-1", "x", "nan"]),
    "--embeddings": (["none", "piecewise"], ["bogus", ""]),
}


def made_table(draw) -> bytes:
    """A file that may be a table."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    n = draw(mostly([30, 60], [0, 1, 5]))
    table = pd.DataFrame(rng.normal(size=(n, 3)).round(3).astype(str), columns=["a", "b", "c"])
    table["y"] = rng.choice(draw(mostly([["0", "1"], ["yes", "no"]], [["1"], CELLS])), n)
    cells = CELLS[: draw(st.integers(1, len(CELLS)))]
    for column in draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=2)):
        changed = rng.random(n) < draw(st.sampled_from([0.05, 0.5, 1]))
        table[column] = np.where(changed, rng.choice(cells, n), table[column])
    separator = draw(mostly([",", ";", "\t"], ["|"]))
    lines = [separator.join(row) for row in [list(table), *table.to_numpy().tolist()]]
    text = "\n".join(lines).encode(draw(mostly(["utf-8"], ["latin-1", "utf-16"])), "replace")
    return draw(mostly([text], [b"", b"\n\n", b"\xff\xfe\x00", text[: len(text) // 2]]))


def command(draw) -> None:
    text = made_table(draw)
    chosen = draw(st.lists(st.sampled_from(sorted(OPTIONS)), max_size=3, unique=True))
    options = {"--target": "y", "--hidden": "4", "--pruning-rates": "0", "--embeddings": "none"}
    options |= {"--input-penalties": "0", "--max-epochs": "2", "--runs": "1"}
    options |= {name: draw(mostly(*OPTIONS[name])) for name in chosen}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / draw(mostly(["data.csv", "a b.csv"], ["data.csv.gz", "data.txt"]))
        path.write_bytes(text)
        arguments = [part for pair in options.items() for part in pair]
        arguments = ["rank", str(path), *arguments, "--quiet", "--out", f"{folder}/out"]
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run_command(arguments)
        except SystemExit as stopped:  # argparse's own
            code = stopped.code
        said = err.getvalue()
        demand(code in (0, 2), f"exit code {code}: {said}")
        demand("Traceback" not in said, said)
        if code:
            demand("error: " in said, "refused without a word")
            raise RefusedError(said)


def targets() -> dict:
    """What is tried, by name: functions of hypothesis's `draw`."""
    found = {name: partial(fit_and_predict, name) for name in ESTIMATORS}
    found |= {name: partial(explain, name) for name in EXPLAINERS}
    found |= {name: partial(of_rankings, name) for name in OF_RANKINGS}
    found |= {name: partial(of_explanations, name) for name in OF_EXPLANATIONS}
    found |= {"recovery": of_a_truth, "enrichment": of_gene_sets, "Explanation": make_explanation}
    found["save and load"] = save_and_load
    found["sknninterp rank"] = command
    return found


# --- running --------------------------------------------------------------------------------------


def fuzz(target, n_cases: int, seed_of: int = 0) -> tuple[Counter, str]:
    """How many cases ended how, and the simplest failure, or ""."""
    endings: Counter = Counter()

    @seed(seed_of)
    @settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(st.data())
    def run(data):
        endings[ending(partial(target, data.draw))] += 1

    try:
        run()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        notes = "\n".join(getattr(error, "__notes__", []))
        last = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return endings, f"{type(error).__name__}: {error} [{where}]\n{notes}"
    return endings, ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--targets", nargs="+", choices=targets(), default=list(targets()))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    # The command takes a second; all others take milliseconds.
    shares = {name: 0.1 if name == "sknninterp rank" else 1.0 for name in options.targets}
    for name in options.targets:
        n_cases = max(1, round(options.cases * shares[name] / sum(shares.values())))
        endings, failure = fuzz(targets()[name], n_cases, options.seed)
        rows.append({"target": name, "cases": endings.total(), **endings, "failure": failure})
        print(rows[-1], flush=True)
    print(f"{sum(row['cases'] for row in rows):,} cases")
    write("fuzz", {"seed": options.seed, "targets": rows})


if __name__ == "__main__":
    main()
