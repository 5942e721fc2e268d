"""What explains a fitted estimator."""
