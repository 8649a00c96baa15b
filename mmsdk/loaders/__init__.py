"""Loaders: bytes become documents. One module a family of formats."""
