from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from engine.models.catalogue import default
from engine.models.store import fetch
from engine.paths import RESOURCES
from engine.tasks.taskfile import FOLDER, Task, check_labels, find_task, tasks


@pytest.fixture(
    scope="module", params=["builtin", pytest.param("default", marks=pytest.mark.model)]
)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    folder = RESOURCES / "models" / "builtin" if request.param == "builtin" else fetch(default())
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_the_tasks_that_were_promised() -> None:
    promised = "sentiment english-french english-spanish english-chinese capitals facts antonyms"
    promised += " subjects questions generation elements"
    assert {task.key for task in tasks()} >= set(promised.split())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_a_task_is_named_like_its_file(path: Path) -> None:
    assert find_task(path.stem) == find_task(str(path))
    assert find_task(path.stem).key == path.stem


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.key)
def test_a_task_has_enough_examples(task: Task) -> None:
    assert len(task.examples) >= 64
    assert task.instruction.endswith(".")
    assert task.about[-1] in ".?"
    assert "\n" not in task.about
    assert task.lead == " "
    shown = Counter(
        " ".join(text for _, text in example.fields).casefold() for example in task.examples
    )
    assert max(shown.values()) == 1


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.key)
def test_texts_are_normalised(task: Task) -> None:
    for example in task.examples:
        for text in (*dict(example.fields).values(), example.output, *example.also):
            assert text == unicodedata.normalize("NFC", text)
            assert text == " ".join(text.split())


@pytest.mark.parametrize(
    "task", [task for task in tasks() if task.scoring == "labels"], ids=lambda task: task.key
)
def test_labels_are_used_evenly_and_told_apart(task: Task, tokenizer: Tokenizer) -> None:
    counts = Counter(example.output for example in task.examples)
    assert set(counts) == set(task.labels)
    assert max(counts.values()) <= 1.25 * min(counts.values())
    # The first few are a fair prompt.
    few = Counter(example.output for example in task.examples[: 2 * len(task.labels)])
    assert set(few) == set(task.labels)
    firsts = check_labels(task, lambda text: tokenizer.encode(text).ids)
    assert len(set(firsts)) == len(task.labels)


@pytest.mark.parametrize(
    "task", [task for task in tasks() if task.scoring == "exact"], ids=lambda task: task.key
)
def test_no_answer_can_be_guessed_without_the_question(task: Task) -> None:
    counts = Counter(example.output for example in task.examples)
    assert max(counts.values()) <= len(task.examples) / 10


@pytest.mark.parametrize(
    "task", [task for task in tasks() if task.scoring == "exact"], ids=lambda task: task.key
)
def test_each_further_answer_adds_something(task: Task) -> None:
    for example in task.examples:
        answers = (example.output, *example.also)
        for number, answer in enumerate(answers):
            assert task.is_right(example, task.answer(answer))
            others = answers[:number] + answers[number + 1 :]
            without = replace(example, output="", also=others)
            assert not task.is_right(without, answer), answer


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.key)
def test_bpe_cuts_between_prompt_and_answer(task: Task, tokenizer: Tokenizer) -> None:
    shots = [example for example in task.examples if example.output][:3]
    for example in task.examples:
        prompt = task.prompt(shots, example)
        head = tokenizer.encode(prompt).ids
        whole = tokenizer.encode(prompt + task.answer(example.output)).ids
        assert whole[: len(head)] == head


def test_answers_stand_in_the_passage() -> None:
    for example in find_task("questions").examples:
        passage = dict(example.fields)["passage"].casefold()
        answers = (example.output, *example.also)
        assert any(answer.casefold() in passage for answer in answers), example


def test_every_manner_of_the_openings_is_shown() -> None:
    openings = find_task("generation").examples
    manners = Counter(dict(example.fields)["manner"] for example in openings)
    assert set(manners.values()) == {8}
    shown = Counter(dict(example.fields)["manner"] for example in openings if example.output)
    assert set(shown) == set(manners)


def test_the_readme_lists_them() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for task in tasks():
        assert f"| `{task.key}` | {len(task.examples)} | {task.scoring} |" in readme
