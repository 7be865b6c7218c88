"""Weights that are streamed: the same bits as with all of them in memory, and memory that does not grow with the model."""

import array
import json
import os
import pathlib
import random
import shutil
import struct

from driving import PACKED, Skipped, check, check_equal, digests, main, storages

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
LITTLE = {**TUNED, "blockwise__samples": 4, "blockwise__batch": 4, "training__micro_batch": 2, "calibration__samples": 4,
          "calibration__shards": 2, "calibration__batch": 2, "evaluation__windows": 4, "evaluation__batch": 2}


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
    """A Llama of random weights in bfloat16, with the tokenizer of the tiny one."""
    folder = shop.folder / f"deep-{blocks}"
    folder.mkdir()
    for file in pathlib.Path(shop.model).iterdir():
        if file.suffix == ".json":
            shutil.copy(file, folder)
    config = {**json.loads((folder / "config.json").read_text(encoding="utf-8")), **WIDE, "num_hidden_layers": blocks}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden]}
    for block in range(blocks):
        prefix = f"model.layers.{block}."
        shapes.update({f"{prefix}self_attn.{name}_proj.weight": [hidden, hidden] for name in "qkvo"})
        shapes.update({f"{prefix}mlp.{name}_proj.weight": [wide, hidden] for name in ("gate", "up")})
        shapes[f"{prefix}mlp.down_proj.weight"] = [hidden, wide]
        shapes.update({f"{prefix}{name}_layernorm.weight": [hidden] for name in ("input", "post_attention")})
    shapes.update({"model.norm.weight": [hidden], "lm_head.weight": [config["vocab_size"], hidden]})
    write_random(folder / "model.safetensors", shapes)
    return folder


def write_random(file, shapes):
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
            if len(shape) == 1:
                output.write(ones * shape[0])
                continue
            begin = 2 * chance.randrange(1 << 16)
            output.write((halves[begin:] + halves * (size // len(halves) + 1))[:size])


def peak_memory(shop, model, name, **settings):
    """The most bytes that a job on one rank had from malloc at once, and the tensors of the packed model. Pages of mapped
    files are not among them: they are the system's to take."""
    library = os.environ.get("TERCET_HEAP_PEAK_LIBRARY")
    if not library:
        raise Skipped("no TERCET_HEAP_PEAK_LIBRARY (ctest names it; with sanitizers there is none)")
    run, kept = shop.folder / name, shop.folder / f"{name}.peak"
    kept.write_bytes(bytes(8))
    shop.environment.update(LD_PRELOAD=library, TERCET_HEAP_PEAK=str(kept))
    try:
        shop.run(*shop.quick(name, model__path=model, **{**LITTLE, **settings}, gates__gradient_flow__severity="warn"),
                 ranks=0).must_end_with(0)
    finally:
        for variable in ("LD_PRELOAD", "TERCET_HEAP_PEAK"):
            del shop.environment[variable]
    return struct.unpack("<q", kept.read_bytes())[0], storages(run / "artifacts" / PACKED)


def memory_does_not_grow_with_the_number_of_blocks(shop):
    few, many = deep_model(shop, FEW), deep_model(shop, MANY)
    growth = (MANY - FEW) * BLOCK_BYTES
    small, _ = peak_memory(shop, few, "few", **STREAMED)
    large, streamed = peak_memory(shop, many, "many", **STREAMED)
    resident, expected = peak_memory(shop, many, "many-resident")
    planned = shop.run("plan", *shop.quick("none", model__path=many, **LITTLE, **STREAMED)[1:], "--json",
                       ranks=0).must_end_with(0).json["memory_per_rank"]["total"]
    words = (f"{FEW} blocks {small / 1e6:.0f} MB, {MANY} blocks {large / 1e6:.0f} MB streamed, {resident / 1e6:.0f} MB "
             f"resident; the blocks added weigh {growth / 1e6:.0f} MB, planned {planned / 1e6:.0f} MB")
    print(f"    {words}", flush=True)
    check_equal(streamed, expected, "tensors of the deep model")
    check(large - small < MOST_GROWTH * growth, f"memory grows with the blocks: {words}")
    check(large < 0.35 * resident, f"little is saved: {words}")
    check(large < 1.3 * planned, f"more than was planned: {words}")


if __name__ == "__main__":
    main([streamed_weights_change_no_bit, what_needs_all_weights_is_refused,
          memory_does_not_grow_with_the_number_of_blocks])
