"""Sanity checks: right explainers pass them, and for each check a broken one is caught."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknninterp import (
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    PWPExplainer,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.evaluation.additivity import CompletenessWarning
from sknninterp.evaluation.sanity import (
    label_randomization,
    parameter_randomization,
    sanity_checks,
    similarity,
)

CHECKS = ["reproducible", "parameters", "labels", "completeness", "conservation", "random order"]
# Wrong in size and sign: what counts are columns 1, 4 and, against, 7.
FIXED = torch.tensor([3.0, -0.1, 0.5, 2.0, -0.2, 1.0, 0.4, 0.3, 5.0, 0.7])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 10)).astype(np.float32)
    return X, (X[:, 1] + X[:, 4] - X[:, 7] > 0).astype(int)


@pytest.fixture(scope="module")
def model(data):
    return TorchMLPClassifier((12, 6), max_epochs=40, lr=0.02, random_state=0).fit(*data)


# --- broken explainers --------------------------------------------------------------------------


class Broken(GradientXInputExplainer):
    """Contributions that are a function of the inputs and of the network's weights."""

    def _contributions(self, graph):
        n_outputs = graph.output.shape[0]
        weights = [layer.weighted.weight.detach() for layer in graph.layers]

        def contributions(inputs, outputs):
            values = self._slopes(inputs, weights) * inputs
            values = torch.stack([values * (-1) ** (k + 1) for k in range(n_outputs)], -1)
            if outputs is None:
                return values
            index = outputs.expand(len(inputs), -1)[:, None].expand(-1, inputs.shape[1], -1)
            return values.gather(-1, index)

        return contributions


class IgnoresWeights(Broken):
    def _slopes(self, inputs, weights):
        return FIXED


class IgnoresLabels(Broken):
    """It tells trained weights from untrained ones, but not what they were trained for."""

    def _slopes(self, inputs, weights):
        untrained = weights[-1].abs().max() <= weights[-1].shape[1] ** -0.5
        return weights[0].sum(0) if untrained else FIXED


class IsRandom(Broken):
    def _slopes(self, inputs, weights):
        return torch.randn(inputs.shape) / inputs


class IsRandomButRepeats(Broken):
    """The weights are its seed: whatever changes them changes all."""

    def _slopes(self, inputs, weights):
        seed = int(1e4 * sum(w.abs().sum() for w in weights))
        return torch.randn(inputs.shape[1], generator=torch.Generator().manual_seed(seed))


class IsIncomplete(IntegratedGradientsExplainer):
    def _contributions(self, graph):
        contributions = super()._contributions(graph)
        return lambda inputs, outputs: 0.8 * contributions(inputs, outputs)


class DoesNotCompose(InfluentialScores):
    def influence(self, X, source="input", target="output", *, by="node"):
        return super().influence(X, source, target, by=by) ** 2


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (IgnoresWeights, {"parameters", "labels", "random order"}),
        (IgnoresLabels, {"labels", "random order"}),
        (IsRandomButRepeats, {"random order"}),
        (IsRandom, {"reproducible", "random order"}),
        (IsIncomplete, {"completeness"}),
        (DoesNotCompose, {"conservation"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
@pytest.mark.filterwarnings("ignore::sknninterp.evaluation.additivity.CompletenessWarning")
def test_broken_explainers_are_caught(data, model, kind, caught):
    torch.manual_seed(1)
    table = sanity_checks(kind(model).fit(data[0]), *data, n_repeats=4, random_state=0)
    failed = table.index[(table["passed"] == False).fillna(False)]  # noqa: E712
    assert set(failed) == caught, table["why"].to_dict()


@pytest.mark.parametrize(
    ("explainer", "missing"),
    [
        (GradientXInputExplainer(), {"completeness", "conservation"}),
        (IntegratedGradientsExplainer(n_steps=200), {"conservation"}),
        (InfluentialScores(), {"completeness"}),
        (PWPExplainer(signed=True), {"completeness", "conservation"}),
    ],
    ids=lambda value: getattr(value, "method", ""),
)
def test_right_explainers_pass(data, model, explainer, missing):
    explainer = explainer.set_params(estimator=model).fit(data[0])
    table = sanity_checks(explainer, *data, n_repeats=4, random_state=0)
    assert table.index.tolist() == CHECKS
    assert set(table.index[table["passed"].isna()]) == missing
    assert table["passed"].dropna().all(), table["why"].to_dict()


# --- similarity ---------------------------------------------------------------------------------


def test_similarity_is_spearmans():
    rng = np.random.default_rng(0)
    one, other = rng.integers(1, 5, size=(2, 30))
    assert similarity(one, other) == pytest.approx(spearmanr(one, other).statistic)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3], [10, 20, 40], 1),
        ([1, 2, 3], [3, 2, 1], -1),
        # Ranks 1, 2, 3, 4 and 2, 1, 4, 3: differences of 1, and 1 - 6 * 4 / (4 * 15).
        ([1, 2, 3, 4], [2, 1, 4, 3], 0.6),
        ([0, 0, 0, 1, 2], [0, 0, 0, 2, 1], -1),
        ([0, 1, 2], [1, 0, 2], 0.5),
        ([2, 2, 2], [1, 2, 3], 0),
        ([2, 2, 2], [5, 5, 5], 1),
        ([0, 0, 0], [0, 0, 0], 1),
        ([0, 0, 0], [1, 2, 3], 0),
    ],
    ids=str,
)
def test_similarity_by_hand(one, other, expected):
    assert similarity(np.array(one), np.array(other)) == pytest.approx(expected)


