"""Every word of the page is there in every language."""

import io
import runpy

import pytest
from babel.messages.mofile import write_mo

from tests.test_house import ROOT

_gather = runpy.run_path(str(ROOT / ".ci" / "gather-words"))
extract, read, name_file = _gather["extract"], _gather["read"], _gather["name_file"]


@pytest.mark.parametrize("language", ["pl", "fr"])
def test_every_word_is_translated(language):
    wanted = extract()
    assert wanted
    catalog = {message.id: message for message in read(language) if message.id}
    assert wanted - set(catalog) == set(), "run: make words, then translate"
    assert set(catalog) - wanted == set(), "run: make words"
    for message in catalog.values():
        texts = message.string if message.pluralizable else (message.string,)
        assert all(texts), f"not translated: {message.id}"
        assert not message.fuzzy, f"not looked at: {message.id}"


@pytest.mark.parametrize("language", ["pl", "fr"])
def test_a_translation_takes_the_same_values_as_the_text(language):
    for message in read(language):
        if not message.id:
            continue
        ids = message.id if message.pluralizable else (message.id,)
        texts = message.string if message.pluralizable else (message.string,)
        wanted = set(_list_values(ids[-1]))
        assert all(set(_list_values(text)) <= wanted for text in texts), message.id
        assert set(_list_values(texts[-1])) == wanted, message.id


@pytest.mark.parametrize("language", ["pl", "fr"])
def test_the_compiled_words_are_of_the_written_ones(language):
    compiled = io.BytesIO()
    write_mo(compiled, read(language))
    assert name_file(language, "mo").read_bytes() == compiled.getvalue(), "run: make words"


def _list_values(text: str) -> list[str]:
    return [part.partition(")")[0] for part in text.split("%(")[1:]]
