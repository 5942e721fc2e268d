"""Sphinx: `make docs` builds docs/_build/html, the gallery by running the examples."""

from __future__ import annotations

import os
import re

from docutils import nodes
from latex2mathml.converter import convert

import sknninterp

os.environ.setdefault("OMP_NUM_THREADS", "1")
if "SKNNINTERP_DATA" not in os.environ:
    print("SKNNINTERP_DATA names no folder: the gallery's data will be fetched, where they can be.")

project = "sknninterp"
author = "the sknninterp developers"
project_copyright = f"2026, {author}"
release = version = sknninterp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

# -- API -----------------------------------------------------------------------------------------

autosummary_generate = True
# Of other libraries' classes the members are described there.
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseEstimator,TransformerMixin,MetaEstimatorMixin,ClassifierMixin,"
    "RegressorMixin,SelectorMixin,_SetOutputMixin,_MetadataRequester,Module,Optimizer,Callback,"
    "tuple",
    "exclude-members": ",".join(
        f"set_{method}_request"
        for method in ("fit", "partial_fit", "predict", "predict_proba", "score", "transform")
    ),
}
# Signatures are long; types are in the docstrings.
autodoc_typehints = "none"
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False


def escape_shapes(app, what, name, obj, options, lines):
    """Stars of shapes, such as (n_samples, *shape), are no emphasis."""
    lines[:] = [re.sub(r"(^ *|[(,\[] ?)\*(?=[a-z])", r"\1\\*", line) for line in lines]


# Browsers draw MathML themselves: the pages need no script from elsewhere.
html_math_renderer = "mathml"


def visit_math(writer, node):
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_displayed_math(writer, node):
    writer.body.append(f"<p>{convert(node.astext(), display='block')}</p>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer(html_math_renderer, (visit_math, None), (visit_displayed_math, None))
    # Before numpydoc, which sees what is left.
    app.connect("autodoc-process-docstring", escape_shapes, priority=0)


# -- gallery -------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "doc_module": ("sknninterp",),
    "backreferences_dir": "generated/backreferences",
}

# -- HTML ----------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "sknninterp"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = dict.fromkeys(
    ("index", "benchmarks", "what_holds", "which_method", "changelog", "contributing"), []
)
myst_heading_anchors = 3
# The references of a module are for all its functions; included Markdown starts below its title.
suppress_warnings = ["config.cache", "myst.header", "ref.citation"]