# --- parameters ---------------------------------------------------------------------------------


def naive_similarities(explainer, X, estimator, labels):
    """The same in words of scikit-learn's and scipy's."""
    after = type(explainer)(estimator).fit(X)
    before = type(explainer)(explainer.estimator_).fit(X)
    values, magnitudes = [], []
    for i in range(len(X)):
        one = before.explain(X[i : i + 1], labels[i]).values[0]
        other = after.explain(X[i : i + 1], labels[i]).values[0]
        values.append(spearmanr(one, other).statistic)
        magnitudes.append(spearmanr(np.abs(one), np.abs(other)).statistic)
    importances = spearmanr(before.feature_importances_, after.feature_importances_).statistic
    return importances, np.mean(values), np.mean(magnitudes)


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_parameters_agree_with_doing_it_by_hand(data, model, mode):
    X = data[0][:8]
    explainer = GradientXInputExplainer(model).fit(X)
    table = parameter_randomization(
        explainer, X, mode=mode, how="permute", n_repeats=1, random_state=3
    )
    assert table["layer"].tolist() == ["output", "hidden1", "hidden0"]
    labels, random_state = model.predict(X), np.random.RandomState(3)
    estimator = copy.deepcopy(model)
    for row in table.itertuples():
        if mode == "independent":
            estimator = copy.deepcopy(model)
        layer = getattr(estimator.module_, row.layer)
        with torch.no_grad():
            for parameter in layer.parameters():
                order = random_state.permutation(parameter.numel())
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
        expected = naive_similarities(explainer, X, estimator, labels)
        found = row.importances, row.values, row.magnitudes
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_explainer_that_ignores_the_weights_is_the_same_after_every_layer(data, model):
    table = parameter_randomization(IgnoresWeights(model).fit(data[0]), data[0], n_repeats=2)
    np.testing.assert_allclose(table[["importances", "values", "magnitudes"]], 1)


def test_one_layer_that_does_not_matter(data, model):
    """Independently, only the layers that an explainer reads change it; cascading, all after."""

    class FirstLayer(Broken):
        def _slopes(self, inputs, weights):
            return weights[0].sum(0)

    explainer = FirstLayer(model).fit(data[0])
    for mode in ("cascading", "independent"):
        table = parameter_randomization(
            explainer, data[0], mode=mode, n_repeats=2, random_state=0
        ).set_index("layer")
        np.testing.assert_allclose(table.loc[["output", "hidden1"], "values"], 1)
        assert (table.loc["hidden0", "values"] < 0.9).all()


def test_cascading_keeps_what_is_random_and_independent_does_not(data, model):
    class LastLayer(Broken):
        def _slopes(self, inputs, weights):
            return weights[-1].sum() * FIXED + torch.arange(10) * (weights[-1].sum() > 0)

    class Spy(GradientXInputExplainer):
        seen = []

        def _contributions(self, graph):
            self.seen.append([layer.weighted.weight.clone() for layer in graph.layers])
            return super()._contributions(graph)

    for mode, n_changed in (("cascading", [1, 2, 3]), ("independent", [1, 1, 1])):
        explainer = Spy(model).fit(data[0])
        Spy.seen.clear()
        table = parameter_randomization(explainer, data[0], mode=mode, n_repeats=1)
        trained = [layer.weight for layer in model.module_ if isinstance(layer, nn.Linear)]
        changes = {
            tuple(not torch.equal(a, b) for a, b in zip(weights, trained, strict=True))
            for weights in Spy.seen
        }
        assert sorted(map(sum, changes - {(False,) * 3})) == n_changed
        assert len(table) == 3


