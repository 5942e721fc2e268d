"""Column origins: exact matrices, and perturbation of the input as the oracle."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.cluster import FeatureAgglomeration, KMeans
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import NMF, PCA, KernelPCA, TruncatedSVD
from sklearn.ensemble import RandomTreesEmbedding
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.feature_selection import (
    RFE,
    SelectFromModel,
    SelectKBest,
    SequentialFeatureSelector,
    VarianceThreshold,
    f_classif,
)
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.random_projection import GaussianRandomProjection

from sknninterp.explainers.columns import (
    ColumnOriginError,
    column_origins,
    original_feature_names,
    register_origins,
    sum_to_original,
    transformed_feature_names,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # few rows, constant columns: fits warn

N_ROWS = 40


def columns_of(origins):
    """Column of each row, for origins in which every row has one."""
    assert sparse.isspmatrix_csr(origins)
    assert_array_equal(origins.data, 1)
    assert_array_equal(np.diff(origins.indptr), 1)
    return origins.indices.tolist()


@pytest.fixture
def numbers():
    return np.random.default_rng(0).normal(size=(N_ROWS, 4))


@pytest.fixture
def labels(numbers):
    return (numbers[:, 1] - numbers[:, 3] > 0).astype(int)


@pytest.fixture
def holes(numbers):
    """Column 0 is whole, 1 and 3 have missing values, 2 is empty."""
    holes = numbers.copy()
    holes[::5, 1] = holes[1::5, 3] = holes[:, 2] = np.nan
    return holes


@pytest.fixture
def codes():
    """Columns of 2, 3 and 5 categories; the last has two rare ones."""
    rng = np.random.default_rng(0)
    rare = ["a"] * 14 + ["b"] * 12 + ["c"] * 11 + ["d", "d", "e"]
    return np.column_stack(
        [rng.permutation(["n", "y"] * 20), rng.permutation([*"uvw"] * 13 + ["u"]), rare]
    ).astype(object)


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 10, N_ROWS),
            "sex": ["f", "m"] * 20,
            "dose": rng.exponential(size=N_ROWS),
            "site": [*"abcd"] * 10,
            "note": ["pain", "no pain today", "pain again", "well"] * 10,
        }
    )
    frame.loc[::7, "dose"] = np.nan
    return frame


# --- one transformer at a time: exact ------------------------------------------------------------


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        MinMaxScaler(),
        MaxAbsScaler(),
        RobustScaler(),
        Normalizer(),
        Binarizer(),
        PowerTransformer(),
        QuantileTransformer(n_quantiles=5),
        OrdinalEncoder(),
        KBinsDiscretizer(3, encode="ordinal"),
        FunctionTransformer(),
        FunctionTransformer(np.log1p),
        FunctionTransformer(lambda X: X**3, feature_names_out="one-to-one"),
        SimpleImputer(),
        KNNImputer(),
        IterativeImputer(max_iter=1),
        VarianceThreshold(),
        PolynomialFeatures(1, include_bias=False),
        TargetEncoder(),
    ],
    ids=repr,
)
def test_one_to_one(transformer, numbers, labels):
    n_out = transformer.fit_transform(numbers, labels).shape[1]
    assert n_out == 4
    assert columns_of(column_origins(transformer, 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("transformer", ["passthrough", None, [], Pipeline([])], ids=repr)
def test_nothing_done(transformer):
    assert columns_of(column_origins(transformer, 3)) == [0, 1, 2]


def test_drop():
    assert column_origins("drop", 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("parameters", "counts"),
    [
        ({}, [2, 3, 5]),
        ({"sparse_output": False}, [2, 3, 5]),
        ({"drop": "first"}, [1, 2, 4]),
        ({"drop": "if_binary"}, [1, 3, 5]),
        ({"drop": ["n", "w", "d"]}, [1, 2, 4]),
        ({"min_frequency": 5}, [2, 3, 4]),
        ({"min_frequency": 5, "drop": "first"}, [1, 2, 3]),
        ({"min_frequency": 5, "drop": ["y", "u", "b"]}, [1, 2, 3]),
        ({"max_categories": 2}, [2, 2, 2]),
        ({"max_categories": 2, "drop": "if_binary"}, [1, 1, 1]),
        ({"max_categories": 3, "handle_unknown": "infrequent_if_exist"}, [2, 3, 3]),
        ({"handle_unknown": "ignore"}, [2, 3, 5]),
        ({"handle_unknown": "warn"}, [2, 3, 5]),
        ({"categories": [["n", "y", "?"], [*"uvw"], [*"abcdef"]]}, [3, 3, 6]),
    ],
    ids=str,
)
def test_one_hot(parameters, counts, codes):
    encoder = OneHotEncoder(**parameters)
    assert encoder.fit_transform(codes).shape[1] == sum(counts)
    expected = np.repeat([0, 1, 2], counts).tolist()
    assert columns_of(column_origins(encoder, 3)) == expected


def test_one_hot_with_missing_as_a_category(codes):
    codes[3, 0], codes[4, 1] = None, np.nan
    encoder = OneHotEncoder().fit(codes)
    assert columns_of(column_origins(encoder, 3)) == [0] * 3 + [1] * 4 + [2] * 5


def test_one_hot_keeps_no_rare_categories_of_an_earlier_fit(codes):
    encoder = OneHotEncoder(min_frequency=5).fit(codes)
    encoder.set_params(min_frequency=None).fit(codes)
    assert len(columns_of(column_origins(encoder, 3))) == 10


def test_target_encoder_puts_out_a_column_per_class(codes):
    binary = TargetEncoder().fit(codes, [0, 1] * 20)
    assert columns_of(column_origins(binary, 3)) == [0, 1, 2]
    continuous = TargetEncoder().fit(codes, np.linspace(0, 1, N_ROWS))
    assert columns_of(column_origins(continuous, 3)) == [0, 1, 2]
    multiclass = TargetEncoder().fit(codes, [*"abcd"] * 10)
    assert columns_of(column_origins(multiclass, 3)) == [0] * 4 + [1] * 4 + [2] * 4
    assert_changes_agree(multiclass, pd.DataFrame(codes).to_numpy())


@pytest.mark.parametrize("encode", ["onehot", "onehot-dense"])
def test_bins(encode, numbers):
    numbers[:, 2] = 1  # one bin
    bins = KBinsDiscretizer([2, 3, 4, 5], encode=encode).fit(numbers)
    assert columns_of(column_origins(bins, 4)) == [0] * 2 + [1] * 3 + [2] + [3] * 5


@pytest.mark.parametrize(
    ("parameters", "width"),
    [
        ({}, 7),
        ({"include_bias": False}, 6),
        ({"extrapolation": "periodic"}, 4),
        ({"degree": 2, "n_knots": 3, "sparse_output": True}, 4),
    ],
    ids=str,
)
def test_splines(parameters, width, numbers):
    splines = SplineTransformer(**parameters).fit(numbers)
    assert columns_of(column_origins(splines, 4)) == np.repeat(np.arange(4), width).tolist()


def test_polynomial_splits_by_powers(numbers):
    polynomial = PolynomialFeatures(3).fit(numbers[:, :2])
    expected = {
        "1": [0, 0], "x0": [1, 0], "x1": [0, 1],
        "x0^2": [1, 0], "x0 x1": [1 / 2, 1 / 2], "x1^2": [0, 1],
        "x0^3": [1, 0], "x0^2 x1": [2 / 3, 1 / 3], "x0 x1^2": [1 / 3, 2 / 3], "x1^3": [0, 1],
    }  # fmt: skip
    assert list(expected) == list(polynomial.get_feature_names_out())
    origins = column_origins(polynomial, 2)
    assert_allclose(origins.toarray(), list(expected.values()))
    assert_array_equal(np.diff(origins.indptr)[0], 0)
    assert_changes_agree(polynomial, numbers[:, :2])


def test_rows_sum_to_one_after_a_product_with_a_constant(numbers):
    twice = make_pipeline(PolynomialFeatures(2), PolynomialFeatures(2)).fit(numbers[:, :2])
    origins = column_origins(twice, 2)
    sums = np.asarray(origins.sum(axis=1)).ravel()
    constant = np.ptp(twice.transform(numbers[:, :2]), axis=0) == 0
    assert constant.sum() == 3  # 1 (the new bias), 1 (the old one), 1^2
    assert_allclose(sums, np.where(constant, 0, 1))


@pytest.mark.parametrize(
    "imputer",
    [
        SimpleImputer(add_indicator=True),
        KNNImputer(add_indicator=True),
        IterativeImputer(add_indicator=True, max_iter=1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("keep_empty", [False, True])
def test_imputers_with_indicators(imputer, named, keep_empty, holes):
    X = pd.DataFrame(holes, columns=["a", "a_b", "x0", "x1"]) if named else holes
    if named and keep_empty and isinstance(imputer, IterativeImputer):
        pytest.skip("it writes into the frame's own memory")
    imputer = clone(imputer).set_params(keep_empty_features=keep_empty)
    n_out = imputer.fit_transform(X).shape[1]
    expected = ([0, 1, 2, 3] if keep_empty else [0, 1, 3]) + [1, 2, 3]
    assert n_out == len(expected)
    assert columns_of(column_origins(imputer, 4)) == expected


def test_imputer_of_repeated_names_that_drops_one(holes):
    imputer = SimpleImputer().fit(holes)
    imputer.feature_names_in_ = np.array([*"abbc"], dtype=object)  # as before scikit-learn 1.9
    with pytest.raises(ColumnOriginError, match="ambiguous: 'b' repeat"):
        column_origins(imputer, 4)
    whole = SimpleImputer().fit(np.nan_to_num(holes))
    whole.feature_names_in_ = imputer.feature_names_in_
    assert columns_of(column_origins(whole, 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
def test_simple_imputer_drops_what_is_empty(strategy, holes):
    imputer = SimpleImputer(strategy=strategy)
    n_out = imputer.fit_transform(holes).shape[1]
    # "constant" kept empty columns before scikit-learn 1.8.
    expected = [0, 1, 3] if n_out == 3 else [0, 1, 2, 3]
    assert columns_of(column_origins(imputer, 4)) == expected


@pytest.mark.parametrize(("features", "expected"), [("missing-only", [1, 2, 3]), ("all", range(4))])
def test_missing_indicator(features, expected, holes):
    indicator = MissingIndicator(features=features).fit(holes)
    assert columns_of(column_origins(indicator, 4)) == list(expected)


@pytest.mark.parametrize(
    "selector",
    [
        SelectKBest(f_classif, k=2),
        SelectFromModel(LogisticRegression(), max_features=2, threshold=-np.inf),
        RFE(LogisticRegression(), n_features_to_select=2),
        SequentialFeatureSelector(LogisticRegression(), n_features_to_select=2, cv=2),
    ],
    ids=lambda selector: type(selector).__name__,
)
def test_selectors(selector, numbers, labels):
    selector.fit(numbers, labels)
    assert columns_of(column_origins(selector, 4)) == [1, 3]


def test_selector_that_follows_the_convention_only(numbers):
    class OddColumns(Stateless):
        def transform(self, X):
            return X[:, 1::2]

        def get_support(self):
            return np.array([False, True, False, True])

    assert columns_of(column_origins(OddColumns(), 4)) == [1, 3]


def test_variance_threshold_drops(numbers):
    numbers[:, 0] = 3
    assert columns_of(column_origins(VarianceThreshold().fit(numbers), 4)) == [1, 2, 3]


# --- transformers of transformers ----------------------------------------------------------------


def test_feature_union(numbers):
    union = FeatureUnion(
        [
            ("scale", StandardScaler()),
            ("gone", "drop"),
            ("same", "passthrough"),
            ("bins", make_pipeline(VarianceThreshold(), KBinsDiscretizer(2))),
        ],
        transformer_weights={"scale": 2.0},
    ).fit(numbers)
    expected = [0, 1, 2, 3, 0, 1, 2, 3, 0, 0, 1, 1, 2, 2, 3, 3]
    assert columns_of(column_origins(union, 4)) == expected


def test_feature_union_of_nothing(numbers):
    assert column_origins(FeatureUnion([("gone", "drop")]), 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["dose", "age"], [2, 0]),
        (pd.Index(["dose", "age"]), [2, 0]),
        ([2, 0], [2, 0]),
        ([-3], [2]),
        (slice(0, 3, 2), [0, 2]),
        (slice("age", "age"), [0]),
        (np.array([True, False, True, False, False]), [0, 2]),
        ([True, False, True, False, False], [0, 2]),
        (pd.Series([True, False, True, False, False]), [0, 2]),
        (make_column_selector(dtype_include=float), [0, 2]),
        (lambda X: [c for c in X if c.endswith("e")], [0, 2, 3, 4]),
    ],
    ids=str,
)
@pytest.mark.parametrize("remainder", ["drop", "passthrough"])
def test_column_specifications(columns, expected, remainder, frame):
    frame = frame.fillna({"dose": 0.0})
    transformer = make_column_transformer(("passthrough", columns), remainder=remainder).fit(frame)
    rest = [j for j in range(5) if j not in expected] if remainder == "passthrough" else []
    origins = column_origins(transformer, 5)
    assert columns_of(origins) == expected + rest
    assert_array_equal(transformer.transform(frame), frame.to_numpy()[:, expected + rest])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (slice("sex", "site"), [1, 2, 3]),
        (slice(None, "sex"), [0, 1]),
        (slice("site", None), [3, 4]),
    ],
    ids=str,
)
def test_slices_of_names_include_their_end(columns, expected, frame):
    transformer = make_column_transformer(("passthrough", columns)).fit(frame)
    assert columns_of(column_origins(transformer, 5)) == expected


@pytest.mark.parametrize("sparse_threshold", [0, 0.3, 1])
@pytest.mark.parametrize("as_frame", [True, False])
def test_blocks_of_all_kinds(sparse_threshold, as_frame, frame):
    names = ["site", "sex", "dose"] if as_frame else [3, 1, 2]
    site, sex, dose = names
    transformer = make_column_transformer(
        (OneHotEncoder(drop="if_binary"), [site, sex]),
        ("drop", [site]),
        (StandardScaler(), []),
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), [dose]),
        (OrdinalEncoder(), [sex]),
        remainder=KBinsDiscretizer(3),
        sparse_threshold=sparse_threshold,
    )
    X = frame.drop(columns="note")
    transformer.fit(X if as_frame else X.to_numpy())
    expected = [3, 3, 3, 3, 1, 2, 2, 1, 0, 0, 0]
    assert columns_of(column_origins(transformer, 4)) == expected


def test_estimator_for_the_remainder_on_frames(frame):
    transformer = make_column_transformer(
        (OneHotEncoder(), ["site", "sex"]), ("drop", ["note"]), remainder=KNNImputer()
    ).fit(frame)
    assert columns_of(column_origins(transformer, 5)) == [3] * 4 + [1] * 2 + [0, 2]


def test_remainder_is_read_without_warnings(frame):
    transformer = make_column_transformer(
        ("drop", ["note"]), ("drop", ["sex"]), remainder="passthrough"
    ).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert columns_of(column_origins(transformer, 5)) == [0, 2, 3]


def test_column_transformer_that_drops_everything(frame):
    transformer = make_column_transformer(("drop", ["note"]), (StandardScaler(), [])).fit(frame)
    assert column_origins(transformer, 5).shape == (0, 5)


def test_column_transformers_in_column_transformers(frame):
    inner = make_column_transformer(
        (SimpleImputer(add_indicator=True), ["dose"]),
        (OneHotEncoder(), ["sex"]),
        remainder="passthrough",
    )
    outer = make_column_transformer(
        (make_pipeline(inner, VarianceThreshold()), ["sex", "age", "dose"]),
        (OrdinalEncoder(), make_column_selector("site")),
    ).fit(frame)
    assert columns_of(column_origins(outer, 5)) == [2, 2, 1, 1, 0, 3]


def test_later_steps_that_select_by_the_names_of_earlier_ones(frame):
    first = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["site"]),
        (SimpleImputer(add_indicator=True), ["dose", "age"]),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    second = make_column_transformer(
        (StandardScaler(), ["age", "missingindicator_dose"]), remainder="passthrough"
    )
    pipeline = make_pipeline(first, second).fit(frame)
    assert columns_of(column_origins(pipeline, 5)) == [0, 2, 3, 3, 3, 3, 2]


def test_steps_of_a_fitted_pipeline(frame, labels):
    pipeline = make_pipeline(
        "passthrough",
        make_column_transformer((OneHotEncoder(), ["site"]), ("passthrough", ["age"])),
        SelectKBest(k=3),
        None,
        LogisticRegression(),
    ).fit(frame, labels)
    kept = pipeline[2].get_support()
    expected = np.array([3, 3, 3, 3, 0])[kept].tolist()
    assert columns_of(column_origins(pipeline[:-1], 5)) == expected
    assert columns_of(column_origins(pipeline.steps[:-1], 5)) == expected


def test_one_column_is_the_origin_of_whatever_came_of_it(frame):
    words = make_pipeline(CountVectorizer(), TfidfTransformer(), TruncatedSVD(2))
    transformer = ColumnTransformer(
        [
            ("count", CountVectorizer(), "note"),
            ("topics", words, "note"),
            ("own", FunctionTransformer(lambda X: np.hstack([X, X, X])), ["age"]),
            ("pca", make_pipeline(SplineTransformer(), PCA(2)), ["age"]),
        ]
    ).fit(frame)
    expected = [4] * 5 + [4] * 2 + [0] * 3 + [0] * 2
    assert columns_of(column_origins(transformer, 5)) == expected


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
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(problem=mixed_problems())
def test_origins_are_what_perturbation_finds(problem):
    pipeline, X = problem
    fit_or_reject(pipeline, X)
    assert_changes_agree(pipeline, X, every_share=False)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**16), transformer=numeric_transformers())
def test_perturbation_of_arrays(seed, transformer):
    rng = np.random.default_rng(seed)
    X = np.column_stack([make_column(kind, rng) for kind in ("real", "gappy", "flag")])
    fit_or_reject(transformer, X)
    assert_changes_agree(transformer, X, every_share=False)


def test_the_oracle_finds_a_wrong_origin(numbers):
    class Swapping(Stateless):
        def transform(self, X):
            return X[:, ::-1]

        def get_feature_names_out(self, input_features=None):
            return np.array(["x0", "x1", "x2", "x3"])  # a lie

    with pytest.raises(AssertionError):
        assert_changes_agree(Swapping(), numbers)


# --- transformers without a rule -----------------------------------------------------------------


class Named(TransformerMixin, BaseEstimator):
    """Puts out what it is told to, under the names it is told to."""

    def __init__(self, names_out):
        self.names_out = names_out

    def fit(self, X, y=None):
        self.n_features_in_ = np.shape(X)[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def transform(self, X):
        return np.zeros((len(X), len(self.names_out)))

    def get_feature_names_out(self, input_features=None):
        return np.asarray(self.names_out, dtype=object)


class Stateless(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True


class OneToOne(OneToOneFeatureMixin, Stateless):
    """As one writes it in a notebook: it records neither the number nor the names of columns."""

    def transform(self, X):
        return X


class WithoutNames(Stateless):
    def transform(self, X):
        return X


def test_unknown_transformers_go_by_name():
    X = pd.DataFrame(np.zeros((3, 4)), columns=["a", "a_b", "c", "unused"])
    names = ["c_0", "a_b_c", "a_b", "a_c_b", "a", "c", "c__x"]
    assert columns_of(column_origins(Named(names).fit(X), 4)) == [2, 1, 1, 0, 0, 2, 2]
    generated = Named(["x1_a", "x10", "x0", "x10_x1"]).fit(np.zeros((3, 11)))
    assert columns_of(column_origins(generated, 11)) == [1, 10, 0, 10]


def test_unknown_transformers_can_be_given_the_names():
    transformer = Named(["dose_log", "age"]).fit(np.zeros((3, 2)))
    assert columns_of(column_origins(transformer, 2, ["age", "dose"])) == [1, 0]
    with pytest.raises(ColumnOriginError, match="'dose_log' of Named carries the name of none"):
        column_origins(transformer, 2)


def test_names_reach_unknown_transformers_inside_others():
    # It was fitted on an array, so the names it puts out have to be matched with those from above.
    own = ColumnTransformer([("own", Named(["c_log", "a_log"]), [2, 0])])
    nested = make_pipeline(StandardScaler(), FeatureUnion([("own", own)])).fit(np.eye(3))
    assert columns_of(column_origins(nested, 3, ["a", "b", "c"])) == [2, 0]
    with pytest.raises(ColumnOriginError, match="^featureunion -> own -> own: .* 'c_log' of Named"):
        column_origins(nested, 3)


@pytest.mark.parametrize(
    ("names_out", "names_in", "message"),
    [
        (["ab"], ["a", "b"], r"'ab' of Named carries the name of none .* \('a', 'b'\)"),
        (["a b"], ["a", "b"], "it may mix several"),
        (["_a"], ["a", "b"], "'_a'"),
        (["a_1"], ["a", "a"], "ambiguous: 'a' repeat"),
    ],
)
def test_names_that_say_nothing(names_out, names_in, message):
    transformer = Named(names_out).fit(pd.DataFrame(np.zeros((3, 2)), columns=names_in))
    with pytest.raises(ColumnOriginError, match=message):
        column_origins(transformer, 2)


def test_a_stated_mapping_beats_the_names():
    transformer = Named(["a_b_c", "t: u, v"]).fit(
        pd.DataFrame(np.zeros((3, 3)), columns=["a", "a_b", "t"])
    )
    transformer.output_to_input_ = {"a_b_c": "a", "t: u, v": "t"}
    assert columns_of(column_origins(transformer, 3)) == [0, 2]


def test_stateless_one_to_one_transformer(frame):
    pipeline = make_pipeline(OneToOne(), StandardScaler()).fit(frame[["age", "dose"]])
    assert columns_of(column_origins(pipeline, 2)) == [0, 1]


def test_function_with_names_of_its_own():
    def double_names(transformer, names):
        return [f"{name}_{suffix}" for name in names for suffix in ("sin", "cos")]

    def double(X):
        return np.stack([np.sin(X), np.cos(X)], axis=2).reshape(len(X), -1)

    transformer = FunctionTransformer(double, feature_names_out=double_names)
    transformer.fit(np.zeros((3, 2)))
    assert columns_of(column_origins(transformer, 2)) == [0, 0, 1, 1]


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
    class Teaching(OneToOne):
        pass

    register_origins(Teaching, lambda *_: wrong)
    with pytest.raises(ValueError, match=r"origins of Teaching must be .*\(n_features_out, 4\)"):
        column_origins(Teaching(), 4)


def test_register_origins_takes_a_class_and_a_function():
    with pytest.raises(TypeError, match="transformer_class must be a class, got StandardScaler()"):
        register_origins(StandardScaler(), len)
    with pytest.raises(TypeError, match="function must be callable, got None"):
        register_origins(StandardScaler, None)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mixing",
    [
        PCA(2),
        TruncatedSVD(2),
        NMF(2, init="random", max_iter=5),
        KernelPCA(2),
        GaussianRandomProjection(2),
        KMeans(2, n_init=1),
        FeatureAgglomeration(2),
    ],
    ids=lambda mixing: type(mixing).__name__,
)
def test_mixing_transformers_are_named_with_their_place(mixing, frame):
    numeric = Pipeline([("impute", SimpleImputer()), ("abs", MinMaxScaler()), ("mix", mixing)])
    transformer = ColumnTransformer(
        [("cat", OneHotEncoder(), ["sex"]), ("num", numeric, ["age", "dose"])]
    )
    pipeline = make_pipeline(transformer, LogisticRegression()).fit(frame, [0, 1] * 20)
    kind = type(mixing).__name__
    with pytest.raises(
        ColumnOriginError,
        match=f"^columntransformer -> num -> mix: {kind} mixes its 2 input columns"
        '.*columns="transformed"',
    ) as caught:
        column_origins(pipeline.steps[:-1], 5)
    assert caught.value.path == ("columntransformer", "num", "mix")


def test_mixing_inside_a_union(numbers):
    union = make_pipeline(FeatureUnion([("same", "passthrough"), ("pca", PCA(1))])).fit(numbers)
    with pytest.raises(ColumnOriginError, match="^featureunion -> pca: PCA mixes its 4"):
        column_origins(union, 4)
    with pytest.raises(ColumnOriginError, match="^PCA mixes its 4"):
        column_origins(PCA(2).fit(numbers), 4)


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (FunctionTransformer(np.matmul), "func=matmul"),
        (FunctionTransformer(np.cumsum), 'func=cumsum.*feature_names_out="one-to-one"'),
        (FunctionTransformer(lambda X: X[:, ::-1]), 'feature_names_out="one-to-one"'),
        (RandomTreesEmbedding(2, max_depth=1), "'randomtreesembedding_0_1' of RandomTrees"),
        (WithoutNames(), "WithoutNames does not name its output columns.*OneToOneFeatureMixin"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_transformers_that_do_not_tell(transformer, message, numbers):
    transformer.fit(numbers)
    with pytest.raises(ColumnOriginError, match=message) as caught:
        column_origins(transformer, 4)
    assert 'columns="transformed"' in str(caught.value)


def test_a_block_of_another_width_than_its_origins(numbers):
    transformer = ColumnTransformer(
        [("twice", FunctionTransformer(lambda X: np.hstack([X, X]), feature_names_out="one-to-one"),
          [0, 1])]
    ).fit(numbers)  # fmt: skip
    with pytest.raises(ColumnOriginError, match="twice: FunctionTransformer put out 4 .* where 2"):
        column_origins(transformer, 4)


@pytest.mark.parametrize(
    "transformer",
    [
        OneHotEncoder(),
        TargetEncoder(),
        KBinsDiscretizer(),
        SplineTransformer(),
        PolynomialFeatures(),
        VarianceThreshold(),
        MissingIndicator(),
        SimpleImputer(),
        KNNImputer(),
        IterativeImputer(),
        make_column_transformer((StandardScaler(), [0])),
        make_pipeline(StandardScaler(), OneHotEncoder()),
        FeatureUnion([("encode", OneHotEncoder())]),
        RandomTreesEmbedding(),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_unfitted(transformer):
    with pytest.raises(NotFittedError):
        column_origins(transformer, 2)


def test_predictors_are_no_transformers(numbers, labels):
    with pytest.raises(TypeError, match="LogisticRegression is no transformer"):
        column_origins(make_pipeline(StandardScaler(), LogisticRegression()), 4)


def test_unknown_keyword():
    with pytest.raises(ValueError, match="passthrough.*got 'pass'"):
        column_origins("pass", 4)


def test_wrong_number_of_columns(numbers):
    scaler = StandardScaler().fit(numbers)
    with pytest.raises(ValueError, match="n_features_in is 5, but StandardScaler was fitted on 4"):
        column_origins(scaler, 5)
    with pytest.raises(ValueError, match="feature_names_in has 1 names for 4 columns"):
        column_origins(scaler, 4, ["a"])


def test_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(ColumnOriginError("it mixes.", ("a", "b"))))
    assert str(error) == "a -> b: it mixes."
    assert isinstance(error, ValueError)


# --- names ---------------------------------------------------------------------------------------


def test_original_names(frame, labels):
    X = frame[["age", "sex"]]
    encode = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    pipeline = make_pipeline("passthrough", encode, LogisticRegression()).fit(X, labels)
    union = FeatureUnion([("gone", "drop"), ("encode", encode)]).fit(X)
    for estimator in (pipeline, pipeline[:-1], pipeline.steps, encode, union, [("union", union)]):
        assert original_feature_names(estimator, 2).tolist() == ["age", "sex"]


def test_original_names_are_not_those_of_a_later_step(frame):
    # The first step saw no names; the names that the second saw are the first one's.
    scale = StandardScaler().set_output(transform="pandas")
    pipeline = make_pipeline(scale, MinMaxScaler()).fit(frame[["age", "dose"]].to_numpy())
    assert pipeline[1].feature_names_in_.tolist() == ["x0", "x1"]
    pipeline = make_pipeline(WithoutNames(), MinMaxScaler()).fit(frame[["age", "dose"]])
    assert original_feature_names(pipeline, 2).tolist() == ["x0", "x1"]


@pytest.mark.parametrize("estimator", [None, [], "passthrough", Pipeline([]), CountVectorizer()])
def test_generated_original_names(estimator):
    assert original_feature_names(estimator, 2).tolist() == ["x0", "x1"]


def test_original_names_of_another_number(frame):
    scaler = StandardScaler().fit(frame[["age", "dose"]])
    with pytest.raises(ValueError, match="n_features is 3, but StandardScaler .* 2 .*'dose'"):
        original_feature_names(scaler, 3)


def test_transformed_names(frame):
    encode = make_column_transformer((OneHotEncoder(), ["sex"]), ("passthrough", ["age"]))
    steps = make_pipeline(encode, StandardScaler()).fit(frame).steps
    expected = ["onehotencoder__sex_f", "onehotencoder__sex_m", "passthrough__age"]
    assert transformed_feature_names(steps, 3).tolist() == expected
    assert transformed_feature_names(Pipeline(steps), 3).tolist() == expected
    assert transformed_feature_names(None, 2, ["a", "b"]).tolist() == ["a", "b"]
    assert transformed_feature_names([], 2, ["a", "b"]).tolist() == ["a", "b"]


def test_transformed_names_where_a_step_has_none(frame):
    one_hot = make_column_transformer((OneHotEncoder(), ["site"]), ("passthrough", ["age"]))
    steps = make_pipeline(FunctionTransformer(), one_hot, FunctionTransformer(np.exp)).fit(frame)
    expected = ["site_0", "site_1", "site_2", "site_3", "age"]
    assert transformed_feature_names(steps, 5).tolist() == expected
    mixed = make_pipeline(FunctionTransformer(np.sin), PCA(2)).fit(frame[["age"]].assign(b=1))
    assert transformed_feature_names(mixed, 2).tolist() == ["transformed0", "transformed1"]


def test_transformed_names_of_the_wrong_number_are_not_used(numbers):
    wrong = Named(["x0", "x1"]).fit(numbers)
    names = transformed_feature_names(wrong, 3, ["x0", "x1", "x2", "x3"])
    assert names.tolist() == ["transformed0", "transformed1", "transformed2"]


def test_transformed_names_of_shared_and_constant_columns(numbers):
    polynomial = PolynomialFeatures(2).fit(numbers[:, :2])
    nameless = make_pipeline(polynomial, FunctionTransformer(np.exp))
    names = transformed_feature_names(nameless, 6, ["a", "b"])
    assert names.tolist() == ["transformed0", "a_0", "b_0", "a_1", "transformed4", "b_1"]


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
