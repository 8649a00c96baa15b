"""Encoders: contents of one modality become vectors of one space. One module a modality or backend."""
