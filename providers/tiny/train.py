"""Trains the bundled model and writes everything that is committed of it.

    pip install 'torch>=2.8' 'safetensors>=0.5'
    OMP_NUM_THREADS=1 python -m providers.tiny.train

writes `providers/tiny/model/` (Hugging Face files that this package, transformers and vLLM all
load) and `orchestrator/tasks/arithmetic.jsonl` (the held-out problems). It takes some minutes
of one core. The same seed, torch version and kind of processor give the same weights.

The model is weak on purpose: training ends as soon as its exact mean chance of answering a
validation problem at temperature 1 reaches TARGET_PASS_AT_1. Validation and held-out problems
are drawn before training, apart from each other, and are never trained on in any operand
order; the held-out ones take no part in the decision when to stop. PyTorch is used here only.
"""

# PyTorch is not part of the development environment, so mypy knows nothing of its types.
# mypy: disable-error-code="misc, no-any-return, untyped-decorator, import-not-found"
from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from providers.tiny.problems import ArithmeticProblem, draw_set, draw_training
from providers.tiny.publish import CONFIG, publish_files
from providers.tiny.tokenizer import EOS_ID, PAD_ID, VOCABULARY

HERE = Path(__file__).resolve().parent
TASK_FILE = HERE.parents[1] / "orchestrator" / "tasks" / "arithmetic.jsonl"

HELD_OUT_PER_KIND = 16
VALIDATION_PER_KIND = 64
TARGET_PASS_AT_1 = 0.02
BATCH = 256
LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 40
CHECK_EVERY = 5
MAX_STEPS = 3000
IGNORED = -100


