"""Dask: data in partitions, joblib's jobs on a cluster, and data larger than memory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from subprocess import PIPE, Popen
from threading import Thread

import dask
import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknninterp import (
    ANTClassifier,
    ANTClassifierCV,
    GradientXInputExplainer,
    PWPExplainer,
    RepeatedExplainer,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.distributed import by_partition, explain_partitions

QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 3, "lr": 0.02, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(90, 3)), columns=["a", "b", "c"], index=range(100, 190))
    X["site"] = rng.choice(["left", "right"], 90)
    return X, np.where(X["a"] + (X["site"] == "left") > 0, "ill", "well")


@pytest.fixture(scope="module")
def pipeline(table):
    columns = make_column_transformer(
        (StandardScaler(), ["a", "b", "c"]), (OneHotEncoder(), ["site"])
    )
    return make_pipeline(columns, TorchMLPClassifier(**QUICK)).fit(*table)


# --- partitions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_frames(table, pipeline, method):
    X, _ = table
    found = by_partition(pipeline, dd.from_pandas(X, npartitions=4), method)
    assert found.npartitions == 4
    computed = found.compute()
    expected = getattr(pipeline, method)(X)
    if method == "predict":
        assert computed.tolist() == expected.tolist()
    else:
        np.testing.assert_allclose(computed, expected, rtol=1e-6)
        assert computed.columns.tolist() == ["ill", "well"]
    assert computed.index.tolist() == X.index.tolist()
    # What was promised before is what came.
    assert type(found._meta) is type(computed)
    if method == "predict_proba":
        assert found._meta.dtypes.tolist() == computed.dtypes.tolist()


def test_contributions_of_frames(table, pipeline):
    X, _ = table
    explainer = PWPExplainer(pipeline).fit(X)
    found = by_partition(explainer, dd.from_pandas(X, npartitions=3), "transform").compute()
    np.testing.assert_allclose(found, explainer.transform(X), rtol=1e-5)
    assert found.columns.tolist() == ["a", "b", "c", "site"]


@pytest.mark.parametrize("chunks", [(25, 3), (40, 2)])
def test_arrays(table, chunks):
    X = table[0].iloc[:, :3].to_numpy()
    network = TorchMLPClassifier(**QUICK).fit(X, table[1])
    large = da.from_array(X, chunks=chunks)
    labels = by_partition(network, large)
    assert labels.chunks == (large.chunks[0],)
    assert labels.dtype == network.classes_.dtype
    assert labels.compute().tolist() == network.predict(X).tolist()
    shares = by_partition(network, large, "predict_proba")
    assert shares.shape == (90, 2)
    np.testing.assert_allclose(shares, network.predict_proba(X), rtol=1e-6)
    explainer = PWPExplainer(network).fit(X)
    np.testing.assert_allclose(
        by_partition(explainer, large, "transform"), explainer.transform(X), rtol=1e-5
    )


@pytest.mark.parametrize("n_networks", [1, 2])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_values(table, n_outputs, n_networks):
    X = table[0].iloc[:, :3].to_numpy()
    y = X[:, 0] if n_outputs == 1 else X[:, :2]
    network = TorchMLPRegressor(n_networks=n_networks, **QUICK)
    pipeline = make_pipeline(StandardScaler(), network).fit(X, y)
    found = by_partition(pipeline, da.from_array(X, chunks=(50, 3)))
    assert found.shape == y.shape
    np.testing.assert_allclose(found, pipeline.predict(X), rtol=1e-6)
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=2)
    np.testing.assert_allclose(by_partition(pipeline, frame), pipeline.predict(X), rtol=1e-6)


def test_any_other_estimator(table):
    X = table[0].iloc[:, :3].to_numpy()
    model = LinearRegression().fit(X, X[:, 0])
    found = by_partition(model, da.from_array(X, chunks=(50, 3)))
    np.testing.assert_allclose(found, X[:, 0], atol=1e-9)


def test_nothing_is_computed_before_it_is_asked_for(pipeline, table):
    computed = []

    def partition(i):
        computed.append(i)
        return table[0].iloc[45 * i : 45 * (i + 1)]

    frame = dd.from_map(partition, [0, 1], meta=table[0].iloc[:0])
    computed.clear()
    predictions = by_partition(pipeline, frame)
    parts = explain_partitions(PWPExplainer(pipeline).fit(table[0]), frame)
    assert computed == []
    predictions.partitions[1].compute()
    assert computed == [1]
    assert dask.compute(parts[0])[0].shape == (45, 4, 2)
    assert computed == [1, 0]


def test_empty_partitions(pipeline, table):
    frame = dd.from_pandas(table[0], npartitions=3)
    frame = frame[frame["a"] > frame["a"].max()]
    assert len(by_partition(pipeline, frame).compute()) == 0
    assert by_partition(pipeline, frame, "predict_proba").compute().shape == (0, 2)
    explainer = PWPExplainer(pipeline).fit(table[0])
    assert dask.compute(*explain_partitions(explainer, frame)) == (None,) * 3
    X = table[0].iloc[:, :3].to_numpy()
    large = da.from_array(X, chunks=(30, 3))
    network = TorchMLPClassifier(**QUICK).fit(X, table[1])
    some = large[large[:, 0] > X[40:60, 0].max()]  # chunks of unknown sizes
    found = by_partition(network, some).compute()
    assert found.tolist() == network.predict(some.compute()).tolist()


@pytest.mark.parametrize("target", [None, "ill", "predicted"])
def test_explanations(table, pipeline, target):
    X, _ = table
    explainer = GradientXInputExplainer(pipeline).fit(X)
    parts = dask.compute(*explain_partitions(explainer, dd.from_pandas(X, npartitions=2), target))
    whole = explainer.explain(X, target)
    np.testing.assert_allclose(
        np.concatenate([part.values for part in parts]), whole.values, atol=1e-6
    )
    names = [name for part in parts for name in part.sample_names]
    assert names == list(whole.sample_names)


def test_what_cannot_be_done_is_told(pipeline, table):
    frame = dd.from_pandas(table[0], npartitions=2)
    with pytest.raises(TypeError, match="Dask array or DataFrame, not DataFrame"):
        by_partition(pipeline, table[0])
    with pytest.raises(TypeError, match="X must be a Dask"):
        explain_partitions(PWPExplainer(pipeline).fit(table[0]), table[0])
    with pytest.raises(ValueError, match="method='score'"):
        by_partition(pipeline, frame, "score")
    with pytest.raises(TypeError, match="has no `transform`"):
        by_partition(pipeline, frame, "transform")
    with pytest.raises(ValueError, match="not fitted"):
        by_partition(TorchMLPClassifier(), frame)
    with pytest.raises(ValueError, match="feature names|columns"):
        by_partition(pipeline, frame.rename(columns={"a": "z"})).compute()


# --- a cluster ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    from distributed import Client, LocalCluster

    options = {"dashboard_address": ":0", "worker_dashboard_address": None}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **options) as local,
        Client(local) as client,
    ):
        yield client


def test_a_search_on_a_cluster(cluster, table):
    X = table[0].iloc[:, :3]
    options = {"pruning_rates": [0, 0.5], "cv": 3, "n_repeats": 2, "random_state": 0}
    for network in (ANTClassifier(**QUICK), ANTClassifier(dropout=0.1, **QUICK)):
        here = ANTClassifierCV(network, **options).fit(X, table[1])
        with joblib.parallel_config(backend="dask"):
            there = ANTClassifierCV(network, n_jobs=-1, **options).fit(X, table[1])
        for i in range(6):
            name = f"split{i}_test_score"
            np.testing.assert_allclose(there.cv_results_[name], here.cv_results_[name])


def test_repeats_on_a_cluster(cluster, table):
    X = table[0].iloc[:, :3]
    options = {"n_repeats": 4, "resampling": "bootstrap", "random_state": 0}
    explainer = PWPExplainer(TorchMLPClassifier(**QUICK))
    here = RepeatedExplainer(explainer, **options).fit(X, table[1])
    with joblib.parallel_config(backend="dask"):
        there = RepeatedExplainer(explainer, n_jobs=-1, **options).fit(X, table[1])
    np.testing.assert_allclose(there.all_importances_, here.all_importances_, rtol=1e-4)


def test_partitions_on_a_cluster(cluster, table, pipeline):
    found = by_partition(pipeline, dd.from_pandas(table[0], npartitions=4))
    assert found.compute().tolist() == pipeline.predict(table[0]).tolist()


def test_a_search_outlives_a_worker(cluster, table):
    X, y = table[0].iloc[:, :3], table[1]
    options = {"pruning_rates": [0, 0.5], "cv": 3, "n_repeats": 2, "random_state": 0}
    network = ANTClassifier(dropout=0.1, **{**QUICK, "max_epochs": 100})
    here = ANTClassifierCV(network, **options).fit(X, y)
    address, process = next(iter(cluster.run(os.getpid).items()))
    was_at_work = []

    def kill():
        deadline = time.monotonic() + 60
        while not cluster.processing().get(address) and time.monotonic() < deadline:
            time.sleep(0.01)
        # Of a worker that dies as it gets its first task, Dask may forget that task.
        time.sleep(0.3)
        was_at_work.append(bool(cluster.processing().get(address)))
        os.kill(process, signal.SIGKILL)

    killer = Thread(target=kill)
    with joblib.parallel_config(backend="dask", scatter=[X, y]):
        killer.start()
        there = ANTClassifierCV(network, n_jobs=-1, **options).fit(X, y)
    killer.join()
    assert was_at_work == [True]
    assert process not in cluster.run(os.getpid).values()
    for i in range(6):
        name = f"split{i}_test_score"
        np.testing.assert_allclose(there.cv_results_[name], here.cv_results_[name])


# --- larger than memory -------------------------------------------------------------------------

# 300 MB on the disk (sparse: it takes none); the process may allocate half of it.
LARGE = """
    import resource, sys
    import numpy as np
    from sknninterp import PWPExplainer, TorchMLPClassifier

    path, n, d = sys.argv[1], 600_000, 64
    X = np.memmap(path, np.float64, "r", shape=(n, d))
    network = TorchMLPClassifier((8,), lr=0.01, batch_size=4096, random_state=0)
    network.partial_fit(X[:5000], X[:5000, 0] > 0, classes=[False, True])
    PWPExplainer(network).fit(X[:50]).explain(X[:50], target=True)  # all is loaded now

    def allocated():
        line = next(line for line in open("/proc/self/status") if line.startswith("VmData"))
        return 1024 * int(line.split()[1])

    limit = allocated() + n * d * 8 // 2
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        np.array(X)
    except MemoryError:
        print("does not fit")
    for start in range(0, n, 50_000):
        part = np.asarray(X[start : start + 50_000])
        network.partial_fit(part, part[:, 0] > 0)
    explainer = PWPExplainer(network).fit(X[:5000])
    total = np.zeros(d)
    for explanation in explainer.explain_batches(X, target=True, batch_size=20_000):
        total += np.abs(explanation.values).sum(0)
    print(total.argmax())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")
