"""Runs of the papers' experiments: nothing lost or repeated, and verdicts by their rules."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, make_classification

from benchmarks.papers import __main__ as command
from benchmarks.papers import ant, ant_data, ant_verdicts, runner

ROOT = Path(__file__).parents[2]

# Each run of a job is a line in the log; a job waits where it is told to.
FAKE_PAPER = """
import os, time
from benchmarks.papers.runner import Verdict, over_seeds
import pandas as pd

QUICK = {"seeds": 2, "scale": 1.5, "widths": (4, 2), "other_seeds": 3}
FULL = {**QUICK, "seeds": 4}

def jobs(settings):
    return [{"kind": k, "seed": s} for k in ("one", "two") for s in range(settings["seeds"])]

def run(job, settings):
    with open(os.environ["FAKE_LOG"], "a") as log:
        log.write(f"{job['kind']} {job['seed']}\\n")
    time.sleep(float(os.environ.get("FAKE_SLEEP", 0)))
    return {"score": settings["scale"] * (len(job["kind"]) + job["seed"] / 3)}

def tables(results, settings):
    return {"scores": over_seeds(pd.DataFrame(results), ["kind"], ["score"])}

VERDICTS = (
    lambda tables: Verdict("claim", "1", "2", 4, "holds", "why"),
    lambda tables: None,
)

def figures(tables, folder):
    (folder / "fake_scores.png").write_text("drawn")
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A paper of a few jobs that only count; its results go to the test's folder."""
    (tmp_path / "fake_paper.py").write_text(FAKE_PAPER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "results")
    monkeypatch.delitem(sys.modules, "fake_paper", raising=False)
    import fake_paper

    monkeypatch.setitem(sys.modules, "benchmarks.papers.fake", fake_paper)
    monkeypatch.setattr(command, "PAPERS", ("fake",))
    return fake_paper


def runs(tmp_path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


def written_by(tmp_path, work: str, n_jobs: int) -> list[tuple[str, bytes]]:
    """Names and contents of the files that a full run writes."""
    written = tmp_path / "results" / "papers"
    (written / "fake.json").unlink(missing_ok=True)
    options = ["--seeds", "5", "--work", str(tmp_path / work), "--jobs", str(n_jobs)]
    command.main(["fake", "--full", *options])
    return [(path.name, path.read_bytes()) for path in sorted(written.iterdir())]


def in_kilobytes(path):
    return path.stat().st_size / 1024


# --- the runner ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"rate": 0.5}, {"rate": 0.25}),
        ({"name": "a/b"}, {"name": "a-b"}),
        ({"name": "a", "seed": 1}, {"mane": "a", "seed": 1}),
        ({"name": "a_b"}, {"first": "a", "second": "b"}),
        ({"name": 100 * "a" + "b"}, {"name": 100 * "a" + "c"}),
    ],
    ids=["value", "punctuation", "key", "number of values", "long"],
)
def test_different_jobs_have_different_files(one, other, tmp_path):
    assert runner.file_of(one, tmp_path) != runner.file_of(other, tmp_path)
    assert runner.file_of(one, tmp_path) == runner.file_of(dict(one), tmp_path)


def test_finished_jobs_are_not_run_again(fake, tmp_path):
    first = runner.run_all(fake, fake.QUICK, tmp_path / "work")
    assert sorted(runs(tmp_path)) == ["one 0", "one 1", "two 0", "two 1"]
    assert [(r["kind"], r["seed"]) for r in first] == [
        ("one", 0),
        ("one", 1),
        ("two", 0),
        ("two", 1),
    ]
    assert first[1] == {"kind": "one", "seed": 1, "score": 1.5 * (3 + 1 / 3)}
    assert runner.run_all(fake, fake.QUICK, tmp_path / "work") == first
    assert len(runs(tmp_path)) == 4