@pytest.mark.parametrize("how", ["reset", "permute"])
def test_nothing_of_the_users_is_touched(data, how):
    X, y = data[0][:50], data[1][:50]
    model = MLPClassifier((6,), solver="lbfgs", max_iter=5000, random_state=0).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    for estimator in (model, pipeline):
        explainer = GradientXInputExplainer(estimator).fit(X[:30])
        importances, before = explainer.feature_importances_.copy(), estimator.predict_proba(X)
        parameter_randomization(explainer, X, how=how, n_repeats=1)
        np.testing.assert_array_equal(estimator.predict_proba(X), before)
        np.testing.assert_array_equal(explainer.feature_importances_, importances)
        assert explainer.estimator is estimator


def test_repeats_of_a_layer_stand_together_and_a_seed_repeats_them(data, model):
    X = data[0]
    explainer = PWPExplainer(model).fit(X)
    one, other = (
        parameter_randomization(explainer, X, n_repeats=3, random_state=1) for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, other)
    assert one["layer"].tolist() == ["output"] * 3 + ["hidden1"] * 3 + ["hidden0"] * 3
    assert one["repeat"].tolist() == [0, 1, 2] * 3
    assert one.groupby("layer")["importances"].nunique().min() > 1


def test_the_ranking_is_over_x_before_and_after(data, model):
    """Not over what the explainer was fitted on."""
    X = data[0].copy()
    X[:, 0] *= 100
    explainer = IgnoresWeights(model).fit(data[0])
    table = parameter_randomization(explainer, X, n_repeats=1)
    np.testing.assert_allclose(table["importances"], 1)


def test_regressors_images_and_modules():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6))
    network = TorchMLPRegressor((8,), max_epochs=10, random_state=0).fit(X, X[:, 0])
    explainer = GradientXInputExplainer(network).fit(X)
    table = sanity_checks(explainer, X, X[:, 0], n_repeats=2, random_state=0)
    assert (
        table.loc[["reproducible", "parameters", "labels", "random order"], "passed"].notna().all()
    )
    torch.manual_seed(0)
    images = rng.normal(size=(8, 1, 6, 6)).astype(np.float32)
    images[:, :, 0] = 0  # black in all
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
    explainer = GradientXInputExplainer(module).fit(images)
    table = parameter_randomization(explainer, images, n_repeats=2, random_state=0)
    assert table["layer"].unique().tolist() == ["3", "0"]
    table = sanity_checks(explainer, images, [0, 1] * 4, n_repeats=2, random_state=0)
    assert pd.isna(table.loc["labels", "passed"])
    assert "Sequential cannot be fitted anew" in table.loc["labels", "why"]


# --- labels -------------------------------------------------------------------------------------


def test_labels_agree_with_doing_it_by_hand(data):
    X, y = data[0][:40], data[1][:40]
    model = MLPClassifier((4,), "tanh", solver="lbfgs", max_iter=5000, random_state=0).fit(X, y)
    explainer = GradientXInputExplainer(model).fit(X)
    table = label_randomization(explainer, X, y, n_repeats=1, random_state=5)
    random_state = np.random.RandomState(5)
    permuted = y[random_state.permutation(40)]
    assert (permuted != y).any()
    seed = random_state.randint(np.iinfo(np.int32).max)
    again = MLPClassifier((4,), "tanh", solver="lbfgs", max_iter=5000, random_state=seed)
    expected = naive_similarities(explainer, X, again.fit(X, permuted), model.predict(X))
    np.testing.assert_allclose(table.loc[0, ["importances", "values", "magnitudes"]].tolist(),
                               expected, atol=1e-6)  # fmt: skip


def test_labels_of_an_explainer_that_ignores_them(data, model):
    table = label_randomization(IgnoresLabels(model).fit(data[0]), *data, n_repeats=2)
    np.testing.assert_allclose(table["importances"], 1)
    assert table["repeat"].tolist() == [0, 1]


@pytest.mark.usefixtures("global_rng_untouched")
def test_fits_on_permuted_labels_begin_with_weights_of_their_own(data, model):
    explainer = GarsonExplainer(model).fit(data[0])
    one, other = (
        label_randomization(explainer, *data, n_repeats=3, random_state=0) for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, other)
    assert len(set(one["importances"])) > 1


