"""Tensors layer by layer."""
from __future__ import annotations

import re
from collections.abc import Iterator

from ._model import Array, Model

BLOCK = re.compile(r"^(.*?)(?:^|[./])(\d+)[./]")  # "blk.7.attn_q.weight", "model.layers.7.mlp.up_proj.weight"


def layer_of(name: str) -> tuple[str, int] | None:
    """The stack of layers and the number in it that a name tells; None if the tensor is in no layer."""
    found = BLOCK.match(name)
    return (found[1], int(found[2])) if found else None


def groups(names: list[str]) -> list[tuple[int | None, list[str]]]:
    """Names by layer, in the order in which layers begin. Neighbours without a layer form a group, whose number is None."""
    found: list[tuple[int | None, list[str]]] = []
    places: dict[tuple[str, int], list[str]] = {}
    for name in names:
        layer = layer_of(name)
        if layer is None and found and found[-1][0] is None:
            found[-1][1].append(name)
        elif layer is None or layer not in places:
            found.append((layer[1] if layer else None, [name]))
            if layer:
                places[layer] = found[-1][1]
        else:
            places[layer].append(name)
    return found


def iter_layers(model: Model) -> Iterator[tuple[int | None, dict[str, Array]]]:
    """Gives (number of the layer, {name: array}) for one layer after the other, in the order of the files.

    Tensors that are in no layer, such as embeddings, come as groups with the number None. Two stacks of layers, such as an
    encoder and a decoder, stay apart.

    The arrays of one layer at a time are alive: the dictionary is emptied when the next layer is asked for. Copy the
    dictionary to keep its arrays.
    """
    for number, names in groups(list(model)):
        arrays = {name: model[name] for name in names}
        yield number, arrays
        arrays.clear()