def test_more_seeds_run_only_what_is_new(fake, tmp_path):
    runner.run_all(fake, fake.QUICK, tmp_path / "work")
    runner.run_all(fake, fake.QUICK | {"seeds": 3, "other_seeds": 9}, tmp_path / "work")
    assert sorted(runs(tmp_path)[4:]) == ["one 2", "two 2"]


def test_other_settings_run_again(fake, tmp_path):
    runner.run_all(fake, fake.QUICK, tmp_path / "work")
    results = runner.run_all(fake, fake.QUICK | {"scale": 3.0}, tmp_path / "work")
    assert len(runs(tmp_path)) == 8
    assert results[0]["score"] == 9.0
    assert runner.gather(fake, fake.QUICK, tmp_path / "work") == []


def test_torn_files_are_not_results(fake, tmp_path):
    work = tmp_path / "work"
    results = runner.run_all(fake, fake.QUICK, work)
    path = runner.file_of({"kind": "one", "seed": 1}, work)
    text = path.read_text()
    # What a kill in the middle of writing leaves behind, and what a loss of power may.
    path.unlink()
    path.with_suffix(".4711").write_text(text[:40])
    runner.file_of({"kind": "two", "seed": 0}, work).write_text("")
    assert len(runner.gather(fake, fake.QUICK, work)) == 2
    assert runner.run_all(fake, fake.QUICK, work) == results
    assert sorted(runs(tmp_path)[4:]) == ["one 1", "two 0"]


