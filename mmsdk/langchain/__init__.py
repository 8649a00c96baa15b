"""mmsdk for LangChain users: ``Embeddings``, ``VectorStore``, ``Retriever`` and plugin tasks as tools.

The other direction, a LangChain chat model as an LLM, is ``mmsdk.llms.langchain``. LangChain has one text
a document, so a vector store keeps each whole; pictures and recordings live in a ``Collection``, which
``Retriever`` takes.
"""

from mmsdk.langchain.embeddings import Embeddings, FromLangChain
from mmsdk.langchain.retriever import Retriever
from mmsdk.langchain.tools import tools
from mmsdk.langchain.vectorstore import VectorStore

__all__ = ["Embeddings", "FromLangChain", "Retriever", "VectorStore", "tools"]
