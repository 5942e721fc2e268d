"""Pretraining under the papers' runner: what is run, what comes of it, and the rules."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from benchmarks.papers import rbm, runner

TINY = {
    "seeds": 2,
    "deep_seeds": 1,
    "images": 100,
    "pretraining_epochs": 2,
    "hybrid_epochs": [1, 1],
    "networks": {
        rbm.SHALLOW: {"hidden": [9, 8], "epochs": 6, "few_labels": [[20, 2]]},
        rbm.DEEP: {"hidden": [9, 8, 7], "epochs": 2, "few_labels": []},
    },
}


@pytest.fixture(scope="module", autouse=True)
def small_images():
    """Digits of 8 x 8 pixels in place of MNIST."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    test = torch.from_numpy(X[-200:]), torch.from_numpy(y[-200:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rbm, "mnist", lambda n_images: (X[:n_images], y[:n_images], test))
        yield


@pytest.fixture(scope="module")
def results():
    """Of all jobs, as they are read again from their files."""
    parts = [{**job, **rbm.run(job, TINY)} for job in rbm.jobs(TINY)]
    return json.loads(json.dumps(parts))


# --- what is run --------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [("FULL", 3 * 10 + 8), ("QUICK", 2 * 10 + 8)])
def test_jobs_have_files_of_their_own(size, expected, tmp_path):
    settings = getattr(rbm, size)
    jobs = rbm.jobs(settings)
    assert len({runner.file_of(job, tmp_path) for job in jobs}) == len(jobs) == expected
    assert json.loads(json.dumps([jobs, settings])) == [jobs, settings]
    assert not any(j["method"] == "start" for j in jobs if j["network"] == rbm.DEEP)
    for design in settings["networks"].values():
        assert all(n < settings["images"] for n, _ in design["few_labels"])
    assert sum(settings["hybrid_epochs"]) == settings["pretraining_epochs"]


def test_results_end_in_tables_verdicts_and_figures(results, tmp_path):
    tables = rbm.tables(results, TINY)
    accuracy, errors = tables["accuracy"], tables["errors"]
    shallow = accuracy[accuracy["network"] == rbm.SHALLOW].query("activation == 'relu'")
    assert shallow.groupby("labels")["method"].apply(list).to_dict() == {
        20: list(rbm.METHODS),
        100: [method for method in rbm.METHODS if method != "start"],
    }
    assert shallow.groupby("labels")["epochs"].unique().map(list).to_dict() == {20: [2], 100: [6]}
    assert accuracy["published_best"].isna().all()  # not of so few images
    checks = [r["training"] for r in results if r["network"] == rbm.SHALLOW]
    assert all(check[-1]["epochs"] in ([5, 6], [2]) for check in checks)
    assert set(errors.groupby("network")["layer"].nunique()) == {2, 3}
    assert set(errors["method"]) == set(rbm.RULES)
    assert set(errors["epoch"]) == {1, 2}
    verdicts = [judge(tables) for judge in rbm.VERDICTS]
    assert {v.outcome for v in verdicts[:8]} == {"not testable here"}
    assert "images: 100" in verdicts[0].why
    rbm.figures(tables, tmp_path)
    drawn = sorted(tmp_path.iterdir())
    assert [path.name for path in drawn] == [
        "rbm_errors_2_layers.png",
        "rbm_errors_3_layers.png",
        "rbm_few_labels.png",
        "rbm_table_2.png",
    ]
    assert all(1_000 < path.stat().st_size < 60_000 for path in drawn)


def test_hybrid_changes_the_rule(results):
    (hybrid,) = (
        r
        for r in results
        if (r["network"], r["method"], r["activation"]) == (rbm.DEEP, "hybrid", "sigmoid")
    )
    rules = [(epoch["layer"], epoch["rule"]) for epoch in hybrid["pretraining"]]
    assert rules == [
        (f"hidden{layer}", rule) for layer in range(3) for rule in ("cd", "reconstruction")
    ]


def test_same_job_gives_the_same():
    job = {"network": rbm.SHALLOW, "activation": "sigmoid", "method": "cd", "seed": 1}
    assert rbm.run(job, TINY) == rbm.run(job, TINY)
    assert rbm.run(job, TINY) != rbm.run({**job, "seed": 0}, TINY)


