"""mmsdk retrievers for LangChain; and stored chunks as LangChain documents."""

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from mmsdk.protocols import Retriever as MmsdkRetriever
from mmsdk.types import Chunk


class Retriever(BaseRetriever):
    """Give any mmsdk retriever, such as a ``Collection``, to LangChain; sources, places and scores are metadata.

    ``k`` and ``where`` can also be given with each question: ``retriever.invoke("boots", k=2)``.

    >>> import tempfile
    >>> from mmsdk.collection import Collection
    >>> from mmsdk.testing import HashingEncoder
    >>> with Collection.open(tempfile.mkdtemp(), create=True, encoders=[HashingEncoder()]) as shop:
    ...     ids = shop.add_texts(["A tent for two.", "Winter boots."])
    ...     [found.page_content for found in Retriever(retriever=shop, k=1).invoke("boots")]
    ['Winter boots.']
    """

    retriever: Any
    k: int = 4
    where: dict[str, Any] | None = None

    def __init__(self, retriever: MmsdkRetriever, **options: Any) -> None:
        super().__init__(retriever=retriever, **options)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        where: dict[str, Any] | None = None,
    ) -> list[Document]:
        del run_manager
        hits = self.retriever.retrieve(query, self.k if k is None else k, where=self.where if where is None else where)
        return [
            document(hit.chunk, source=hit.chunk.source, locator=hit.chunk.locator.to_json(), score=hit.score)
            for hit in hits
        ]


def document(chunk: Chunk, **more: Any) -> Document:
    """Give a chunk as a LangChain document of the same id, with ``more`` metadata."""
    return Document(id=chunk.document_id, page_content=chunk.text, metadata={**chunk.metadata, **more})
