"""The numpy computation against transformers' numbers, and against itself in other batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from providers.tiny import publish, tokenizer
from providers.tiny.cache import Pool
from providers.tiny.llama import Model
from providers.tiny.weights import BUNDLED, ModelFileError, read_safetensors

CASES = json.loads((Path(__file__).parent / "golden_logits.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[str(len(case["tokens"])) for case in CASES])
def test_logits_equal_those_of_transformers(model: Model, case: dict) -> None:
    logits = model.logits(np.array(case["tokens"]))[case["first"] :]
    np.testing.assert_allclose(logits, case["logits"], atol=3e-5)


@pytest.mark.parametrize("case", CASES, ids=[str(len(case["tokens"])) for case in CASES])
def test_tokens_equal_those_of_transformers_raw_and_as_chat(case: dict) -> None:
    tokens = tokenizer.encode(case["text"])
    assert tokens == case["tokens"] == case["chat_tokens"]
    assert tokenizer.decode(tokens) == case["decoded"]


def test_transformers_loads_the_directory_and_agrees(model: Model) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(BUNDLED, dtype=torch.float32)
    random = np.random.default_rng(1)
    for length in (1, 9, 33, 64):
        tokens = random.integers(0, len(tokenizer.TOKENS), length)
        with torch.no_grad():
            expected = theirs(torch.from_numpy(tokens)[None]).logits[0].numpy()
        np.testing.assert_allclose(model.logits(tokens), expected, atol=3e-5)


def decode_alone(model: Model, tokens: np.ndarray, prefilled: int) -> np.ndarray:
    """Logits of the last token, `prefilled` tokens by prefill and the others one by one."""
    pool = Pool(model.config, 1)
    slot = pool.take(1)
    if prefilled:
        pool.write(0, model.prefill(tokens[:prefilled]))
    for position in range(prefilled, len(tokens)):
        one = np.array([position])
        logits = model.decode(tokens[one], one, slot, pool)
    return logits[0]


def test_decoding_one_by_one_equals_the_whole_sequence(model: Model) -> None:
    tokens = np.random.default_rng(2).integers(0, len(tokenizer.TOKENS), 64)
    for length in (1, 15, 16, 17, 64):
        for prefilled in {0, length // 2, length - 1}:
            expected = model.logits(tokens[:length])[-1]
            found = decode_alone(model, tokens[:length], prefilled)
            np.testing.assert_allclose(found, expected, atol=3e-5)


def last_logits_together(model: Model, sequences: list[np.ndarray]) -> np.ndarray:
    """Logits after each sequence, all decoded in one batch."""
    pool = Pool(model.config, len(sequences))
    slots = pool.take(len(sequences))
    for slot, tokens in zip(slots, sequences, strict=True):
        if len(tokens) > 1:
            pool.write(int(slot), model.prefill(tokens[:-1]))
    last = np.array([tokens[-1] for tokens in sequences])
    positions = np.array([len(tokens) - 1 for tokens in sequences])
    return model.decode(last, positions, slots, pool)


def check_batch_invariance() -> None:
    """Exit with an error unless every row has the same bits alone and in every batch."""
    model = Model(BUNDLED)
    random = np.random.default_rng(3)
    lengths = random.integers(1, 60, 100)
    sequences = [random.integers(0, len(tokenizer.TOKENS), length) for length in lengths]
    alone = np.concatenate([last_logits_together(model, [tokens]) for tokens in sequences])
    for size in (2, 7, 8, 9, 33, 100):
        chosen = random.permutation(len(sequences))[:size]
        together = last_logits_together(model, [sequences[row] for row in chosen])
        assert np.array_equal(together, alone[chosen]), f"in a batch of {size}"


def test_a_row_computes_the_same_bits_in_every_batch() -> None:
    # In a process of its own, because the threads of the matrix library are set at its start,
    # to one in the server.
    command = "import test_tiny_model; test_tiny_model.check_batch_invariance()"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", command], env=environment, check=True)


def test_published_files_are_those_that_the_code_writes(tmp_path: Path) -> None:
    publish.publish_files(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (BUNDLED / path.name).read_text()
    tokenizer.check(BUNDLED)
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 4_000_000


def copy_with(tmp_path: Path, name: str, old: str, new: str) -> Path:
    """A copy of the model directory with one text replaced in one file."""
    for path in BUNDLED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"silu"', '"gelu"', "hidden_act is 'gelu'"),
        ('"model_type": "llama"', '"model_type": "bert"', "model_type is 'bert'"),
        ('"vocab_size"', '"vocabulary"', "lacks 'vocab_size'"),
        ('"num_hidden_layers": 4', '"num_hidden_layers": 5', "lacks the tensor 'model.layers.4"),
        ("{", "", "is not JSON"),
    ],
)
def test_a_directory_that_cannot_be_served_is_refused(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    with pytest.raises(ModelFileError, match=complaint):
        Model(copy_with(tmp_path, "config.json", old, new))


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="another vocabulary"):
        tokenizer.check(copy_with(tmp_path, "tokenizer.json", '"+": 13', '"+": 14'))


def test_a_cut_weight_file_is_refused(tmp_path: Path) -> None:
    whole = (BUNDLED / "model.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"cut\.safetensors"):
            read_safetensors(path)


def test_half_precision_weights_are_read(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.0], [0.375, 65280.0]], np.float32)
    halves = values.astype("<f2").tobytes()
    brains = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {
        "half": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
        "brain": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [8, 16]},
        "__metadata__": {"format": "pt"},
    }
    encoded = json.dumps(header).encode()
    path = tmp_path / "half.safetensors"
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + halves + brains)
    tensors = read_safetensors(path)
    assert np.array_equal(tensors["half"], values)
    assert np.array_equal(tensors["brain"], values)
