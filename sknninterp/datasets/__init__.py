"""Real data sets of biomedicine and images, and synthetic sets with a known answer.

Every loader looks for its files in three places, in this order:

1. the folder `data_home`, if it is given;
2. the folder that the environment variable `SKNNINTERP_DATA` names;
3. OpenML, through :func:`sklearn.datasets.fetch_openml`, which keeps what it fetched in
   scikit-learn's own data home. OpenML has MNIST, Fashion-MNIST, CIFAR-10, the readmission data
   and the two small clinical tables; it has not got Beat AML and the gene-expression sets.

The folder is laid out as follows.

=========================  =====================================================================
folder                     files
=========================  =====================================================================
`mnist/`                   the four original gzipped IDX files (`train-images-idx3-ubyte.gz`, ...)
`fashion_mnist/`           the same four names
`cifar10/`                 `train_1.npz` to `train_5.npz`, `test.npz` (see :func:`load_cifar10`)
`diabetes_readmission/`    `diabetic_data.csv.gz`, `IDS_mapping.csv`
`beat_aml/`                `expression.csv.gz`, `mutation_matrix.csv.gz`, `drug_auc.csv.gz`,
                           `clinical.csv.gz`
`gene_expression/`         `golub_leukemia.npz`, `golub_informative_genes.csv`,
                           `armstrong_leukemia.npz`, `nci60_p53.npz`,
                           `chowdary_breast_colon.npz`, `hallmark_v7.0.gmt`
`small_tabular/`           `heart_cleveland.csv`, `pima_diabetes.csv`
=========================  =====================================================================

A loader whose files are nowhere raises a `FileNotFoundError` that says where it looked.
"""

from __future__ import annotations

from ._clinical import load_heart_disease, load_pima_diabetes
from ._expression import load_beat_aml, load_gene_expression, load_hallmark_gene_sets
from ._images import load_cifar10, load_fashion_mnist, load_mnist
from ._readmission import group_icd9, load_diabetes_readmission
from ._synthetic import make_interaction_benchmark, make_relevant_features

__all__ = [
    "group_icd9",
    "load_beat_aml",
    "load_cifar10",
    "load_diabetes_readmission",
    "load_fashion_mnist",
    "load_gene_expression",
    "load_hallmark_gene_sets",
    "load_heart_disease",
    "load_mnist",
    "load_pima_diabetes",
    "make_interaction_benchmark",
    "make_relevant_features",
]
