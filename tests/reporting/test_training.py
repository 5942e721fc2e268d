from __future__ import annotations

from dataclasses import replace

import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

from sknninterp import PWPExplainer
from sknninterp.reporting._training import _losses, _tuning, figures, tried


def test_figures(single, multiclass):
    loss, tuning = figures(single)
    predictor = single.network.predictor
    assert "15 passes" in loss.caption
    assert f"{predictor.history_['train_loss'].iloc[-1]:.3g}" in loss.caption
    assert f"hidden layer 1 from 8 to {predictor.layer_sizes_[0]}" in tuning.caption
    assert f"took out {len(predictor.tuning_history_)} neurons" in tuning.caption
    assert len(figures(multiclass)) == 1


def test_two_losses():
    class Fitted:
        history_ = pd.DataFrame({"train_loss": [3.0, 1.0], "valid_loss": [3.0, 2.0]})

    figure = _losses(Fitted)
    assert "validation (held out) 2" in figure.caption and "c1" in figure.drawing


def test_networks_of_others(single, table):
    X, y = table
    network = MLPClassifier((3,), max_iter=3, early_stopping=True, random_state=0)
    network.set_params(early_stopping=False)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.fit(X, y)
    study = replace(single, estimator=network, explainer=PWPExplainer(network).fit(X))
    (loss,) = figures(study)
    assert "3 passes" in loss.caption
    assert _losses(object()) is None and _tuning(object()) is None


def test_neurons_left_are_counted():
    class Fitted:
        tuning_history_ = pd.DataFrame({"layer": ["h0", "h0", "h1"], "epoch": [1, 3, 3]})
        removed_neurons_ = {"h0": [0, 1], "h1": [4]}
        layer_sizes_ = [4, 2]
        n_iter_ = 5

    figure = _tuning(Fitted)
    assert figure.caption.endswith("hidden layer 1 from 6 to 4; hidden layer 2 from 3 to 2.")
    assert figure.drawing.count("V") >= 3


def test_tried(single, table):
    X, y = table
    grid = {"antclassifier__pruning_rate": [0.0, 0.5], "antclassifier__lr": [0.02]}
    search = GridSearchCV(single.estimator, grid, cv=2).fit(X, y)
    found = tried(replace(single, estimator=search))
    assert found.header == ["pruning_rate", "score ± sd"]
    assert "(the best 2 of 2)" in found.title
    best = search.best_params_["antclassifier__pruning_rate"]
    assert found.rows[found.chosen][0] == f"{best:g}"
    assert found.rows[found.chosen][1].startswith(f"{search.best_score_:.3f} ± ")
    assert tried(single) is None
