"""What `tercet inspect` shows of every artifact: bytes, bits, zeros, scales and ratios, which must agree with each other."""

import functools
import json
import shutil

from driving import DEQUANTIZED, PACKED, Workshop, check, check_close, check_equal, main

PLACES = {"packed": PACKED, "state-dict": DEQUANTIZED, "huggingface": "hf", "hf-bitnet": "hf-bitnet",
          "compressed-tensors": "compressed-tensors", "gguf": "model.gguf", "kernels": "kernels.safetensors"}
QUANTIZED = {"ternary", "int8", "int2", "int4", "Q2_0", "Q8_0"}
PARTS = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


class Shop(Workshop):
    of_model = {"pretrain__intermediate_size": 192}  # widths that the blocks of GGUF divide


def once(shop, name, **settings):
    run = shop.folder / name
    if not run.exists():
        shop.run(*shop.quick(name, training__enabled="false", **settings)).must_end_with(0)
    return run


def exported(shop):
    """A run with every export."""
    return once(shop, "exported", quantization__granularity="tensor",
                export__formats="[gguf, hf-bitnet, compressed-tensors, kernels]")


def asymmetric(shop):
    return once(shop, "asymmetric", quantization__format="int4", quantization__symmetric="false",
                quantization__rule="min_max", export__formats="[compressed-tensors, kernels]", gates__compression__threshold=1)


def inspected(shop, path):
    return shop.run("inspect", path, "--json", ranks=0).must_end_with(0).json


@functools.cache
def everything(shop):
    """What is shown of each artifact of the run, by its kind."""
    artifacts = exported(shop) / "artifacts"
    return {kind: (artifacts / place, inspected(shop, artifacts / place)) for kind, place in PLACES.items()}


def our_name(name):
    """Of a tensor of GGUF."""
    if not name.startswith("blk."):
        return OUTER[name.rpartition(".")[0]] + ".weight"
    _, block, part, _ = name.split(".")
    return f"model.layers.{block}.{PARTS[part]}.weight"


def zeros_of(found):
    names = our_name if found["kind"] == "gguf" else str
    return {names(tensor["name"]): tensor["sparsity"] for tensor in found["tensors"] if "sparsity" in tensor}


def weight_files(path):
    return [path] if path.is_file() else sorted(path.glob("*.safetensors"))


def bytes_of_the_tensors_make_up_the_file(shop):
    for kind, (path, found) in everything(shop).items():
        size = sum(file.stat().st_size for file in weight_files(path))
        check_equal((found["kind"], found["bytes"]), (kind, size), f"kind and bytes of {path.name}")
        of_tensors = sum(tensor["bytes"] for tensor in found["tensors"])
        # Beside the tensors: names and shapes, and in GGUF the tokenizer.
        overhead = 120_000 if kind == "gguf" else 64_000
        check(size - overhead <= of_tensors <= size, f"{path.name}: {of_tensors} bytes in tensors of {size}")
        for tensor in found["tensors"]:
            if "shared_with" not in tensor:
                weights = 1
                for extent in tensor["shape"]:
                    weights *= extent
                check_close(tensor["bits_per_weight"], 8 * tensor["bytes"] / weights, 1e-12, f"bits of {tensor}")


def zeros_are_the_same_in_every_format(shop):
    found = {kind: zeros_of(shown) for kind, (_, shown) in everything(shop).items()}
    packed = found["packed"]
    blocks = {name for name in packed if ".layers." in name}
    check_equal(len(blocks), 14, "matrices of 2 blocks with 7 linear layers each")
    check(all(0.1 < packed[name] < 0.9 for name in blocks), f"zeros: {packed}")
    for kind in ("hf-bitnet", "compressed-tensors"):
        check_equal(set(found[kind]), blocks, f"matrices of levels in {kind}")
    for kind in ("gguf", "kernels"):
        check(blocks <= set(found[kind]) <= set(packed), f"matrices of levels in {kind}: {found[kind]}")
    for kind in ("gguf", "hf-bitnet", "compressed-tensors", "kernels"):
        for name, share in found[kind].items():
            check_close(share, packed[name], 1e-12, f"zeros of {name} in {kind}")
    check_equal((found["huggingface"], found["state-dict"]), ({}, {}), "zeros of plain weights")


def zero_points_count_as_zeros(shop):
    artifacts = asymmetric(shop) / "artifacts"
    packed, compressed, kernels = (zeros_of(inspected(shop, artifacts / place))
                                   for place in (PACKED, "compressed-tensors", "kernels.safetensors"))
    check(len(compressed) == 14 and all(share > 0 for share in compressed.values()), f"zeros: {compressed}")
    for found in (compressed, kernels):
        check_equal(found, {name: packed[name] for name in found}, "zeros of asymmetric matrices")


