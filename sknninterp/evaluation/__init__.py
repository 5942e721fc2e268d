"""Is an explanation any good, and does it hold? Faithfulness, sanity, stability, selection."""

from sknninterp.evaluation.additivity import CompletenessWarning, completeness, conservation
from sknninterp.evaluation.agreement import (
    jaccard,
    kendall,
    kuncheva,
    nogueira,
    pairwise_agreement,
    rank_biased_overlap,
    spearman,
    stability,
)
from sknninterp.evaluation.comparison import compare_explainers
from sknninterp.evaluation.faithfulness import PerturbationCurves, erasure, perturbation_curves
from sknninterp.evaluation.gene_sets import enrichment, read_gmt
from sknninterp.evaluation.knockoff_selector import KnockoffSelector
from sknninterp.evaluation.known_truth import recovery
from sknninterp.evaluation.peers import (
    DeepLiftExplainer,
    DeepShapExplainer,
    GradientShapExplainer,
    LRPExplainer,
    PermutationExplainer,
)
from sknninterp.evaluation.permuted_labels import null_importances
from sknninterp.evaluation.rank_aggregation import consensus
from sknninterp.evaluation.repeated import RepeatedExplainer
from sknninterp.evaluation.retraining import roar
from sknninterp.evaluation.robustness import infidelity, max_sensitivity
from sknninterp.evaluation.sanity import label_randomization, parameter_randomization, sanity_checks
from sknninterp.evaluation.stability_selector import StabilitySelector

__all__ = [
    "CompletenessWarning",
    "DeepLiftExplainer",
    "DeepShapExplainer",
    "GradientShapExplainer",
    "KnockoffSelector",
    "LRPExplainer",
    "PermutationExplainer",
    "PerturbationCurves",
    "RepeatedExplainer",
    "StabilitySelector",
    "compare_explainers",
    "completeness",
    "consensus",
    "conservation",
    "enrichment",
    "erasure",
    "infidelity",
    "jaccard",
    "kendall",
    "kuncheva",
    "label_randomization",
    "max_sensitivity",
    "nogueira",
    "null_importances",
    "pairwise_agreement",
    "parameter_randomization",
    "perturbation_curves",
    "rank_biased_overlap",
    "read_gmt",
    "recovery",
    "roar",
    "sanity_checks",
    "spearman",
    "stability",
]
