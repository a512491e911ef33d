"""The prompt bound against real tokenizers, trained here on small text.

Every family in use: byte-level BPE (GPT, Llama 3, Qwen), BPE and unigram with byte fallback and
a metaspace (Llama 2, Gemma, T5), WordPiece (BERT), under the normalisers that they come with,
NFKC among them; and SentencePiece itself with its nmt_nfkc_cf rules.
"""

import io
import os
import unicodedata
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from budgets.bounds import MESSAGE_TOKENS, prompt_token_bound, text_token_bound

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CORPUS = [
    "The quick brown fox jumps over the lazy dog. 0123456789 + - * / = ( ) [ ] { }",
    "def solve(n: int) -> list[int]:\n    return [i ** 2 for i in range(n) if i % 3]\n",
    "Größe Ångström naïve façade Привет мир 你好世界 こんにちは 안녕하세요 مرحبا नमस्ते 🙂🚀 ﷺ ㍿ ﬃ",
]
NASTY = [
    "\ufdfa" * 5,  # one character of 3 bytes that NFKC makes 18
    "㍿㌖ﬃ…½",
    "İıẞΐΰ",
    "e\u0301\u0323" * 4,
    "각가힣",
    "\u0344\u1f82\ufb2c",
    "🏴\U000e0067\U000e0062",
    "   \t\n  \u3000\u00a0 ",
    "\x00\x7f\x80",
    "￾\uffff",
]
TEXTS = st.text(max_size=60) | st.text(
    st.characters(categories=("Lo", "Sk", "No", "So", "Mn", "Zs")), max_size=30
)

Counter = Callable[[str], int]


def huggingface(kind: str) -> Counter:
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    metaspace = pre_tokenizers.Metaspace()
    if kind == "byte-level BPE":
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=300,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    elif kind == "byte-level BPE, NFC":
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=260,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    elif kind.startswith("BPE with byte fallback"):
        tokenizer = tokenizers.Tokenizer(
            models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=False)
        )
        forms = {"NFKC": normalizers.NFKC, "NFKD": normalizers.NFKD}
        form = forms[kind.rsplit(" ", 1)[1]]
        tokenizer.normalizer = normalizers.Sequence([form(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = metaspace
        trainer = trainers.BpeTrainer(
            vocab_size=340,
            special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
            limit_alphabet=40,
            initial_alphabet=["▁"],
            show_progress=False,
        )
    elif kind == "WordPiece":
        tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=120, special_tokens=["[UNK]"], show_progress=False
        )
    else:
        assert kind == "unigram, NFKC"
        tokenizer = tokenizers.Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = metaspace
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def sentencepiece(kind: str) -> Counter:
    library = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(
            line for text in (*CORPUS[:2] * 20, CORPUS[2]) for line in text.splitlines()
        ),
        model_writer=model,
        vocab_size=330,
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=0.98,
        model_type=kind.rsplit(" ", 1)[1],
        normalization_rule_name="nmt_nfkc_cf",
        minloglevel=2,
    )
    processor = library.SentencePieceProcessor(model_proto=model.getvalue())
    return lambda text: len(processor.encode(text))


FAMILIES: dict[str, Callable[[str], Counter]] = {
    "byte-level BPE": huggingface,
    "byte-level BPE, NFC": huggingface,
    "BPE with byte fallback, lower case, NFKC": huggingface,
    "BPE with byte fallback, lower case, NFKD": huggingface,
    "unigram, NFKC": huggingface,
    "WordPiece": huggingface,
    "SentencePiece nmt_nfkc_cf unigram": sentencepiece,
    "SentencePiece nmt_nfkc_cf bpe": sentencepiece,
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_no_tokenizer_makes_more_tokens_than_the_bound(kind: str) -> None:
    count = FAMILIES[kind](kind)
    for text in (*NASTY, *CORPUS, *(nasty * 20 for nasty in NASTY)):
        assert count(text) <= text_token_bound(text), repr(text)

    @settings(max_examples=150, deadline=None)
    @given(TEXTS)
    @example("\ufdfa")
    def holds(text: str) -> None:
        assert count(text) <= text_token_bound(text)

    holds()


def test_bytes_alone_would_not_bound_a_normalising_tokenizer() -> None:
    count = huggingface("BPE with byte fallback, lower case, NFKC")
    text = "\ufdfa" * 5
    assert count(text) > len(text.encode())


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_the_bound_covers_the_bytes_of_every_normal_form(text: str) -> None:
    bound = text_token_bound(text)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        normal = unicodedata.normalize(form, text)  # type: ignore[arg-type]
        assert len(normal.encode()) <= bound
        assert len(normal.lower().encode()) <= bound
        assert len(normal.casefold().encode()) <= bound


def test_plain_text_is_bounded_by_its_bytes() -> None:
    assert text_token_bound("x" * 1000) == 1002
    assert text_token_bound("") == 2


def test_a_chat_adds_its_template_and_every_message() -> None:
    texts = ["system prompt", "question"]
    raw, chat = prompt_token_bound(texts), prompt_token_bound(texts, messages=2)
    assert raw < chat
    assert prompt_token_bound(texts, messages=3) - chat == MESSAGE_TOKENS


def test_a_lone_surrogate_is_bounded_too() -> None:
    assert text_token_bound("\ud800") >= 3
