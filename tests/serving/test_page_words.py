"""The page marks the words by which the server finds texts."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import rerank_search
from rerank_search.retrieval.analysis import terms

NODE = shutil.which("node")
if NODE is None:
    pytest.skip("needs node: apt-get install nodejs", allow_module_level=True)

WORDS = Path(rerank_search.__file__).parent / "serving" / "ui" / "words.js"
SCRIPT = f"""
import {{ wordsIn }} from "{WORDS.as_uri()}";
let input = "";
for await (const part of process.stdin) input += part;
const found = JSON.parse(input).map((text) => [...wordsIn(text)]);
console.log(JSON.stringify(found));
"""

TEXTS = [
    "How to join two paths, e.g. in Python?",
    "İstanbul ISTANBUL istanbul",
    "ΟΔΟΣ οδος Ελλάδα",
    "ёлка, за\u0301мок, мой и мои",
    "كِتَاب כתב שָׁלוֹם",
    "हिन्दी தமிழ் বাংলা ไม้ がき ｶﾞｽ",
    "bẹ\u0301ẹ\u0300ni, re\u0301sume\u0301, naïve",
    "snake_case don't Hawaiʻi Qurʾān ʿAlī п'ять пʼять",
    "ภาษาไทยแลนด์ ສະບາຍດີ မြန်မာ ខ្មែរ",
    "Straße ÆTHER œuvre smørrebrød Łódź Đorđe Ísafjörður þing ıstanbul",
    "so\u00adft zero\u200bwidth \ufeffbread \u200d \u0301",
]


def words_in(texts: list[str]) -> list[list[dict[str, str]]]:
    done = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", SCRIPT],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout)


def test_words_of_the_page_are_the_terms_of_the_server() -> None:
    found = [[match["word"] for match in words] for words in words_in(TEXTS)]
    assert found == [terms("plain", text) for text in TEXTS]


def test_words_are_shown_as_the_text_has_them() -> None:
    [words] = words_in(["Die so\u00adft за\u0301мок"])
    assert [word["shown"] for word in words] == ["Die", "so\u00adft", "за\u0301мок"]
