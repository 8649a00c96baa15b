"""mmsdk beside LangChain's FAISS store, Chroma, txtai, LanceDB and Haystack: see ``__main__``."""