def test_start_has_the_first_weights_of_the_machines():
    """Of those of cd without an epoch, and not the network's own."""
    images = torch.from_numpy(rbm.mnist(50)[0])
    job = {"network": rbm.SHALLOW, "activation": "sigmoid", "seed": 0}

    def first_weight(method, epochs):
        settings = TINY | {"pretraining_epochs": epochs}
        network, errors = rbm.pretrained_network(job | {"method": method}, settings, images)
        return next(network.parameters()), errors

    start, no_errors = first_weight("start", 2)
    assert no_errors == []
    assert torch.equal(start, first_weight("cd", 0)[0])
    assert not torch.equal(start, first_weight("cd", 2)[0])
    assert not torch.equal(start, first_weight("none", 2)[0])


def test_subsets_are_balanced():
    y = np.random.default_rng(0).permutation(np.arange(200) % 10)
    rows = rbm.balanced_subset(y, 50, seed=3)
    assert np.bincount(y[rows]).tolist() == [5] * 10
    assert len(np.unique(rows)) == 50
    assert not np.array_equal(rows, rbm.balanced_subset(y, 50, seed=4))


def test_best_last_and_gains_by_seed():
    """Means of differences within a seed, and a share of the first epoch's error."""
    results = [
        {
            "network": "n",
            "activation": "relu",
            "method": method,
            "seed": seed,
            "pretraining": [
                {"layer": "l", "epoch": e + 1, "lr": 0.1, "rule": "cd", "error": (seed + 1) / 2**e}
                for e in range(3)
            ],
            "training": [{"labels": 60_000, "epochs": [85, 90], "test_accuracy": values}],
        }
        for method, seed, values in [
            ("none", 0, [90.0, 80.0]),
            ("none", 1, [91.0, 84.0]),
            ("cd", 0, [92.0, 93.0]),
            ("cd", 1, [93.0, 95.0]),
        ]
    ]
    tables = rbm.tables(results, {})
    cd = tables["accuracy"].query("method == 'cd'").iloc[0]
    assert (cd["best"], cd["last"], cd["at_90"], cd["seeds"]) == (94, 94, 94, 2)
    none = tables["accuracy"].query("method == 'none'").iloc[0]
    assert (none["best"], none["last"]) == (90.5, 82)
    (gain,) = tables["gains"].to_dict("records")
    assert (gain["method"], gain["over"]) == ("cd", "none")
    assert (gain["best"], gain["last"]) == (3.5, 12)
    # Student's t with one degree of freedom, of 3 and 4 points: 12.706 * 0.5.
    assert gain["best_ci"] == pytest.approx(12.7062 * 0.5, rel=1e-4)
    last = tables["errors"].query("method == 'cd' and epoch == 3").iloc[0]
    assert last["error"] == pytest.approx(0.375)
    assert (last["of_first"], last["of_first_ci"]) == pytest.approx((0.25, 0))


# --- the rules ----------------------------------------------------------------------------------

KEY = (rbm.SHALLOW, "relu")  # published: none 98.64, cd 98.62, reconstruction 98.81, hybrid 98.51


def one_row(**values):
    return {
        "network": KEY[0],
        "activation": KEY[1],
        "labels": 60_000,
        "epochs": 90,
        "seeds": 3,
        **values,
    }


def accuracies(shift, half, **others):
    """Ours are the published ones and a shift by method."""
    rows = [
        one_row(method=method, best=value + shift.get(method, 0.0), best_ci=half, **others)
        for method, value in rbm.PUBLISHED[KEY].items()
    ]
    # Fewer labels are another experiment, and do not count.
    few = one_row(method="none", best=50.0, best_ci=0.0) | {"labels": 600}
    return {"accuracy": pd.DataFrame([few, *rows])}