def test_what_cannot_be_fitted_anew(data, model):
    explainer = GradientXInputExplainer(FrozenEstimator(model)).fit(data[0])
    with pytest.raises(ValueError, match="FrozenEstimator cannot be fitted anew"):
        label_randomization(explainer, *data)


# --- the table ----------------------------------------------------------------------------------


def test_table_says_why(data, model):
    table = sanity_checks(IgnoresWeights(model).fit(data[0]), data[0], n_repeats=2)
    assert table.index.name == "check"
    assert table.columns.tolist() == ["passed", "value", "limit", "why"]
    assert table["passed"].dtype == "boolean"
    why = table["why"]
    assert why["parameters"] == (
        "After all weights were drawn anew the explanation agrees with the original at 1.00, more"
        " than 0.5: it depends little on what the network has learned."
    )
    assert why["labels"] == "Not checked: y was not given."
    assert "nothing is claimed" in why["completeness"]
    assert "does not lower the output more than in random order" in why["random order"]
    assert table.loc["parameters", ["value", "limit"]].tolist() == [pytest.approx(1), 0.5]


def test_incompleteness_also_warns(data, model):
    with pytest.warns(CompletenessWarning, match="Integrated gradients"):
        sanity_checks(IsIncomplete(model).fit(data[0]), data[0], n_repeats=1)


def test_unsigned_values_do_not_count(data, model):
    """Without signs of their own they have those of the inputs, whatever the weights."""
    explainer = PWPExplainer(model).fit(data[0])
    table = parameter_randomization(explainer, data[0], n_repeats=4, random_state=0)
    last = table[table["layer"] == "hidden0"].mean(numeric_only=True)
    assert last["values"] > 0.5 > last["importances"]
    checks = sanity_checks(explainer, data[0], n_repeats=4, random_state=0)
    assert checks.loc["parameters", "passed"]


def test_what_is_not_explained_in_columns_of_x_has_no_order(data, model):
    explainer = InfluentialScores(model, source="hidden0").fit(data[0])
    table = sanity_checks(explainer, data[0], n_repeats=1)
    assert "not the columns of X" in table.loc["random order", "why"]
    explainer = InfluentialScores(model, target_layer="hidden1").fit(data[0])
    table = sanity_checks(explainer, data[0], n_repeats=1)
    assert "several outputs" in table.loc["random order", "why"]
    explainer = GradientXInputExplainer(model).fit(data[0])
    table = sanity_checks(explainer, data[0][:1], n_repeats=1)
    assert "single sample" in table.loc["random order", "why"]


def test_progress_bars(data, model, capsys):
    explainer = GarsonExplainer(model).fit(data[0])
    parameter_randomization(explainer, data[0], n_repeats=2, verbose=1)
    label_randomization(explainer, *data, n_repeats=1, verbose=1)
    shown = capsys.readouterr().err
    assert "6/6" in shown
    assert "1/1" in shown
    sanity_checks(explainer, data[0], n_repeats=2, verbose=1)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e, X, y: parameter_randomization(e, X, mode="all"), "mode='all' is not one of"),
        (lambda e, X, y: parameter_randomization(e, X, how="zero"), "how='zero' is not one of"),
        (lambda e, X, y: parameter_randomization(e, X, n_repeats=0), "n_repeats=0 must be"),
        (lambda e, X, y: label_randomization(e, X, y, n_repeats=0), "n_repeats=0 must be"),
        (lambda e, X, y: label_randomization(e, X, y[:5]), "inconsistent numbers of samples"),
        (lambda e, X, y: sanity_checks(e, X, max_similarity=1), "max_similarity=1 must be"),
        (lambda e, X, y: sanity_checks(e, X, n_repeats=0), "n_repeats=0 must be"),
    ],
    ids=["mode", "how", "repeats", "fits", "length", "limit", "checks"],
)
def test_bad_input(data, model, call, message):
    with pytest.raises(ValueError, match=message):
        call(GarsonExplainer(model).fit(data[0]), *data)


def test_what_is_no_explainer_of_one_estimator(data):
    forest = LogisticRegression().fit(*data)
    forest.feature_importances_ = np.ones(10)
    with pytest.raises(TypeError, match="LogisticRegression is not an explainer of one estimator"):
        parameter_randomization(forest, data[0])
