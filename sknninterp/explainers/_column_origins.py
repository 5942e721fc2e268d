"""Where the output columns of a fitted transformer came from: a rule for each class."""

from __future__ import annotations

from collections import Counter, UserList
from collections.abc import Sequence
from contextlib import contextmanager
from functools import singledispatch
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, OneToOneFeatureMixin
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    TargetEncoder,
)
from sklearn.utils.validation import check_is_fitted

from sknninterp._typing import Names
from sknninterp.explainers._column_names import (
    NO_NAMES,
    generated_names,
    listed,
    recorded_names,
    stated_names,
    stated_names_or_none,
)

_ADVICE = 'Explain in the transformed columns instead: columns="transformed".'


class ColumnOriginError(ValueError):
    """The output columns of a transformer cannot be traced to its input columns.

    Parameters
    ----------
    reason : str
        What about the transformer stands in the way, and what to do about it.
    path : tuple of str, default=()
        Names of the steps that lead to the transformer, the outermost first. It grows as the
        error passes through the pipelines around the transformer.

    Examples
    --------
    >>> from sknninterp.explainers.columns import ColumnOriginError
    >>> print(ColumnOriginError("PCA mixes its input columns.", ("columntransformer", "pca")))
    columntransformer -> pca: PCA mixes its input columns.
    """

    def __init__(self, reason: str, path: tuple[str, ...] = ()):
        super().__init__(reason, path)
        self.reason = reason
        self.path = tuple(path)

    def __str__(self) -> str:
        return f"{' -> '.join(self.path)}: {self.reason}" if self.path else self.reason


def column_origins(
    transformer: Any, n_features_in: int, feature_names_in: Names | None = None
) -> sparse.csr_matrix:
    """Which input column each output column of a fitted transformer came from.

    Parameters
    ----------
    transformer : transformer, list of (str, transformer), "passthrough", "drop" or None
        A fitted transformer, nested to any depth, or the steps of a pipeline before its final
        estimator. None is "passthrough".
    n_features_in : int
        Number of columns that go in.
    feature_names_in : array-like of str of shape (n_features_in,), default=None
        Names of the columns that go in. Only transformers without a rule of their own need them,
        where these did not record the names themselves.

    Returns
    -------
    origins : scipy.sparse.csr_matrix of shape (n_features_out, n_features_in)
        Row `i` holds the shares of the input columns in output column `i`. They sum to 1; only an
        output column that is constant by construction (the bias of
        :class:`~sklearn.preprocessing.PolynomialFeatures`) has a row of zeros.

    Raises
    ------
    ColumnOriginError
        If an output column mixes input columns in shares that the fitted transformer does not
        state, or if nothing says where it came from. The message names the step.
    ValueError
        If `transformer` was fitted on another number of columns.
    sklearn.exceptions.NotFittedError
        If `transformer` is not fitted.

    See Also
    --------
    register_origins : Teach a new transformer.
    sum_to_original : Apply the matrix to attributions.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from sknninterp.explainers.columns import column_origins
    >>> X = np.array([[0, 2.5], [1, 0.5], [2, 1.5]])
    >>> encode = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough").fit(X)
    >>> column_origins(encode, 2).toarray()
    array([[1., 0.],
           [1., 0.],
           [1., 0.],
           [0., 1.]])
    """
    # A pipeline has its first step's number, which is checked there; one without steps has none.
    fitted_on = None
    if not isinstance(transformer, Pipeline):
        fitted_on = getattr(transformer, "n_features_in_", None)
    if fitted_on not in (None, n_features_in):
        raise ValueError(
            f"n_features_in is {n_features_in}, but {type(transformer).__name__} was fitted on "
            f"{fitted_on} columns."
        )
    if feature_names_in is not None and len(feature_names_in) != n_features_in:
        raise ValueError(
            f"feature_names_in has {len(feature_names_in)} names for {n_features_in} columns."
        )
    origins = origins_by_class(transformer, n_features_in, feature_names_in)
    return _checked(origins, transformer, n_features_in)


# --- rules: transformer, n_features_in, feature_names_in -> origins ------------------------------


