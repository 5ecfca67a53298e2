"""Declared networks: a graph and weights in one file that holds no code.

``capture`` turns a module into such a file on the user's machine, by ``torch.export``. ``rebuild`` makes a network of
it from closed tables of operations and modules. The file is ``network.safetensors``: tensors, and one JSON document in
the metadata (docs/decisions/033-declared-networks.md).
"""

from safs.models.declared.declaration import Declaration, declaration, from_json, read_file, to_json

__all__ = ["Declaration", "declaration", "from_json", "read_file", "to_json"]
