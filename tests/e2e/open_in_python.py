"""open_in_python.py TEXT LENGTH WINDOWS RUN...: the artifacts of runs through other people's programs, as a JSON list.

Both .pt files by plain torch.load, hf/ by transformers with the perplexity of its windows, run.h5 by h5py.
"""

import json
import math
import pathlib
import sys

import h5py
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM


def perplexity(model, ids, length, windows):
    """Windows without overlap and without BOS, loss on positions 2 to `length`."""
    total = predictions = 0
    with torch.no_grad():
        for begin in range(0, windows * length, length):
            window = torch.tensor([ids[begin:begin + length]])
            loss = torch.nn.functional.cross_entropy(model(input_ids=window).logits[0, :-1].double(), window[0, 1:],
                                                     reduction="sum")
            total, predictions = total + loss.item(), predictions + length - 1
    return math.exp(total / predictions)


def opened(run, text, length, windows):
    artifacts = pathlib.Path(run) / "artifacts"
    packed = torch.load(artifacts / "bitnet_quantized_model.pt")
    dequantized = torch.load(artifacts / "bitnet_dequantized_fp16.pt")
    model = AutoModelForCausalLM.from_pretrained(artifacts / "hf", dtype=torch.float32).eval()
    ids = Tokenizer.from_file(str(artifacts / "hf" / "tokenizer.json")).encode(
        pathlib.Path(text).read_text(encoding="utf-8"), add_special_tokens=False).ids
    state = model.state_dict()
    differences = [(state[name] - value.float()).abs().max().item() for name, value in dequantized.items()]
    with h5py.File(pathlib.Path(run) / "run.h5") as file:
        layers = [name.decode() for name in file["layers"]["name"]]
    return {
        "perplexity": perplexity(model, ids, length, min(windows, len(ids) // length)),
        "ternary": sum(entry["format"] == "ternary" for entry in packed["quantization"].values()),
        "worst_difference": max(differences),
        "layers": layers}


def main():
    text, length, windows, *runs = sys.argv[1:]
    print(json.dumps([opened(run, text, int(length), int(windows)) for run in runs]))


if __name__ == "__main__":
    main()
