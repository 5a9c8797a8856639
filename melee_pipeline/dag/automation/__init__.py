"""What happens by itself: partitions, new sources, the training set, retraining.

Each sensor compares what should be with what is (stamps in the data root, runs in Dagster) and
asks for the difference, so a tick that is lost or repeated changes nothing.
"""
