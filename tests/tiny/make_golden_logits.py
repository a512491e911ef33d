"""Writes golden_logits.json: what transformers computes for the bundled model.

Run `python tests/tiny/make_golden_logits.py` where torch and transformers are installed, after
the bundled model has changed. The tests compare our own computation with these numbers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "providers" / "tiny" / "model"
TEXTS = ("12*34=408", "999+87+6=1092", "7", "7^7\n ~" * 10 + "1+2=")


def main() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    cases = []
    for text in TEXTS:
        message = [{"role": "user", "content": text}]
        chat = tokenizer.apply_chat_template(
            message, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        tokens = tokenizer(text).input_ids
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0]
        # All positions of the short ones; the long one is there for its late positions.
        first = max(0, len(tokens) - 12)
        rows = [[round(value, 6) for value in row] for row in logits[first:].tolist()]
        cases.append(
            {
                "text": text,
                "tokens": tokens,
                "chat_tokens": chat,
                "first": first,
                "decoded": tokenizer.decode(tokens, skip_special_tokens=True),
                "logits": rows,
            }
        )
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    with (HERE / "golden_logits.json").open("w", encoding="utf-8") as file:
        json.dump({"versions": versions, "cases": cases}, file)
        file.write("\n")
    sys.stdout.write(f"{len(cases)} cases written\n")


if __name__ == "__main__":
    main()