def test_failed_job_leaves_nothing_and_says_so(fake, tmp_path, monkeypatch):
    def fail(job, settings):
        raise ArithmeticError("no result")

    monkeypatch.setattr(fake, "run", fail)
    with pytest.raises(ArithmeticError, match="no result"):
        runner.run_all(fake, fake.QUICK, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_killed_run_goes_on_to_the_same_results(fake, tmp_path, capsys):
    """SIGKILL in the middle: in the end the files of a run that nothing cut off."""
    whole = written_by(tmp_path, "whole", 1)
    assert [name for name, _ in whole] == ["fake.json", "fake_scores.csv"]
    (tmp_path / "log").unlink()

    finished = tmp_path / "cut" / "full" / "fake"
    code = (
        "import sys; from pathlib import Path; import fake_paper;"
        "from benchmarks.papers import runner;"
        "runner.run_all(fake_paper, fake_paper.FULL | {'seeds': 5}, Path(sys.argv[1]))"
    )
    environment = os.environ | {
        "FAKE_SLEEP": "0.2",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(finished)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(list(finished.glob("*.json"))) < 3:
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_before = len(list(finished.glob("*.json")))
    assert 3 <= n_before < 10
    n_begun = len(runs(tmp_path))
    assert written_by(tmp_path, "cut", 1) == whole
    assert len(runs(tmp_path)) - n_begun == 10 - n_before
    assert "fake: 10 of 10 configurations are finished" in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_write_the_same(fake, tmp_path):
    assert written_by(tmp_path, "two", 2) == written_by(tmp_path, "one", 1)


def test_command_gathers_what_is_finished(fake, tmp_path, capsys):
    work = tmp_path / "work"
    settings = {**fake.QUICK, "seeds": 1}
    runner.run_all(fake, settings, work / "quick" / "fake")
    command.main(["fake", "--quick", "--gather", "--work", str(work)])
    printed = capsys.readouterr().out
    assert len(runs(tmp_path)) == 2
    assert "2 of 4 configurations are finished" in printed
    assert "holds: claim" in printed
    assert (work / "quick" / "fake" / "figures" / "fake_scores.png").exists()
    assert not (tmp_path / "results").exists()


def test_record_says_what_made_the_results(fake, tmp_path):
    command.main(["fake", "--full", "--seeds", "2", "--work", str(tmp_path / "w"), "--jobs", "1"])
    path = tmp_path / "results" / "papers" / "fake.json"
    record = json.loads(path.read_text())
    assert record["command"] == "python -m benchmarks.papers fake --full --seeds 2"
    assert record["settings"]["seeds"] == 2
    assert {"torch", "sklearn", "sknninterp"} <= record["versions"].keys()
    assert record["machine"]["torch_threads"] == 1
    assert (record["finished"], record["jobs"]) == (4, 4)
    assert [r["seed"] for r in record["results"]] == [0, 1, 0, 1]
    assert str(tmp_path) not in path.read_text()
    assert "seconds" not in path.read_text()


@pytest.mark.parametrize("outcome", ["hold", "true", ""])
def test_unknown_outcome_is_refused(outcome):
    with pytest.raises(ValueError, match="must be one of"):
        runner.Verdict("claim", "1", "2", 3, outcome, "why")


def test_intervals_and_paired_differences():
    table = pd.DataFrame(
        {
            "method": ["a"] * 3 + ["b"] * 3,
            "seed": [0, 1, 2] * 2,
            "score": [0.5, 0.7, 0.9, 0.4, 0.7, 0.7],
        }
    )
    means = runner.over_seeds(table, ["method"], ["score"])
    # 4.302653 is the 97.5 % point of Student's t with two degrees of freedom.
    half = 4.302653 * 0.2 / 3**0.5
    assert means["score"].tolist() == pytest.approx([0.7, 0.6])
    assert means["score_ci"][0] == pytest.approx(half, rel=1e-6)
    assert means["seeds"].tolist() == [3, 3]
    a, b = (table[table["method"] == name] for name in "ab")
    less = runner.paired(a, b.sample(frac=1, random_state=0), ["seed"], ["score"])
    assert less["score"].tolist() == pytest.approx([0.1, 0.0, 0.2])
    assert less["method"].tolist() == ["a"] * 3
    assert len(runner.paired(a, b[b["seed"] > 0], ["seed"], ["score"])) == 2
    assert np.isnan(runner.interval([1.0])[1])


# --- neuron tuning: what is run -----------------------------------------------------------------

TINY = {
    **ant.FULL,
    "seeds": 2,
    "mnist_seeds": 1,
    "data": ["mnist", "golub"],
    "activations": ["relu"],
    "methods": ["kl", "random"],
    "rates": [0.5, 0.7, 0.8],
    "mnist": {"hidden": [10, 8], "epochs": 3},
    "golub": {"hidden": [10, 8], "epochs": 3},
    "rankings": ["p53"],
    "ranking_genes": {"hidden": [8, 4], "epochs": 2},
}


def tables_of(X, y, n_train):
    X = X.astype(np.float32)
    return ant_data.Split(X[:n_train], y[:n_train], X[n_train:], y[n_train:])


@pytest.fixture
def small_data(monkeypatch):
    """Data that need no folder in place of the real ones."""
    X, y = load_digits(return_X_y=True)
    pictures = tables_of(X[:400] / 16, y[:400], 200)
    X, y = make_classification(90, 12, n_informative=6, random_state=0)
    patients = tables_of(X, y, 50)
    table = pd.DataFrame(X, columns=[f"gene_{i}" for i in range(12)])
    readers = {"mnist": lambda *_: pictures, "golub": lambda *_: patients}
    monkeypatch.setattr(ant_data, "READERS", readers)
    monkeypatch.setattr(ant_data, "genes", lambda name: (table, y, ["gene_1", "gene_3"]))


def tuning_job(method, tuned=2, **others):
    job = {"experiment": "tuning", "data": "mnist", "activation": "relu", "seed": 0}
    return {**job, "tuned": tuned, "method": method, **others}


@pytest.mark.parametrize("size", ["QUICK", "FULL"])
def test_jobs_of_neuron_tuning_have_files_of_their_own(size, tmp_path):
    settings = getattr(ant, size)
    jobs = ant.jobs(settings)
    assert len({runner.file_of(job, tmp_path) for job in jobs}) == len(jobs)
    assert json.loads(json.dumps(jobs)) == jobs
    assert runner.settings_of_job(settings).items() <= settings.items()


def test_every_experiment_ends_in_tables_verdicts_and_figures(small_data, tmp_path):
    results = [{**job, **ant.run(job, TINY)} for job in ant.jobs(TINY)]
    # As they are read again from the committed file.
    tables = ant.tables(json.loads(json.dumps(results)), TINY)
    differences = tables["differences"]
    curves = tables["curves"]
    assert set(curves["method"]) == {"untuned", *TINY["methods"]}
    one = differences[(differences["data"] == "golub") & (differences["method"] == "kl")]
    one = one[(one["tuned"] == 2) & (one["removed"] == 0.5)]
    by_seed = {
        (r["method"], r["seed"]): r["scores"][0]["auc"]
        for r in results
        if r["experiment"] == "tuning" and r["data"] == "golub" and r["tuned"] in (0, 2)
    }
    for base in ("untuned", "random"):
        expected = np.mean([by_seed["kl", s] - by_seed[base, s] for s in range(2)])
        found = one.loc[one["less"] == base, "auc"].item()
        assert found == pytest.approx(expected)
    verdicts = [rule(tables) for rule in ant.VERDICTS]
    assert [v is None for v in verdicts] == [False, False, False, True, True, False, False]
    assert verdicts[0].seeds == 1
    ant.figures(tables, tmp_path)
    drawn = sorted(tmp_path.iterdir())
    assert len(drawn) == 8
    assert all(1 < in_kilobytes(path) < 60 for path in drawn)


def test_share_of_zeros_is_for_relu_alone():
    activations = {job["activation"] for job in ant.jobs(ant.FULL) if job.get("method") == "apoz"}
    assert activations == {"relu"}


def test_same_job_gives_the_same(small_data):
    job = tuning_job("random", data="golub")
    assert ant.run(job, TINY) == ant.run(job, TINY)
    assert ant.run(job, TINY) != ant.run({**job, "seed": 1}, TINY)


@pytest.mark.parametrize("tuned", [1, 2])
def test_methods_end_with_the_same_widths(small_data, tuned):
    settings = TINY | {"rates": [0.5, 0.8]}
    for method in ant.FULL["methods"]:
        rows = ant.run(tuning_job(method, tuned, data="golub"), settings)["scores"]
        assert [row["removed"] for row in rows] == [0.5, 0.8]
        expected = [[5, 4], [2, 2]] if tuned == 2 else [[5, 8], [2, 8]]
        assert [row["widths"] for row in rows] == expected, method
    untuned = ant.run(tuning_job("untuned", 0, data="golub"), settings)["scores"]
    assert [(row["removed"], row["widths"]) for row in untuned] == [(0.0, [10, 8])]


def test_methods_share_the_start_and_the_held_out_part():
    X, y = load_digits(return_X_y=True)
    settings = TINY | {"mnist": {"hidden": [10, 8], "epochs": 5}}
    fitted = {
        method: ant.network(tuning_job(method), rate, settings).fit(X / 16, y)
        for method, rate in [("untuned", 0), ("kl", 0.5), ("random", 0.5), ("kl, rewound", 0.5)]
    }
    histories = {method: network.history_ for method, network in fitted.items()}
    for history in histories.values():
        first = histories["untuned"].iloc[0]
        assert history.iloc[0]["train_loss"] == first["train_loss"]
        assert history.iloc[0]["valid_loss"] == first["valid_loss"]
    # Rewound after the same removal as the others' last; all of their epochs follow.
    rewound, kl = fitted["kl, rewound"].tuning_history_, fitted["kl"].tuning_history_
    assert rewound["epoch"].max() == kl["epoch"].max() == 4
    assert rewound["neuron"].tolist() == kl["neuron"].tolist()
    assert len(histories["kl, rewound"]) - 4 == len(histories["kl"]) == 5
    losses = histories["kl, rewound"]["train_loss"]
    assert losses[4] > losses[3]


def test_scores():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
    y = np.array([0, 1, 1, 0])
    likeliest = ant.scores_of(probabilities, y)
    assert likeliest == {"accuracy": 0.5, "auc": 0.75, "precision": 0.25}
    # The two with the highest risk are predicted to be of the second class: one of them is.
    by_rank = ant.scores_of(probabilities, y, by_rank=True)
    assert by_rank == {"accuracy": 0.5, "auc": 0.75, "precision": 0.5}


def test_agreement_counts_known_features_at_the_top():
    importances = pd.Series(np.arange(20, 0, -1.0), [f"f{i}" for i in range(20)])
    known = importances.index.isin(["f0", "f4", "f5", "f19"])
    found = ant.agreement(importances, known)
    assert [found[f"hits_{k}"] for k in (5, 10, 100)] == [2, 3, 4]
    assert found["top"] == [f"f{i}" for i in range(10)]
    above = [(a < b) for a in (0, 4, 5, 19) for b in range(20) if b not in (0, 4, 5, 19)]
    assert found["auroc"] == pytest.approx(np.mean(above))


def test_patients_are_apart(data_home):
    train, test = ant_data.patients_apart(3, 4000, 2000)
    groups = ant_data.readmission().groups
    assert not set(groups.iloc[train]) & set(groups.iloc[test])
    assert len(train) == pytest.approx(4000, rel=0.1)
    assert len(test) == pytest.approx(2000, rel=0.1)


# --- neuron tuning: verdicts --------------------------------------------------------------------


def differences_of(*rows, tuned=1, less="untuned"):
    """Rows (rate, mean, half interval), the same for every score, in points."""
    return pd.DataFrame(
        [
            {
                "data": "set",
                "activation": "relu",
                "tuned": tuned,
                "method": "kl",
                "less": less,
                "removed": rate,
                "seeds": 5,
                **dict.fromkeys(ant.SCORES, mean / 100),
                **dict.fromkeys([f"{score}_ci" for score in ant.SCORES], half / 100),
            }
            for rate, mean, half in rows
        ]
    )


@pytest.mark.parametrize(
    ("mean", "half", "state"),
    [
        (0.0, 0.5, "held"),
        (-0.5, 0.4, "held"),
        (3.0, 1.0, "held"),
        (-2.0, 0.5, "lost"),
        (-0.9, 0.3, "lost"),
        (-0.5, 0.6, "not told"),
        (2.0, 5.0, "not told"),
        (0.0, np.nan, "not told"),
    ],
)
def test_what_held_means(mean, half, state):
    rows = differences_of((0.7, mean, half))
    assert ant_verdicts.states(rows) == [state] * 3


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        ((0, 0.5), (0, 0.5), "holds"),
        ((0, 0.5), (-3, 0.5), "holds partly"),
        ((-3, 0.5), (-3, 0.5), "does not hold"),
        ((0, 2), (0, 2), "holds partly"),
    ],
    ids=["both", "low", "none", "not told"],
)
def test_verdict_on_both_layers(low, high, outcome):
    table = differences_of((0.5, *low), (0.8, *high), (0.95, -50, 1), tuned=2)
    # Nor does anything else count than both layers tuned by the divergence.
    other = differences_of((0.5, -50, 1), (0.8, -50, 1), tuned=1)
    random = differences_of((0.5, -50, 1), (0.8, -50, 1), tuned=2).assign(method="random")
    tables = {"differences": pd.concat([table, other, random])}
    verdict = ant_verdicts.both_layers(tables)
    assert (verdict.outcome, verdict.seeds) == (outcome, 5)
    assert f"{high[0]:+.2f} ± {high[1]:.2f}" in verdict.ours


