"""The workload series of the open data, each on an even grid."""
