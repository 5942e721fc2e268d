"""`RepeatedExplainer`: an explainer fitted many times, to see what holds and what was chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, is_classifier
from sklearn.utils import Tags, TransformerTags, check_random_state, get_tags, indexable
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from sknninterp._typing import MatrixLike, Seed, Target
from sknninterp.estimators._network import as_table
from sknninterp.evaluation._predictions import AveragedPredictions, each_has
from sknninterp.evaluation._repeats import (
    check_refits,
    feature_labels,
    fit_at_once,
    fit_repeat,
    fit_stack,
    fits_at_once,
    importances_of,
    in_repeat,
)
from sknninterp.evaluation.agreement import ranks, stability, top_k
from sknninterp.evaluation.rank_aggregation import METHODS, consensus
from sknninterp.explainers._averages import explain_each, mean_explanation, quantiles
from sknninterp.explainers._base import BaseExplainer
from sknninterp.explainers._explanation_index import is_sequence
from sknninterp.explainers.columns import original_feature_names
from sknninterp.explainers.explanation import Explanation, aggregate_importances
from sknninterp.explainers.weight_product import PWPExplainer

__all__ = ["RepeatedExplainer"]

_TAGS_OF_INNER = (
    "estimator_type",
    "classifier_tags",
    "regressor_tags",
    "target_tags",
    "input_tags",
)


class RepeatedExplainer(AveragedPredictions, TransformerMixin, BaseEstimator):
    r"""Fits an explainer many times, and tells which of its ranking is the same every time.

    A network that is trained again, from other first weights or on other samples, ranks other
    features first. Here everything is refitted `n_repeats` times; what comes out is one consensus
    ranking, the spread of each feature's importance and rank, how often it is among the first k,
    and how far the repeats agree.

    What is repeated is everything inside: the explainer, its network, and all of a pipeline or
    search around the network. It is itself an explainer, and goes wherever one goes.

    Parameters
    ----------
    explainer : explainer or estimator, default=None
        An explainer of this package, around an estimator that can be fitted: a clone of it is
        fitted in each repeat, so that an estimator that is fitted already is fitted anew. Or any
        estimator with `coef_` or `feature_importances_`, which then has a ranking, but no
        `explain` and no `transform`. None is `PWPExplainer()`.
    n_repeats : int, default=20
        How often. Everything about spread and agreement needs two at least.
    resampling : {"seed", "bootstrap", "subsample"}, default="seed"
        What differs between repeats besides the seed of everything random: nothing, or the
        samples, as many drawn with replacement, or a share of them without. Each class of a
        classifier is drawn from by itself, so that none is lost.
    subsample : float, default=0.5
        Share of the samples of a "subsample".
    consensus : {"mean", "mean_rank", "borda", "median_rank", "rra"}, default="mean"
        How the repeats are combined into `feature_importances_`, see
        :func:`sknninterp.evaluation.rank_aggregation.consensus`.
    confidence_level : float, default=0.95
        Of all intervals.
    importance_getter : str or callable, default="auto"
        Where the importances of an estimator that is no explainer are, as for scikit-learn's
        `SelectFromModel`, such as ``"named_steps.lasso.coef_"`` of a pipeline. "auto" looks into a
        pipeline's last step and a search's best estimator, too.
    n_jobs : int, default=None
        Processes. The results do not depend on it, but for rounding. Each trains its share of plain
        networks at once, as a stack, which is quicker than one after the other.
    random_state : int, RandomState instance or None, default=None
        Seeds the repeats, whatever seeds there are inside. The first repeats of many are the same
        as those of few.
    verbose : int, default=0
        1 shows a progress bar over repeats.

    Attributes
    ----------
    explainers_ : list of length n_repeats
        The fitted explainers.
    all_importances_ : DataFrame of shape (n_repeats, n_features)
        Importances of each repeat; each row sums to 1 (or is all 0 if no feature is used). Of
        coefficients the magnitudes.
    feature_importances_ : ndarray of shape (n_features,)
        The consensus, not negative; sums to 1. For images in the shape of one image.
    importances_mean_ : Series of shape (n_features,)
    importances_std_ : Series of shape (n_features,)
        Standard deviation between repeats.
    importances_interval_ : DataFrame of shape (n_features, 2)
        "lower" and "upper": percentiles over repeats.
    ranking_ : DataFrame of shape (n_features, 8)
        The features, the most important by the consensus on top: "importance" (the consensus),
        "mean", "std", "lower", "upper" of the repeats' importances, "mean_rank", "rank_lower",
        "rank_upper" of their ranks (1 is the most important). Of a single repeat without the
        columns of spread.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    classes_ : ndarray
        Of a classifier.

    See Also
    --------
    sknninterp.evaluation.agreement.stability : The measures of agreement.
    sknninterp.evaluation.rank_aggregation.consensus : The ways to combine.

    Notes
    -----
    The intervals hold the middle 95 % of the *repeats*: where the importance or rank of a single
    fit lies. What makes it differ is what differs between repeats, and no more:

    - "seed" tells what another seed would do *with these samples*. It is no sampling error: with
      other patients the ranking may differ more, and more repeats do not make up for few samples.
    - "bootstrap" and "subsample" add what other samples would do. A bootstrap holds 63 % of the
      samples, some of them several times, and copies of one fall on both sides of every split
      inside, whose scores are then too good: early stopping comes late, and a search prefers what
      overfits. "subsample" has no copies; with a share of one half its spread is about that of the
      bootstrap. Either way each network learns from less than there is, so that irrelevant features
      seem a little more important than in a fit of all samples.
    - Rows are drawn one by one. Where several are of one patient, they are no independent samples,
      and intervals are too narrow.

    Percentile intervals need enough repeats. Even the smallest and the largest of 20 hold the next
    one but in 19 of 21 cases; 95 % takes 39 repeats or more, and of fewer the intervals are too
    narrow. None is an interval of a feature's true importance, nor a test: an irrelevant feature
    has an importance above 0 in every repeat.

    A one-hot encoder that meets a category that its repeat has not drawn raises an error in
    `explain`, unless it ignores unknown ones; with `columns="original"` the repeats have the same
    features all the same.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import PWPExplainer, TorchMLPClassifier
    >>> from sknninterp.evaluation.repeated import RepeatedExplainer
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> explainer = PWPExplainer(TorchMLPClassifier((8,), lr=0.01, max_epochs=20))
    >>> repeated = RepeatedExplainer(explainer, n_repeats=5, random_state=0).fit(X, y)
    >>> repeated.ranking_.shape
    (4, 8)
    >>> repeated.selection_frequency_([1, 2]).shape
    (4, 2)
    >>> repeated.stability_(k=2).shape
    (6, 3)
    >>> repeated.explain(X[:3])
    Explanation(PWP, mean of 5: 3 samples x 4 features x 3 outputs [0, 1, 2])
    """

    _parameter_constraints: dict = {
        "explainer": [HasMethods("fit"), None],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "resampling": [StrOptions({"seed", "bootstrap", "subsample"})],
        "subsample": [Interval(Real, 0, 1, closed="neither")],
        "consensus": [StrOptions(set(METHODS))],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "importance_getter": [str, callable],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        explainer: Any = None,
        n_repeats: int = 20,
        *,
        resampling: str = "seed",
        subsample: float = 0.5,
        consensus: str = "mean",
        confidence_level: float = 0.95,
        importance_getter: str | Callable = "auto",
        n_jobs: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        self.explainer = explainer
        self.n_repeats = n_repeats
        self.resampling = resampling
        self.subsample = subsample
        self.consensus = consensus
        self.confidence_level = confidence_level
        self.importance_getter = importance_getter
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # -- fit -------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: MatrixLike, y: ArrayLike | None = None) -> Self:
        """Fit the repeats and combine their rankings.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            As the explainer takes it.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the explainer holds what cannot be fitted again (a torch module, a
            `FrozenEstimator`), or if repeats have importances that are not finite or of different
            features.
        """
        check_refits(self._base)
        X, y = indexable(as_table(X), y)
        validate_data(self, X, skip_check_array=True)
        self._sample_shape = tuple(X.shape[1:])
        names = original_feature_names(self, self.n_features_in_)
        explainers, rows, labels = [], [], None
        for number, explainer in enumerate(self._fitted(X, y)):
            with in_repeat(number):
                importances = importances_of(explainer, self.importance_getter)
                labels = feature_labels(explainer, importances, names, labels)
            rows.append(importances.ravel())
            explainers.append(explainer)
        self.explainers_ = explainers
        self.all_importances_ = pd.DataFrame(np.stack(rows), columns=labels).rename_axis("repeat")
        scores = np.asarray(consensus(self.all_importances_, self.consensus))
        shares = aggregate_importances(scores[None], has_outputs=False)
        self.feature_importances_ = shares.reshape(importances.shape)
        return self

    @property
    def _base(self):
        return PWPExplainer() if self.explainer is None else self.explainer

    def _fitted(self, X, y) -> Iterator:
        """The fitted repeats, in their order."""
        random_state = check_random_state(self.random_state)
        seeds = random_state.randint(np.iinfo(np.int32).max, size=self.n_repeats)
        common = {
            "explainer": self._base,
            "X": X,
            "y": y,
            "resampling": self.resampling,
            "share": self.subsample,
            "stratified": is_classifier(self) and y is not None and np.size(y) == _num_samples(y),
        }
        n_jobs = effective_n_jobs(self.n_jobs)
        parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
        if y is None or not fits_at_once(self._base):
            fits = parallel(
                delayed(fit_repeat)(number, seed, one_thread=n_jobs > 1, **common)
                for number, seed in enumerate(seeds)
            )
        elif n_jobs == 1:
            fits = fit_at_once(seeds, **common)
        else:  # a stack for each job
            stacks = np.array_split(seeds, min(n_jobs, len(seeds)))
            parts = parallel(delayed(fit_stack)(own, **common) for own in stacks)
            fits = chain.from_iterable(parts)
        return self._progress(fits, self.n_repeats)

    def _progress(self, repeats, n_repeats):
        from tqdm.auto import tqdm

        return tqdm(repeats, total=n_repeats, unit="repeat", disable=not self.verbose)

    # -- ranking and spread ----------------------------------------------------------------------

    @property
    def importances_mean_(self) -> pd.Series:
        """Mean importance of each feature over repeats."""
        check_is_fitted(self, "feature_importances_")
        return self.all_importances_.mean().rename("mean")

    @property
    def importances_std_(self) -> pd.Series:
        """Standard deviation of each feature's importance between repeats."""
        self._check_spread()
        return self.all_importances_.std().rename("std")

    @property
    def importances_interval_(self) -> pd.DataFrame:
        """Percentile interval of each feature's importance over repeats."""
        self._check_spread()
        return self._interval(self.all_importances_, ["lower", "upper"])

    @property
    def ranking_(self) -> pd.DataFrame:
        """The features with importances and ranks, the most important on top."""
        check_is_fitted(self, "feature_importances_")
        places = ranks(self.all_importances_)
        index = self.all_importances_.columns
        parts = [
            pd.Series(self.feature_importances_.ravel(), index=index, name="importance"),
            self.importances_mean_,
            places.mean().rename("mean_rank"),
        ]
        if len(places) > 1:
            parts[2:2] = [self.importances_std_, self.importances_interval_]
            parts.append(self._interval(places, ["rank_lower", "rank_upper"]))
        table = pd.concat([part.set_axis(range(len(index))) for part in parts], axis=1)
        order = np.argsort(-self.feature_importances_.ravel(), kind="stable")
        return table.set_axis(index).rename_axis(index.names).iloc[order]

    def selection_frequency_(
        self, k: int | Sequence[int] | np.ndarray = 10
    ) -> pd.Series | pd.DataFrame:
        """Share of repeats in which each feature is among the first k.

        Parameters
        ----------
        k : int or list of int, default=10
            At most the number of features. A feature of importance 0 is among none.

        Returns
        -------
        Series of shape (n_features,) or DataFrame of shape (n_features, n_k)
            A DataFrame, with a column for each k, of a list: the paths of selection frequencies.

        Raises
        ------
        ValueError
            If there are not as many features as k.
        """
        check_is_fitted(self, "feature_importances_")
        wanted: Any = k
        if not is_sequence(k):
            return top_k(self.all_importances_, wanted).mean().rename(k)
        paths = {one: top_k(self.all_importances_, one).mean().to_numpy() for one in wanted}
        table = pd.DataFrame(paths, index=self.all_importances_.columns)
        return table.rename_axis(columns="k")

    def stability_(self, k: int = 10) -> pd.DataFrame:
        """How far the repeats agree, by all measures.

        Parameters
        ----------
        k : int, default=10
            How many top features are taken for selected. At most the number of features.

        Returns
        -------
        DataFrame of shape (6, 3)
            See :func:`sknninterp.evaluation.agreement.stability`.

        Raises
        ------
        ValueError
            If `n_repeats` is 1, or there are not as many features as k.
        """
        self._check_spread()
        return stability(self.all_importances_, k, self.confidence_level)

    def _check_spread(self) -> None:
        check_is_fitted(self, "feature_importances_")
        if len(self.all_importances_) < 2:
            raise ValueError("n_repeats=1: spread and agreement take at least 2 repeats.")

    def _interval(self, table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        ends = np.quantile(table.to_numpy(), self._ends, axis=0)
        return pd.DataFrame(ends.T, index=table.columns, columns=names)

    @property
    def _ends(self) -> tuple[float, float]:
        return (1 - self.confidence_level) / 2, (1 + self.confidence_level) / 2

    # -- explain ---------------------------------------------------------------------------------

    @available_if(each_has("explain"))
    def explain(self, X: MatrixLike, target: Target = None) -> Explanation:
        """Mean of the repeats' contributions of every feature of every sample.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        target : None, "predicted", label or list of labels, default=None
            Outputs to explain: all, the one that the repeats together predict for each sample, or
            those of these labels.

        Returns
        -------
        Explanation
            As of a single explainer, with the standard deviation of each value between repeats as
            its `spread`.

        Raises
        ------
        ValueError
            If X has other columns than in `fit`, or no output has such a label.
        """
        return mean_explanation(self._explanations(self._known_table(X), target))

    @available_if(each_has("explain"))
    def explain_all(self, X: MatrixLike, target: Target = None) -> list[Explanation]:
        """Every repeat's own explanation.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        target : None, "predicted", label or list of labels, default=None
            As for :meth:`explain`.

        Returns
        -------
        list of Explanation
        """
        return list(self._explanations(self._known_table(X), target))

    @available_if(each_has("explain"))
    def explain_interval(
        self, X: MatrixLike, target: Target = None
    ) -> tuple[Explanation, Explanation]:
        """Percentile interval of every contribution over repeats.

        All repeats' contributions are held at once.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        target : None, "predicted", label or list of labels, default=None
            As for :meth:`explain`.

        Returns
        -------
        lower, upper : Explanation

        Raises
        ------
        ValueError
            If `n_repeats` is 1.
        """
        self._check_spread()
        lower, upper = quantiles(self.explain_all(X, target), self._ends)
        return lower, upper

    def _explanations(self, X, target) -> Iterator[Explanation]:
        classes = np.ravel(getattr(self, "classes_", [])).tolist()
        progress = partial(self._progress, n_repeats=len(self.explainers_))
        predict = getattr(self, "predict", None)
        return explain_each(self.explainers_, X, target, classes, predict, progress)

    _known_table = BaseExplainer._known_table
    explain_batches = available_if(each_has("explain"))(BaseExplainer.explain_batches)

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Mean of the repeats' contributions as a matrix.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Contributions to the output that the explainer's parameter `target` names.
        """
        X = self._known_table(X)
        if self._transformed_output()[0] == "predicted":
            return self.explain(X, "predicted").values.reshape(_num_samples(X), -1)
        n_repeats = len(self.explainers_)
        repeats = self._progress(self.explainers_, n_repeats)
        return reduce(np.add, (np.asarray(one.transform(X)) for one in repeats)) / n_repeats

    def _transformed_output(self):
        return self.explainers_[0]._transformed_output()

    @available_if(each_has("explain"))
    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against the names seen in `fit`; they are known from there.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "feature_importances_")
        return self.explainers_[0].get_feature_names_out(input_features)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = self._base
        if isinstance(inner, BaseEstimator):
            of_inner = get_tags(inner)
            for name in _TAGS_OF_INNER:
                setattr(tags, name, getattr(of_inner, name))
        tags.transformer_tags = TransformerTags([]) if hasattr(inner, "explain") else None
        return tags


# scikit-learn wraps `transform` for `set_output` when a class is made, and drops the condition.
for _name in ("transform", "fit_transform"):
    _method = available_if(each_has("explain"))(getattr(RepeatedExplainer, _name))
    setattr(RepeatedExplainer, _name, _method)
