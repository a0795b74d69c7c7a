"""The predictor as a service: samples in, forecasts out, its model from the registry. Knows no Ray."""
