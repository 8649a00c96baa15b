"""The models, one a module; all are found by entry points and scored through one protocol."""
