"""Weights that are streamed: the same bits as with all of them in memory, and memory that does not grow with the model."""

import contextlib
import json
import os
import pathlib
import struct
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "fault"))

from driving import PACKED, Skipped, check, check_equal, digests, main, storages
from interrupting import wait_for_stage, wait_until_gone
from random_models import config_of, random_model

TUNED = {"training__enabled": "false", "blockwise__enabled": "true", "blockwise__samples": 16, "blockwise__epochs": 1}
WAYS = {
    "rounded": {**TUNED, "blockwise__enabled": "false", "quantization__format": "int4",
                "export__formats": "[compressed-tensors]"},
    "tuned": {**TUNED, "blockwise__window": 2, "blockwise__scale_epochs": 1},
    "solved": {**TUNED, "quantization__solver": "compensated"},
}
STREAMED = {"model__weights": "streamed"}

# A model whose blocks weigh much beside everything else that a job holds.
WIDE = {"hidden_size": 384, "intermediate_size": 1024, "num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 64,
        "tie_word_embeddings": False}
BLOCK_BYTES = 4 * (4 * 384 * 384 + 3 * 384 * 1024)
FEW, MANY = 8, 20
MOST_GROWTH = 0.05  # of what the added blocks weigh in fp32: names, digests and the like; in ternary alone they weigh 0.0625
# Every export is written and checked too; one scale for a matrix is what all of them hold.
ALL_EXPORTS = {"quantization__granularity": "tensor", "export__formats": "[gguf, hf-bitnet, compressed-tensors, kernels]"}
EXPORTED = ("model.gguf", "hf-bitnet", "compressed-tensors", "kernels.safetensors")
LITTLE = {**TUNED, **ALL_EXPORTS, "blockwise__samples": 4, "blockwise__batch": 4, "training__micro_batch": 2,
          "calibration__samples": 4, "calibration__shards": 2, "calibration__batch": 2, "evaluation__windows": 4,
          "evaluation__batch": 1, "evaluation__sequence_length": 32}


def outcome(shop, name, ranks, **settings):
    """Tensors, files and every figure but times and speeds."""
    run = shop.folder / name
    report = shop.run(*shop.quick(name, **settings), "--json", ranks=ranks).must_end_with(0).json
    artifacts = run / "artifacts"
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    metrics = [(line["name"], line["step"], line["value"]) for line in journal if line["kind"] == "metric"]
    files = {name: digest for name, digest in digests(artifacts).items() if name != "compression_metadata.json"}
    return {"tensors of the packed file": storages(artifacts / PACKED),
            "artifacts": files,
            "layers": report["layers"],
            "metrics": [metric for metric in metrics if not metric[0].startswith("speed/")],
            "gates": [gate for gate in report["gates"] if gate["name"] != "speedup"]}


def streamed_weights_change_no_bit(shop):
    for way, settings in WAYS.items():
        for ranks in (1, 2):
            resident = outcome(shop, f"{way}-{ranks}", ranks, **settings)
            streamed = outcome(shop, f"{way}-{ranks}-streamed", ranks, **settings, **STREAMED)
            for part, expected in resident.items():
                check_equal(streamed[part], expected, f"{part}, {way} on {ranks} ranks")


def what_needs_all_weights_is_refused(shop):
    refused = shop.run(*shop.quick("refused", **STREAMED, remedies__rounds=1, remedies__tokens=4096), ranks=1)
    refused.must_end_with(64)
    for key in ("training.enabled", "remedies.rounds"):
        check(f"{key}: needs all weights in memory" in refused.err, f"does not name {key}: {refused.err}")


def deep_model(shop, blocks):
    """A Llama of random weights."""
    config = {**config_of(shop.model), **WIDE, "num_hidden_layers": blocks}
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden]}
    for block in range(blocks):
        prefix = f"model.layers.{block}."
        shapes.update({f"{prefix}self_attn.{name}_proj.weight": [hidden, hidden] for name in "qkvo"})
        shapes.update({f"{prefix}mlp.{name}_proj.weight": [wide, hidden] for name in ("gate", "up")})
        shapes[f"{prefix}mlp.down_proj.weight"] = [hidden, wide]
        shapes.update({f"{prefix}{name}_layernorm.weight": [hidden] for name in ("input", "post_attention")})
    shapes.update({"model.norm.weight": [hidden], "lm_head.weight": [config["vocab_size"], hidden]})
    return random_model(shop, shop.folder / f"deep-{blocks}", config, shapes)


