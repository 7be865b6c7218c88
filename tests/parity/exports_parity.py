"""The exports of small models of every family, read by the programs that they are for.

usage: exports_parity.py path/to/test_artifact

Runs ArtifactParity.WritesExportsForPython, which writes for each case a packed file, its exports, token ids and the
logits of our own decoder. Compared are, with the values of the packed file as torch_file_parity.py decodes them:

- model.gguf as gguf's GGUFReader and gguf.quants read it, every value. Of Q2_0, which the package does not know yet,
  the blocks are decoded here from ggml's layout. The order of rows is undone here as llama.cpp's converter describes it.
- hf in shards as transformers loads it, every value.
- hf-bitnet as transformers loads it: logits, with inputs rounded to int8 on both sides.
- compressed-tensors, every value: by the library of that name if it is installed, and decoded here from its
  documented layout; the library's loader in transformers as well.

Beside the cases, where the shared data is there: the tables of two tokenizers against llama.cpp's own vocabulary files,
and the order of rows against a GGUF file that others made.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # transformers would compile the unpacking of each matrix, for minutes

import gguf
import gguf.gguf_reader
import numpy
import torch
from gguf import GGMLQuantizationType as Types

from torch_file_parity import unpack

Q2_0 = 42
RELATIVE = 1e-4
ONE_STEP = 5e-3   # where an input lies between two int8 values, the last bit of a sum decides: seldom, and not everywhere
UNROUNDED = 1e-3  # loaded as float32, integers times scales are not rounded to fp16 as in the packed file


class KnownTypes:
    """The enumeration that GGUFReader asks, with the one type more."""

    def __call__(self, number):
        return Q2_0 if int(number) == Q2_0 else Types(number)

    def __getattr__(self, name):
        return getattr(Types, name)


def installed(package):
    return importlib.util.find_spec(package) is not None


def teach_q2_0():
    gguf.gguf_reader.GGMLQuantizationType = KnownTypes()
    gguf.gguf_reader.GGML_QUANT_SIZES[Q2_0] = (64, 18)
    plain = gguf.gguf_reader.quant_shape_to_byte_shape
    gguf.gguf_reader.quant_shape_to_byte_shape = (
        lambda shape, kind: (*shape[:-1], shape[-1] // 64 * 18) if kind == Q2_0 else plain(shape, kind))


def dequantize(tensor):
    if tensor.tensor_type != Q2_0:
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    blocks = tensor.data.reshape(-1, 18)
    scale = blocks[:, :2].copy().view(numpy.float16).astype(numpy.float32)
    codes = blocks[:, 2:, None] >> numpy.array([0, 2, 4, 6], dtype=numpy.uint8) & 3
    values = (codes.reshape(len(blocks), 64).astype(numpy.float32) - 1) * scale
    return values.reshape(len(tensor.data), -1)


def field(reader, key):
    return reader.fields[key].contents()


def undo_rows(values, name, reader):
    """Rows in the order of Hugging Face, for what the converter of llama.cpp reorders."""
    arch = field(reader, "general.architecture")
    heads = field(reader, f"{arch}.attention.head_count")
    rest = values.shape[1:]
    if arch == "llama" and name.split(".")[-2] in ("attn_q", "attn_k"):
        count = heads if "attn_q" in name else field(reader, "llama.attention.head_count_kv")
        return values.reshape(count, -1, 2, *rest).swapaxes(1, 2).reshape(values.shape)
    if arch == "gptneox" and "attn_qkv" in name:
        return values.reshape(3, heads, -1, *rest).swapaxes(0, 1).reshape(values.shape)
    return values


def check_gguf(folder, packed):
    reader = gguf.GGUFReader(folder / "model.gguf")
    arch = field(reader, "general.architecture")
    names = {}
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], field(reader, f"{arch}.block_count"))
    for name in packed["quantization"]:
        module, kind = name.rsplit(".", 1)
        names[f"{table.get_name(module)}.{kind}"] = name
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert set(found) == set(names), set(found) ^ set(names)
    for name, tensor in found.items():
        assert tensor.data_offset % 32 == 0, name
        values = torch.from_numpy(numpy.array(undo_rows(dequantize(tensor), name, reader))).half()
        expected = unpack(packed, names[name])
        if packed["quantization"][names[name]]["input_first"]:
            expected = expected.t()
        assert values.shape == expected.shape and torch.equal(values, expected), name
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert len(tokens) == packed["config"]["model"]["vocab_size"], len(tokens)
    return len(found)


def logits_of(folder, ids):
    import transformers

    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                                    output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    with torch.no_grad():
        return model.eval()(ids).logits


def relative(found, expected, statistic=torch.max):
    """Of the differences at the positions, each the largest of its logits."""
    return (statistic((found - expected).abs().amax(-1)) / expected.abs().max()).item()


def check_shards(folder, packed):
    """Returns how many shards there are."""
    import transformers

    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder / "hf", dtype=torch.float16,
                                                                    output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    state = model.state_dict()
    for name in packed["quantization"]:
        assert torch.equal(state[name], unpack(packed, name)), name
    return len(list((folder / "hf").glob("model-*.safetensors")))


def check_bitnet(folder):
    ids = torch.from_numpy(numpy.fromfile(folder / "ids.bin", dtype="<i8"))[None]
    expected = torch.from_numpy(numpy.fromfile(folder / "logits.bin", dtype="<f4")).reshape(1, ids.shape[1], -1)
    found = logits_of(folder / "hf-bitnet", ids)
    worst, typical = relative(found, expected), relative(found, expected, torch.median)
    assert worst < ONE_STEP and typical < RELATIVE, (folder.name, worst, typical)
    return worst


def words_to_codes(words, bits, count):
    """Values of `bits` bits each, dense from the lowest bit of the first word; words along the last axis."""
    stream = numpy.unpackbits(words.view(numpy.uint8), axis=-1, bitorder="little")[..., : count * bits]
    return (stream.reshape(*stream.shape[:-1], count, bits).astype(numpy.int64) * 2 ** numpy.arange(bits)).sum(-1)


def decode_packed(weights, module, group):
    """A matrix from the documented layout of pack-quantized alone."""
    rows, columns = weights[module + ".weight_shape"].tolist()
    bits = group["weights"]["num_bits"]
    codes = words_to_codes(weights[module + ".weight_packed"].numpy(), bits, columns)
    scale = weights[module + ".weight_scale"].float().numpy()
    zero = 2 ** (bits - 1)
    if not group["weights"]["symmetric"]:
        turned = numpy.ascontiguousarray(weights[module + ".weight_zero_point"].numpy().T)
        zero = words_to_codes(turned, bits, rows).T.repeat(columns // scale.shape[1], 1)
    return torch.from_numpy((codes - zero) * scale.repeat(columns // scale.shape[1], 1)).half()


def group_of(module, config):
    import re

    groups = [group for group in config["config_groups"].values()
              if any(target == "Linear" or (target.startswith("re:") and re.match(target[3:], module))
                     for target in group["targets"])]
    assert len(groups) == 1, (module, len(groups))
    return groups[0]


def check_compressed(folder, packed):
    from safetensors.torch import load_file

    config = json.loads((folder / "compressed-tensors" / "config.json").read_text())["quantization_config"]
    weights = {}
    for file in (folder / "compressed-tensors").glob("*.safetensors"):
        weights.update(load_file(file))
    modules = 0
    for name in packed["quantization"]:
        module = name.rsplit(".", 1)[0]
        if name + "_packed" not in weights:
            assert torch.equal(weights[name], unpack(packed, name)), name
            continue
        assert torch.equal(decode_packed(weights, module, group_of(module, config)), unpack(packed, name)), name
        modules += 1
    assert modules > 0
    if installed("compressed_tensors"):
        check_library_values(packed, weights, config)
        # On the meta device the library (0.20) leaves zero points unpacked, and transformers then refuses the packed ones.
        if all(group["weights"]["symmetric"] for group in config["config_groups"].values()):
            check_compressed_library(folder)
    return modules


def check_library_values(packed, weights, config):
    """Each matrix as the library unpacks it."""
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationScheme

    for name in packed["quantization"]:
        if name + "_packed" not in weights:
            continue
        module = name.rsplit(".", 1)[0]
        state = {key[len(module) + 1:]: value for key, value in weights.items() if key.startswith(module + ".weight_")}
        scheme = QuantizationScheme(**group_of(module, config))
        values = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
        assert torch.equal(values, unpack(packed, name)), name


def check_compressed_library(folder):
    """Logits of what transformers and the library make of the folder, against those of the fp16 folder."""
    ids = torch.arange(40)[None]
    difference = relative(logits_of(folder / "compressed-tensors", ids), logits_of(folder / "hf", ids))
    assert difference < UNROUNDED, (folder.name, difference)


def shared():
    return pathlib.Path(os.environ.get("TERCET_SHARED", pathlib.Path(__file__).parents[3] / "shared")) / "data"


def check_vocabularies(folder):
    """Our tables of the tokenizers in the shared data against llama.cpp's vocabulary files."""
    count = 0
    for file in sorted(folder.glob("*.gguf")):
        ours, theirs = gguf.GGUFReader(file), gguf.GGUFReader(shared() / "gguf_vocab" / f"ggml-vocab-{file.name}")
        for key in ("model", "tokens", "token_type", "scores", "merges"):
            key = "tokenizer.ggml." + key
            if key in theirs.fields:
                assert field(ours, key) == field(theirs, key), (file.name, key)
        count += 1
    return count


