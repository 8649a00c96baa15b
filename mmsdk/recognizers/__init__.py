"""Recognizers: the text in pictures and recordings, with its place. One module a modality."""
