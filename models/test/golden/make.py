#!/usr/bin/env python3
"""make.py [FOLDER] - writes the golden files that golden_test.c holds mixgrid against.

Independent of mixgrid: each mixer is written here in plain PyTorch, in double, from its paper and
from the formulas at the head of models/mixer_*.c, as the recurrence over tokens; gradients are
PyTorch's own. Needs Debian's python3-torch (made with 1.13). Per case a folder:

    settings             one KEY=VALUE a line, for mixgrid probe --set
    weights.safetensors  float32, names and layouts of models/README.md
    tokens.npy           int32 [B, T]
    logits.npy           float64 [B, T, V]
    grads.safetensors    float64, of the probe's loss

FOLDER: where the cases go, by default beside this script. Files that exist are overwritten with
the same bytes if nothing has changed but, with another PyTorch, the last digits.
"""
import json
import pathlib
import struct
import sys

import numpy
import torch

sys.dont_write_bytecode = True  # no traces among the goldens
from cases import CASES
from skeleton import logits, loss
from weights import Weights

BATCH, VOCAB = 2, 11


def write_safetensors(path, arrays):
    header, at = {}, 0
    for name, x in arrays.items():
        kind = {"float32": "F32", "float64": "F64"}[str(x.dtype)]
        header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for x in arrays.values():
            file.write(x.tobytes())


def in_yaml(value):
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def make(folder, case, time, settings):
    w = Weights(case)
    ids = torch.tensor(w.draw.randint(0, VOCAB, (BATCH, time)))
    z = logits(w, lambda key, start: settings.get(key, start), ids, VOCAB)
    (loss(z, ids) + w.charged).backward()

    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"model.{key}={in_yaml(value)}\n" for key, value in settings.items()]
    (folder / "settings").write_text("".join(lines))
    write_safetensors(folder / "weights.safetensors",
                      {name: x.detach().numpy().astype("f4") for name, x in w.table.items()})
    write_safetensors(folder / "grads.safetensors",
                      {name: x.grad.numpy() if x.grad is not None else numpy.zeros(x.shape)
                       for name, x in w.table.items()})
    numpy.save(folder / "tokens.npy", ids.numpy().astype("i4"))
    numpy.save(folder / "logits.npy", z.detach().numpy())


def main():
    torch.set_num_threads(1)  # one order of summation
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    for case, (time, settings) in CASES.items():
        make(folder / case, case, time, settings)


if __name__ == "__main__":
    main()
