"""Texts like those that models write, by the thousand, from a seed: for figures of the store.

    python -m benchmarks.storage_texts        how far zlib, xz and zstd shorten them

`chain_of_thought` is an answer to a word problem (like GSM8K), `completion` a program with its
explanation (like HumanEval in chat form). Every sentence is chosen among several ways to say it,
with names, numbers and words drawn anew, and most have a piece of real prose (Python's own
reference, 400,000 characters), so that there is always something that no dictionary knows. Texts
of one problem share its words, as attempts at one problem do. They are no text of any model; the
shares are set so that they shorten about like released samples (docs/decisions/packing.md).
"""

from __future__ import annotations

import lzma
import random
import zlib
from collections.abc import Callable
from pydoc_data.topics import topics

import zstandard


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "Ava Ben Carla Dmitri Elena Farid Grace Hugo Imani Jonas Keiko Liam Mira Noah Olga Pablo Quinn"
    " Rosa Samir Tessa Uma Victor Wendy Xavier Yusuf Zoe"
)
THINGS = _words(
    "apples eggs marbles books tickets cookies pencils stickers bottles muffins shirts stamps"
    " oranges candles plants coins boxes cards lamps bricks ribbons magnets"
)
PLACES = _words(
    "farm market school shop library bakery garden station museum factory kitchen harbour"
)
VERBS = _words("counts filters groups merges rotates scores splits sums trims validates")
NOUNS = _words(
    "intervals words matrices digits brackets vowels primes records tokens edges ranges scores"
    " columns paths pairs"
)


PROSE = " ".join(" ".join(topics.values()).replace("*", "").replace("`", "").split()).split(" ")


def _prose(draw: random.Random, fewest: int, most: int) -> str:
    """Some words of real prose."""
    start, words = draw.randrange(len(PROSE) - most), draw.randint(fewest, most)
    return " ".join(PROSE[start : start + words])


def _one(draw: random.Random, *ways: str) -> str:
    return ways[draw.randrange(len(ways))]


def chain_of_thought(problem: int, draw: random.Random, length: int = 1000) -> str:
    """A worked answer to word problem number `problem`, of about `length` characters."""
    about = random.Random(f"word {problem}")
    who, other = about.sample(NAMES, 2)
    what, also = about.sample(THINGS, 2)
    where = about.choice(PLACES)
    numbers = [about.randrange(3, 400) for _ in range(8)]
    lines = [_one(
        draw, "Let's think step by step.", "To solve this, we work through what is given.",
        f"We need to find how many {what} {who} has in the end.", "Here is one way to do it:",
        f"First, let us write down what we know about {who} and {other}.",
        "Let me break this problem down.", f"I'll keep track of the {what} one day at a time.",
    )]  # fmt: skip
    total, step = numbers[0], 0
    while sum(map(len, lines)) < length - 60:
        step += 1
        given = numbers[step % 8] if draw.random() < 0.85 else draw.randrange(2, 500)
        lines.append(_step(draw, step, who, other, what, also, where, total, given))
        total = max(total + given * (1 if step % 3 else -1), 1) + (draw.random() < 0.06)
    lines.append(_one(
        draw, f"The answer is {total}.", f"So {who} has {total} {what} in the end.\n#### {total}",
        f"Therefore, the final answer is \\boxed{{{total}}}.", f"Final answer: {total}",
    ))  # fmt: skip
    return _one(draw, "\n", "\n\n", " ").join(lines)


def _step(
    draw: random.Random, step: int, who: str, other: str, what: str, also: str, where: str,
    total: int, given: int,
) -> str:  # fmt: skip
    lead = _one(
        draw, f"Step {step}: ", f"{step}. ", "Then ", "Next, ", "", "After that, ", "Now ",
        f"**Step {step}.** ", "- ", "Since we know this, ", "Again, ",
    )  # fmt: skip
    pronoun = _one(draw, who, other, "she", "he", "they", "the family")
    half, times = given // 2, draw.randrange(2, 9)
    body = _one(
        draw,
        f"{pronoun} buys {given} more {what} at the {where}, so there are {total} + {given} ="
        f" {total + given} {what}",
        f"{given} {what} are given away, which leaves {total} - {given} = {total - given}",
        f"there are {given} {also} for every {times} {what}, so we multiply: {given} * {times} ="
        f" {given * times}",
        f"half of the {given} {also} belong to {other}, that is {given} / 2 = {half}",
        f"each of the {what} costs ${times}, so {pronoun} pays {given} x ${times} ="
        f" ${given * times} at the {where}",
        f"we add the {also} from the {where} (${given}) to what {pronoun} already had (${total})"
        f" and get ${total + given}",
        f"the total number of {what} is now {total} + {times} * {half} = {total + times * half}",
        f"{pronoun} loses {times} of them on the way to the {where}, so only {given - times} of"
        f" the {given} {also} are left",
        f"in {times} days {pronoun} can sell {times} * {given} = {times * given} {what}, because"
        f" {given} are sold every day",
    )
    if draw.random() < 0.75:
        body += _one(draw, ", because ", " while ", "; ", " (", " since ") + _prose(draw, 4, 9)
    tail = _one(draw, ".", ".", ".", " in all.", f" {also}.", ", as the question says.",
                " altogether.", f", not counting the {also}.",
                f". Let me check: {given} + {total} is {given + total}, right.")  # fmt: skip
    return lead + body + tail