@pytest.mark.parametrize(
    ("shift", "outcome", "count"),
    [
        ({}, "holds", "4 of 4"),
        # The interval of one more run is twice that of the mean of three.
        ({"cd": 0.19}, "holds", "4 of 4"),
        ({"cd": 0.21}, "holds partly", "3 of 4"),
        ({"cd": -0.21, "none": 5}, "holds partly", "2 of 4"),
        (dict.fromkeys(rbm.METHODS, 1.0), "does not hold", "0 of 4"),
    ],
    ids=["equal", "within one more run", "one beyond", "two beyond", "all beyond"],
)
def test_accuracy_holds_where_one_more_run_would_lie(shift, outcome, count):
    verdict = rbm.accuracy_verdict(KEY, accuracies(shift, 0.1))
    assert (verdict.outcome, verdict.seeds) == (outcome, 3)
    assert verdict.why.startswith(count)
    assert verdict.published == "none 98.64, cd 98.62, reconstruction 98.81, hybrid 98.51"
    assert "reconstruction" in verdict.ours
    assert "± 0.10" in verdict.ours


@pytest.mark.parametrize(
    "others", [{"seeds": 1}, {"epochs": 15}, {"labels": 4000}], ids=["seed", "epochs", "images"]
)
def test_other_experiments_are_no_test(others):
    tables = accuracies({}, np.nan if "seeds" in others else 0.1, **others)
    tables["accuracy"] = tables["accuracy"].iloc[1:]
    assert rbm.accuracy_verdict(KEY, tables).outcome == "not testable here"


def test_no_verdict_without_all_methods():
    tables = accuracies({}, 0.1)
    tables["accuracy"] = tables["accuracy"].query("method != 'cd'")
    assert rbm.accuracy_verdict(KEY, tables) is None
    assert rbm.accuracy_verdict((rbm.DEEP, "relu"), tables) is None


@pytest.mark.parametrize(
    ("gains", "outcome", "why"),
    [
        ([0.2, 0.3], "holds", "2 of 2 gains are more than chance (at the last epoch 0); 1 of"),
        ([0.09, 0.3], "holds partly", "1 of 2"),
        ([0.09, -0.3], "does not hold", "0 of 2"),
    ],
    ids=["both", "one", "none"],
)
def test_gains_hold_above_chance(gains, outcome, why):
    pairs = [("reconstruction", "none"), ("reconstruction", "cd")]
    rows = [
        one_row(method=method, over=over, best=gain, best_ci=0.1, last=0.1, last_ci=0.2)
        for (method, over), gain in zip(pairs, gains, strict=True)
    ]
    verdict = rbm.gain_verdict(KEY, pairs, "gain", {"gains": pd.DataFrame(rows[::-1])})
    assert verdict.outcome == outcome
    assert verdict.why.startswith(why)
    assert verdict.published == "reconstruction over none +0.17, reconstruction over cd +0.19"
    assert verdict.ours.startswith(f"reconstruction over none {gains[0]:+.2f} ± 0.10, ")


@pytest.mark.parametrize(
    ("curve", "half", "outcome"),
    [
        ([4.0, 2.0, 1.0], 0.1, "holds"),
        ([4.0, 1.0, 1.4], 0.1, "holds"),
        ([4.0, 1.0, 1.6], 0.1, "does not hold"),
        ([4.0, 3.9, 3.8], 0.1, "does not hold"),
        ([4.0, 2.0, 1.0], 0.8, "does not hold"),
    ],
    ids=["falls", "near its least", "grows again", "stays", "uncertain"],
)
def test_errors_fall(curve, half, outcome):
    rows = [
        {
            "network": rbm.SHALLOW,
            "activation": "relu",
            "method": "cd",
            "layer": "hidden0",
            "epoch": epoch + 1,
            "seeds": 3,
            "error": error,
            "of_first": error / curve[0],
            "of_first_ci": half,
        }
        for epoch, error in enumerate(curve)
    ]
    tables = {"errors": pd.DataFrame(rows)}
    assert rbm.error_verdict("relu", tables).outcome == outcome
    assert rbm.error_verdict("sigmoid", tables) is None
    falling = [row | {"layer": "hidden1", "of_first": 0.1, "of_first_ci": 0.0} for row in rows]
    falling = [row | {"error": 1 / row["epoch"]} for row in falling]
    both = rbm.error_verdict("relu", {"errors": pd.DataFrame([*rows, *falling])})
    assert both.outcome == ("holds" if outcome == "holds" else "holds partly")