@contextlib.contextmanager
def kept_peak(shop):
    """Programs that are started meanwhile keep their peak in the file that this gives."""
    library = os.environ.get("TERCET_HEAP_PEAK_LIBRARY")
    if not library:
        raise Skipped("no TERCET_HEAP_PEAK_LIBRARY (ctest names it; with sanitizers there is none)")
    kept = shop.folder / "heap.peak"
    kept.write_bytes(bytes(8))
    shop.environment.update(LD_PRELOAD=library, TERCET_HEAP_PEAK=str(kept))
    try:
        yield kept
    finally:
        for variable in ("LD_PRELOAD", "TERCET_HEAP_PEAK"):
            del shop.environment[variable]


def take_peak(kept):
    """The peak so far; it begins anew."""
    with kept.open("r+b") as file:  # it is mapped: never another file, never shorter
        peak = struct.unpack("<q", file.read(8))[0]
        file.seek(0)
        file.write(bytes(8))
    return peak


def peak_memory(shop, model, name, **settings):
    """The most bytes from malloc at once, each by itself: of a job on one rank until it packs, of its writing and judging
    afterwards, which needs less, and of `verify`; and the tensors of the packed model. Pages of mapped files are not
    among them: they are the system's to take."""
    run = shop.folder / name
    command = shop.quick(name, model__path=model, **{**LITTLE, **settings}, gates__gradient_flow__severity="warn")
    with kept_peak(shop) as kept, (shop.folder / f"{name}.err").open("w+", encoding="utf-8") as errors:
        job = shop.start(command, ranks=0, errors=errors)
        peaks = {}
        if wait_for_stage(job, run, 1, "pack"):
            peaks["job"] = take_peak(kept)
        check_equal(wait_until_gone(job), 0, f"exit code of {name}, see {errors.name}")
        peaks["written"] = take_peak(kept)
        shop.run("verify", run, ranks=0).must_end_with(0)
        peaks["verify"] = take_peak(kept)
    for export in EXPORTED:
        check((run / "artifacts" / export).exists(), f"{export} was not written")
    return peaks, storages(run / "artifacts" / PACKED)


def memory_does_not_grow_with_the_number_of_blocks(shop):
    few, many = deep_model(shop, FEW), deep_model(shop, MANY)
    growth = (MANY - FEW) * BLOCK_BYTES
    small, _ = peak_memory(shop, few, "few", **STREAMED)
    large, streamed = peak_memory(shop, many, "many", **STREAMED)
    resident, expected = peak_memory(shop, many, "many-resident")
    planned = shop.run("plan", *shop.quick("none", model__path=many, **LITTLE, **STREAMED)[1:], "--json",
                       ranks=0).must_end_with(0).json["memory_per_rank"]["total"]
    check_equal(streamed, expected, "tensors of the deep model")
    in_all, in_memory = max(large.values()), max(resident.values())
    words = (f"the blocks added weigh {growth / 1e6:.0f} MB, planned {planned / 1e6:.0f} MB, "
             f"{in_memory / 1e6:.0f} MB resident; streamed, in MB: ") + ", ".join(
                 f"{part} {small[part] / 1e6:.1f} with {FEW} blocks, {large[part] / 1e6:.1f} with {MANY}" for part in large)
    print(f"    {words}", flush=True)
    for part, peak in large.items():
        check(peak - small[part] < MOST_GROWTH * growth, f"memory of {part} grows with the blocks: {words}")
    check(in_all < 0.35 * in_memory, f"little is saved: {words}")
    check(in_all < 1.3 * planned, f"more than was planned: {words}")


if __name__ == "__main__":
    main([streamed_weights_change_no_bit, what_needs_all_weights_is_refused,
          memory_does_not_grow_with_the_number_of_blocks])
