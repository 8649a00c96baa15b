"""LLMs: messages become text. One module a backend."""
