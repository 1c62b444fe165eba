"""Calls on the workers of a Dask cluster. Nothing of Dask is imported before it is used."""
