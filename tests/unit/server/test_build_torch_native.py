from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import write_siglip_checkpoint
from tiny_artifacts import encode_image
from tiny_checkpoints import write_clip, write_siglip
from torch.export.passes import move_to_device_pass
from torch.utils._python_dispatch import TorchDispatchMode

from rsq.digest import digest_file
from rsq.errors import BadSource, GateRefused
from rsq.manifest import TOWERS, Lineage, Tower
from rsq.probe import decode_probe, judge, replay
from rsq.providers import TORCH_CPU, TORCH_CUDA
from rsq.similarity import normalise, row_cosines
from rsq.torch_tower import PROGRAM_NAME, TORCH_FORMAT, TorchTower
from rsq_server.build.artifact import BuiltArtifact
from rsq_server.build.assembly import CheckpointFacts, assemble_artifact, read_tools
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.evaluate import evaluate
from rsq_server.build.export import export_tower
from rsq_server.build.load import load_encoder
from rsq_server.build.profile import profile_artifact
from rsq_server.build.torch_native import export_torch_tower, quantize_tower
from rsq_server.datasets.image_text_set import ImageTextSet, Sample
from rsq_server.recipes import RECIPES

FAMILIES = {"siglip": write_siglip, "clip": write_clip}


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_encoder(FAMILIES[request.param](tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def exported(encoder: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both towers."""
    folder = tmp_path_factory.mktemp("programs")
    for tower in TOWERS:
        export_torch_tower(encoder, tower, folder / tower)
    return folder


def _open(folder: Path) -> TorchTower:
    return TorchTower(folder / PROGRAM_NAME, provider=TORCH_CPU, threads=1)


@pytest.mark.parametrize("tower", TOWERS)
def test_exporting_again_gives_the_same_bytes(
    encoder: DualEncoder, exported: Path, tmp_path: Path, tower: Tower
) -> None:
    recipe = export_torch_tower(encoder, tower, tmp_path / "again")
    assert (recipe.name, recipe.providers) == ("torchao-int8-dynamic", (TORCH_CUDA,))
    assert ("embeddings" in recipe.parameters) == (tower == "text")
    again = tmp_path / "again" / PROGRAM_NAME
    assert digest_file(again) == digest_file(exported / tower / PROGRAM_NAME)


@pytest.mark.parametrize("tower", TOWERS)
def test_a_program_carries_no_trace_of_how_it_was_made(exported: Path, tower: Tower) -> None:
    data = (exported / tower / PROGRAM_NAME).read_bytes()
    for trace in (b".py", b"torchao", b"transformers", b"rsq_server", b"stack_trace"):
        assert trace not in data


@pytest.mark.parametrize("tower", TOWERS)
def test_a_vector_is_close_to_fp32_and_the_same_in_any_batch(
    encoder: DualEncoder, exported: Path, tower: Tower
) -> None:
    inputs = encoder.sample_inputs(tower, 9)
    session = _open(exported / tower)
    together = session.embed(inputs)
    alone = np.concatenate([session.embed(row[None]) for row in inputs])
    assert row_cosines(alone, together).min() >= 0.99999
    with torch.inference_mode():
        fp32 = normalise(encoder.tower(tower)(torch.from_numpy(inputs)).numpy())
    assert 0.98 < row_cosines(fp32, together).min() < 0.999999


@pytest.mark.parametrize("tower", TOWERS)
def test_the_encoder_keeps_its_weights_and_shares_the_rest(
    encoder: DualEncoder, tower: Tower
) -> None:
    before = {name: value.clone() for name, value in encoder.tower(tower).state_dict().items()}
    quantized = quantize_tower(encoder, tower)
    after = encoder.tower(tower).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    floats = {
        value.data_ptr()
        for name, value in quantized.named_parameters()
        if value.dtype == torch.float32
    }
    assert floats
    assert floats <= {value.data_ptr() for value in encoder.tower(tower).parameters()}
    big = [v for v in quantized.state_dict().values() if v.dim() == 2 and len(v) == v.shape[1]]
    assert {value.dtype for value in big} == {torch.int8}


class _Products(TorchDispatchMode):
    """Collects what every INT8 product is given."""

    def __init__(self) -> None:
        super().__init__()
        self.operands: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._int_mm.default:
            self.operands.append((args[0], args[1]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("tower", TOWERS)
def test_every_product_is_one_that_cuda_takes_already_at_batch_one(
    encoder: DualEncoder, exported: Path, tower: Tower
) -> None:
    program = torch.export.load(exported / tower / PROGRAM_NAME).module(check_guards=False)
    with torch.no_grad(), _Products() as products:
        program(torch.from_numpy(encoder.sample_inputs(tower, 1)))
    assert len(products.operands) >= 12  # two layers of six
    for left, right in products.operands:
        assert left.dtype == right.dtype == torch.int8
        assert left.shape[0] > 16
        assert left.shape[1] % 8 == 0
        assert right.shape[1] % 8 == 0


@pytest.mark.parametrize("tower", TOWERS)
def test_nothing_in_a_program_is_bound_to_the_cpu(
    encoder: DualEncoder, exported: Path, tower: Tower
) -> None:
    program = torch.export.load(exported / tower / PROGRAM_NAME)
    moved = move_to_device_pass(program, "meta").module(check_guards=False)
    rows = moved(torch.from_numpy(encoder.sample_inputs(tower, 3)).to("meta"))
    assert rows.device.type == "meta"
    assert rows.shape == (3, encoder.dimension)


def test_cuda_computes_what_the_cpu_does(encoder: DualEncoder, exported: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
    for tower in TOWERS:
        path = exported / tower / PROGRAM_NAME
        cuda = TorchTower(path, provider=TORCH_CUDA, threads=1)
        for count in (1, 5):
            inputs = encoder.sample_inputs(tower, count)
            rows = row_cosines(cuda.embed(inputs), _open(exported / tower).embed(inputs))
            assert rows.min() >= 0.999


@pytest.mark.parametrize("tower", TOWERS)
def test_a_node_opens_a_program_without_torchao(exported: Path, tower: Tower) -> None:
    code = (
        "import sys; from pathlib import Path; from rsq.torch_tower import TorchTower;"
        "TorchTower(Path(sys.argv[1]), provider='TorchCPU', threads=1);"
        "assert not {'torchao', 'transformers', 'rsq_server'} & set(sys.modules)"
    )
    path = str(exported / tower / PROGRAM_NAME)
    subprocess.run([sys.executable, "-W", "error", "-c", code, path], check=True)


def test_a_tower_that_int8_breaks_is_refused(tmp_path: Path) -> None:
    encoder = load_encoder(write_siglip(tmp_path))
    # A channel so loud that all others round to zero, and that no layer listens to: FP32 is fine.
    with torch.no_grad():
        for layer in encoder.vision.get_submodule("encoder").layers:
            layer.layer_norm1.weight[0] = layer.layer_norm2.weight[0] = 1e6
            attention = layer.self_attn
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj, layer.mlp.fc1):
                linear.weight[:, 0] = 0
    with pytest.raises(GateRefused, match="INT8 breaks the vision tower"):
        export_torch_tower(encoder, "vision", tmp_path / "out")


class _Sine(torch.nn.Module):
    def __init__(self, tower: torch.nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.sin(self.tower(inputs))


class _Branch(_Sine):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = self.tower(inputs)
        return rows if rows.sum() > 0 else -rows


@pytest.mark.parametrize(
    ("wrap", "reason"),
    [(_Sine, r"can't be served by torch: .*sin\.default"), (_Branch, "can't be exported")],
)
def test_a_tower_that_nodes_could_not_open_is_refused(
    tmp_path: Path, wrap: type[_Sine], reason: str
) -> None:
    encoder = load_encoder(write_siglip(tmp_path))
    changed = dataclasses.replace(encoder, vision=wrap(encoder.vision))
    with pytest.raises(BadSource, match=reason):
        export_torch_tower(changed, "vision", tmp_path / "out")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[BuiltArtifact]:
    """Both towers of a tiny SigLIP in ONNX FP32 and as torch programs."""
    work = tmp_path_factory.mktemp("artifacts")
    return _build_artifacts(load_encoder(write_siglip_checkpoint(work / "checkpoint")), work)


def _build_artifacts(encoder: DualEncoder, work: Path) -> list[BuiltArtifact]:
    facts = CheckpointFacts(
        space_id="5" * 64,
        dimension=encoder.dimension,
        scoring=encoder.scoring,
        licence=encoder.licence,
        image=encoder.image,
        text=encoder.text_spec,
        lineage=Lineage("c" * 64, None, read_tools()),
    )
    built = []
    for tower in TOWERS:
        export_tower(encoder, tower, work / f"{tower}-export")
        plain = shutil.copytree(work / f"{tower}-export", work / f"{tower}-fp32")
        native = work / f"{tower}-int8-torch"
        recipes = {
            plain: RECIPES["fp32"].to_spec(tower),
            native: export_torch_tower(encoder, tower, native),
        }
        reference = None
        for folder, variant, format in (
            (plain, "fp32", "onnx"),
            (native, "int8-torch", TORCH_FORMAT),
        ):
            if tower == "text":
                shutil.copyfile(encoder.tokenizer_json, folder / "tokenizer.json")
            artifact, reference = assemble_artifact(
                folder,
                tower,
                variant,
                recipe=recipes[folder],
                batch_invariant=True,
                facts=facts,
                reference=reference,
                format=format,
            )
            built.append(artifact)
    return built


def test_a_program_is_an_artifact_beside_onnx(artifacts: list[BuiltArtifact]) -> None:
    for fp32, native in (artifacts[:2], artifacts[2:]):
        manifest = native.manifest
        assert (manifest.format, manifest.file("graph").name) == (TORCH_FORMAT, PROGRAM_NAME)
        assert {entry.role for entry in manifest.files} <= {"graph", "tokenizer", "probe"}
        assert manifest.size_bytes == (native.folder / PROGRAM_NAME).stat().st_size
        assert "torchao" in manifest.lineage.tools
        assert "torchao" not in fp32.manifest.lineage.tools
        assert manifest.space_id == fp32.manifest.space_id
        probe = decode_probe((native.folder / "probe.json").read_bytes())
        judge(replay(native.open(threads=2), probe), manifest.probe)
        assert manifest.probe.fp32_cosine_min < 0.9999


def test_a_program_is_profiled_and_proved_in_a_fresh_process(
    artifacts: list[BuiltArtifact],
) -> None:
    native = artifacts[1]
    (profile,) = profile_artifact(native, batches=(2,), threads=1)
    assert (profile.artifact_id, profile.provider) == (native.id, TORCH_CPU)
    assert 0 < profile.p50_ms <= profile.p95_ms
    # torch is imported before the baseline is taken: the rise is the artifact's.
    assert profile.baseline_bytes > 100 << 20
    assert profile.steady_bytes <= profile.peak_bytes < profile.baseline_bytes


def _set() -> ImageTextSet:
    random = np.random.default_rng(0)
    samples = []
    for index in range(8):
        color = tuple(int(value) for value in random.integers(0, 256, 3))
        word = ("port", "river", "tanks", "ships")[index % 4]
        samples.append(Sample(encode_image(color), word, (f"a {word} by the large {index}",)))
    return ImageTextSet("words", "e" * 64, tuple(samples), True)


def test_a_program_is_evaluated_in_the_table_of_onnx(artifacts: list[BuiltArtifact]) -> None:
    found = evaluate(artifacts, _set(), workers=2, advance=lambda done, total: None)
    vision, vision_native, text, text_native = (artifact.id for artifact in artifacts)
    assert set(found.artifacts) == {vision, vision_native, text, text_native}
    assert len(found.pairs) == 4
    for fp32, native in ((vision, vision_native), (text, text_native)):
        metrics = found.artifacts[native]
        assert metrics.keys() == found.artifacts[fp32].keys()
        assert 0.98 < metrics["cosine_min"] < 0.999999


def test_real_checkpoint_stays_close_to_fp32(rsq_data: Path, tmp_path: Path) -> None:
    encoder = load_encoder(rsq_data / "models" / "rsq-siglip-small")
    torch.set_num_threads(1)
    for tower in TOWERS:
        export_torch_tower(encoder, tower, tmp_path / tower)
        inputs = encoder.sample_inputs(tower, 6)
        with torch.inference_mode():
            fp32 = normalise(encoder.tower(tower)(torch.from_numpy(inputs)).numpy())
        assert row_cosines(_open(tmp_path / tower).embed(inputs), fp32).min() >= 0.999
        size = (tmp_path / tower / PROGRAM_NAME).stat().st_size
        weights = sum(value.numel() * 4 for value in encoder.tower(tower).parameters())
        assert size < weights / 2.5
