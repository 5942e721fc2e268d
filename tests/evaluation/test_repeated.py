"""Explainers that are fitted again and again, and everywhere that one explainer goes."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sknninterp import (
    Explanation,
    InfluentialScores,
    OldenExplainer,
    PWPExplainer,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.evaluation.agreement import ranks, stability, top_k
from sknninterp.evaluation.rank_aggregation import METHODS, consensus
from sknninterp.evaluation.repeated import RepeatedExplainer

NAMES = ["age", "bmi", "dose", "sex", "site", "stage"]
SMALL = TorchMLPClassifier((6,), max_epochs=15, lr=0.05)


@pytest.fixture(scope="module", name="X")
def samples():
    values = np.random.default_rng(0).normal(size=(90, 6))
    return pd.DataFrame(values, columns=NAMES, index=[f"patient {i}" for i in range(90)])


@pytest.fixture(scope="module", name="y")
def labels(X):
    """Three classes by dose, and age a bit."""
    score = X["dose"] + 0.3 * X["age"]
    return pd.Series(np.array(["low", "middle", "high"])[np.digitize(score, [-0.5, 0.5])])


@pytest.fixture(scope="module")
def fitted(X, y):
    return RepeatedExplainer(PWPExplainer(SMALL), n_repeats=5, random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def forests(X, y):
    forest = RandomForestClassifier(3)
    return RepeatedExplainer(forest, n_repeats=6, random_state=0, confidence_level=0.8).fit(X, y)


# --- scikit-learn's own checks ------------------------------------------------------------------

QUICK = {"max_epochs": 10, "lr": 0.05}


@parametrize_with_checks(
    [
        RepeatedExplainer(OldenExplainer(TorchMLPRegressor((8,), **QUICK)), 1, consensus="rra"),
        RepeatedExplainer(RandomForestClassifier(5), 2, consensus="mean_rank"),
        # Seeded: its halves hold the row that a check spoils.
        RepeatedExplainer(
            Lasso(0.01), 2, resampling="subsample", consensus="borda", random_state=1
        ),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# --- what is fitted -----------------------------------------------------------------------------


def test_importances_are_those_of_the_repeats(fitted):
    importances = fitted.all_importances_
    assert importances.shape == (5, 6)
    assert importances.columns.tolist() == NAMES
    for row, explainer in zip(importances.to_numpy(), fitted.explainers_, strict=True):
        assert_allclose(row, explainer.feature_importances_, atol=1e-15)
    assert importances.nunique().min() == 5
    assert fitted.feature_importances_.argmax() == NAMES.index("dose")


def test_everything_is_refitted_for_each_repeat(X, y):
    network = clone(SMALL).fit(X, y)
    model = RepeatedExplainer(PWPExplainer(network), 2, random_state=0).fit(X, y)
    weights = [one.estimator_.module_ for one in model.explainers_] + [network.module_]
    firsts = [next(module.parameters()).detach().numpy() for module in weights]
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert not np.allclose(firsts[i], firsts[j])


@pytest.mark.parametrize("resampling", ["seed", "subsample"])
def test_results_do_not_depend_on_the_number_of_jobs(X, y, resampling, global_rng_untouched):
    options = {"n_repeats": 3, "resampling": resampling, "random_state": 7}
    one, two = (
        RepeatedExplainer(PWPExplainer(SMALL), n_jobs=n_jobs, **options).fit(X, y)
        for n_jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one.all_importances_, two.all_importances_)
    # In two stacks, and in one.
    assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-12)


def test_the_first_of_many_repeats_are_those_of_few(X, y, fitted):
    few = RepeatedExplainer(PWPExplainer(SMALL), 2, random_state=0).fit(X, y)
    pd.testing.assert_frame_equal(few.all_importances_, fitted.all_importances_[:2])
    other = RepeatedExplainer(PWPExplainer(SMALL), 2, random_state=1).fit(X, y)
    assert not np.allclose(other.all_importances_, few.all_importances_)


def test_seeds_change_nothing_where_nothing_is_random_and_samples_do(X):
    target, lasso = X["dose"] + X["age"], Lasso(alpha=0.1)
    found = {
        how: RepeatedExplainer(lasso, 4, resampling=how, random_state=0)
        .fit(X, target)
        .importances_std_.max()
        for how in ("seed", "bootstrap", "subsample")
    }
    assert found["seed"] == 0
    assert found["bootstrap"] > 1e-4
    assert found["subsample"] > 1e-4


def test_size_of_a_subsample(X):
    class Counted(DecisionTreeRegressor):
        def fit(self, X, y):
            self.rows_ = len(X)
            return super().fit(X, y)

    for share, n_rows in [(0.5, 45), (0.2, 18)]:
        options = {"resampling": "subsample", "subsample": share}
        model = RepeatedExplainer(Counted(), 2, **options).fit(X, X["age"])
        assert [one.rows_ for one in model.explainers_] == [n_rows] * 2


def test_no_class_is_lost(X):
    y = np.array(["rare"] + ["a", "b"] * 44 + ["a"])
    options = {"resampling": "subsample", "subsample": 0.1, "random_state": 0}
    model = RepeatedExplainer(LogisticRegression(), 10, **options).fit(X, y)
    assert all(one.classes_.tolist() == ["a", "b", "rare"] for one in model.explainers_)


def test_the_default_is_pwp():
    model = RepeatedExplainer()
    assert isinstance(model._base, PWPExplainer)
    assert is_classifier(model)
    assert hasattr(model, "explain")
    assert hasattr(model, "predict_proba")
    assert model.explainer is None


# --- ranking and spread -------------------------------------------------------------------------


def test_ranking(forests):
    table, rows = forests.ranking_, forests.all_importances_
    assert sorted(table.index) == NAMES
    assert (np.diff(table["importance"]) <= 0).all()
    assert table["importance"].sum() == pytest.approx(1)
    for name in NAMES:
        values, places = rows[name].to_numpy(), ranks(rows)[name].to_numpy()
        row = table.loc[name]
        assert row["importance"] == pytest.approx(values.mean())
        assert row["mean"] == pytest.approx(values.mean())
        assert row["std"] == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 5))
        # The 10 % point of six is half way between the first and the second.
        ordered, placed = np.sort(values), np.sort(places)
        assert row["lower"] == pytest.approx(ordered[:2].mean())
        assert row["upper"] == pytest.approx(ordered[-2:].mean())
        assert row["mean_rank"] == pytest.approx(places.mean())
        assert row["rank_lower"] == pytest.approx(placed[:2].mean())
        assert row["rank_upper"] == pytest.approx(placed[-2:].mean())
        interval = forests.importances_interval_.loc[name]
        assert interval.tolist() == [row["lower"], row["upper"]]
        assert forests.importances_mean_[name] == row["mean"]
        assert forests.importances_std_[name] == row["std"]


@pytest.mark.parametrize("method", METHODS)
def test_consensus(X, y, method, forests):
    model = clone(forests).set_params(consensus=method).fit(X, y)
    pd.testing.assert_frame_equal(model.all_importances_, forests.all_importances_)
    scores = consensus(model.all_importances_, method)
    assert_allclose(model.feature_importances_, scores / scores.sum())
    assert model.ranking_.index[0] == "dose"
    assert (np.diff(model.ranking_["importance"]) <= 0).all()


def test_selection_frequencies(forests):
    frequencies = forests.selection_frequency_(2)
    expected = top_k(forests.all_importances_, 2).mean()
    assert frequencies.to_dict() == expected.to_dict()
    assert frequencies.sum() == pytest.approx(2)
    paths = forests.selection_frequency_([1, 2, 6])
    assert paths.columns.tolist() == [1, 2, 6]
    assert paths.index.tolist() == NAMES
    assert_array_equal(paths[2], frequencies)
    assert (paths[6] == 1).all()
    with pytest.raises(ValueError, match="k=7 "):
        forests.selection_frequency_(7)
    with pytest.raises(ValueError, match=r"k=10 .* number of features, 6"):
        forests.selection_frequency_()


def test_features_that_are_never_used_are_never_selected(X):
    model = RepeatedExplainer(Lasso(alpha=0.3), 3, resampling="bootstrap").fit(X, X["dose"])
    assert model.selection_frequency_(6).to_dict() == {name: name == "dose" for name in NAMES}
    assert model.feature_importances_.tolist() == [0, 0, 1, 0, 0, 0]


def test_repeats_that_use_no_feature(X):
    model = RepeatedExplainer(Lasso(alpha=100), 3).fit(X, X["dose"])
    assert model.feature_importances_.tolist() == [0] * 6
    assert np.isnan(model.stability_(2).loc["kendall", "stability"])


def test_stability(forests):
    expected = stability(forests.all_importances_, 2, confidence_level=0.8)
    pd.testing.assert_frame_equal(forests.stability_(2), expected)
    with pytest.raises(ValueError, match="k=7 "):
        forests.stability_(7)


def test_one_repeat_has_a_ranking_but_no_spread(X, y):
    model = RepeatedExplainer(LogisticRegression(), 1).fit(X, y)
    assert model.ranking_.columns.tolist() == ["importance", "mean", "mean_rank"]
    assert model.ranking_.index[0] == "dose"
    assert model.selection_frequency_(1)["dose"] == 1
    for ask in (
        lambda: model.importances_std_,
        lambda: model.importances_interval_,
        lambda: model.stability_(2),
    ):
        with pytest.raises(ValueError, match="n_repeats=1: .* at least 2"):
            ask()


def test_one_repeat_has_no_interval_of_contributions(X, y):
    model = RepeatedExplainer(PWPExplainer(SMALL), 1, random_state=0).fit(X, y)
    assert_allclose(model.explain(X).values, model.explainers_[0].explain(X).values)
    with pytest.raises(ValueError, match="n_repeats=1"):
        model.explain_interval(X)


# --- explain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, "low", ["low", "high"]], ids=str)
def test_explanation_is_the_mean(fitted, X, target):
    found = fitted.explain(X[:7], target)
    each = [one.explain(X[:7], target) for one in fitted.explainers_]
    assert_allclose(found.values, np.mean([one.values for one in each], axis=0), rtol=1e-6)
    assert_array_equal(found.output_names, each[0].output_names)
    assert found.sample_names.tolist() == X.index[:7].tolist()
    assert found.feature_names.tolist() == NAMES
    assert_array_equal(found.data, X[:7])
    assert found.method == "PWP, mean of 5"
    every = fitted.explain_all(X[:7], target)
    assert [isinstance(one, Explanation) for one in every] == [True] * 5
    for one, two in zip(every, each, strict=True):
        assert_array_equal(one.values, two.values)


def test_predicted_is_what_the_repeats_predict_together(X, y):
    weak = TorchMLPClassifier((3,), max_epochs=1)
    model = RepeatedExplainer(InfluentialScores(weak), 4, random_state=0).fit(X, y)
    predicted = model.predict(X)
    assert any((one.predict(X) != predicted).any() for one in model.explainers_)
    found, every = model.explain(X, "predicted"), model.explain(X)
    for i, label in enumerate(predicted):
        assert_allclose(found.values[i], every.output(label).values[i], rtol=1e-5, atol=1e-12)
    assert found.target.tolist() == predicted.tolist()
    assert_allclose(model.transform(X), found.values)
    assert len(model.explain_all(X, "predicted")) == 4


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_predicted_of_a_single_logit_has_the_sign_of_the_class(X):
    y = np.where(X["dose"] > 0, "well", "ill")
    network = MLPClassifier((4,), max_iter=30)
    model = RepeatedExplainer(PWPExplainer(network, signed=True), 3, random_state=0).fit(X, y)
    sign = np.where(model.predict(X) == "well", 1, -1)[:, None]
    logit = np.mean([one.explain(X).values[..., 0] for one in model.explainers_], axis=0)
    assert_allclose(model.explain(X, "predicted").values, sign * logit)
    assert_allclose(model.transform(X), logit)


def test_interval_of_contributions(fitted, X):
    lower, upper = fitted.explain_interval(X[:4], "low")
    each = np.stack([one.explain(X[:4], "low").values for one in fitted.explainers_])
    # 2.5 % of five is a tenth of the way from the first to the second.
    ordered = np.sort(each, axis=0)
    assert_allclose(lower.values, 0.9 * ordered[0] + 0.1 * ordered[1], rtol=1e-5)
    assert_allclose(upper.values, 0.9 * ordered[-1] + 0.1 * ordered[-2], rtol=1e-5)
    assert lower.output_names == upper.output_names == "low"


def test_explain_in_batches(fitted, X):
    parts = list(fitted.explain_batches(X, "low", batch_size=40))
    assert [len(part) for part in parts] == [40, 40, 10]
    found = np.concatenate([part.values for part in parts])
    assert_allclose(found, fitted.explain(X, "low").values, rtol=1e-5)


def test_regressors_and_targets_that_are_not_there(X):
    model = RepeatedExplainer(OldenExplainer(TorchMLPRegressor((4,), max_epochs=2)), 2)
    assert is_regressor(model)
    model.fit(X, X["dose"])
    each = [one.transform(X) for one in model.explainers_]
    assert_allclose(model.transform(X), np.mean(each, axis=0))
    with pytest.raises(ValueError, match="none is predicted here"):
        model.explain(X, "predicted")
    with pytest.raises(ValueError, match="target='low' is not an output"):
        model.explain(X, "low")


def test_other_columns_than_in_fit(fitted, X):
    for ask in (fitted.explain, fitted.transform, fitted.predict, fitted.explain_interval):
        with pytest.raises(ValueError, match="feature names should match"):
            ask(X.iloc[:, :4])


def test_images():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 1, 4, 3)).astype(np.float32), np.arange(20) % 2

    def network(n_inputs, n_outputs):
        layers = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(24, n_outputs)]
        return nn.Sequential(*layers)

    inner = PWPExplainer(TorchMLPClassifier(module=network, max_epochs=1))
    model = RepeatedExplainer(inner, 2, random_state=0).fit(X, y)
    assert model.feature_importances_.shape == (1, 4, 3)
    assert model.all_importances_.columns.tolist() == [*np.ndindex(1, 4, 3)]
    assert model.ranking_.shape == (12, 8)
    assert model.explain(X).values.shape == (20, 1, 4, 3, 2)
    assert model.transform(X).shape == (20, 12)


# --- estimators that are no explainers ----------------------------------------------------------


def test_estimators_have_a_ranking_but_no_explanation(forests, X, y):
    for name in ("explain", "explain_all", "explain_interval", "explain_batches", "transform"):
        assert not hasattr(forests, name)
        assert not hasattr(RepeatedExplainer(Lasso()), name)
    assert not hasattr(forests, "fit_transform")
    assert get_tags(forests).transformer_tags is None
    assert not hasattr(forests, "get_feature_names_out")
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    for getter in ("auto", "named_steps.logisticregression.coef_", lambda fitted: fitted[-1].coef_):
        model = RepeatedExplainer(pipeline, 2, importance_getter=getter).fit(X, y)
        assert model.ranking_.index[0] == "dose"
        assert not hasattr(model, "transform")


# --- wherever an explainer goes -----------------------------------------------------------------


def test_select_from_model(X, y):
    inner = RepeatedExplainer(PWPExplainer(SMALL), 2, random_state=0)
    selector = SelectFromModel(inner, max_features=2, threshold=-np.inf).fit(X, y)
    best = selector.estimator_.ranking_.index[:2]
    assert set(selector.get_feature_names_out()) == set(best)
    pipeline = make_pipeline(StandardScaler(), selector, LogisticRegression()).fit(X, y)
    assert pipeline.score(X, y) > 0.7


def test_grid_search(X, y):
    model = RepeatedExplainer(PWPExplainer(SMALL), 2, random_state=0)
    grid = {"explainer__estimator__max_epochs": [1, 20], "consensus": ["mean", "rra"]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert search.best_params_["explainer__estimator__max_epochs"] == 20
    assert search.best_estimator_.ranking_.index[0] == "dose"
    auc = GridSearchCV(model, {}, cv=2, scoring="roc_auc_ovr").fit(X, y)
    assert 0.5 < auc.best_score_ <= 1


def test_set_output_and_a_pipeline(X, y):
    model = RepeatedExplainer(PWPExplainer(SMALL), 2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), clone(model)).set_output(transform="pandas")
    table = pipeline.fit(X, y).transform(X)
    assert table.columns.tolist() == NAMES
    assert table.index.equals(X.index)
    assert pipeline.get_feature_names_out().tolist() == NAMES
    plain = clone(model).fit(X, y)
    assert isinstance(plain.transform(X), np.ndarray)
    inner = PWPExplainer(SMALL).set_output(transform="pandas")
    found = clone(model).set_params(explainer=inner).fit(X, y > "low").transform(X)
    assert isinstance(found, np.ndarray)
    assert_allclose(found, plain.fit(X, y > "low").transform(X))


def test_parameters_that_change_later_change_no_means(X, y):
    model = RepeatedExplainer(OldenExplainer(SMALL), 2, random_state=0).fit(X, y > "low")
    before = model.transform(X)
    assert_array_equal(model.set_params(n_repeats=9).transform(X), before)
    assert_allclose(before, model.explain(X, True).values)


def test_pickle_and_clone(fitted, X, y):
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.transform(X), fitted.transform(X))
    pd.testing.assert_frame_equal(again.ranking_, fitted.ranking_)
    assert not hasattr(clone(fitted), "explainers_")
    refitted = clone(fitted).fit(X, y)
    pd.testing.assert_frame_equal(refitted.ranking_, fitted.ranking_)


def test_repeats_of_repeats(X, y):
    inner = RepeatedExplainer(PWPExplainer(SMALL), 2)
    model = RepeatedExplainer(inner, 2, random_state=0).fit(X, y)
    assert model.explain(X[:3], "predicted").values.shape == (3, 6)
    assert model.transform(X).shape == (90, 6)


ONE_BY_ONE = clone(SMALL).set_params(dropout=0.1)


@pytest.mark.parametrize("inner", [LogisticRegression(), *map(PWPExplainer, (SMALL, ONE_BY_ONE))])
def test_backends_of_joblib(X, y, inner):
    model = RepeatedExplainer(inner, 3, resampling="bootstrap", random_state=0)
    expected = clone(model).fit(X, y).all_importances_
    with joblib.parallel_config("threading", n_jobs=2):
        pd.testing.assert_frame_equal(model.fit(X, y).all_importances_, expected)


def test_progress_bar(X, y, capsys):
    model = RepeatedExplainer(LogisticRegression(), 3).fit(X, y)
    assert capsys.readouterr() == ("", "")
    model.set_params(verbose=1).fit(X, y)
    assert "3/3" in capsys.readouterr().err


# --- columns of pipelines -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def rare(X):
    """A column with a category that few samples have."""
    X = X[["age", "dose"]].assign(site=["c", "b", *["a", "b"] * 44])
    return X, (X["dose"] > 0).astype(int)


def encoded(**options):
    encode = make_column_transformer(
        (OneHotEncoder(**options), ["site"]), remainder=StandardScaler()
    )
    return make_pipeline(encode, TorchMLPClassifier((4,), max_epochs=2))


def test_categories_that_a_resample_lacks(rare):
    X, y = rare
    options = {"resampling": "bootstrap", "random_state": 1}
    explainer = PWPExplainer(encoded(handle_unknown="ignore"))
    model = RepeatedExplainer(explainer, 8, **options).fit(X, y)
    widths = {one.estimator_[0].transform(X).shape[1] for one in model.explainers_}
    assert widths == {4, 5}
    assert model.all_importances_.columns.tolist() == ["age", "dose", "site"]
    assert model.explain(X).values.shape == (90, 3, 2)
    explainer.set_params(columns="transformed")
    with pytest.raises(ValueError, match=r"lacks \['onehotencoder__site_c'\].*columns='original'"):
        RepeatedExplainer(explainer, 8, **options).fit(X, y)


def test_scaled_data_differ_between_resamples(rare):
    X, y = rare
    explainer = PWPExplainer(encoded(), columns="transformed")
    model = RepeatedExplainer(explainer, 2, resampling="subsample", subsample=0.9, random_state=0)
    assert model.fit(X, y).explain(X[5:]).data is None
    assert model.set_params(resampling="seed").fit(X, y).explain(X[5:]).data is not None
    original = model.set_params(explainer__columns="original", resampling="bootstrap")
    assert_array_equal(original.fit(X[1:], y[1:]).explain(X[5:]).data, X[5:])


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("explainer", "message"),
    [
        (FrozenEstimator(LogisticRegression()), "explainer is a FrozenEstimator"),
        (PWPExplainer(nn.Linear(6, 3)), "explainer.estimator is a Linear"),
        (PWPExplainer(RandomForestClassifier()), "RandomForestClassifier holds no network"),
    ],
    ids=["frozen", "module", "no network"],
)
def test_what_cannot_be_repeated(explainer, message, X, y):
    with pytest.raises((ValueError, TypeError), match=message):
        RepeatedExplainer(explainer, 2).fit(X, y)


class Odd(Lasso):
    """An estimator whose importances are wrong in one repeat."""

    def __init__(self, kind="nan", random_state=None):
        super().__init__(random_state=random_state)
        self.kind = kind

    def fit(self, X, y):
        super().fit(X, y)
        if self.random_state % 2:
            self.coef_ = np.full(6, np.nan) if self.kind == "nan" else self.coef_[:4]
        return self


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", r"Odd: 6 of 6 importances are NaN(.|\n)*in repeat [1-5]\."),
        ("shape", r"different features, 4 here and 6 before(.|\n)*in repeat [1-5]\."),
    ],
    ids=["nan", "shape"],
)
def test_importances_that_cannot_be(kind, message, X):
    with pytest.raises(ValueError, match=message):
        RepeatedExplainer(Odd(kind), 6, random_state=0).fit(X, X["dose"])


@pytest.mark.parametrize(
    "options",
    [
        {"n_repeats": 0},
        {"resampling": "jackknife"},
        {"subsample": 1.0},
        {"consensus": "median"},
        {"confidence_level": 95},
        {"explainer": "PWP"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_parameters_are_checked(options, X, y):
    with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter"):
        RepeatedExplainer(**{"explainer": LogisticRegression(), **options}).fit(X, y)


def test_samples_and_labels_of_different_numbers(X, y):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        RepeatedExplainer(LogisticRegression(), resampling="bootstrap").fit(X, y[:-1])


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, X: model.explain(X),
        lambda model, X: model.transform(X),
        lambda model, X: model.predict(X),
        lambda model, X: model.ranking_,
        lambda model, X: model.importances_mean_,
        lambda model, X: model.importances_std_,
        lambda model, X: model.stability_(2),
        lambda model, X: model.selection_frequency_(2),
        lambda model, X: model.get_feature_names_out(),
    ],
)
def test_not_fitted(ask, X):
    with pytest.raises(NotFittedError):
        ask(RepeatedExplainer(), X)