def test_training_and_explaining_more_than_fits_into_memory(tmp_path):
    path = tmp_path / "large.dat"
    X = np.memmap(path, np.float64, "w+", shape=(600_000, 64))
    X[::50] = np.random.default_rng(0).normal(size=(12_000, 64))
    X.flush()
    del X
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LARGE), str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert found.stdout.split("\n")[:2] == ["does not fit", "0"], found.stderr


# --- several devices ----------------------------------------------------------------------------

ACCELERATED = """
    import numpy as np
    import torch
    import torch.nn.functional as F
    from accelerate import Accelerator
    from skorch import NeuralNetClassifier
    from skorch.hf import AccelerateMixin
    from sknninterp import PWPExplainer
    from sknninterp.callbacks import NeuronTuning
    from sknninterp.nn.mlp import MLP

    class AcceleratedNet(AccelerateMixin, NeuralNetClassifier):
        pass

    def trained(callbacks):
        torch.manual_seed(0)
        net = AcceleratedNet(
            MLP(6, 2, (16,)),
            # Not a module: on processors, Accelerate spreads only those with parameters.
            criterion=lambda: F.cross_entropy,
            predict_nonlinearity=lambda outputs: outputs.softmax(1),
            optimizer=torch.optim.Adam,
            lr=0.02,
            max_epochs=5,
            batch_size=32,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
            accelerator=Accelerator(cpu=True),
            callbacks=callbacks,
        )
        return net.fit(X, y)

    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6)).astype("float32")
    y = (X[:, 2] > 0).astype(int)
    net = trained([])
    ranking = PWPExplainer(net).fit(X).feature_importances_
    batches = net.history[-1, "train_batch_count"]
    total = sum(p.detach().double().sum().item() for p in net.module_.parameters())
    print(f"found: {ranking.argmax()} in {batches} batches, {total:.9f}\\n", end="", flush=True)
    try:
        trained([NeuronTuning()])
    except ValueError as error:
        print(f"error: {error}\\n", end="", flush=True)
"""


def test_networks_that_several_processes_train():
    script = textwrap.dedent(ACCELERATED)
    # What `torchrun` and `accelerate launch` set, without a process of their own.
    shared = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        shared["MASTER_PORT"] = str(free.getsockname()[1])
    run = {"args": [sys.executable, "-c", script], "text": True, "stdout": PIPE, "stderr": PIPE}
    both = [Popen(**run, env={**shared, "RANK": i, "LOCAL_RANK": i}) for i in "01"]
    try:
        told = [process.communicate(timeout=200) for process in both]
    finally:
        for process in both:
            process.kill()
    lines = sorted(x for out, _ in told for x in out.splitlines() if x[:5] in ("found", "error"))
    assert len(lines) == 4, told
    # Neurons are not tuned there; both processes say so.
    assert lines[0] == lines[1]
    assert lines[0].startswith("error: DistributedDataParallel cannot be read: it spreads a net")
    # Both have the same network, and each saw half of the 13 batches.
    assert lines[2] == lines[3]
    assert lines[2].startswith("found: 2 in 7 batches")
