from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from engine.errors import UserError
from engine.paths import RESOURCES
from engine.tasks.taskfile import Example, Task, check_labels, find_task, read_task

GOOD = """
key = "moods"
title = "Moods"
about = "How somebody feels."
instruction = "Say how each of them feels."
input = "Saying: {input}\\n"
output = "Mood: {output}"
scoring = "labels"
labels = ["glad", "sad"]
examples = [
    { input = "What a day!", output = "glad" },
    { input = "Alas.", output = "sad" },
    { input = "Hooray!", output = "glad" },
]
"""
EXACT = GOOD.replace('"labels"', '"exact"').replace('labels = ["glad", "sad"]\n', "")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def to_file(text: str) -> Path:
        path = tmp_path / "moods.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


@pytest.fixture(scope="module")
def encode() -> Callable[[str], list[int]]:
    """The built-in model's byte-level BPE, which puts a space and the word after it together."""
    tokenizer = Tokenizer.from_file(str(RESOURCES / "models" / "builtin" / "tokenizer.json"))
    return lambda text: tokenizer.encode(text).ids


def test_a_prompt_is_what_the_file_says(write: Callable[[str], Path]) -> None:
    task = read_task(write(GOOD))
    day, alas, hooray = task.examples
    assert task.labels == ("glad", "sad")
    assert task.prompt((), day, instruction=False) == "Saying: What a day!\nMood:"
    assert task.prompt([day, alas], hooray) == (
        "Say how each of them feels.\n\n"
        "Saying: What a day!\nMood: glad\n\n"
        "Saying: Alas.\nMood: sad\n\n"
        "Saying: Hooray!\nMood:"
    )
    assert task.answer("glad") == " glad"
    assert task.shown(alas) == "Saying: Alas.\nMood: sad"


@pytest.mark.parametrize(
    ("input_", "output", "prompt", "answer", "shown"),
    [
        ("{input}", " -> {output}", "Alas. ->", " sad", "Alas. -> sad"),
        ("{input} ->  ", "{output};", "Alas. ->", "  sad", "Alas. ->  sad;"),
        ("", "{input}\\n{output}", "Alas.\n", "sad", "Alas.\nsad"),
        ("{input}: ", "\\n {output}", "Alas.: \n", " sad", "Alas.: \n sad"),
        ("{{{input}}}", "={output}", "{Alas.}=", "sad", "{Alas.}=sad"),
        ("A", "{input}{output} {input}", "AAlas.", "sad", "AAlas.sad Alas."),
    ],
)
def test_the_spaces_before_the_answer_belong_to_it(
    write: Callable[[str], Path], input_: str, output: str, prompt: str, answer: str, shown: str
) -> None:
    text = GOOD.replace("Saying: {input}\\n", input_).replace("Mood: {output}", output)
    task = read_task(write(text))
    alas = task.examples[1]
    assert task.prompt((), alas, instruction=False) == prompt
    assert task.answer("sad") == answer
    assert task.shown(alas) == shown


words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12
).filter(lambda text: text == text.strip() and text != "")
examples_ = st.builds(lambda a, b: Example((("input", a),), b), words, words)


@given(
    shots=st.lists(examples_, max_size=4), query=examples_, lead=st.sampled_from(["", " ", "  "])
)
def test_a_prompt_with_its_answer_is_a_longer_list_of_examples(
    shots: list[Example], query: Example, lead: str
) -> None:
    source = find_task("sentiment")
    fields = {name: getattr(source, name) for name in Task.__dataclass_fields__}
    task = Task(**{**fields, "lead": lead})
    prompt = task.prompt(shots, query)
    whole = task.separator.join([task.instruction, *map(task.shown, [*shots, query])])
    assert prompt + task.answer(query.output) == whole
    assert not prompt.endswith(" ")
    # What two prompts have in common stands at their start, so that it need not be run twice.
    assert task.prompt([*shots, query], query).startswith(whole)


def test_bpe_cuts_between_prompt_and_answer(
    write: Callable[[str], Path], encode: Callable[[str], list[int]]
) -> None:
    task = read_task(write(GOOD))
    for example in task.examples:
        prompt = task.prompt(task.examples, example)
        whole = encode(prompt + task.answer(example.output))
        assert whole[: len(encode(prompt))] == encode(prompt)
        # A prompt that ends in the space would end in a token that the whole does not have.
        spaced = encode(prompt + " ")
        assert whole[: len(spaced)] != spaced


