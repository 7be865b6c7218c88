"""Files of torch.save read by us, files of ours read by torch.load with its defaults.

usage: torch_file_parity.py path/to/test_model_io

Runs the TorchParity tests of test_model_io with TERCET_PARITY_DIR: they compare each made_by_python/*.pt with the
bytes described in the .json beside it, and write made_by_us/*.pt, which is then loaded here. Where test_artifact lies
beside it, that makes whole artifact folders, unpacked here from their documented layout and loaded by transformers.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch


def python_files():
    """name -> object to save. Between them: every container and dtype, views, sharing, metadata."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tied = torch.randn(5, 2)
    dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.int8, torch.int16,
              torch.int32, torch.int64, torch.bool]
    return {
        "ordered_dict": model.state_dict(),
        "plain_dict": dict(model.state_dict()),
        "views": {"rows": base[1:3], "columns": base[:, 2:4], "transposed": base.t(), "all": base},
        "tied": collections.OrderedDict([("embed.weight", tied), ("lm_head.weight", tied)]),
        "dtypes": {str(t).split(".")[1]: torch.randn(3, 2).mul(3).to(t) for t in dtypes},
        "parameters": {"weight": torch.nn.Parameter(torch.randn(2, 3).to(torch.bfloat16))},
        "shapes": {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 3), "deep": torch.randn(1, 2, 1, 2, 1)},
        "many": {f"layer.{i}.weight": torch.randn(2) for i in range(400)},
    }


REFUSED = {
    "whole_module": lambda: torch.nn.Linear(2, 2),
    "float8": lambda: {"a": torch.ones(2).to(torch.float8_e4m3fn)},
    "expanded": lambda: {"one": torch.ones(1, 3).expand(4, 3)},  # few bytes that ask for any amount of memory
    "integer_keys": lambda: {1: torch.ones(2)},
    "path": lambda: {"a": pathlib.PurePosixPath("/tmp")},
}


def describe(tensor):
    dense = tensor.detach().contiguous()
    raw = dense.reshape(-1).view(torch.uint8) if dense.numel() else torch.empty(0, dtype=torch.uint8)
    return {"dtype": str(dense.dtype).split(".")[1], "shape": list(dense.shape), "bytes": bytes(raw.tolist()).hex()}


def make_files(folder):
    (folder / "made_by_python").mkdir()
    (folder / "refused").mkdir()
    (folder / "made_by_us").mkdir()
    for name, value in python_files().items():
        torch.save(value, folder / "made_by_python" / f"{name}.pt")
        expected = {key: describe(tensor) for key, tensor in value.items()}
        (folder / "made_by_python" / f"{name}.json").write_text(json.dumps(expected))
    for protocol in (3, 4, 5):
        value = python_files()["ordered_dict"]
        torch.save(value, folder / "made_by_python" / f"protocol_{protocol}.pt", pickle_protocol=protocol)
        expected = {key: describe(tensor) for key, tensor in value.items()}
        (folder / "made_by_python" / f"protocol_{protocol}.json").write_text(json.dumps(expected))
    for name, make in REFUSED.items():
        torch.save(make(), folder / "refused" / f"{name}.pt")
    torch.save({"a": torch.ones(2)}, folder / "refused" / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "refused" / "torchscript.pt"))


def check_our_file(file):
    loaded = torch.load(file)
    assert type(loaded) is dict, type(loaded)
    assert loaded["format"] == "parity" and loaded["version"] == 1
    nested = loaded["nested"]
    assert nested == {"none": None, "yes": True, "no": False, "big": 2**40, "negative": -7, "real": 0.5,
                      "list": [1, "two", [3.0]], "text": "grün", "empty": {}}, nested
    state = loaded["state_dict"]
    for name, dtype in [("u8", torch.uint8), ("i8", torch.int8), ("f16", torch.float16), ("bf16", torch.bfloat16),
                        ("f32", torch.float32), ("i64", torch.int64)]:
        expected = torch.arange(6).reshape(2, 3).to(dtype)
        assert state[name].dtype == dtype and torch.equal(state[name], expected), name
    assert state["embed"].data_ptr() == state["head"].data_ptr(), "tied tensors are no longer shared"
    assert state["scalar"].shape == () and state["empty"].shape == (0, 3)
    assert torch.equal(state["transposed"], torch.arange(6).reshape(2, 3).half().t())
    assert len(state) > 300, "long memo indices are covered"


LEVEL_ZERO = {"ternary": 1, "ternary5": 1, "int2": 2, "int3": 4, "int4": 8, "int6": 32, "int8": 0}


def codes_of(stored, form, columns):
    """Codes as docs/formats.md describes them, by numpy: bits of the row's bytes, or base-3 digits."""
    if form == "int8":
        return stored.astype(numpy.float32)
    if form == "ternary5":
        digits = stored[:, :, None].astype(int) // 3 ** numpy.arange(5) % 3
        return digits.reshape(len(stored), -1)[:, :columns].astype(numpy.float32)
    bits = 2 if form == "ternary" else int(form[3:])
    stream = numpy.unpackbits(stored, axis=1, bitorder="little")[:, : columns * bits]
    return (stream.reshape(len(stored), columns, bits) * 2 ** numpy.arange(bits)).sum(-1).astype(numpy.float32)


def unpack(packed, name):
    """The values of a packed tensor, from its documented layout alone."""
    about, stored = packed["quantization"][name], packed["state_dict"][name]
    form = about["format"]
    if form == "float16":
        values = stored
    else:
        rows, columns = about["shape"]

        def spread(part):
            part = part.float()
            return part.repeat_interleave(about["group_size"], 1)[:, :columns] if about["granularity"] == "group" else part

        zero = LEVEL_ZERO[form]
        assert (name in packed.get("zero_points", {})) == (not about["symmetric"]), name
        if not about["symmetric"]:
            zero = spread(packed["zero_points"][name])
        codes = torch.from_numpy(codes_of(stored.numpy(), form, columns))
        values = ((codes - zero) * spread(packed["scale_factors"][name])).half()
    return values.t() if about["input_first"] else values


def check_artifacts(folder):
    import transformers

    packed = torch.load(folder / "bitnet_quantized_model.pt")
    assert packed["format"] == "tercet-packed" and packed["version"] == 1
    state = torch.load(folder / "bitnet_dequantized_fp16.pt")
    for name, about in packed["quantization"].items():
        values = unpack(packed, name)
        assert state[name].dtype == torch.float16 and torch.equal(values, state[name]), name
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder / "hf", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    assert model.dtype == torch.float16, model.dtype
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert set(model.state_dict()) == set(state)
    model.load_state_dict(state, strict=True)
    assert torch.isfinite(model.float()(torch.arange(8)[None]).logits).all()


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_files(folder)
        environment = dict(os.environ, TERCET_PARITY_DIR=str(folder))
        subprocess.run([program, "--gtest_filter=TorchParity.*"], env=environment, check=True)
        check_our_file(folder / "made_by_us" / "state.pt")
        artifact_program = pathlib.Path(program).with_name("test_artifact")
        if artifact_program.exists():
            subprocess.run([artifact_program, "--gtest_filter=ArtifactParity.*"], env=environment, check=True)
            for artifacts in sorted((folder / "artifacts").iterdir()):
                check_artifacts(artifacts)
        else:
            print("artifacts are left out: test_artifact is not built")
    print("torch_file parity: all well")


if __name__ == "__main__":
    main()
