"""The progress bar of machines."""

from __future__ import annotations

from sknninterp.estimators._progress import epoch_bar
from sknninterp.nn.rbm_training import Epoch

EPOCHS = [Epoch(i + 1, "cd", 0.01, 0.5, error, 0.1) for i, error in enumerate((0.25, 0.12345678))]


def shown(capsys, verbose, n_epochs, **words):
    with epoch_bar(verbose, n_epochs) as told:
        for epoch in EPOCHS:
            told(epoch, **words)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_bar_counts_epochs_and_shows_the_error(capsys):
    text = shown(capsys, 1, 2)
    assert "2/2" in text
    assert "reconstruction_error=0.1235" in text


def test_words_stand_before_the_error(capsys):
    text = shown(capsys, 1, None, layer="hidden0")
    assert "layer=hidden0, reconstruction_error=0.1235" in text
    assert "2epoch" in text


def test_nothing_is_shown_unless_asked_for(capsys):
    assert shown(capsys, 0, 2) == ""
