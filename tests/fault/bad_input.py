"""Bad input on two ranks: one clear message that names what is wrong, the right exit code, soon, and nothing of the
user's overwritten."""

import json
import os
import pathlib
import pickle
import shutil
import struct
import zipfile

from driving import QUICK, check, check_equal, digests, main, sets

LATEST_S = 20  # the promise is 10 s; twice that on a busy machine


def must_be_refused(shop, code, words, arguments, untouched=()):
    """Runs it, looks at how it ended, and that the folders in `untouched` are as they were."""
    before = {folder: digests(folder) for folder in untouched}
    result = shop.run(*arguments, ranks=2).must_end_with(code)
    errors = result.errors()
    check_equal(len(errors), 1, f"number of messages in\n{result.err}\n")
    text = result.err[result.err.index(errors[0]):]
    for word in words:
        check(str(word) in text, f"the message does not name {word!r}: {text[:600]}")
    check(result.seconds < LATEST_S, f"took {result.seconds:.1f} s")
    check_equal(result.out, "", "stdout")
    for folder, known in before.items():
        check_equal(digests(folder), known, f"files in {folder}")
    return result


def copy_of_model(shop, name):
    folder = shop.folder / name
    folder.mkdir()
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(shop.model / file, folder)
    return folder


def must_refuse_model(shop, folder, words, **settings):
    output = f"{folder.name}-run"
    arguments = shop.quick(output, model__path=folder, **settings)
    must_be_refused(shop, 65, words, arguments, untouched=[folder])
    check(not (shop.folder / output / "artifacts").exists(), "there are artifacts")


def read_safetensors(file):
    content = file.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:8 + size]), content[8 + size:]


def write_safetensors(file, header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


NORM = "model.layers.1.post_attention_layernorm.weight"
GATE = "model.layers.0.mlp.gate_proj.weight"


def a_truncated_weight_file_is_refused(shop):
    folder = copy_of_model(shop, "truncated")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
    must_refuse_model(shop, folder, [file])


def a_malformed_header_is_refused(shop):
    folder = copy_of_model(shop, "malformed")
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[8:12] = b"}{]["
    file.write_bytes(content)
    must_refuse_model(shop, folder, [file])


def a_wrong_shape_is_refused(shop):
    folder = copy_of_model(shop, "wrong-shape")
    header, data = read_safetensors(folder / "model.safetensors")
    header[GATE]["shape"].reverse()
    write_safetensors(folder / "model.safetensors", header, data)
    must_refuse_model(shop, folder, [GATE])


def a_missing_tensor_is_refused(shop):
    folder = copy_of_model(shop, "missing-tensor")
    header, data = read_safetensors(folder / "model.safetensors")
    header["model.something.else"] = header.pop(NORM)
    write_safetensors(folder / "model.safetensors", header, data)
    must_refuse_model(shop, folder, [NORM])


def not_a_number_among_the_weights_is_refused(shop):
    folder = copy_of_model(shop, "not-a-number")
    header, data = read_safetensors(folder / "model.safetensors")
    begin = header[GATE]["data_offsets"][0] + 400
    write_safetensors(folder / "model.safetensors", header, data[:begin] + struct.pack("<f", float("nan")) + data[begin + 4:])
    must_refuse_model(shop, folder, [GATE])


def an_unknown_family_is_refused(shop):
    folder = copy_of_model(shop, "unknown-family")
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="mamba", architectures=["MambaForCausalLM"])
    (folder / "config.json").write_text(json.dumps(config))
    must_refuse_model(shop, folder, ["mamba", folder / "config.json"])


def a_config_that_is_not_json_is_refused(shop):
    folder = copy_of_model(shop, "no-json")
    (folder / "config.json").write_text('{"model_type": "llama", ')
    must_refuse_model(shop, folder, [folder / "config.json"])


def a_model_folder_that_is_not_there_is_refused(shop):
    must_be_refused(shop, 65, [shop.folder / "nowhere"], shop.quick("nowhere-run", model__path=shop.folder / "nowhere"))


def a_tokenizer_that_does_not_fit_is_refused(shop):
    folder = copy_of_model(shop, "wide-tokenizer")
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["added_tokens"].append({"id": 5000, "content": "<far>", "single_word": False, "lstrip": False,
                                      "rstrip": False, "normalized": False, "special": True})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    must_refuse_model(shop, folder, [folder, "does not fit the model"])


