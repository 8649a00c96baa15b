"""Write the folders beside this file, with the FAISS store of langchain_community.

Run in an environment of its own, since faiss-cpu and faiss-gpu are one module:
``python -m venv lc && lc/bin/pip install langchain-community==0.4.2 faiss-cpu==1.15.1 && lc/bin/python make.py pydantic2``.
``pydantic1`` was written with langchain-community 0.2.19, langchain-core 0.2 and faiss-cpu 1.9, where documents
were objects of pydantic 1. ``raw`` keeps vectors as they are, ``unit`` normalised ones; of pydantic1 only ``unit`` was kept.
"""

import datetime
import hashlib
import sys
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings


class Trigrams(Embeddings):
    """Count signed hashes of three letters in 16 components; not of unit norm."""

    def embed_query(self, text: str) -> list[float]:
        counts = [0.5] + [0.0] * 15
        for start in range(max(len(text) - 2, 1)):
            digest = hashlib.sha256(text[start : start + 3].lower().encode()).digest()
            counts[digest[0] % 16] += 1 if digest[1] & 1 else -1
        return counts

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


DOCUMENTS = {
    "tent": Document(
        page_content="A tent for two people.", metadata={"price": 200, "tags": ["tent", "green"], "source": "shop.md"}
    ),
    "boots": Document(page_content="Boots for the winter.", metadata={"price": 90.5, "new": True, "note": None}),
    "locker": Document(page_content="带锁的柜子可以存放行李。", metadata={"day": datetime.date(2024, 5, 6), "at": {"page": 3}}),
    "space": Document(page_content="  Leading and trailing spaces stay.\n", metadata={"pair": (1, "a")}),
}


def main(folder: Path) -> None:
    """Write a folder with normalised vectors, and one with raw ones."""
    from langchain_community.vectorstores import FAISS

    for name, options in (("unit", {"normalize_L2": True}), ("raw", {})):
        store = FAISS.from_documents(list(DOCUMENTS.values()), Trigrams(), ids=list(DOCUMENTS), **options)
        store.save_local(str(folder / name))


if __name__ == "__main__":
    main(Path(__file__).parent / sys.argv[1])
