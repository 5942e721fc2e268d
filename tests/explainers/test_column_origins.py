"""Column origins by the rules for scikit-learn's transformers, exactly; what has none."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
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

from sknninterp.explainers.columns import ColumnOriginError, column_origins

pytestmark = pytest.mark.filterwarnings("ignore")  # few rows, constant columns: fits warn

N_ROWS = 40


class Stateless(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True


class OneToOne(OneToOneFeatureMixin, Stateless):
    """As one writes it in a notebook: it records neither the number nor the names of columns."""

    def transform(self, X):
        return X


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


class WithoutNames(Stateless):
    def transform(self, X):
        return X


def columns_of(origins):
    """Column of each row, for origins in which every row has one."""
    assert sparse.isspmatrix_csr(origins)
    assert_array_equal(origins.data, 1)
    assert_array_equal(np.diff(origins.indptr), 1)
    return origins.indices.tolist()


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


# --- one transformer at a time -------------------------------------------------------------------


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
)
def test_one_to_one(transformer, numbers, labels):
    n_out = transformer.fit_transform(numbers, labels).shape[1]
    assert n_out == 4
    assert columns_of(column_origins(transformer, 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("transformer", ["passthrough", None, [], Pipeline([])])
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


# --- transformers without a rule -----------------------------------------------------------------


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