def completion(problem: int, draw: random.Random, length: int = 1000) -> str:
    """A Python function with its explanation for task number `problem`."""
    about = random.Random(f"code {problem}")
    verb, noun, extra = about.choice(VERBS), about.choice(NOUNS), about.choice(NOUNS)
    name = f"{verb.rstrip('s')}_{noun}"
    item = _one(draw, "item", "x", "value", noun[:-1], "current", "element", "entry", "n", "el")
    into = _one(draw, "result", "output", "res", "found", "ans", "total", extra, "kept", "out")
    given = _one(draw, noun, "items", "values", "data", "lst", "seq", "arr", "numbers")
    lines = [_one(
        draw, f"Here is a function that {verb} the {noun}:", f"To solve it we {verb[:-1]} the"
        f" {noun} one by one.", "Sure! The idea is to go over the input once.",
        f"The function below {verb} {noun} and leaves the {extra} as they are.", "",
        f"We can do this with a loop and a {_one(draw, 'set', 'dict', 'list', 'counter')}.",
    ), "```python", f"def {name}({given}, {_one(draw, 'limit', 'k', 'target', 'size')}="
        f"{draw.randrange(12)}):"]  # fmt: skip
    if draw.random() < 0.6:
        lines.append(
            f'    """{verb.capitalize()} {noun}{_one(draw, "", ", in order", " by " + extra)}."""'
        )
    lines.append(f"    {into} = {_one(draw, '[]', '{}', 'set()', '0', 'list()', 'dict()')}")
    depth = 1
    while sum(map(len, lines)) < length - 200:
        pad = "    " * depth
        line, deeper = _statement(draw, item, into, given, extra, name)
        lines.append(pad + line)
        depth = min(depth + deeper, 4) if deeper else max(1, depth - (draw.random() < 0.45))
    lines += [
        "    " * depth + f"{into} += {item}" if depth > 1 else "",
        f"    return {into}",
        "```",
    ]
    numbers = ", ".join(str(draw.randrange(99)) for _ in range(3))
    lines.append(_one(
        draw, f"It runs in O(n{_one(draw, '', ' log n', '^2')}) time.", "",
        f"Every {noun[:-1]} is looked at {_one(draw, 'once', 'twice')}; the {extra} stay in order.",
        f"For example, `{name}([{numbers}])` returns {draw.randrange(200)}.",
    ))  # fmt: skip
    lines.append(_prose(draw, 6, 16) + ".")
    return "\n".join(lines)


def _statement(
    draw: random.Random, item: str, into: str, given: str, extra: str, name: str
) -> tuple[str, int]:
    number, index = draw.randrange(30), _one(draw, "i", "j", "idx", "index", "pos")
    return draw.choice((
        (f"for {item} in {given}:", 1),
        (f"for {index}, {item} in enumerate({given}):", 1),
        (f"for {index} in range({number}, len({given})):", 1),
        (f"while {into} and {item} < {number}:", 1),
        (f"if {item} % {number + 1} == {draw.randrange(9)}:", 1),
        (f"if {item} not in {into}:", 1),
        (f"if len({given}) > {number} and {item} != {given}[{index}]:", 1),
        (f"if isinstance({item}, {_one(draw, 'int', 'str', 'list', 'tuple')}):", 1),
        (f"{into}.append({item} {_one(draw, '+', '-', '*', '//')} {number})", 0),
        (f"{into}[{item}] = {into}.get({item}, {draw.randrange(4)}) + {draw.randrange(1, 9)}", 0),
        (f"{item} = {given}[{index} - {number}]", 0),
        (f"{item} = sorted({given}, key=lambda v: v[{number % 4}], reverse={number > 9})", 0),
        (f"{extra} = [v for v in {given} if v > {number}]", 0),
        (f"{into} = max({into}, {_one(draw, 'abs', 'len', 'sum', 'hash')}({item}) + {number})", 0),
        (f"return {name}({given}[{index} + 1:], {number})", 0),
        (f"# {_prose(draw, 3, 8)}", 0),
        (f"# {_prose(draw, 3, 8)}", 0),
        (f'raise ValueError("{_prose(draw, 2, 6)}")', 0),
        (f"# {_one(draw, 'skip', 'keep', 'handle', 'remember', 'check')} the {extra} "
         f"{_one(draw, 'that repeat', 'at the end', 'first', 'seen so far', 'too large')}", 0),
    ))  # fmt: skip


KINDS: dict[str, Callable[[int, random.Random, int], str]] = {
    "thoughts": chain_of_thought,
    "programs": completion,
}


def main() -> None:
    draw = random.Random(1)
    for kind, write in KINDS.items():
        texts = [write(number % 50, draw, 1000).encode() for number in range(1000)]
        size = sum(map(len, texts))
        alone = sum(len(zlib.compress(text, 6)) for text in texts) / size
        whole = len(lzma.compress(b"\0".join(texts), preset=9)) / size
        learnt = zstandard.train_dictionary(32 << 10, [*texts[:500]], k=200, d=8)
        packer = zstandard.ZstdCompressor(level=3, dict_data=learnt)
        late = texts[500:]
        packed = sum(len(packer.compress(text)) for text in late) / sum(map(len, late))
        print(f"{kind}: mean {size / len(texts):.0f} bytes; bytes per byte: zlib each by itself "
              f"{alone:.3f}, zstd by a dictionary of 32 KiB {packed:.3f}, xz all together "
              f"{whole:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