@pytest.mark.parametrize(
    ("mean", "outcome"), [(0, "holds"), (-3, "does not hold")], ids=["held", "lost"]
)
def test_verdict_on_the_first_layer(mean, outcome):
    tables = {"differences": differences_of((0.5, -50, 1), (0.7, mean, 0.5), (0.8, -50, 1))}
    assert ant_verdicts.first_layer(tables).outcome == outcome
    assert ant_verdicts.both_layers(tables) is None


@pytest.mark.parametrize(
    ("means", "outcome"),
    [
        ((3, 3, 0), "holds"),
        ((3, 3, -3), "holds partly"),
        ((3, 0, 0), "holds partly"),
        ((0, 0, 0), "does not hold"),
        ((3, -3, 0), "does not hold"),
    ],
)
def test_verdict_on_random_removal(means, outcome):
    """What random removal loses is what the divergence gains."""
    rates = (0.5, 0.8, 0.9)
    rows = [(rate, -mean, 1) for rate, mean in zip(rates, means, strict=True)]
    random = differences_of((0.25, 9, 1), *rows, tuned=2, less="kl").assign(method="random")
    scratch = differences_of((0.5, 9, 1), less="kl").assign(method="from scratch")
    tables = {"differences": pd.concat([random, scratch, differences_of((0.5, 9, 1))])}
    verdict = ant_verdicts.better_than_random(tables)
    assert verdict.outcome == outcome
    assert f"{means[1]:+.2f} ± 1.00" in verdict.ours
    assert ant_verdicts.better_than_scratch(tables).outcome == "does not hold"


