"""How to read the numbers: a sentence or two for each."""

from __future__ import annotations

from sknninterp.reporting._ranking import Ranking
from sknninterp.reporting._rows import Rows
from sknninterp.reporting._study import Study

_METHODS = {
    "PWP": "Personalized weight products: a feature's value, as the network gets it, times its "
    "weights on all ways to the output. Weights are followed as if the network were linear: what "
    "matters only together with other features, or by being far from the middle on either side, "
    "may rank too low. Contributions are not parts of the prediction and do not add up to it.",
    "Garson": "Garson's importances: magnitudes of weights on all ways from a feature to the "
    "output. They are the same for every row, and say nothing of direction.",
    "Olden": "Olden's importances: weights on all ways from a feature to the output, summed with "
    "their signs. They are the same for every row.",
    "Gradient x input": "Gradient x input: a feature's value times the slope of the output in it, "
    "at this row. It is local, and may jump between rows that are alike.",
    "Integrated gradients": "Integrated gradients: what each feature adds on the straight way from "
    "a baseline to this row. Contributions and the base value add up to the output.",
}


def method(study: Study) -> str:
    """Short name of what explains."""
    return str(getattr(study.first_explainer, "method", type(study.first_explainer).__name__))


def about_method(study: Study) -> str:
    """What the numbers of this explainer are."""
    name = method(study)
    return _METHODS.get(name, f"Contributions are those of {name}; see its own documentation.")


def about_ranking(study: Study, ranking: Ranking) -> str:
    """What an importance is, and its interval."""
    text = (
        "Importance: mean magnitude of a feature's contributions over the rows of this page, as a "
        "share of all features; all add up to 1."
    )
    if ranking.each is not None:
        text += (
            f" It is the mean of {len(ranking.each)} {ranking.what}; the whisker and the ranks "
            "show the middle 95 % and the whole range between them. They show chance in training, "
            "and chance in who is among the rows only if repeats drew them anew."
        )
    return text


def towards(study: Study) -> str:
    """What a contribution is a contribution to."""
    if study.task == "multiclass":
        return "the predicted class"
    if study.task == "binary":
        name = study.names[1]
        # A bare number says nothing.
        return name if any(map(str.isalpha, name)) else f"{study.target} = {name}"
    return study.target


def about_rows(study: Study, rows: Rows) -> str:
    """What a bar of the waterfall is."""
    what = towards(study)
    if not rows.signed:
        return f"A bar is the size of what the feature contributes towards {what}."
    text = f"A bar to the right speaks for {what}, one to the left against it."
    if rows.base is None:
        return f"{text} Bars are stacked from 0; their sum is no prediction."
    if study.task == "binary":
        mean = " Of several networks they are means." if len(study.networks) > 1 else ""
        return (
            f"{text}{mean} Bars go from the base value, what the network says of its baseline, to "
            "the log-odds of this row: 0 is a probability of one half, and +1 multiplies the odds "
            "by 2.7."
        )
    return (
        f"{text} Bars go from the base value, what the network says of its baseline, to its output."
    )


def general() -> list[str]:
    """What is true of every ranking."""
    return [
        "An importance says what this network uses, not what causes the outcome. Features that say "
        "the same share importance, or swap it by chance.",
        "Features that are not on the page's top may still matter for single rows: look at those.",
    ]
