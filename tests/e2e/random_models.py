"""Models that nobody has trained, for tests of what does not depend on what a model has learned."""

import array
import json
import pathlib
import random
import shutil
import struct


def config_of(folder):
    return json.loads((pathlib.Path(folder) / "config.json").read_text(encoding="utf-8"))


def random_model(shop, folder, config, shapes):
    """A model of random weights in bfloat16, with the tokenizer of the tiny one."""
    folder.mkdir()
    for file in pathlib.Path(shop.model).iterdir():
        if file.suffix == ".json":
            shutil.copy(file, folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_random(folder / "model.safetensors", shapes)
    return folder


def write_random(file, shapes):
    """Matrices and biases of N(0, 0.02), norms of ones, in bfloat16."""
    chance = random.Random(1)
    floats = array.array("f", (chance.gauss(0, 0.02) for _ in range(1 << 16)))
    pool = floats.tobytes()
    halves = b"".join(pool[i + 2:i + 4] for i in range(0, len(pool), 4))  # bfloat16: the upper half
    ones = struct.pack("<H", 0x3F80)
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as output:
        output.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            size = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
            if len(shape) == 1 and not name.endswith("bias"):
                output.write(ones * shape[0])
                continue
            begin = 2 * chance.randrange(1 << 16)
            output.write((halves[begin:] + halves * (size // len(halves) + 1))[:size])