@pytest.mark.parametrize(
    ("over_pwp", "over_garson", "outcome"),
    [
        ((1, 0.5), (1, 0.5), "holds"),
        ((0, 0.5), (1, 0.5), "holds partly"),
        ((-1, 0.5), (0.4, 0.5), "does not hold"),
    ],
)
def test_verdict_on_predictors_of_readmission(over_pwp, over_garson, outcome):
    names = ["PWP after ANT", "PWP", "Garson", "random"]
    rankings = pd.DataFrame(
        {"data": "readmission", "ranking": names, "seeds": 4, "hits_5": 2.0, "hits_5_ci": 0.1}
    )
    steps = pd.DataFrame(
        [("PWP after ANT", "PWP", *over_pwp), ("PWP", "Garson", *over_garson)],
        columns=["ranking", "less", "hits_5", "hits_5_ci"],
    ).assign(data="readmission")
    verdict = ant_verdicts.gold_standard({"rankings": rankings, "ranking_differences": steps})
    assert verdict.outcome == outcome
    assert "Garson 2.0 ± 0.1" in verdict.ours


def test_pictures_before_and_after_tuning():
    pictures = pd.DataFrame(
        [("before", 0, 7, 0.0, 1.0, 2.0), ("after", 0, 7, 0.0, 0.5, 1.0)]
        + [("before", 1, 7, 0.0, 1.0, 0.0), ("after", 1, 7, 1.0, 0.0, 1.0)],
        columns=["tuning", "digit", "seed", "pixel_0", "pixel_1", "pixel_2"],
    )
    verdict = ant_verdicts.digit_pictures({"pictures": pictures})
    assert verdict.ours.endswith(": 0.00 in the mean, -1.00 at least")
    assert verdict.seeds == 1


def test_criteria_beside_random_removal():
    cells = [
        ("kl", 0.5, 0.02, 0.01, -0.02, 0.01),
        ("kl", 0.8, 0.02, 0.03, 0.0, 0.01),
        ("kl", 0.25, 0.5, 0.01, 0.5, 0.01),  # too few removed to count
        ("magnitude", 0.5, -0.02, 0.01, 0.02, 0.01),
    ]
    columns = ["method", "removed", "accuracy", "accuracy_ci", "auc", "auc_ci"]
    differences = pd.DataFrame(cells, columns=columns).assign(less="random")
    _, head, rows = ant_verdicts.criteria({"differences": differences})
    assert rows == [["kl", "2", "1 / 0", "0 / 1"], ["magnitude", "1", "0 / 1", "1 / 0"]]
    assert len(head) == 4
    assert ant_verdicts.criteria({}) is None


def test_no_tables_no_verdicts():
    assert [rule({}) for rule in ant.VERDICTS] == [None] * len(ant.VERDICTS)
