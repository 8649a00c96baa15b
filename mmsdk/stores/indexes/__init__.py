"""Indexes: nearest vectors of one space. ``exact`` is the reference, ``faiss`` the fast one."""
