"""Loaders: files, folders, addresses and bytes become documents.

``read`` gives Documents, ``load`` one picture or recording. Parsing happens in worker processes
with limits (see ``mmsdk.loaders.workers``); this package decodes only and knows no model: text is
read out of pictures and recordings by ``mmsdk.recognizers``.

A loader is a function ``load(data: bytes, job: Job) -> Parsed`` under an entry point of the group
``mmsdk.loaders``, named after the file suffix it reads; ``mmsdk.loaders.parsed`` says the rest::

    [project.entry-points."mmsdk.loaders"]
    gpx = "acme_gpx:load"
"""

from mmsdk.loaders.parsed import Job, Parsed, Problem, Tiles
from mmsdk.loaders.reading import Source, load, read

__all__ = ["Job", "Parsed", "Problem", "Source", "Tiles", "load", "read"]