def test_other_fields_and_other_answers(write: Callable[[str], Path]) -> None:
    text = (
        EXACT.replace("Saying: {input}", "{who} says: {input}")
        .replace('input = "What a day!"', 'who = "Ann", input = "What a day!"')
        .replace('input = "Alas."', 'who = "Bob", input = "Alas.", also = ["très triste"]')
        .replace('input = "Hooray!"', 'who = "Cy", input = "Hooray!"')
    )
    task = read_task(write(text))
    bob = task.examples[1]
    assert bob == Example((("who", "Bob"), ("input", "Alas.")), "sad", ("très triste",))
    assert task.prompt((), bob, instruction=False) == "Bob says: Alas.\nMood:"


@pytest.mark.parametrize(
    "said", [" sad", "\n\n sad\nSaying: ...", "SAD.", "sad !", " tre\u0300s  triste"]
)
def test_right_answers(write: Callable[[str], Path], said: str) -> None:
    task = read_task(
        write(EXACT.replace('output = "sad"', 'output = "sad", also = ["très triste"]'))
    )
    assert task.is_right(task.examples[1], said)


@pytest.mark.parametrize("said", ["", "\n", ".", "sadly", "not sad", "tres triste", "glad\nsad"])
def test_wrong_answers(write: Callable[[str], Path], said: str) -> None:
    task = read_task(
        write(EXACT.replace('output = "sad"', 'output = "sad", also = ["très triste"]'))
    )
    assert not task.is_right(task.examples[1], said)


def test_what_has_no_answer_is_asked_and_not_shown(write: Callable[[str], Path]) -> None:
    text = EXACT.replace('"exact"', '"none"').replace(', output = "sad"', "")
    task = read_task(write(text))
    day, alas, _ = task.examples
    assert task.prompt([day], alas).endswith("Alas.\nMood:")
    assert not task.is_right(alas, "")
    with pytest.raises(UserError, match=r"“Saying: Alas\. Mood:” has no output"):
        task.prompt([alas], day)