class Harm:
    """What a malicious pickle does when an ordinary reader opens it."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def a_pickle_that_runs_programs_is_refused(shop):
    folder, harm = copy_of_model(shop, "malicious"), shop.folder / "harm-was-done"
    (folder / "model.safetensors").unlink()
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model.norm.weight": Harm(harm)}, protocol=2))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    must_refuse_model(shop, folder, [folder / "pytorch_model.bin"])
    check(not harm.exists(), "the pickle ran a program")


def must_refuse_text(shop, name, content, words=()):
    folder = shop.folder / name
    folder.mkdir()
    file = folder / "train.txt"
    if content is not None:
        file.write_bytes(content)
    arguments = shop.quick(f"{name}-run", data__sources=f"[{file}]", data__cache=shop.folder / f"{name}-tokens")
    must_be_refused(shop, 65, [file, *words], arguments, untouched=[folder])
    return file


def a_missing_text_is_refused(shop):
    must_refuse_text(shop, "missing-text", None)


def an_empty_text_is_refused(shop):
    must_refuse_text(shop, "empty-text", b"")


def a_text_that_is_not_utf8_is_refused(shop):
    must_refuse_text(shop, "latin-text", b"A sentence in plain words.\n" * 400 + b"caf\xe9 cr\xe8me\n" * 3, ["UTF-8"])


def a_bad_text_for_evaluate_is_refused(shop):
    for name, content in (("nothing.txt", b""), ("latin.txt", b"caf\xe9 " * 4000)):
        file = shop.folder / name
        file.write_bytes(content)
        must_be_refused(shop, 65, [file], ["evaluate", shop.model, "--data", file, "--sequence-length", "64"])
    missing = shop.folder / "none.txt"
    must_be_refused(shop, 65, [missing], ["evaluate", shop.model, "--data", missing, "--sequence-length", "64"])


def an_output_that_cannot_be_written_is_refused(shop):
    file = shop.folder / "a-file"
    file.write_text("mine")
    for output in (file / "run", file, pathlib.Path("/proc/tercet-run")):
        must_be_refused(shop, 74, [output], shop.quick(output, data__cache=shop.tokens))
        must_be_refused(shop, 74, [output], ["pretrain", QUICK, *sets(model__path="", output=output,
                                                                     data__cache=shop.tokens)])
    check_equal(file.read_text(), "mine", "the user's file")


def more_ranks_than_shards_are_refused(shop):
    must_be_refused(shop, 64, ["calibration.shards"], shop.quick("few-shards", calibration__shards=1))


def mistakes_in_the_configuration_are_said_together(shop):
    file = shop.folder / "mistakes.yaml"
    file.write_text("name: mistakes\nsede: 7\ntraining:\n  tokens: 1e6\n  tokens: 2e6\n  patience: -1\n")
    result = must_be_refused(shop, 64, ["mistakes.yaml:2", "sede", "seed", "mistakes.yaml:5", "training.tokens"],
                             ["compress", file, *sets(model__path=shop.model, output=shop.folder / "never")])
    check("patience" in result.err, result.err)
    check(not (shop.folder / "never").exists(), "an output folder was made")
    must_be_refused(shop, 64, ["absent.yaml"], ["compress", shop.folder / "absent.yaml"])


if __name__ == "__main__":
    main([a_truncated_weight_file_is_refused, a_malformed_header_is_refused, a_wrong_shape_is_refused,
          a_missing_tensor_is_refused, not_a_number_among_the_weights_is_refused, an_unknown_family_is_refused,
          a_config_that_is_not_json_is_refused, a_model_folder_that_is_not_there_is_refused,
          a_tokenizer_that_does_not_fit_is_refused, a_pickle_that_runs_programs_is_refused, a_missing_text_is_refused,
          an_empty_text_is_refused, a_text_that_is_not_utf8_is_refused, a_bad_text_for_evaluate_is_refused,
          an_output_that_cannot_be_written_is_refused, more_ranks_than_shards_are_refused, mistakes_in_the_configuration_are_said_together])