@singledispatch
def origins_by_class(
    transformer: Any, n_features_in: int, feature_names_in: Names | None
) -> sparse.csr_matrix:
    """Go by what the transformer says about itself; it is of no class that has a rule."""
    if not hasattr(transformer, "transform"):
        raise TypeError(
            f"{type(transformer).__name__} is no transformer. Give a fitted transformer, or the "
            "steps of a pipeline before its final estimator: pipeline[:-1]."
        )
    if hasattr(transformer, "indicator_"):
        return _imputer(transformer, n_features_in, feature_names_in)
    if hasattr(transformer, "get_support"):
        return _selector(transformer, n_features_in, feature_names_in)
    return _by_name(transformer, n_features_in, feature_names_in)


@origins_by_class.register(type(None))
@origins_by_class.register(OneToOneFeatureMixin)
def _identity(transformer, n_features_in, feature_names_in):
    return _one_each(np.arange(n_features_in), n_features_in)


@origins_by_class.register(str)
def _keyword(transformer, n_features_in, feature_names_in):
    kept = {"passthrough": n_features_in, "drop": 0}
    if transformer not in kept:
        raise ValueError(
            f'transformer must be a fitted transformer, a list of steps, "passthrough", "drop" or '
            f"None, got {transformer!r}."
        )
    return _one_each(np.arange(kept[transformer]), n_features_in)


@origins_by_class.register(list)
def _steps(steps, n_features_in, feature_names_in):
    origins, names = _one_each(np.arange(n_features_in), n_features_in), feature_names_in
    for name, step in steps:
        with _inside(name):
            origins = column_origins(step, origins.shape[0], names) @ origins
        names = stated_names_or_none(step, names)
        if names is not None and len(names) != origins.shape[0]:
            names = None
    # A product with a constant column loses that column's share.
    return _normalized(origins)


@origins_by_class.register(Pipeline)
def _pipeline(pipeline, n_features_in, feature_names_in):
    return _steps(pipeline.steps, n_features_in, feature_names_in)


@origins_by_class.register(FeatureUnion)
def _feature_union(union, n_features_in, feature_names_in):
    parts = [sparse.csr_matrix((0, n_features_in))]
    for name, transformer in union.transformer_list:
        with _inside(name):
            parts.append(column_origins(transformer, n_features_in, feature_names_in))
    return sparse.vstack(parts)


@origins_by_class.register(ColumnTransformer)
def _column_transformer(transformer, n_features_in, feature_names_in):
    check_is_fitted(transformer)
    names = recorded_names(transformer)
    names = feature_names_in if names is None else names
    parts = [sparse.csr_matrix((0, n_features_in))]
    # Blocks that were given no columns are not fitted; if no block puts out a column, there is no
    # `output_indices_`.
    outputs = getattr(transformer, "output_indices_", {})
    for name, part, columns in transformer.transformers_:
        output = outputs.get(name, slice(0, 0))
        if output.stop > output.start:
            with _inside(name):
                columns = _column_indices(columns, n_features_in, names)
                part_origins = _block(part, columns, names, output.stop - output.start)
            parts.append(part_origins @ _one_each(columns, n_features_in))
    return sparse.vstack(parts)


def _block(transformer, columns, names, n_features_out):
    """Origins within one block of a column transformer, which knows how wide it is."""
    names = None if names is None else [names[column] for column in columns]
    try:
        origins = column_origins(transformer, len(columns), names)
    except ColumnOriginError:
        # One column went in: whatever came out, came from it (text to word counts, say).
        if len(columns) != 1:
            raise
        return _one_each(np.zeros(n_features_out, dtype=int), 1)
    if origins.shape[0] != n_features_out:
        raise ColumnOriginError(
            f"{type(transformer).__name__} put out {n_features_out} columns, where "
            f"{origins.shape[0]} were expected of it. {_ADVICE}"
        )
    return origins


@origins_by_class.register(ClassNamePrefixFeaturesOutMixin)
def _mixing(transformer, n_features_in, feature_names_in):
    raise ColumnOriginError(
        f"{type(transformer).__name__} mixes its {n_features_in} input columns in every column "
        f"that it puts out, so that none comes from a single one. {_ADVICE}"
    )


