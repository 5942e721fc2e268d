"""Explainers that multiply weights: personalized weight products, Garson, Olden."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sknninterp._typing import MatrixLike, Seed, Target
from sknninterp.explainers._base import BaseExplainer
from sknninterp.explainers._batches import pick_outputs
from sknninterp.nn.weight_product import (
    GARSON_VARIANTS,
    garson,
    interaction_matrix,
    interactions,
    personalized_product,
    weight_product,
)

# A column-by-column matrix of interactions is held only up to this many columns.
_MOST_COLUMNS = 10_000


class _WeightProductExplainer(BaseExplainer):
    """What weight products share: how max pooling is taken."""

    _parameter_constraints: dict = {
        **BaseExplainer._parameter_constraints,
        "max_pool": [StrOptions({"error", "average"})],
    }

    def __init__(self, estimator, max_pool, columns, target, batch_size, random_state, verbose):
        super().__init__(estimator, columns, target, batch_size, random_state, verbose)
        self.max_pool = max_pool


class PWPExplainer(_WeightProductExplainer):
    r"""Personalized weight products: each feature's value times its weights to the output.

    The contribution of feature i to output c for one sample is x_i \|P_ic\|, with P the product of
    all weights from inputs to outputs, biases left out [1]_. It takes one product of matrices for
    all samples. An input that is 0 contributes 0: what zero means depends on how X was scaled.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        What is explained: an estimator of this package, a skorch net, a torch module,
        scikit-learn's MLPClassifier or MLPRegressor, a Pipeline that ends in one of these, or a
        search over one. If it is fitted it is used as it is, else it is cloned and fitted. None is
        `TorchMLPClassifier()`. (Like every scikit-learn meta-estimator, a clone of the explainer
        holds an unfitted clone of it; wrap it in `FrozenEstimator` to keep the fit.)
    signed : bool, default=False
        Keep the sign of P: contributions then add up to the outputs of a linear network without
        biases. By default, as published, only the sign of the feature's value is kept.
    max_pool : {"error", "average"}, default="error"
        Max pooling has no weights: an error, or the weights of average pooling.
    columns : {"original", "transformed"}, default="original"
        Of a pipeline, sum the signed contributions of what one column became, or keep apart what
        the network sees.
    target : None, "predicted" or label, default=None
        The output that `transform` gives: None is the second of two classes, the predicted one of
        several, or the last output of a regressor or torch module.
    batch_size : int, default=None
        Samples at a time; None is as many as take about 64 MiB.
    random_state : int, RandomState instance or None, default=None
        Seeds an estimator that is fitted here; None leaves it as it is.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    feature_importances_ : ndarray of shape (n_features,)
        Mean \|contribution\| over the samples seen in `fit`, summed over outputs; sums to 1. For
        images in the shape of one image.
    importances_ : DataFrame of shape (n_features, n_outputs)
        The same per output; all of it sums to 1.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    classes_ : ndarray
        Of a classifier.

    See Also
    --------
    OldenExplainer : The product of weights itself, the same for all samples.
    GarsonExplainer : The product of their magnitudes.

    References
    ----------
    .. [1] Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
       Personalized Products*, eq. 2.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import ANTClassifier, PWPExplainer
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> network = ANTClassifier((32,), max_epochs=20, random_state=0)
    >>> explainer = PWPExplainer(make_pipeline(StandardScaler(), network)).fit(X, y)
    >>> explainer.feature_importances_.shape
    (30,)
    >>> patient = explainer.explain(X[:1], target="predicted")
    >>> patient.top(3).shape[0]
    3
    """

    method = "PWP"

    _parameter_constraints: dict = {
        **_WeightProductExplainer._parameter_constraints,
        "signed": ["boolean"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        signed: bool = False,
        max_pool: str = "error",
        columns: str = "original",
        target: Target = None,
        batch_size: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        super().__init__(estimator, max_pool, columns, target, batch_size, random_state, verbose)
        self.signed = signed

    @property
    def _is_signed(self):
        return self.signed

    def _contributions(self, graph):
        product = weight_product(graph, max_pool=self.max_pool)
        return lambda x, outputs: pick_outputs(
            personalized_product(x, product, signed=self.signed), outputs
        )

    def interactions(
        self, X: MatrixLike | None = None, top: int = 20, target: Any = None
    ) -> pd.DataFrame:
        r"""The strongest pairwise interactions, read from the weights.

        Strength of (i, j): sum_h \|(W_2 ... W_N)_h\| min(\|W_1[i, h]\|, \|W_1[j, h]\|), times the
        mean of \|x_i x_j\| over X if it is given (neural interaction detection [1]_). Ranked in
        blocks: the matrix of all pairs is never held for inputs that are columns themselves.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features), default=None
            Samples to personalise for; None ranks by the weights alone.
        top : int, default=20
            Number of pairs.
        target : label, default=None
            One output; None sums over all.

        Returns
        -------
        DataFrame of shape (top, 3)
            `feature_1`, `feature_2`, `strength`, the strongest first.

        References
        ----------
        .. [1] Tsang, Cheng & Liu (2018), *Detecting statistical interactions from neural network
           weights*, ICLR.
        """
        check_is_fitted(self, "feature_importances_")
        if not isinstance(top, Integral) or top < 1:
            raise ValueError(f"top={top!r} must be an integer of at least 1.")
        network, inputs = self._network(), None
        if X is not None:
            inputs = network.to_tensor(network.preprocess(self._known_table(X)))
        reading = self._reading(network, self._input_shape)
        output = None if target is None else self._outputs.choose_one(target, self._is_signed)[0]
        names, origins = reading.feature_names, reading.origins
        if origins is None or _one_to_one(origins):
            pairs = interactions(reading.graph, top, output, inputs)
            if origins is not None:
                names = names[origins.indices]
        else:
            pairs = self._column_pairs(reading, top, output, inputs)
        rows = [(names[i], names[j], strength) for i, j, strength in pairs]
        return pd.DataFrame(rows, columns=["feature_1", "feature_2", "strength"])

    @staticmethod
    def _column_pairs(reading, top, output, inputs):
        n_columns = reading.origins.shape[1]
        if n_columns > _MOST_COLUMNS:
            raise ValueError(
                f"Interactions between {n_columns} columns that several inputs stand for need a"
                f" matrix of all pairs (at most {_MOST_COLUMNS} columns): use"
                " columns='transformed'."
            )
        matrix = interaction_matrix(reading.graph, reading.origins, output, inputs).numpy()
        first, second = np.triu_indices(n_columns, 1)
        strengths = matrix[first, second]
        best = np.argsort(-strengths, kind="stable")[:top]
        return [(int(first[b]), int(second[b]), float(strengths[b])) for b in best]


def _one_to_one(origins) -> bool:
    """Whether every input is one column, and every column at most one input."""
    per_row, per_column = np.diff(origins.indptr), np.bincount(origins.indices)
    return bool((per_row == 1).all() and (per_column <= 1).all() and (origins.data == 1).all())


class OldenExplainer(_WeightProductExplainer):
    """Connection weights: the signed product of all weights, the same for every sample.

    Paths of opposite sign cancel [1]_.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`PWPExplainer`.
    max_pool : {"error", "average"}, default="error"
        Max pooling has no weights: an error, or the weights of average pooling.
    columns : {"original", "transformed"}, default="original"
        Of a pipeline, sum the signed weights of what one column became, or keep them apart.
    target : None, "predicted" or label, default=None
        The output that `transform` gives, as for :class:`PWPExplainer`.
    batch_size : int, default=None
        Samples at a time; None is as many as take about 64 MiB.
    random_state : int, RandomState instance or None, default=None
        Seeds an estimator that is fitted here; None leaves it as it is.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    feature_importances_ : ndarray of shape (n_features,)
        Magnitude of the product, summed over outputs; sums to 1.
    importances_ : DataFrame of shape (n_features, n_outputs)
        The same per output; all of it sums to 1.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    classes_ : ndarray
        Of a classifier.

    References
    ----------
    .. [1] Olden & Jackson (2002), *Illuminating the "black box"*, Ecological Modelling 154:135.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sknninterp import OldenExplainer
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((8,), max_iter=2000, random_state=0).fit(X, y)
    >>> OldenExplainer(network).fit(X).importances_.shape
    (4, 3)
    """

    method = "Olden"

    def __init__(
        self,
        estimator: Any = None,
        *,
        max_pool: str = "error",
        columns: str = "original",
        target: Target = None,
        batch_size: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        super().__init__(estimator, max_pool, columns, target, batch_size, random_state, verbose)

    def _contributions(self, graph):
        product = weight_product(graph, max_pool=self.max_pool).movedim(0, -1)
        return lambda x, outputs: pick_outputs(product.expand(len(x), *product.shape), outputs)


class GarsonExplainer(_WeightProductExplainer):
    r"""Garson's importances: products of the weights' magnitudes, the same for every sample.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`PWPExplainer`.
    variant : {"product", "garson1991", "goh1995"}, default="product"
        "product": \|W_1\| \|W_2\| ... \|W_N\| [1]_. "garson1991": shares of each neuron's input,
        layer by layer, times \|W_N\| [2]_. "goh1995": the same without the output weights, which
        cancel [3]_ (what R's NeuralNetTools computes). The last two are defined for chains of
        layers.
    max_pool : {"error", "average"}, default="error"
        Max pooling has no weights: an error, or the weights of average pooling.
    columns : {"original", "transformed"}, default="original"
        Of a pipeline, sum the importances of what one column became, or keep them apart.
    target : None, "predicted" or label, default=None
        The output that `transform` gives, as for :class:`PWPExplainer`.
    batch_size : int, default=None
        Samples at a time; None is as many as take about 64 MiB.
    random_state : int, RandomState instance or None, default=None
        Seeds an estimator that is fitted here; None leaves it as it is.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    feature_importances_ : ndarray of shape (n_features,)
        Importances, the mean over outputs; sums to 1.
    importances_ : DataFrame of shape (n_features, n_outputs)
        The same per output; all of it sums to 1.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    classes_ : ndarray
        Of a classifier.

    References
    ----------
    .. [1] Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
       Personalized Products*.
    .. [2] Garson (1991), *Interpreting neural-network connection weights*, AI Expert 6(4):46.
    .. [3] Goh (1995), *Back-propagation neural networks for modeling complex systems*, Artificial
       Intelligence in Engineering 9:143.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import GarsonExplainer, TorchMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> explainer = GarsonExplainer(TorchMLPClassifier((8,), random_state=0)).fit(X, y)
    >>> round(float(explainer.feature_importances_.sum()), 6)
    1.0
    """

    method = "Garson"

    _parameter_constraints: dict = {
        **_WeightProductExplainer._parameter_constraints,
        "variant": [StrOptions(set(GARSON_VARIANTS))],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        variant: str = "product",
        max_pool: str = "error",
        columns: str = "original",
        target: Target = None,
        batch_size: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        super().__init__(estimator, max_pool, columns, target, batch_size, random_state, verbose)
        self.variant = variant

    @property
    def _is_signed(self):
        return False

    def _contributions(self, graph):
        shares = garson(graph, self.variant, max_pool=self.max_pool).movedim(0, -1)
        return lambda x, outputs: pick_outputs(shares.expand(len(x), *shares.shape), outputs)