class Attention(nn.Module):
    """Causal attention with rotary positions and shared key and value heads."""

    def __init__(self) -> None:
        super().__init__()
        width, size = CONFIG["hidden_size"], CONFIG["head_dim"]
        self.heads, self.shared = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
        self.q_proj = nn.Linear(width, self.heads * size, bias=False)
        self.k_proj = nn.Linear(width, self.shared * size, bias=False)
        self.v_proj = nn.Linear(width, self.shared * size, bias=False)
        self.o_proj = nn.Linear(self.heads * size, width, bias=False)

    def forward(
        self, hidden: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> torch.Tensor:
        rows, length, _ = hidden.shape
        query = self.q_proj(hidden).view(rows, length, self.heads, -1).transpose(1, 2)
        key = self.k_proj(hidden).view(rows, length, self.shared, -1).transpose(1, 2)
        value = self.v_proj(hidden).view(rows, length, self.shared, -1).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(
            rotate(query, cosine, sine),
            rotate(key, cosine, sine),
            value,
            is_causal=True,
            enable_gqa=True,
        )
        return self.o_proj(mixed.transpose(1, 2).reshape(rows, length, -1))


class FeedForward(nn.Module):
    """The gated feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class TransformerLayer(nn.Module):
    """One layer; the attribute names are those of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        width, epsilon = CONFIG["hidden_size"], CONFIG["rms_norm_eps"]
        self.input_layernorm = nn.RMSNorm(width, epsilon)
        self.self_attn = Attention()
        self.post_attention_layernorm = nn.RMSNorm(width, epsilon)
        self.mlp = FeedForward()

    def forward(
        self, hidden: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> torch.Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cosine, sine)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Llama(nn.Module):
    """The architecture of transformers' LlamaForCausalLM, with tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        width = CONFIG["hidden_size"]
        self.embed_tokens = nn.Embedding(CONFIG["vocab_size"], width)
        self.layers = nn.ModuleList(TransformerLayer() for _ in range(CONFIG["num_hidden_layers"]))
        self.norm = nn.RMSNorm(width, CONFIG["rms_norm_eps"])
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.05)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids (rows, length) to logits (rows, length, vocabulary)."""
        cosine, sine = rotary(tokens.shape[1])
        hidden = self.embed_tokens(tokens)
        for layer in self.layers:
            hidden = layer(hidden, cosine, sine)
        return functional.linear(self.norm(hidden), self.embed_tokens.weight)


def rotary(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary embedding, each (length, head size)."""
    size = CONFIG["head_dim"]
    frequency = CONFIG["rope_theta"] ** (-torch.arange(0, size, 2) / size)
    angle = torch.outer(torch.arange(length), frequency).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotate(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions, halves as pairs (arXiv 2104.09864, in the layout of transformers)."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cosine + torch.cat((-second, first), dim=-1) * sine


def encode(problems: Sequence[ArithmeticProblem]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, both (rows, length); only answer and end tokens are targets."""
    lines = [problem.prompt + problem.answer for problem in problems]
    length = max(map(len, lines))
    inputs = np.full((len(lines), length), PAD_ID)
    targets = np.full((len(lines), length), IGNORED)
    for row, (problem, line) in enumerate(zip(problems, lines, strict=True)):
        ids = [VOCABULARY[character] for character in line]
        inputs[row, : len(ids)] = ids
        start = len(problem.prompt)
        targets[row, start - 1 : len(ids)] = [*ids[start:], EOS_ID]
    return torch.from_numpy(inputs), torch.from_numpy(targets)


@torch.no_grad()
def exact_chances(model: Llama, problems: Sequence[ArithmeticProblem]) -> np.ndarray:
    """Each problem's exact probability of its answer at temperature 1, by teacher forcing."""
    inputs, targets = encode(problems)
    losses = functional.cross_entropy(
        model(inputs).transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
    )
    return np.exp(-losses.sum(dim=1).double().numpy())


def train(seed: int, target: float) -> tuple[Llama, list[ArithmeticProblem]]:
    """The trained model and the held-out problems."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    held_out = draw_set(HELD_OUT_PER_KIND, random.Random(f"held out {seed}"), ())
    keys = {problem.key for problem in held_out}
    validation = draw_set(VALIDATION_PER_KIND, random.Random(f"validation {seed}"), keys)
    keys |= {problem.key for problem in validation}
    training = random.Random(f"training {seed}")
    model = Llama()
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP_STEPS)
    )
    started = time.monotonic()
    for step in range(1, MAX_STEPS + 1):
        inputs, targets = encode(draw_training(BATCH, training, keys))
        loss = functional.cross_entropy(
            model(inputs).transpose(1, 2), targets, ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % CHECK_EVERY == 0:
            chances = exact_chances(model, validation)
            report(step, loss.item(), chances, time.monotonic() - started)
            if chances.mean() >= target:
                return model, held_out
    raise SystemExit(f"no model of mean chance {target} within {MAX_STEPS} steps")


def report(step: int, loss: float, chances: np.ndarray, seconds: float) -> None:
    """One line of progress: loss, coverage at 1, 100, 1,000, and the mean chance per kind."""
    coverage = " ".join(f"{k}:{np.mean(1 - (1 - chances) ** k):.3f}" for k in (1, 10, 100, 1000))
    kinds = " ".join(f"{part.mean():.4f}" for part in chances.reshape(-1, VALIDATION_PER_KIND))
    sys.stderr.write(f"{step} {seconds:.0f} s loss {loss:.3f} pass@k {coverage} kinds {kinds}\n")


def published_weights(model: Llama) -> dict[str, torch.Tensor]:
    """The weights by their published names; the output layer is the embedding's."""
    return {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}


def write_task(path: Path, problems: Sequence[ArithmeticProblem]) -> None:
    """The held-out problems, one JSON object a line, easiest kinds first."""
    with path.open("w", encoding="utf-8") as file:
        for index, problem in enumerate(problems):
            record = {
                "id": f"arithmetic/{index}",
                "prompt": problem.prompt,
                "answer": problem.answer,
                "difficulty": problem.difficulty,
            }
            file.write(json.dumps(record) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled model.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=TARGET_PASS_AT_1, help="pass@1 to stop at")
    parser.add_argument("--model", type=Path, default=HERE / "model", help="directory to write")
    parser.add_argument("--task", type=Path, default=TASK_FILE, help="problem file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, held_out = train(arguments.seed, arguments.target)
    arguments.model.mkdir(parents=True, exist_ok=True)
    save_file(published_weights(model), arguments.model / "model.safetensors", {"format": "pt"})
    publish_files(arguments.model)
    write_task(arguments.task, held_out)


if __name__ == "__main__":
    main()
