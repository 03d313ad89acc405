"""The agent's Open Inference Protocol service, driven by an unmodified tritonclient."""

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
import sys
from typing import Any

import kserve_client
import numpy as np
import pytest
from tiny_artifacts import DIMENSION, SIZE, SPACE_ID, build_artifact, encode_image
from tiny_node import stock

from rsq.client import Client
from rsq.encoder import Encoder
from rsq.kserve import inference_pb2
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.state import NodeState, save_state

TEXTS = ["port with large cargo ships", "red forest", "blue river"]
IMAGES = [encode_image(color) for color in ((200, 30, 90), (10, 220, 40))]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tritonclient") is None, reason="tritonclient is not installed"
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client saw, and `rsq_texts` and `rsq_images`: what rsq's own client gets."""
    folder = tmp_path_factory.mktemp("kserve")
    parts = [build_artifact(folder / "v", "vision"), build_artifact(folder / "t", "text")]
    cache = Cache(folder / "agent")
    words = stock(cache, parts[1:], model="words")
    tiny = stock(cache, parts)
    save_state(cache, NodeState().activate(words).activate(tiny))
    config = AgentConfig(home=cache.home, threads=1, server="127.0.0.1:1", listen="127.0.0.1:0")
    encoder = Encoder(parts[0].folder, parts[0].manifest)
    with Agent(config) as agent:
        agent.load(None)
        given = {
            "address": agent.address,
            "texts": TEXTS,
            "images": [base64.b64encode(image).decode() for image in IMAGES],
            "pixels": [encoder.prepare_image(image).tolist() for image in IMAGES],
        }
        ended = subprocess.run(
            [sys.executable, kserve_client.__file__],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        results: dict[str, Any] = json.loads(ended.stdout)
        with Client(agent.address) as client:
            results["rsq_texts"] = client.embed_text(TEXTS)
            results["rsq_images"] = client.embed_image(IMAGES)
    results["artifacts"] = {part.manifest.tower: part.id for part in parts}
    return results


def test_every_name_and_number_is_the_published_one(seen: dict[str, Any]) -> None:
    ours = kserve_client.read_schema(inference_pb2)
    assert len(ours) > 30
    for name, fields in ours.items():
        assert fields.items() <= seen["schema"][name].items(), name


def test_the_server_is_live_ready_and_says_what_it_is(seen: dict[str, Any]) -> None:
    assert seen["live"] is True
    assert seen["ready"] is True
    assert seen["server"]["name"] == "rsq-agent"
    assert seen["server"]["extensions"] == ["model_repository", "model_configuration"]


def test_models_in_memory_are_ready_and_no_others(seen: dict[str, Any]) -> None:
    assert seen["models_ready"] == [True, True, True, False, False, False, False]
    assert (seen["version_1_ready"], seen["version_9_ready"]) == (True, False)


def test_metadata_and_config_name_tensors_and_shapes(seen: dict[str, Any]) -> None:
    inputs = [
        ("pixel_values", "FP32", ["3", str(SIZE), str(SIZE)]),
        ("image", "BYTES", []),
        ("text", "BYTES", []),
    ]
    for metadata, reply, (name, datatype, dims) in zip(
        seen["metadata"], seen["config"], inputs, strict=True
    ):
        (tensor,) = metadata["inputs"]
        assert tensor == {"name": name, "datatype": datatype, "shape": ["-1", *dims]}
        (output,) = metadata["outputs"]
        assert output == {"name": "embedding", "datatype": "FP32", "shape": ["-1", str(DIMENSION)]}
        assert (metadata["versions"], metadata["platform"]) == (["1"], "rsq_onnx")
        config = reply["config"]
        assert (config["name"], config["max_batch_size"]) == (metadata["name"], 256)
        assert config["input"][0].get("dims", []) == dims
        assert config["input"][0]["name"] == name
        assert config["output"][0]["dims"] == [str(DIMENSION)]
    assert seen["metadata_unloaded"]["name"] == "words-text"


@pytest.mark.parametrize("step", ["text", "text_typed", "async", "image", "image_typed"])
def test_vectors_are_those_of_rsqs_own_client(seen: dict[str, Any], step: str) -> None:
    own = seen["rsq_images" if step.startswith("image") else "rsq_texts"]
    assert seen[step]["dtype"] == "float32"
    assert np.array(seen[step]["rows"]) == pytest.approx(own, abs=1e-6)


@pytest.mark.parametrize("step", ["pixels", "pixels_typed"])
def test_pixels_give_the_vectors_of_their_images(seen: dict[str, Any], step: str) -> None:
    assert np.array(seen[step]["rows"]) == pytest.approx(seen["rsq_images"], abs=1e-6)


def test_a_reply_says_what_made_it_and_where_the_time_went(seen: dict[str, Any]) -> None:
    reply = seen["text"]
    assert (reply["model"], reply["version"], reply["id"]) == ("tiny-text", "1", "mine")
    parameters = reply["parameters"]
    assert parameters["space_id"] == SPACE_ID
    assert parameters["artifact_id"] == seen["artifacts"]["text"]
    assert seen["image"]["parameters"]["artifact_id"] == seen["artifacts"]["vision"]
    assert parameters["inference_ms"] > 0
    assert {"queue_ms", "preprocess_ms"} <= parameters.keys()


def test_a_stream_answers_in_order_and_outlives_an_error(seen: dict[str, Any]) -> None:
    text, failed, image = seen["stream"]
    assert (text["id"], image["id"]) == ("request 0", "request 2")
    assert np.array(text["rows"]) == pytest.approx(seen["rsq_texts"], abs=1e-6)
    assert "nope" in failed["error"]
    assert np.array(image["rows"]) == pytest.approx(seen["rsq_images"], abs=1e-6)


def test_models_are_listed_loaded_and_unloaded_by_name(seen: dict[str, Any]) -> None:
    loaded = [[f"tiny-{kind}", "1", "READY"] for kind in ("image", "vision", "text")]
    assert seen["states"] == [*loaded, ["words-text", "1", "UNAVAILABLE"]]
    assert seen["load"] == [None, True]
    assert seen["states_loaded"] == [*loaded, ["words-text", "1", "READY"]]
    assert seen["unload"] == [None, False]


def test_a_request_loads_what_is_not_in_memory(seen: dict[str, Any]) -> None:
    reply, is_ready = seen["on_demand"]
    assert np.array(reply["rows"]) == pytest.approx(seen["rsq_texts"], abs=1e-6)
    assert is_ready is True


@pytest.mark.parametrize(
    ("step", "status", "words"),
    [
        ("unknown_model", "NOT_FOUND", "nope"),
        ("unknown_kind", "NOT_FOUND", "NAME-vision"),
        ("unknown_metadata", "NOT_FOUND", "nope-text"),
        ("unknown_load", "NOT_FOUND", "nope-text"),
        ("unknown_unload", "NOT_FOUND", "tiny-audio"),
        ("absent_tower", "NOT_FOUND", "words-image"),
        ("wrong_version", "NOT_FOUND", "has version 1"),
        ("wrong_shape", "INVALID_ARGUMENT", "[-1], not [3, 1]"),
        ("wrong_pixels", "INVALID_ARGUMENT", f"[-1, 3, {SIZE}, {SIZE}]"),
        ("wrong_datatype", "INVALID_ARGUMENT", "FP32, not 'FP64'"),
        ("wrong_name", "INVALID_ARGUMENT", "one input, 'image'"),
        ("wrong_output", "INVALID_ARGUMENT", "no output 'scores'"),
        ("classes", "INVALID_ARGUMENT", "classes"),
        ("nan", "INVALID_ARGUMENT", "item 1: The raw pixels hold NaN"),
        ("too_many", "INVALID_ARGUMENT", "between 1 and 256"),
        ("empty_batch", "INVALID_ARGUMENT", "between 1 and 256"),
        ("bad_image", "INVALID_ARGUMENT", "item 0"),
        ("not_utf8", "INVALID_ARGUMENT", "item 1: The text is not UTF-8"),
        ("lying_length", "INVALID_ARGUMENT", "2147483648 bytes; 4 follow"),
        ("short_length", "INVALID_ARGUMENT", "end before element 0"),
        ("trailing", "INVALID_ARGUMENT", "1 bytes follow"),
        ("huge_shape", "INVALID_ARGUMENT", "between 1 and 256"),
        ("negative_shape", "INVALID_ARGUMENT", "between 1 and 256"),
        ("no_inputs", "INVALID_ARGUMENT", "has none"),
        ("no_contents", "INVALID_ARGUMENT", "0 elements"),
        ("both_contents", "INVALID_ARGUMENT", "both"),
        ("config_override", "INVALID_ARGUMENT", "config"),
        ("statistics", "UNIMPLEMENTED", "Method not found"),
    ],
)
def test_errors_carry_their_status_and_one_sentence(
    seen: dict[str, Any], step: str, status: str, words: str
) -> None:
    assert seen[step]["status"] == f"StatusCode.{status}"
    assert words in seen[step]["message"]