def check_row_order():
    """The order of rows that is undone above, on a file that others made of weights that we have."""
    from safetensors.torch import load_file

    folder = shared() / "models" / "stories260K"
    if not (folder / "stories260K.gguf").exists():
        return 0
    reader = gguf.GGUFReader(folder / "stories260K.gguf")
    weights = load_file(folder / "hf" / "model.safetensors")
    count = 0
    for tensor in reader.tensors:
        if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
            _, block, part, _ = tensor.name.split(".")
            ours = weights[f"model.layers.{block}.self_attn.{part[-1]}_proj.weight"].numpy()
            assert numpy.array_equal(undo_rows(dequantize(tensor), tensor.name, reader), ours), tensor.name
            count += 1
    assert count > 0
    return count


def main():
    teach_q2_0()
    read = {"gguf": 0, "hf-bitnet": 0, "compressed-tensors": 0, "shards": 0}
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        environment = dict(os.environ, TERCET_PARITY_DIR=name)
        subprocess.run([sys.argv[1], "--gtest_filter=ArtifactParity.WritesExportsForPython"], env=environment, check=True,
                       stdout=subprocess.DEVNULL)
        for folder in sorted((pathlib.Path(name) / "exports").iterdir()):
            print(folder.name, flush=True)
            packed = torch.load(folder / "bitnet_quantized_model.pt")
            if (folder / "hf" / "model.safetensors.index.json").exists():
                read["shards"] += check_shards(folder, packed)
            if (folder / "model.gguf").exists():
                read["gguf"] += check_gguf(folder, packed)
            if (folder / "hf-bitnet").exists() and installed("accelerate"):
                worst = max(worst, check_bitnet(folder))
                read["hf-bitnet"] += 1
            if (folder / "compressed-tensors").exists():
                read["compressed-tensors"] += check_compressed(folder, packed)
        vocabularies = check_vocabularies(pathlib.Path(name) / "vocabularies")
    if not installed("accelerate"):
        print("BitNet models are left out: transformers loads them with the package accelerate alone")
        del read["hf-bitnet"]
    assert all(read.values()), read
    foreign = check_row_order()
    library = installed("compressed_tensors")
    print(f"{read['gguf']} tensors of GGUF, {read.get('hf-bitnet', 0)} BitNet models (logits within {worst:.1e}), "
          f"{read['compressed-tensors']} packed matrices, {read['shards']} shards of hf agree; "
          f"library compressed-tensors: {'yes' if library else 'not installed'}; {vocabularies} vocabularies and the "
          f"rows of {foreign} matrices agree with files of llama.cpp")


if __name__ == "__main__":
    main()
