#!/usr/bin/env python3
"""Logits of Tercet's decoder against transformers, in fp32.

Makes tiny random models of every family (all parameters random, norms and biases too, so that a forgotten one shows),
saves each as a Hugging Face folder with token ids and expected logits beside it, adds the real models of the shared data
where they are, and runs the model module's test program over all of them.

Usage: logits_parity.py TEST_MODEL_PROGRAM [--keep FOLDER] [--shared FOLDER]
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file

BASE = dict(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=None,
            tie_word_embeddings=False)
NEOX = dict(BASE, num_key_value_heads=None, attention_dropout=0.0, hidden_dropout=0.0)
GPT2 = dict(vocab_size=97, n_embd=48, n_layer=3, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=24)
LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=2.5)

# name: (config class, settings)
CASES = {
    "llama": ("LlamaConfig", BASE),
    "llama_tied": ("LlamaConfig", dict(BASE, tie_word_embeddings=True)),
    "llama_multihead": ("LlamaConfig", dict(BASE, num_key_value_heads=4)),
    "llama_multiquery": ("LlamaConfig", dict(BASE, num_key_value_heads=1)),
    "llama_biases": ("LlamaConfig", dict(BASE, attention_bias=True, mlp_bias=True)),
    "llama_rope_linear": ("LlamaConfig", dict(BASE, rope_parameters=LINEAR)),
    "llama_rope_llama3": ("LlamaConfig", dict(BASE, rope_parameters=LLAMA3)),
    "llama_head_dim_22": ("LlamaConfig", dict(BASE, head_dim=22)),
    "llama_gelu": ("LlamaConfig", dict(BASE, hidden_act="gelu_pytorch_tanh")),
    "mistral_window_7": ("MistralConfig", dict(BASE, sliding_window=7)),
    "mistral_no_window": ("MistralConfig", dict(BASE, sliding_window=None, head_dim=10)),
    "qwen2": ("Qwen2Config", BASE),
    "qwen2_tied": ("Qwen2Config", dict(BASE, tie_word_embeddings=True)),
    "qwen3": ("Qwen3Config", dict(BASE, head_dim=14)),
    "qwen3_biases_tied": ("Qwen3Config", dict(BASE, head_dim=16, attention_bias=True, tie_word_embeddings=True)),
    "gpt2": ("GPT2Config", GPT2),
    "gpt2_untied_gelu": ("GPT2Config", dict(GPT2, tie_word_embeddings=False, activation_function="gelu", n_inner=56)),
    "gpt_neox": ("GPTNeoXConfig", dict(NEOX, rotary_pct=0.5, use_parallel_residual=True)),
    "gpt_neox_sequential": ("GPTNeoXConfig", dict(NEOX, rotary_pct=1.0, use_parallel_residual=False)),
    "gpt_neox_tied_no_bias": ("GPTNeoXConfig", dict(NEOX, rotary_pct=0.34, tie_word_embeddings=True,
                                                    attention_bias=False)),
}
REAL = ("stories260K", "babyllama_tok105", "ref_llama_3M")


def randomise(model: torch.nn.Module) -> None:
    """Everything random: weights so large that attention is not uniform, norms near one, biases not zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                spread = 0.5 if "emb" in name or "wte" in name or "wpe" in name else 1.6 / parameter.shape[1] ** 0.5
                parameter.normal_(0.0, spread)
            elif "norm" in name or "ln_" in name:
                parameter.normal_(0.0, 0.2).add_(0.0 if name.endswith("bias") else 1.0)
            else:
                parameter.normal_(0.0, 0.3)


def write_expected(model: torch.nn.Module, folder: pathlib.Path, vocabulary: int, positions: int) -> None:
    ids = torch.randint(0, vocabulary, (3, positions))
    with torch.no_grad():
        logits = model.eval()(input_ids=ids).logits
    save_file({"ids": ids, "logits": logits.contiguous()}, folder / "expected.safetensors")


def make_random(name: str, root: pathlib.Path) -> None:
    kind, settings = CASES[name]
    settings = {key: value for key, value in settings.items() if value is not None or key == "sliding_window"}
    config = getattr(transformers, kind)(**settings)
    torch.manual_seed(len(name) * 1000 + sum(map(ord, name)))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    randomise(model)
    model.tie_weights()
    folder = root / name
    model.save_pretrained(folder / "model")
    write_expected(model, folder, config.vocab_size, 41)


def add_real(name: str, root: pathlib.Path, shared: pathlib.Path) -> bool:
    source = shared / "data" / "models" / name / "hf"
    if not source.exists():
        print(f"skipped: {name} (no {source})")
        return False
    folder = root / name
    folder.mkdir()
    (folder / "model").symlink_to(source.resolve(), target_is_directory=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    torch.manual_seed(1)
    write_expected(model, folder, model.config.vocab_size, 250)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built test_model")
    parser.add_argument("--keep", help="put the models here and leave them")
    here = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--shared", default=os.environ.get("TERCET_SHARED", str(here.parent / "shared")))
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(arguments.keep or scratch)
        root.mkdir(parents=True, exist_ok=True)
        for name in CASES:
            make_random(name, root)
        for name in REAL:
            add_real(name, root, pathlib.Path(arguments.shared))
        environment = dict(os.environ, TERCET_PARITY_DIR=str(root))
        return subprocess.run([arguments.program, "--gtest_filter=Parity.*"], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
