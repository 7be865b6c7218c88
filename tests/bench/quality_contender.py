"""Quantizes a Hugging Face folder with another program, for quality_tools.py: integers by groups inside the blocks, weights
only. Writes the folder again with the values that the quantized matrices stand for; all else is the original's.

Run by a Python of .venv-tools (make_quality_tools.sh). Usage: quality_contender.py autoround|gptq MODEL SEQUENCES OUT SETTINGS
SEQUENCES: a JSON list of lists of ids, all of one length. SETTINGS: a JSON object with bits, group_size, symmetric, and
what the program's own call takes besides.
"""
import json
import pathlib
import shutil
import sys

import safetensors.torch
import torch
import transformers

BATCH = 8  # sequences of one pass, and of one step: the default of all of them
SCALE_ERROR = 2e-3  # of a group's largest value: how far the same level may differ by rounding


def autoround(model, tokenizer, sequences, bits, group_size, symmetric, settings):
    import auto_round

    # In fp32 (amp off): its default is to round the model to bf16 first, which costs a small model quality.
    tool = auto_round.AutoRound(
        model, tokenizer, bits=bits, group_size=group_size, sym=symmetric, dataset=list(sequences.split(BATCH)),
        nsamples=len(sequences), seqlen=sequences.shape[1], batch_size=BATCH, amp=False, device_map="cpu",
        enable_torch_compile=False, **settings)
    return tool.quantize()[0]


def gptq(model, tokenizer, sequences, bits, group_size, symmetric, settings):
    import llmcompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from llmcompressor.modifiers.gptq import GPTQModifier

    weights = {key: settings.pop(key) for key in ("observer",) if key in settings}
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(
        num_bits=bits, symmetric=symmetric, strategy="group", group_size=group_size, **weights))
    batches = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in sequences.split(BATCH)]
    return llmcompressor.oneshot(
        model=model, tokenizer=tokenizer, dataset=torch.utils.data.DataLoader(batches, batch_size=None),
        recipe=GPTQModifier(config_groups={"group": scheme}, ignore=["lm_head"], **settings))


def levels_of(matrix, group_size):
    """The most values that any group holds, where values closer than SCALE_ERROR count as one."""
    values = matrix.float().reshape(-1, group_size)
    values = values.sort(dim=1).values
    steps = values.diff(dim=1) > SCALE_ERROR * values.abs().amax(dim=1, keepdim=True)
    return 1 + int(steps.sum(dim=1).max())


def write_folder(original, model, out, bits, group_size):
    tensors = safetensors.torch.load_file(original / "model.safetensors")
    changed = {name: value for name, value in model.state_dict().items()
               if name.endswith("proj.weight") and ".layers." in name}
    for name, value in changed.items():
        if levels_of(value, group_size) > 2 ** bits:
            sys.exit(f"error: {name} has more than {2 ** bits} values in a group (it was not quantized to {bits} bits)")
        tensors[name] = value.float().contiguous()
    out.mkdir(parents=True, exist_ok=True)
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(original / file, out / file)
    safetensors.torch.save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    print(f"wrote {len(changed)} matrices")


def main():
    tool, model, sequences, out, settings = sys.argv[1:]
    settings = json.loads(settings)
    bits, group_size, symmetric = (settings.pop(key) for key in ("bits", "group_size", "symmetric"))
    torch.set_num_threads(1)
    torch.manual_seed(42)
    original = pathlib.Path(model)
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    ids = torch.tensor(json.loads(pathlib.Path(sequences).read_text(encoding="utf-8")))
    quantize = {"autoround": autoround, "gptq": gptq}[tool]
    network = quantize(network, tokenizer, ids, bits, group_size, symmetric, settings)
    write_folder(original, network, pathlib.Path(out), bits, group_size)


if __name__ == "__main__":
    main()
