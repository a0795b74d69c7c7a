"""What training jobs share: a search on Ray Tune, who may be promoted, options, the stores, and a Ray to run on."""
