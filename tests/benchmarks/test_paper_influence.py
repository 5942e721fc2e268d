"""Influential scores under the papers' runner: what is run, what comes of it, and the rules."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.datasets import load_digits

from benchmarks.papers import influence, influence_networks, runner
from benchmarks.papers.influence_figures import unpack
from sknninterp.datasets import make_interaction_benchmark

# So small networks have kinks enough to throw five steps off.
pytestmark = pytest.mark.filterwarnings("ignore:Integrated gradients")

TINY = influence.FULL | {
    "seeds": 2,
    "spectra_seeds": 2,
    "mnist_seeds": 2,
    "n_train": 300,
    "n_explained": 40,
    "hidden": [12, 6],
    "batch_size": 100,
    "epochs": {"soft": 2, "hard": 2, "sampled": 2},
    "n_steps": 5,
    "mnist_images": 100,
    "mnist_epochs": 1,
    "mnist_explained": 2,
}


def large_digits(subset, images, return_X_y):
    """Digits blown up to 28 x 28 in place of MNIST."""
    X, y = load_digits(return_X_y=True)
    X = np.kron(X.reshape(-1, 1, 8, 8) / 16, np.ones((3, 3)))
    X = np.pad(X, ((0, 0), (0, 0), (2, 2), (2, 2))).astype(np.float32)
    return (X[:100], y[:100]) if subset == "train" else (X[-60:], y[-60:])


@pytest.fixture(scope="module")
def results():
    """Of a few jobs, as they are read again from their files."""
    chosen = [
        job
        for job in influence.jobs(TINY)
        if job["part"] == "mnist" or job["set"] == "two-features"
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(influence_networks, "load_mnist", large_digits)
        return json.loads(json.dumps([{**job, **influence.run(job, TINY)} for job in chosen]))


# --- what is run --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"), [("FULL", 5 * 14 + 9 + 3), ("QUICK", 2 * 13 + 6 + 2)]
)
def test_jobs_have_files_of_their_own(size, expected, tmp_path):
    settings = getattr(influence, size)
    jobs = influence.jobs(settings)
    assert len({runner.file_of(job, tmp_path) for job in jobs}) == len(jobs) == expected
    assert json.loads(json.dumps([jobs, settings])) == [jobs, settings]


@pytest.mark.parametrize("name", influence.SETS)
@pytest.mark.parametrize("low", influence.LOWS)
def test_hard_labels_only_where_there_are_two(name, low):
    _, y, relevant = make_interaction_benchmark(
        name, 2000, low=low, high=low + 1, labels="hard", random_state=0
    )
    assert (len(np.unique(y)) == 2) == ((name, low) in influence.WITH_HARD_LABELS)
    assert list(relevant) == list(range(influence_networks.N_RELEVANT[name]))


def test_results_end_in_tables_verdicts_and_figures(results, tmp_path):
    tables = influence.tables(results, TINY)
    assert set(tables) == {
        "networks", "recovery", "ranks", "spectra", "half", "mnist", "filters", "pictures"
    }  # fmt: skip
    assert tables["networks"][["range", "labels", "seeds"]].to_numpy().tolist() == [
        ["[0, 1]", "soft", 2],
        ["[0, 1]", "sampled", 2],
        ["[1, 2]", "soft", 2],
        ["[1, 2]", "sampled", 2],
    ]
    assert len(tables["recovery"]) == 4 * 5 * 3
    shares = [name for name in tables["ranks"] if name.startswith("rank ")]
    assert len(shares) == 10
    assert tables["ranks"][shares].sum(axis=1).to_numpy() == pytest.approx(1, abs=2e-3)
    assert set(tables["ranks"]["labels"]) == {"soft"}
    assert tables["spectra"].groupby("layer")["place"].max().to_dict() == {
        "hidden0": 12,
        "hidden1": 6,
    }
    assert len(tables["filters"]) == 41 * 10
    # Each digit, its scores by two methods, and two digits towards the nine other classes.
    assert len(tables["pictures"]) == 10 + 20 + 18
    verdicts = [judge(tables) for judge in influence.VERDICTS]
    # One set of three, and too few images of MNIST.
    assert [v is None for v in verdicts] == [False, False, True, True, False, True, False]
    influence.figures(tables, tmp_path)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == [
        f"influence_{name}.png"
        for name in [
            "classes", "digits", "filters", "ranks_from_0", "ranks_from_1", "recovery", "spectra"
        ]
    ]  # fmt: skip
    assert all(1_000 < path.stat().st_size < 60_000 for path in tmp_path.iterdir())


def test_parts_that_are_not_there_have_no_tables(results, tmp_path):
    only = [result for result in results if result["part"] == "spectra"]
    tables = influence.tables(only, TINY)
    assert set(tables) == {"spectra", "half"}
    verdicts = [judge(tables) for judge in influence.VERDICTS]
    assert [v.outcome for v in verdicts if v is not None] == ["not testable here"]
    influence.figures(tables, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["influence_spectra.png"]


def test_spectra_fall_from_what_supports_to_what_opposes(results):
    lines = [line for r in results if r["part"] == "spectra" for line in r["lines"]]
    assert len(lines) == 2 * 2 * 2  # seeds, layers and classes
    for line in lines:
        assert (np.diff(line["scores"]) <= 0).all()
        assert np.abs(line["scores"]).max() == 1
        assert line["places"][0] == 1


def test_same_job_gives_the_same(results):
    job = {"part": "synthetic", "set": "two-features", "low": 1, "labels": "sampled", "seed": 1}
    (first,) = (r for r in results if job.items() <= r.items())
    assert {**job, **influence.run(job, TINY)} == first


def test_soft_labels_are_learned_as_probabilities():
    """Log loss of probabilities, whose least is at themselves, not at the classes."""
    X = np.zeros((200, 2), np.float32)
    y = np.tile([0.3, 0.7], (200, 1)).astype(np.float32)
    network = influence_networks.SoftTargetClassifier(
        (), batch_size=50, lr=0.05, max_epochs=30, dtype="float32", device="cpu", random_state=0
    ).fit(X, y)
    assert network.predict_proba(X[:1])[0].tolist() == pytest.approx([0.3, 0.7], abs=0.01)
    assert network.classes_.tolist() == [0, 1]


# --- what is measured ---------------------------------------------------------------------------


def test_ranks_and_recovery():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [-9.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    expected = [rankdata(-row, method="max") for row in scores]
    assert influence_networks.ranks_of(scores).tolist() == np.array(expected).tolist()
    found = influence_networks.recovery(scores, 2)
    # Signed: both, one, one and none of the two are within; by magnitude both of the first, one
    # of the second and of the third, none of the last.
    assert found["exact"] == 0.25
    assert found["outside"] == 0.5
    assert found["exact_abs"] == 0.25
    assert found["outside_abs"] == 0.5
    histogram = influence_networks.rank_histogram(scores[:2])
    assert histogram == [[0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([1.0, -4.0, 2.0], 1), ([1.0, -1.0, 1.0, 1.0], 2), ([1.0, 1.0, 1.0], 2), ([0.0, 5.0], 1)],
    ids=["one", "half of four", "more than half of three", "zeros"],
)
def test_nodes_that_hold_half(scores, expected):
    assert influence_networks.n_for_half(np.array(scores)) == expected


@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0])
def test_pictures_as_text(scale):
    image = scale * np.random.default_rng(0).normal(size=(1, 28, 28))
    packed = influence_networks.pack(image)
    largest = np.abs(image).max()
    assert packed["largest"] == pytest.approx(largest, rel=1e-3)
    assert unpack(packed["pixels"]) == pytest.approx(image[0] / largest, abs=0.5 / 127)
    assert unpack(influence_networks.pack(np.zeros((4, 4)))["pixels"]).tolist() == [[0.0] * 4] * 4


# --- the rules ----------------------------------------------------------------------------------


def set_rows(names, ranges, **values):
    return [
        {"set": name, "range": low_high, "labels": "soft", "seeds": 5, **values}
        for name in names
        for low_high in ranges
    ]


def change(rows, place, **values):
    return [row | values if i == place else row for i, row in enumerate(rows)]


RANGES = ("[0, 1]", "[1, 2]")


@pytest.mark.parametrize(
    ("means", "outcome"),
    [
        ([0.999, 0.9945], "holds"),
        ([0.999, 0.9935], "holds partly"),
        ([0.99, 0.9935], "does not hold"),
    ],
    ids=["both", "one within the interval", "none"],
)
def test_agreement(means, outcome):
    rows = set_rows(["plus-one"], RANGES, agreement_ci=0.001, predicted_1=0.4)
    rows = change(change(rows, 0, agreement=means[0], predicted_1=1.0), 1, agreement=means[1])
    wrong = rows[0] | {"labels": "hard", "agreement": 0.1}
    verdict = influence.agreement({"networks": pd.DataFrame([*rows, wrong])})
    assert (verdict.outcome, verdict.seeds) == (outcome, 5)
    assert "in 1 of them one class" in verdict.why


def recovered(exact, outside=(0.13, 0.13), half=0.02, seeds=5):
    """Scores towards class 0 as given, and other rows that must not count."""
    rows = []
    for method, target in [
        ("influence", "class 0"),
        ("influence", "class 1"),
        ("gradient x input", "class 0"),
    ]:
        ours = (method, target) == ("influence", "class 0")
        for place, low_high in enumerate(RANGES):
            (row,) = set_rows(["two-features"], [low_high], method=method, target=target)
            row |= {"exact": exact[place] if ours else 0.5, "exact_ci": half, "seeds": seeds}
            row |= {"outside": outside[place] if ours else 0.5, "outside_ci": half}
            rows.append(row)
    other = [row | {"labels": "hard", "exact": 0.0, "outside": 0.9} for row in rows]
    return {"recovery": pd.DataFrame([*other, *rows])}


@pytest.mark.parametrize(
    ("exact", "outcome"),
    [
        ((0.98, 1.0), "holds"),
        ((0.96, 1.0), "holds partly"),
        ((0.96, 0.96), "does not hold"),
    ],
    ids=["both", "one within the interval", "none"],
)
def test_relevant_features_on_top(exact, outcome):
    verdict = influence.relevant_on_top("two-features", recovered(exact))
    assert verdict.outcome == outcome
    assert verdict.ours.startswith(f"towards class 0: [0, 1] {exact[0]:.3f} ± 0.020, [1, 2]")
    assert "gradient x input [0, 1] 0.500" in verdict.why
    assert influence.relevant_on_top("plus-one", recovered(exact)) is None


@pytest.mark.parametrize(
    ("outside", "half", "outcome"),
    [
        ((0.14, 0.5), 0.02, "holds"),
        ((0.16, 0.5), 0.02, "does not hold"),
        ((0.20, 0.5), 0.1, "holds partly"),
        ((0.5, 0.12), 0.02, "holds"),
    ],
    ids=["within", "beyond", "within a wide one", "other range"],
)
def test_share_outside_the_top(outside, half, outcome):
    tables = recovered((1, 1), outside, half)
    assert influence.two_features_outside(tables).outcome == outcome


@pytest.mark.parametrize(
    ("mean", "half", "outcome"),
    [(99.6, 0.05, "holds"), (99.53, 0.05, "holds partly"), (99.45, 0.1, "does not hold")],
)
def test_accuracy_of_the_convolutional_network(mean, half, outcome):
    row = {"images": 60_000, "epochs": 12, "seeds": 3}
    row |= {"test_accuracy": mean, "test_accuracy_ci": half}
    verdict = influence.cnn_accuracy({"mnist": pd.DataFrame([row])})
    assert (verdict.outcome, verdict.seeds) == (outcome, 3)
    assert influence.cnn_accuracy({"mnist": pd.DataFrame([row | {"images": 5000}])}) is None


def test_one_seed_is_no_test():
    tables = recovered((1.0, 1.0), half=np.nan, seeds=1)
    for judge in (lambda t: influence.relevant_on_top("two-features", t),
                  influence.two_features_outside):  # fmt: skip
        assert judge(tables).outcome == "not testable here"
        assert "one seed" in judge(tables).why


def test_faces_are_not_testable():
    assert influence.faces({}).outcome == "not testable here"


def test_few_samples_are_not_asked_for_labels_that_they_lack():
    def rare(settings):
        return [
            job
            for job in influence.jobs(settings)
            if job.get("set") == "orange-skin" and job["low"] == 0 and job["labels"] == "sampled"
        ]

    assert len(rare(influence.FULL)) == influence.FULL["seeds"]
    assert not rare(influence.QUICK)
