"""Attributions summed to original columns; origins against perturbation of the input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from sknninterp.explainers.columns import (
    ColumnOriginError,
    column_origins,
    register_origins,
    sum_to_original,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # few rows, constant columns: fits warn

N_ROWS = 40


class Stateless(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True


# --- the oracle: perturb one input column, see which output columns change -----------------------


def as_array(X):
    return X.toarray() if sparse.issparse(X) else np.asarray(X)


def with_column(X, j, values):
    """A copy of X with other values in column j."""
    X = X.copy()
    if isinstance(X, pd.DataFrame):
        X[X.columns[j]] = pd.Series(values, index=X.index, dtype=X.dtypes.iloc[j])
    else:
        X[:, j] = values
    return X


def changed_outputs(transformer, X, n_perturbations=8):
    """Does output column i change with input column j? Of shape (n_out, n_in)."""
    rng = np.random.default_rng(0)
    before = as_array(transformer.transform(X)).astype(float)
    changed = np.zeros((before.shape[1], X.shape[1]), dtype=bool)
    for j in range(X.shape[1]):
        valid = X.iloc[:, j].to_numpy() if isinstance(X, pd.DataFrame) else X[:, j]
        for _ in range(n_perturbations):
            other = with_column(X, j, rng.choice(valid, size=len(X)))
            after = as_array(transformer.transform(other)).astype(float)
            changed[:, j] |= ~((before == after) | (np.isnan(before) & np.isnan(after))).all(axis=0)
    return changed, before


def assert_changes_agree(transformer, X, every_share=True):
    """Claimed and seen origins are the same.

    A share of several (in a product, say) need not show where what comes after is coarse (bins);
    with `every_share=False` one of them must.
    """
    origins = column_origins(transformer, X.shape[1])
    changed, output = changed_outputs(transformer, X)
    assert origins.shape == changed.shape
    claimed = origins.toarray() > 0
    assert_array_equal(changed & ~claimed, False)
    # The values come from X: a column that is constant over X need not show where it is from.
    varies = ~((output == output[:1]) | (np.isnan(output) & np.isnan(output[:1]))).all(axis=0)
    moved = np.array([len(pd.unique(column)) > 1 for column in np.asarray(X, dtype=object).T])
    single = claimed.sum(axis=1) == 1
    exact = np.ix_(varies & (every_share | single), moved)
    assert_array_equal(changed[exact], claimed[exact])
    assert_array_equal(changed[varies].any(axis=1), claimed[varies].any(axis=1))
    sums = np.asarray(origins.sum(axis=1)).ravel()
    assert_allclose(sums[varies], 1)
    assert ((np.abs(sums - 1) < 1e-12) | (sums == 0)).all()


NUMERIC_KINDS = ("real", "count", "flag", "gappy", "constant")


OTHER_KINDS = ("binary", "category", "gappy_category", "rare")


def make_column(kind, rng):
    column = {
        "real": lambda: rng.normal(size=N_ROWS),
        "count": lambda: rng.poisson(3, size=N_ROWS).astype(float),
        "flag": lambda: rng.permutation([0.0, 1.0] * (N_ROWS // 2)),
        "gappy": lambda: np.where(rng.random(N_ROWS) < 0.3, np.nan, rng.normal(size=N_ROWS)),
        "constant": lambda: np.full(N_ROWS, 2.0),
        "binary": lambda: rng.permutation(["no", "yes"] * (N_ROWS // 2)),
        "category": lambda: rng.choice([*"abcd"], size=N_ROWS),
        "gappy_category": lambda: rng.choice(["a", "b", None], size=N_ROWS),
        "rare": lambda: rng.permutation(["a"] * (N_ROWS - 5) + [*"bbcde"]),
    }[kind]()
    return pd.Series(column, dtype=object if kind in OTHER_KINDS else float)


def numeric_leaves():
    return st.sampled_from(
        [
            "passthrough",
            StandardScaler(),
            QuantileTransformer(n_quantiles=10),
            FunctionTransformer(np.exp),
            KBinsDiscretizer(3, encode="onehot-dense"),
            KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
            PolynomialFeatures(2, include_bias=False),
            PolynomialFeatures(2, interaction_only=True),
            VarianceThreshold(),
            SplineTransformer(n_knots=3, degree=2, knots="uniform"),
            ColumnTransformer([("first", StandardScaler(), [0])], remainder="passthrough"),
            ColumnTransformer([("last", "drop", [-1])], remainder=KBinsDiscretizer(2)),
        ]
    ).map(fresh)


def fresh(transformer):
    return transformer if isinstance(transformer, str) else clone(transformer)


def named(parts):
    return [(f"part{i}", part) for i, part in enumerate(parts)]


@st.composite
def numeric_transformers(draw):
    """An imputer, for missing values may come, and then anything."""
    imputer = SimpleImputer(
        strategy=draw(st.sampled_from(["mean", "most_frequent"])), add_indicator=draw(st.booleans())
    )
    step = st.one_of(
        numeric_leaves(),
        st.lists(numeric_leaves(), min_size=1, max_size=2).map(lambda p: Pipeline(named(p))),
        st.lists(numeric_leaves(), min_size=1, max_size=2).map(lambda p: FeatureUnion(named(p))),
    )
    transformer = make_pipeline(imputer, *draw(st.lists(step, max_size=2)))
    parts = transformer.get_params().values()
    assume(sum(isinstance(part, PolynomialFeatures) for part in parts) < 2)  # few columns
    return transformer


def category_transformers():
    return st.one_of(
        st.builds(
            OneHotEncoder,
            drop=st.sampled_from([None, "first", "if_binary"]),
            min_frequency=st.sampled_from([None, 4]),
            max_categories=st.sampled_from([None, 2, 3]),
            sparse_output=st.booleans(),
        ),
        st.just(OrdinalEncoder()),
        st.just(make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())),
        st.just(FeatureUnion([("order", OrdinalEncoder()), ("one_hot", OneHotEncoder())])),
        st.just("drop"),
    ).map(fresh)


@st.composite
def specified(draw, positions, names):
    """The same columns by name, by position, as a mask, or as what a function answers."""
    chosen = [names[j] for j in positions]
    mask = np.isin(np.arange(len(names)), positions)
    styles = [chosen, list(positions), lambda X: chosen]
    if sorted(positions) == list(positions):
        styles += [mask]
    return draw(st.sampled_from(styles))


@st.composite
def mixed_problems(draw):
    """A mixed frame and a column transformer for it, fitted, with steps behind it."""
    kinds = draw(st.lists(st.sampled_from(NUMERIC_KINDS + OTHER_KINDS), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    # Names that contain each other and underscores must not matter.
    names = ["a", "a_b", "b", "x0", "a_1"][: len(kinds)]
    X = pd.DataFrame({n: make_column(kind, rng) for n, kind in zip(names, kinds, strict=True)})
    blocks = []
    for kind_group, transformers in (
        (NUMERIC_KINDS, numeric_transformers()),
        (OTHER_KINDS, category_transformers()),
    ):
        columns = [j for j, kind in enumerate(kinds) if kind in kind_group]
        columns = draw(st.permutations(columns))
        n_blocks = draw(st.integers(1, 2))
        for block in np.array_split(np.array(columns, dtype=int), n_blocks):
            block = block.tolist()
            blocks.append((draw(transformers), draw(specified(block, names))))
    transformer = make_column_transformer(
        *blocks, sparse_threshold=draw(st.sampled_from([0, 0.3, 1]))
    )
    behind = st.sampled_from([MaxAbsScaler(), VarianceThreshold(), "passthrough"]).map(fresh)
    return make_pipeline(transformer, *draw(st.lists(behind, max_size=2))), X


def fit_or_reject(transformer, X):
    try:
        output = transformer.fit_transform(X)
    except ValueError:  # scikit-learn's: nothing varies, or a spline of a constant
        assume(False)
    assume(output.shape[1] > 0)


@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(problem=mixed_problems())
def test_origins_are_what_perturbation_finds(problem):
    pipeline, X = problem
    fit_or_reject(pipeline, X)
    assert_changes_agree(pipeline, X, every_share=False)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16), transformer=numeric_transformers())
def test_perturbation_of_arrays(seed, transformer):
    rng = np.random.default_rng(seed)
    X = np.column_stack([make_column(kind, rng) for kind in ("real", "gappy", "flag")])
    fit_or_reject(transformer, X)
    assert_changes_agree(transformer, X, every_share=False)


def test_perturbation_of_products(numbers):
    powers = PolynomialFeatures(3).fit(numbers[:, :2])
    assert_changes_agree(powers, numbers[:, :2])


def test_perturbation_of_columns_encoded_for_each_class():
    rng = np.random.default_rng(0)
    X = np.column_stack([make_column(kind, rng) for kind in ("binary", "category", "rare")])
    encoder = TargetEncoder().fit(X, [*"abcd"] * (N_ROWS // 4))
    assert_changes_agree(encoder, X)


def test_the_oracle_finds_a_wrong_origin(numbers):
    class Swapping(Stateless):
        def transform(self, X):
            return X[:, ::-1]

        def get_feature_names_out(self, input_features=None):
            return np.array(["x0", "x1", "x2", "x3"])  # a lie

    with pytest.raises(AssertionError):
        assert_changes_agree(Swapping(), numbers)


# --- rules of others -----------------------------------------------------------------------------


def test_register_origins(numbers):
    class Differences(Stateless):
        def transform(self, X):
            return X[:, 1:] - X[:, :-1]

    class Inheriting(Differences):
        pass

    pipeline = make_pipeline(StandardScaler(), Inheriting()).fit(numbers)
    with pytest.raises(ColumnOriginError, match="inheriting: Inheriting does not name"):
        column_origins(pipeline, 4)

    def halves(transformer, n_features_in, feature_names_in):
        return (np.eye(n_features_in)[1:] + np.eye(n_features_in)[:-1]) / 2

    register_origins(Differences, halves)
    expected = [[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0.5, 0.5]]
    assert_array_equal(column_origins(pipeline, 4).toarray(), expected)
    assert_changes_agree(pipeline, numbers)


@pytest.mark.parametrize(
    "wrong",
    [np.eye(3), np.full((2, 4), 0.5), np.array([[2.0, -1.0, 0, 0]]), np.full((1, 4), np.nan)],
    ids=["columns", "sums", "negative", "nan"],
)
def test_registered_origins_are_checked(wrong):
    class Teaching(Stateless):
        pass

    register_origins(Teaching, lambda *_: wrong)
    with pytest.raises(ValueError, match=r"origins of Teaching must be .*\(n_features_out, 4\)"):
        column_origins(Teaching(), 4)


def test_register_origins_takes_a_class_and_a_function():
    with pytest.raises(TypeError, match="transformer_class must be a class, got StandardScaler()"):
        register_origins(StandardScaler(), len)
    with pytest.raises(TypeError, match="function must be callable, got None"):
        register_origins(StandardScaler, None)


# --- sums ----------------------------------------------------------------------------------------


def sum_naively(values, origins):
    summed = np.zeros((len(values), origins.shape[1], *values.shape[2:]))
    for i, j in np.ndindex(*origins.shape):
        for sample in range(len(values)):
            summed[sample, j] += values[sample, i] * origins[i, j]
    return summed


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**16),
    n_samples=st.integers(0, 3),
    n_transformed=st.integers(0, 5),
    n_original=st.integers(1, 4),
    trailing=st.lists(st.integers(0, 3), max_size=2),
    dtype=st.sampled_from([np.float32, np.float64, np.int64]),
)
def test_sums_are_the_naive_sums(seed, n_samples, n_transformed, n_original, trailing, dtype):
    rng = np.random.default_rng(seed)
    values = (10 * rng.normal(size=(n_samples, n_transformed, *trailing))).astype(dtype)
    origins = rng.choice([0, 0, 0.25, 1], size=(n_transformed, n_original))
    summed = sum_to_original(values, sparse.csr_matrix(origins))
    assert_allclose(summed, sum_naively(values, origins), rtol=1e-5, atol=1e-5)
    assert summed.dtype == (np.float32 if dtype == np.float32 else np.float64) or np.array_equal(
        origins, np.eye(n_transformed)
    )


def test_identity_copies_nothing():
    values = np.zeros((104, 22_283, 2), dtype=np.float32)
    scaler = StandardScaler().fit(np.zeros((2, 22_283)))
    assert sum_to_original(values, column_origins(scaler, 22_283)) is values


def test_permutation_is_not_taken_for_the_identity():
    origins = sparse.csr_matrix([[0.0, 1.0], [1.0, 0.0]])
    assert_array_equal(sum_to_original(np.array([[1.0, 2.0]]), origins), [[2.0, 1.0]])


def test_attributions_are_conserved(frame):
    transformer = make_column_transformer(
        (OneHotEncoder(), ["site", "sex"]),
        (SimpleImputer(add_indicator=True), ["dose"]),
        remainder="drop",
    ).fit(frame)
    values = np.random.default_rng(0).normal(size=(7, 8, 3))
    summed = sum_to_original(values, column_origins(transformer, 5))
    assert summed.shape == (7, 5, 3)
    assert_allclose(summed.sum(axis=1), values.sum(axis=1))
    assert_array_equal(summed[:, [0, 4]], 0)  # age and note went into nothing
    assert_allclose(summed[:, 3], values[:, :4].sum(axis=1))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 5, 1)])
def test_values_of_another_width(shape):
    with pytest.raises(ValueError, match=rf"shape \(n_samples, 4, \.\.\.\), got \({shape[0]}"):
        sum_to_original(np.zeros(shape), sparse.eye(4))
