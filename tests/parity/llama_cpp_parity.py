#!/usr/bin/env python3
"""Perplexity of exported GGUF files by llama.cpp against that of `tercet evaluate`, on the same windows of real text.

Models: the Llama of the shared data; the same weights with biases on query, key and value as a Qwen2; a small GPT-2 that is
trained here for some seconds. Each is compressed without training, weights only, in formats that come out as Q8_0, Q4_0, Q2_0 and
TQ2_0, and read by llama-cpp-python. llama.cpp rounds the inputs of these types to 8 bits, so the two may differ a little:
by less than 1 %. Its tokens of the text must be those of the tokenizer's own library.

Usage: llama_cpp_parity.py TERCET
"""
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import llama_cpp
import numpy
import tokenizers
import torch
import transformers

WINDOW, WINDOWS, WORST = 256, 24, 0.01

# (model, format, further settings)
CASES = [
    ("llama", "int8", {"group_size": 64}),
    ("llama", "int4", {"group_size": 32}),
    ("llama", "ternary", {"group_size": 64, "solver": "compensated"}),
    ("qwen2", "int8", {"group_size": 32}),
    ("qwen2", "int4", {"group_size": 64}),
    ("gpt2", "int8", {"group_size": 64}),
    ("gpt2", "ternary", {"granularity": "tensor"}),
]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def copy_tokenizer(source, folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)


def make_qwen2(source, folder):
    """The Llama as a Qwen2 whose query, key and value have biases."""
    llama = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    settings = {key: getattr(llama.config, key) for key in (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "bos_token_id", "eos_token_id")}
    settings["rope_parameters"] = llama.config.rope_parameters
    model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**settings))
    torch.manual_seed(1)
    state = llama.state_dict()
    for name, value in model.state_dict().items():
        if name not in state:
            assert name.endswith("proj.bias"), name
            state[name] = 0.1 * torch.randn_like(value)
    model.load_state_dict(state)
    model.save_pretrained(folder)


def make_gpt2(ids, vocabulary, folder):
    """A GPT-2 that has learned a little, so that its predictions are worth comparing. Its width is one that TQ2_0 takes."""
    torch.manual_seed(1)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=vocabulary, n_embd=256, n_layer=2, n_head=4, n_positions=WINDOW, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=0, eos_token_id=0))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    batches = torch.tensor(ids[:60 * 8 * 128]).view(60, 8, 128)
    for batch in batches:
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"GPT-2: loss {loss.item():.3f} after {len(batches)} steps", flush=True)
    model.save_pretrained(folder)


def run(tercet, *arguments):
    done = subprocess.run([tercet, *map(str, arguments), "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"tercet {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def compressed(tercet, model, text, output, weight_format, settings):
    config = output.with_suffix(".yaml")
    config.write_text(json.dumps({
        "output": str(output), "model": {"path": str(model)}, "data": {"sources": [str(text)]},
        "calibration": {"samples": 8, "shards": 8}, "evaluation": {"windows": 4}, "training": {"enabled": False},
        "quantization": {"format": weight_format, "activation_bits": 16, **settings}, "export": {"formats": ["gguf"]},
        "gates": {name: {"severity": "off"} for name in ("compression", "sparsity", "accuracy", "perplexity", "speedup")},
        "report": {"sample_tokens": 0},
    }))
    run(tercet, "compress", config)
    return output


def use_plain_weights():
    """llama.cpp packs weights anew for AMX where a processor has it, and crashes there in the first product."""
    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def without_packing():
        settings = defaults()
        settings.use_extra_bufts = False
        return settings

    llama_cpp.llama_cpp.llama_model_default_params = without_packing


def perplexity_by_llama_cpp(file, windows):
    model = llama_cpp.Llama(str(file), n_ctx=WINDOW, n_batch=WINDOW, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False)
    total = 0.0
    for window in windows:
        model.reset()
        model.eval(window)
        logits = torch.from_numpy(numpy.array(model.scores[:WINDOW - 1])).double()
        total += torch.nn.functional.cross_entropy(logits, torch.tensor(window[1:]), reduction="sum").item()
    return math.exp(total / (len(windows) * (WINDOW - 1)))


def check_tokens(file, text, ids):
    model = llama_cpp.Llama(str(file), vocab_only=True, verbose=False)
    theirs = model.tokenize(text.encode(), add_bos=False, special=False)
    assert theirs == ids, f"{file.parent.name}: llama.cpp cuts the text into other tokens"


def main():
    tercet = os.path.abspath(sys.argv[1])
    shared = pathlib.Path(os.environ.get("TERCET_SHARED", pathlib.Path(__file__).parents[3] / "shared")) / "data"
    llama = shared / "models/ref_llama_3M/hf"
    if not llama.exists():
        skip(f"no '{llama}'")
    tokenizer = tokenizers.Tokenizer.from_file(str(llama / "tokenizer.json"))

    def ids_of(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    held_out = shared / "text/mixed/heldout.txt"
    train = (shared / "text/mixed/train.txt").read_text()[:1 << 20]
    ids = ids_of(held_out.read_text())
    windows = [ids[i * WINDOW:(i + 1) * WINDOW] for i in range(WINDOWS)]
    worst = 0.0
    use_plain_weights()
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        (scratch / "train.txt").write_text(train)
        models = {"llama": llama, "qwen2": scratch / "qwen2", "gpt2": scratch / "gpt2"}
        make_qwen2(llama, models["qwen2"])
        make_gpt2(ids_of(train), tokenizer.get_vocab_size(), models["gpt2"])
        for model in ("qwen2", "gpt2"):
            copy_tokenizer(llama, models[model])
        for model, weight_format, settings in CASES:
            folder = compressed(tercet, models[model], scratch / "train.txt", scratch / f"{model}-{weight_format}",
                                weight_format, settings)
            gguf = folder / "artifacts/model.gguf"
            check_tokens(gguf, held_out.read_text()[:100_000], ids_of(held_out.read_text()[:100_000]))
            ours = run(tercet, "evaluate", folder, "--data", held_out, "--windows", WINDOWS)["perplexity"]
            theirs = perplexity_by_llama_cpp(gguf, windows)
            print(f"{model:6} {weight_format:8} tercet {ours:10.4f}  llama.cpp {theirs:10.4f}  ratio {theirs / ours:.5f}", flush=True)
            worst = max(worst, abs(theirs / ours - 1))
    assert worst < WORST, f"perplexities differ by {100 * worst:.2f} %"
    print(f"{len(CASES)} files: perplexity by llama.cpp within {100 * worst:.2f} % of ours, its tokens the same")


if __name__ == "__main__":
    main()
