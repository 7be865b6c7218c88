"""Optimizer steps against torch.optim: AdamW, and Muon with Keller Jordan's learning-rate adjustment; and against Lion as
published, which torch.optim lacks.

usage: optimizer_parity.py path/to/test_train

Takes the same steps here and, through the OptimizerParity test with TERCET_PARITY_DIR, in test_train. PyTorch's Muon
orthogonalises in bfloat16 only; to compare more than three digits, the case "muon" runs the same source in float32.
"""

import inspect
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file
from torch.optim import _muon

SHAPES = {"square": (24, 24), "tall": (48, 16), "wide": (16, 48), "conv1d_tall": (40, 24)}
VECTORS = {"norm": (24,)}
FACTORS = [0.25, 0.5, 1.0, 1.0, 0.6]

CASES = {
    "adamw": dict(kind="adamw", lr=0.02, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1, tolerance=2e-6),
    "adamw_no_decay": dict(kind="adamw", lr=0.02, beta1=0.8, beta2=0.999, eps=1e-6, weight_decay=0.0, tolerance=2e-6),
    "lion": dict(kind="lion", lr=0.02, beta1=0.9, beta2=0.99, weight_decay=0.1, tolerance=2e-6),
    "muon": dict(kind="mugrokfast", lr=0.05, momentum=0.95, weight_decay=0.1, tolerance=5e-6),
    "muon_bfloat16": dict(kind="mugrokfast", lr=0.05, momentum=0.95, weight_decay=0.1, bfloat16=True, tolerance=1e-2),
}


def float32_newton_schulz():
    source = inspect.getsource(_muon._zeropower_via_newtonschulz)
    assert source.count("grad.bfloat16()") == 1, "torch.optim.Muon has changed"
    # Unlike bfloat16(), float() of a float32 tensor is no copy, and the function divides in place.
    namespace = dict(vars(_muon))
    exec(source.replace("grad.bfloat16()", "grad.float().clone()"), namespace)
    return namespace["_zeropower_via_newtonschulz"]


def decayed_matrices(case, parameters):
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": case["weight_decay"]},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023 (arXiv:2302.06675), program 1."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                beta1, beta2 = group["betas"]
                update = torch.sign(momentum * beta1 + p.grad * (1 - beta1))
                p.sub_(group["lr"] * (update + group["weight_decay"] * p))
                momentum.copy_(momentum * beta2 + p.grad * (1 - beta2))


def make_optimizer(case, parameters):
    if case["kind"] == "lion":
        return Lion(decayed_matrices(case, parameters), dict(lr=case["lr"], betas=(case["beta1"], case["beta2"])))
    if case["kind"] == "adamw":
        common = dict(lr=case["lr"], betas=(case["beta1"], case["beta2"]), eps=case["eps"])
        return torch.optim.AdamW(decayed_matrices(case, parameters), **common)
    return torch.optim.Muon(parameters, lr=case["lr"], weight_decay=case["weight_decay"], momentum=case["momentum"],
                            nesterov=True, ns_steps=5, adjust_lr_fn="original")


def write_case(folder, name, case):
    torch.manual_seed(len(name))
    shapes = {**SHAPES, **VECTORS} if case["kind"] != "mugrokfast" else SHAPES
    parameters = {key: torch.nn.Parameter(torch.randn(shape)) for key, shape in shapes.items()}
    tensors = {f"start.{key}": value.detach().clone() for key, value in parameters.items()}
    optimizer = make_optimizer(case, list(parameters.values()))
    for step, factor in enumerate(FACTORS):
        for group in optimizer.param_groups:
            group["lr"] = case["lr"] * factor
        for key, value in parameters.items():
            value.grad = torch.randn(value.shape)
            tensors[f"gradient.{step}.{key}"] = value.grad.clone()
        optimizer.step()
        for key, value in parameters.items():
            tensors[f"expected.{step}.{key}"] = value.detach().clone()
    save_file(tensors, folder / f"{name}.safetensors")
    description = {**case, "names": list(parameters), "factors": FACTORS}
    (folder / f"{name}.json").write_text(json.dumps(description))


def main():
    program = sys.argv[1]
    if pathlib.Path(program).name != "test_train":
        sys.exit(f"this drives test_train, not '{program}': set program_of_optimizer_parity in CMakeLists.txt")
    in_bfloat16, in_float32 = _muon._zeropower_via_newtonschulz, float32_newton_schulz()
    with tempfile.TemporaryDirectory() as name:
        for case, options in CASES.items():
            _muon._zeropower_via_newtonschulz = in_bfloat16 if options.get("bfloat16") else in_float32
            write_case(pathlib.Path(name), case, options)
        environment = dict(os.environ, TERCET_PARITY_DIR=name)
        command = [program, "--gtest_filter=OptimizerParity.*"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
    print(result.stdout, result.stderr, sep="")
    if result.returncode != 0 or "1 test from 1 test suite ran" not in result.stdout or "SKIPPED" in result.stdout:
        sys.exit("optimizer parity failed")
    print(f"{len(CASES)} cases of {len(FACTORS)} steps equal torch.optim's or the published ones")


if __name__ == "__main__":
    main()
