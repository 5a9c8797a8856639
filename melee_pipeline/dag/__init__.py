"""The pipeline as Dagster assets: thin, the work is done by the library."""