@origins_by_class.register(FunctionTransformer)
def _function(transformer, n_features_in, feature_names_in):
    func, names_out = transformer.func, transformer.feature_names_out
    elementwise = isinstance(func, np.ufunc) and func.nin == func.nout == 1 and not func.signature
    if func is None or elementwise or names_out == "one-to-one":
        return _identity(transformer, n_features_in, feature_names_in)
    if names_out is not None:
        return _by_name(transformer, n_features_in, feature_names_in)
    raise ColumnOriginError(
        f"FunctionTransformer(func={getattr(func, '__name__', func)}) does not say which column "
        "its output columns come from. If each comes from the input column at its place, give it "
        f'feature_names_out="one-to-one". {_ADVICE}'
    )


@origins_by_class.register(OneHotEncoder)
def _one_hot(encoder, n_features_in, feature_names_in):
    check_is_fitted(encoder)
    counts = np.array([len(categories) for categories in encoder.categories_])
    if encoder.drop_idx_ is not None:
        counts -= [dropped is not None for dropped in encoder.drop_idx_]
    if encoder.min_frequency is not None or encoder.max_categories is not None:
        # All infrequent categories of a column share one output column.
        counts -= [0 if rare is None else len(rare) - 1 for rare in encoder.infrequent_categories_]
    return _one_each(np.repeat(np.arange(n_features_in), counts), n_features_in)


@origins_by_class.register(TargetEncoder)
def _target_encoder(encoder, n_features_in, feature_names_in):
    check_is_fitted(encoder)
    n_classes = len(encoder.classes_) if encoder.target_type_ == "multiclass" else 1
    return _one_each(np.repeat(np.arange(n_features_in), n_classes), n_features_in)


@origins_by_class.register(KBinsDiscretizer)
def _bins(discretizer, n_features_in, feature_names_in):
    check_is_fitted(discretizer)
    counts = 1 if discretizer.encode == "ordinal" else discretizer.n_bins_
    return _one_each(np.repeat(np.arange(n_features_in), counts), n_features_in)


@origins_by_class.register(SplineTransformer)
def _splines(transformer, n_features_in, feature_names_in):
    check_is_fitted(transformer)
    n_splines = transformer.n_features_out_ // n_features_in
    return _one_each(np.repeat(np.arange(n_features_in), n_splines), n_features_in)


@origins_by_class.register(PolynomialFeatures)
def _polynomial(transformer, n_features_in, feature_names_in):
    check_is_fitted(transformer)
    return _normalized(sparse.csr_matrix(transformer.powers_, dtype=np.float64))


@origins_by_class.register(SelectorMixin)
def _selector(selector, n_features_in, feature_names_in):
    return _one_each(np.arange(n_features_in)[selector.get_support()], n_features_in)


@origins_by_class.register(MissingIndicator)
def _indicator(indicator, n_features_in, feature_names_in):
    check_is_fitted(indicator)
    return _one_each(indicator.features_, n_features_in)


@origins_by_class.register(SimpleImputer)
@origins_by_class.register(KNNImputer)
def _imputer(imputer, n_features_in, feature_names_in):
    """Imputed columns, without those that were empty in training, then the indicators."""
    check_is_fitted(imputer)
    indicated = [] if imputer.indicator_ is None else imputer.indicator_.features_
    # KNNImputer's names leave out empty columns even where it keeps them.
    if getattr(imputer, "keep_empty_features", False):
        return _one_each([*range(n_features_in), *indicated], n_features_in)
    names_in = recorded_names(imputer)
    names_in = generated_names(n_features_in) if names_in is None else names_in
    names_out = imputer.get_feature_names_out(names_in)
    imputed: Sequence = list(names_out[: len(names_out) - len(indicated)])
    if len(imputed) == n_features_in:
        imputed = range(n_features_in)
    else:
        positions = _positions(names_in, imputer)
        imputed = [positions[name] for name in imputed]
    return _one_each([*imputed, *indicated], n_features_in)