EXAMPLES = GOOD[GOOD.index("examples") :]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('title = "Moods"\n', "", "it has no “title”"),
        ('output = "Mood: {output}"\n', "", "it has no “output”"),
        (EXAMPLES, "", "it has no “examples”"),
        (EXAMPLES, "examples = []", "it has no examples"),
        (EXAMPLES, "examples = 3", "“examples” must be a list in brackets"),
        (EXAMPLES, "examples = [3]", "“examples” must be a list of tables in braces"),
        ('"Moods"', "3", "“title” must be text in quotation marks"),
        ('"Moods"', '" "', "“title” is empty"),
        ('"moods"', '"My moods"', "“key” may have small letters"),
        ('key = "moods"', 'key = "moods"\ncolour = "red"', "the unknown field “colour”"),
        ('key = "moods"', "key = ", "it is not TOML"),
        ('"labels"', '"guess"', "“scoring” must be “labels”, “exact” or “none”"),
        ('"labels"', '"exact"', "it has labels, but its scoring is “exact”"),
        ('["glad", "sad"]', '["glad"]', "at least two labels and has 1"),
        ('["glad", "sad"]', "[]", "at least two labels and has none"),
        ('["glad", "sad"]', '["glad", "sad", "glad"]', "the label “glad” is given twice"),
        ('["glad", "sad"]', '["glad", "sad "]', "label 2 begins or ends with a space"),
        ('["glad", "sad"]', '["glad", "bad"]', "“sad”, the output of example 2, is not one"),
        ('"Alas."', '"What a day!"', "examples 1 and 2 are the same"),
        ('"Alas.", output = "sad"', '"Hooray!", output = "sad"', "examples 2 and 3 are the same"),
        ('input = "Alas."', 'imput = "Alas."', "example 2 has no “input”"),
        ('input = "Alas."', 'input = "Alas.", age = "3"', "“age”, which no template shows"),
        ('input = "Alas.", output = "sad"', 'input = "Alas."', "example 2 has no “output”"),
        ('"Alas."', "7", "“input” of example 2 must be text in quotation marks"),
        ('"Alas."', '""', "“input” of example 2 is empty"),
        ('"Alas."', '" Alas."', "“input” of example 2 begins or ends with a space"),
        ('output = "sad" }', 'output = "sad", also = ["low"] }', "whose scoring is “exact”"),
        ("Saying: {input}", "Saying: {saying}", "the unknown field {saying}"),
        ("Saying: {input}", "Saying: {}", "the unknown field {}"),
        ("Saying: {input}", "Saying: {input.real}", "the unknown field {input.real}"),
        ("Saying: {input}", "Saying: {input:>9}", "the unknown field {input}"),
        ("Saying: {input}", "Saying: {also}", "the unknown field {also}"),
        ("Saying: {input}", "Saying: {input", "a brace in “input” stands alone"),
        ("Saying: {input}", "Saying: {output}", "shows {output}, the answer"),
        ("Saying: {input}", "Saying:", "neither “input” nor “output” shows a field"),
        ("{output}", "it is", "“output” must have {output} in it, once"),
        ("{output}", "{output} {output}", "“output” must have {output} in it, once"),
    ],
)
def test_a_bad_file_gets_a_sentence(
    write: Callable[[str], Path], old: str, new: str, why: str
) -> None:
    assert old in GOOD
    path = write(GOOD.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        read_task(path)
    assert why in caught.value.why
    assert str(path) in caught.value.what
    assert "\n" not in caught.value.sentence


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('output = "sad"', 'output = "sad\\nso"', "goes on after “stop”"),
        ('output = "sad"', 'output = "sad", also = "low"', "must be a list of texts"),
        ('output = "sad"', 'output = "sad", also = [3]', "must be text in quotation marks"),
        (
            'input = "Saying: {input}\\n"\noutput = "',
            'output = "{output} {input}',
            "{output} in it",
        ),
    ],
)
def test_a_bad_file_to_be_compared_exactly(
    write: Callable[[str], Path], old: str, new: str, why: str
) -> None:
    assert old in EXACT
    with pytest.raises(UserError) as caught:
        read_task(write(EXACT.replace(old, new, 1)))
    assert why in caught.value.why


def test_an_answer_before_what_it_answers(write: Callable[[str], Path]) -> None:
    text = GOOD.replace('input = "Saying: {input}\\n"\n', "").replace(
        "Mood: {output}", "{output} {input}"
    )
    with pytest.raises(UserError, match="no field of the examples stands before"):
        read_task(write(text))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_task(tmp_path / "nowhere.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(GOOD.replace("Alas", "Hélas").encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        read_task(latin)


def test_find_a_task(write: Callable[[str], Path]) -> None:
    assert find_task(" Capitals ").key == "capitals"
    assert find_task(str(write(GOOD))).key == "moods"
    with pytest.raises(UserError, match=r"no task has that name\. Choose one of antonyms, capi"):
        find_task("captials")


def test_first_tokens_of_labels(
    write: Callable[[str], Path], encode: Callable[[str], list[int]]
) -> None:
    task = read_task(write(GOOD))
    firsts = check_labels(task, encode)
    assert firsts == (encode(" glad")[0], encode(" sad")[0])
    # Special tokens round the text, as an encoder's tokenizer adds them, are not the labels'.
    assert check_labels(task, lambda text: [1, *encode(text), 2]) == firsts


def test_labels_that_share_their_first_token(write: Callable[[str], Path]) -> None:
    def by_word(text: str) -> list[int]:
        return [hash(word) for word in text.split(" ")]

    both = read_task(write(GOOD.replace('"glad", "sad"]', '"glad", "sad", "so so", "so la la"]')))
    with pytest.raises(UserError, match="“so so” and “so la la” begin with the same token"):
        check_labels(both, by_word)


def test_a_label_that_the_tokenizer_does_not_have(write: Callable[[str], Path]) -> None:
    task = read_task(write(GOOD))
    with pytest.raises(UserError, match="no token for “sad”"):
        check_labels(task, lambda text: [ord(char) for char in text.removesuffix(" sad")])
