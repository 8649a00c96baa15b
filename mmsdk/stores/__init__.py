"""Stores: where a collection keeps documents, chunks and vectors. One module a backend."""