def ratios_are_those_of_the_report(shop):
    run, shown = exported(shop), everything(shop)
    results = shop.run("report", run, "--json", ranks=0).must_end_with(0).json["results"]
    metadata = json.loads((run / "artifacts" / "compression_metadata.json").read_text(encoding="utf-8"))
    packed = shown["packed"][1]
    for name in ("fp32", "fp16", "file"):
        check_close(packed[f"ratio_{name}"], metadata["compression_ratios"][name], 1e-12, f"ratio to {name}")
    for kind, (path, found) in shown.items():
        whole = kind != "kernels"  # which holds the matrices alone
        check_equal(found["original_bytes"], results["file_bytes"] if whole else None, f"original's bytes in {kind}")
        if whole:
            check_equal(4 * found["parameters"], results["fp32_bytes"], f"parameters of {kind}")
            check_close(found["ratio_file"], results["file_bytes"] / found["bytes"], 1e-12, f"ratio of {kind}")
        check_close(found["ratio_fp32"], 4 * found["parameters"] / found["bytes"], 1e-12, f"ratio of {kind}")
        text = shop.run("inspect", path, ranks=0).must_end_with(0).out
        for words in ("ratio to fp32", f") {found['ratio_fp32']:.2f}x, fp16", f") {found['ratio_fp16']:.2f}x",
                      f") {found['ratio_file']:.2f}x" if whole else "this holds a part of the model"):
            check(words in text, f"{words!r} is missing in:\n{text}")
    check_equal((inspected(shop, shop.model)["ratio_file"], inspected(shop, shop.model)["original_bytes"]), (None, None),
                "ratio of the original")


def every_scale_is_in_one_bucket(shop):
    shown = {kind: found for kind, (_, found) in everything(shop).items()}
    shown["asymmetric"] = inspected(shop, asymmetric(shop) / "artifacts" / PACKED)
    expected = {"packed": lambda rows, columns: 1, "hf-bitnet": lambda rows, columns: 1,
                "compressed-tensors": lambda rows, columns: rows, "kernels": lambda rows, columns: rows,
                "asymmetric": lambda rows, columns: rows * (columns // 32)}
    for kind, found in shown.items():
        for tensor in found["tensors"]:
            check_equal("scales" in tensor, tensor["format"] in QUANTIZED, f"scales of {tensor} in {kind}")
            if "scales" not in tensor:
                continue
            scales = tensor["scales"]
            check_equal((sum(scales["histogram"]), len(scales["histogram"])), (scales["count"], 8), f"scales of {tensor}")
            check(0 < scales["smallest"] <= scales["largest"], f"scales of {tensor}")
            if scales["count"] > 1 and scales["smallest"] < scales["largest"]:
                check(scales["histogram"][0] > 0 and scales["histogram"][-1] > 0, f"ends of {tensor}")
            if kind in expected and ".layers." in tensor["name"]:
                check_equal(scales["count"], expected[kind](*tensor["shape"]), f"scales of {tensor['name']} in {kind}")
    by_name = {tensor["name"]: tensor for tensor in shown["packed"]["tensors"]}
    for kind in ("hf-bitnet", "compressed-tensors", "gguf"):
        for tensor in shown[kind]["tensors"]:
            if "scales" in tensor:
                ours = by_name[our_name(tensor["name"]) if kind == "gguf" else tensor["name"]]
                check_close(tensor["scales"]["largest"], ours["scales"]["largest"], 1e-6, f"{tensor['name']} in {kind}")
    text = shop.run("inspect", asymmetric(shop) / "artifacts" / PACKED, ranks=0).must_end_with(0).out
    check("|scale|" in text and "█" in text, f"no bars in:\n{text}")


def a_file_of_a_folder_is_shown_alone(shop):
    artifacts = exported(shop) / "artifacts"
    for place in ("hf", "hf-bitnet", "compressed-tensors"):
        whole, file = inspected(shop, artifacts / place), inspected(shop, artifacts / place / "model.safetensors")
        check_equal(file, whole, f"{place} and its only file")
    check_equal(inspected(shop, artifacts), inspected(shop, artifacts / PACKED), "a folder of artifacts is its packed file")


def what_cannot_be_shown_is_an_error(shop):
    artifacts = exported(shop) / "artifacts"

    def fails(path, *words):
        result = shop.run("inspect", path, ranks=0).must_end_with(65)
        check_equal((len(result.errors()), result.out), (1, ""), f"error messages and stdout about {path}")
        for word in words:
            check(str(word) in result.err, f"the message does not name {word!r}: {result.err}")

    fails(artifacts / "compression_metadata.json", "is no file of a model")
    lonely = shop.folder / "kernels.safetensors"
    shutil.copy(artifacts / "kernels.safetensors", lonely)
    fails(lonely, lonely, PACKED)
    (shop.folder / PACKED).write_bytes((asymmetric(shop) / "artifacts" / PACKED).read_bytes())
    fails(lonely, "another packed file")
    for name in ("model.gguf", PACKED, DEQUANTIZED):
        cut = shop.folder / f"cut-{name}"
        cut.write_bytes((artifacts / name).read_bytes()[:-4000])
        fails(cut, cut)
    for place, words in (("hf-bitnet", "gptq"), ("compressed-tensors", "schemes")):
        folder = shop.folder / f"damaged-{place}"
        shutil.copytree(artifacts / place, folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["quantization_config"]["config_groups"] = {}
        if place == "hf-bitnet":
            config["quantization_config"]["quant_method"] = "gptq"
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        fails(folder, folder, words)


if __name__ == "__main__":
    main([bytes_of_the_tensors_make_up_the_file, zeros_are_the_same_in_every_format, zero_points_count_as_zeros,
          ratios_are_those_of_the_report, every_scale_is_in_one_bucket, a_file_of_a_folder_is_shown_alone,
          what_cannot_be_shown_is_an_error], Shop)
