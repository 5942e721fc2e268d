"""The experiments of the four papers, with controls: one module a paper, and what runs them."""
