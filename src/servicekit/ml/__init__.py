"""Models: train and predict as jobs, with data, models and predictions as artifacts."""