def _by_name(transformer, n_features_in, feature_names_in):
    """Read the origins off the output's names: `name`, or `name_` and something behind it."""
    names_in = recorded_names(transformer)
    if names_in is None:
        names_in = feature_names_in
    if names_in is None:
        names_in = generated_names(n_features_in)
    try:
        names_out = stated_names(transformer, names_in)
    except NotFittedError:
        raise
    except NO_NAMES as error:
        raise ColumnOriginError(
            f"{type(transformer).__name__} does not name its output columns "
            f"(get_feature_names_out: {error}), so they cannot be traced to its input columns. "
            "Name them (sklearn.base.OneToOneFeatureMixin does, where each comes from the column "
            f"at its place) or register its origins (register_origins). {_ADVICE}"
        ) from error
    positions = _positions(names_in, transformer)
    # A mapping that the transformer states, as skrub's TableVectorizer does, beats the guess.
    stated = getattr(transformer, "output_to_input_", {})
    named = [stated.get(name) or _longest_prefix(name, positions) for name in names_out]
    for name_out, name_in in zip(names_out, named, strict=True):
        if name_in not in positions:
            raise ColumnOriginError(
                f"the output column {name_out!r} of {type(transformer).__name__} carries the name "
                f"of none of its input columns ({listed(names_in)}); it may mix several. Register "
                f"the origins of {type(transformer).__name__} (register_origins), if it does not. "
                f"{_ADVICE}"
            )
    return _one_each([positions[name] for name in named], n_features_in)


def _positions(names, transformer):
    """Position of each name."""
    positions = {name: position for position, name in enumerate(names)}
    if len(positions) < len(names):
        repeated = [name for name, times in Counter(names).items() if times > 1]
        raise ColumnOriginError(
            f"the names of the input columns of {type(transformer).__name__} are ambiguous: "
            f"{listed(repeated)} repeat. Rename them. {_ADVICE}"
        )
    return positions


def _longest_prefix(name, known):
    """The longest of the `known` names that is `name` or ends at an underscore of it, or None."""
    while name not in known:
        name, underscore, _ = name.rpartition("_")
        if not underscore:
            return None
    return name


# --- parts of rules ------------------------------------------------------------------------------


@contextmanager
def _inside(step):
    """Put the step's name in front of the path of an error."""
    try:
        yield
    except ColumnOriginError as error:
        error.path = (step, *error.path)
        raise


def _one_each(columns, n_features_in):
    """Origins of output columns that each came from one input column."""
    columns = np.asarray(columns, dtype=np.intp)
    rows = np.arange(len(columns) + 1)
    return sparse.csr_matrix(
        (np.ones(len(columns)), columns, rows), shape=(len(columns), n_features_in)
    )


def _normalized(origins):
    """Rows that sum to 1, but for rows of zeros."""
    sums = np.asarray(origins.sum(axis=1)).ravel()
    return sparse.diags(1 / np.where(sums == 0, 1, sums)) @ origins


def _checked(origins, transformer, n_features_in):
    """Origins in canonical form, if they are what a rule must give."""
    origins = sparse.csr_matrix(origins, dtype=np.float64)
    origins.sum_duplicates()
    origins.eliminate_zeros()
    sums = np.asarray(origins.sum(axis=1)).ravel()
    shares = (origins.data > 0).all() and np.all(np.isclose(sums, 1) | (sums == 0))
    if origins.shape[1] != n_features_in or not shares:
        raise ValueError(
            f"the origins of {type(transformer).__name__} must be a matrix of shape "
            f"(n_features_out, {n_features_in}), not negative, with rows that sum to 1 or 0; got "
            f"shape {origins.shape}, row sums {np.unique(sums)[:5]}."
        )
    return origins


def _column_indices(columns, n_features_in, names):
    """Positions of columns given as a column transformer takes them."""
    everything = np.arange(n_features_in)
    if isinstance(columns, slice):
        bounds = [columns.start, columns.stop]
        if any(isinstance(bound, str) for bound in bounds):
            start, stop = (None if b is None else list(names).index(b) for b in bounds)
            # A slice of names includes its end.
            columns = slice(start, None if stop is None else stop + 1, columns.step)
        return everything[columns]
    if isinstance(columns, UserList):  # the remainder's columns warn when they are read one by one
        columns = columns.data
    keys = np.atleast_1d(np.asarray(columns))
    if keys.dtype.kind in "biu":
        return everything[keys]
    positions = {name: position for position, name in enumerate(names)}
    return np.array([positions[name] for name in keys], dtype=int)
