"""The k-shot study: what it asks, counts, keeps and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tinymodels import TEXT, make, open_engine, save_model, save_tokenizer

from engine.errors import UserError
from engine.latent.running import attends_by_itself
from engine.studies import kept
from engine.studies.kshot import Order, Settings, fitting_shots, kshot_job
from engine.studies.prompts import draw, ids_of
from engine.studies.values import KShot, Measured, Record
from engine.tasks.taskfile import Example, Task, find_task

WORDS = sorted({word.strip(".;") for word in TEXT.split()})
SENTIMENT = find_task("sentiment")


def task(count=40, scoring="labels", labels=("dog", "fox"), instruction="Again."):
    """A task in few tokens of the tiny tokenizer."""
    rng = np.random.default_rng(0)
    texts = sorted({" ".join(rng.choice(WORDS, 3)) for _ in range(2 * count)})[:count]
    outputs = labels or WORDS
    return Task(
        key="tiny",
        title="Tiny",
        about="",
        instruction=instruction,
        before=find_task("subjects").before,
        after=(),
        lead=" ",
        separator="\n\n",
        stop="\n",
        scoring=scoring,
        labels=labels if scoring == "labels" else (),
        examples=tuple(
            Example((("input", text),), outputs[i % len(outputs)]) for i, text in enumerate(texts)
        ),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def loaded(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    return open_engine(folder).loaded


def counted(loaded):
    """Count what goes through the model's input embedding, whoever sends it."""
    attends_by_itself(loaded.reader)  # found out by running a token, once a model
    seen = []
    table = loaded.reader.model.get_input_embeddings()
    table.register_forward_pre_hook(lambda _, args: seen.append(args[0].numel()))
    return seen


def run(loaded, given, settings=None, **how):
    """A study, and what it yielded."""
    settings = settings or Settings((0, 1, 2), 2, 8)
    told = []
    steps = kshot_job(loaded, Order(given, settings, **how))
    while True:
        try:
            told.append(next(steps))
        except StopIteration as stop:
            return stop.value, told


def test_a_study_measures_what_it_says(loaded):
    study, told = run(loaded, task())
    assert isinstance(study, KShot)
    assert [point.k for point in study.points] == [0, 1, 2]
    # Two seeds of three k, and the control of two of them.
    assert len(study.records) == 2 * 8 * 5
    for point in study.points:
        true = [one for one in study.records if one.k == point.k and not one.shuffled]
        by_chance = [one for one in study.records if one.k == point.k and one.shuffled] or true
        assert (point.queries, point.seeds, len(true)) == (8, 2, 16)
        assert point.accuracy.value == np.mean([one.right for one in true])
        assert point.accuracy.low <= point.accuracy.value <= point.accuracy.high
        assert point.gold_logprob.value == pytest.approx(np.mean([o.gold_logprob for o in true]))
        assert point.shuffled_accuracy.value == np.mean([one.right for one in by_chance])
        gap = point.accuracy.value - point.shuffled_accuracy.value
        assert point.gap.value == pytest.approx(gap)
    # A curve can be drawn as it comes.
    parts = [one for one in told if isinstance(one, Measured)]
    assert [len(one.points) for one in parts] == [1, 2, 3, 3, 3, 3, 3, 3, 3, 3]
    assert parts[-1].points == study.points
    assert sum((one.records for one in parts), ()) == study.records
    assert all(b.fraction >= a.fraction for a, b in pairwise(told))


def fitting(loaded, given, settings):
    steps = fitting_shots(loaded, Order(given, settings))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_as_many_examples_as_fit_are_told(loaded):
    settings = Settings(seeds=1, queries=4)
    # All 36 that are not asked, where the model reads far; the row ends with their number.
    longer = replace(loaded, info=replace(loaded.info, max_tokens=4096))
    assert fitting(longer, task(), settings) == (0, 1, 2, 4, 8, 16, 32, 36)
    most = fitting(loaded, task(), settings)[-1]
    assert 1 <= most < 36
    run(loaded, task(), Settings((most,), 1, 4))
    with pytest.raises(UserError, match="Show at most"):
        run(loaded, task(), Settings((2 * most,), 1, 4))
    with pytest.raises(UserError, match="not scored"):
        fitting(loaded, replace(task(), scoring="none"), settings)


def test_records_can_be_opened_in_the_explorer(loaded):
    """What a record says is what the model says of its prompt, read as any other text."""
    study, _ = run(loaded, task(), Settings((2,), 1, 4, shuffled=False))
    model = make("llama")
    for one in study.records:
        assert one.prompt.startswith("Again.\n\nSentence: ")
        assert one.prompt.count("\nSubject: ") == 2
        assert one.prompt.endswith("\nSubject:")
        for label, logprob in one.logprobs:
            begin, ids = ids_of(loaded, one.prompt), ids_of(loaded, f"{one.prompt} {label}")
            assert ids[: len(begin)] == begin
            with torch.no_grad():
                scores = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            expected = sum(float(scores[at - 1, ids[at]]) for at in range(len(begin), len(ids)))
            assert logprob == pytest.approx(expected, abs=1e-4)
        assert one.gold_logprob == dict(one.logprobs)[one.gold]
        assert one.right == (one.predicted == one.gold)
    without, _ = run(loaded, task(), Settings((2,), 1, 4, instruction=False, shuffled=False))
    assert without.records[0].prompt == study.records[0].prompt.removeprefix("Again.\n\n")


def test_at_least_five_times_fewer_tokens_go_through_the_model(loaded):
    """By count, against each prompt run once by itself with its answers over its own cache."""
    seen = counted(loaded)
    study, _ = run(loaded, task(64, labels=("dog", "fox", "park", "sea")), Settings((8,), 2, 32))
    assert sum(seen) == study.tokens
    assert study.alone > 5 * study.tokens
    # `alone` is what it says.
    for one in study.records:
        begin = len(ids_of(loaded, one.prompt))
        tails = sum(
            len(ids_of(loaded, f"{one.prompt} {label}")) - begin - 1 for label, _ in one.logprobs
        )
        study = replace(study, alone=study.alone - begin - tails)
    assert study.alone == 0


def test_a_whole_curve_takes_five_times_fewer_tokens_than_a_pass_for_each_label(loaded):
    seen = counted(loaded)
    study, _ = run(loaded, task(64), Settings((0, 1, 2, 4, 8), 1, 24))
    each = sum(
        len(ids_of(loaded, f"{one.prompt} {label}"))
        for one in study.records
        for label, _ in one.logprobs
    )
    assert each > 5 * sum(seen)


def test_generated_answers_are_compared(loaded):
    given = replace(task(scoring="exact", labels=()), stop="\n")
    study, _ = run(loaded, given, Settings((1,), 1, 8, shuffled=False))
    assert study.chance is None
    assert study.points[0].macro_f1 is None
    model, tokenizer = make("llama"), loaded.reader_of_text.tokenizer
    longest = max(len(ids_of(loaded, f" {one.output}")) for one in given.examples)
    for one in study.records:
        assert one.logprobs == ((one.gold, one.gold_logprob),)
        ids = torch.tensor([ids_of(loaded, one.prompt)])
        found = model.generate(
            ids, attention_mask=ids.new_ones(ids.shape), do_sample=False, max_new_tokens=longest + 4
        )
        said = tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True)
        assert one.predicted == said.strip().split("\n")[0]
        assert one.right == given.is_right(given.examples[one.query], said)
    assert not any(one.right for one in study.records)
    # What it says up to a letter becomes the right answer, and that letter where answers end.
    said = study.records[0].predicted.strip()
    stop = next(letter for letter in said[1:] if letter.isascii() and letter.isalpha())
    right = replace(given.examples[study.records[0].query], output=said.split(stop)[0])
    examples = tuple(right if one.fields == right.fields else one for one in given.examples)
    given = replace(given, stop=stop, examples=examples)
    again, _ = run(loaded, given, Settings((1,), 1, 8, shuffled=False))
    assert again.records[0].right
    assert again.points[0].accuracy.value >= 1 / 8


def test_it_goes_on_where_it_was_cancelled(loaded, tmp_path):
    settings = Settings((0, 1, 2), 2, 8)
    whole, _ = run(loaded, task(), settings)
    kept_files = sorted((tmp_path / "cache" / "studies").rglob("*.json"))
    assert len(kept_files) == 10
    seen = counted(loaded)
    again, _ = run(loaded, task(), settings)
    assert again == whole
    assert not seen

    fresh = kshot_job(loaded, Order(task(), settings, fresh=True))
    for step in fresh:
        if isinstance(step, Measured) and len(step.points) == 2:
            break
    fresh.close()
    assert len(sorted((tmp_path / "cache" / "studies").rglob("*.json"))) == 2
    del seen[:]
    resumed, _ = run(loaded, task(), settings)
    assert 0 < sum(seen) < whole.tokens
    assert [one.predicted for one in resumed.records] == [one.predicted for one in whole.records]
    logprobs = [[one.gold_logprob for one in study.records] for study in (resumed, whole)]
    np.testing.assert_allclose(*logprobs, atol=1e-4)

    # What is damaged is measured again; more k reuse those there are.
    kept_files[0].write_text("{", encoding="utf-8")
    del seen[:]
    more, _ = run(loaded, task(), replace(settings, shots=(0, 1, 2, 4)))
    assert sum(seen) < more.tokens / 2
    assert [point.k for point in more.points] == [0, 1, 2, 4]


def test_another_task_or_setting_is_another_study(loaded, tmp_path):
    few = Settings((1,), 1, 4, shuffled=False)
    changed = task()
    changed = replace(
        changed, examples=(replace(changed.examples[0], output="fox"), *changed.examples[1:])
    )
    for given, settings in (
        (task(), few),
        (changed, few),
        (task(), replace(few, queries=5)),
        (task(), replace(few, instruction=False)),
    ):
        run(loaded, given, settings)
    folders = list((tmp_path / "cache" / "studies").iterdir())
    assert len(folders) == 4
    # JSON, and nothing that could run.
    part = json.loads(next(folders[0].glob("*.json")).read_text(encoding="utf-8"))
    assert set(part["records"][0]) == set(Record.__slots__)
    kept.trim(tmp_path / "cache" / "studies", 0, folders[2])
    assert list((tmp_path / "cache" / "studies").iterdir()) == [folders[2]]


def test_no_query_is_shown_and_all_k_ask_the_same():
    for seed in range(3):
        drawn = draw(SENTIMENT, 32, seed)
        asked = {SENTIMENT.examples[at] for at in drawn.asked}
        assert len(drawn.shown) == len(drawn.asked) == 32
        assert not asked & set(drawn.shown)
        assert [one.fields for one in drawn.by_chance] == [one.fields for one in drawn.shown]
        assert {one.output for one in drawn.by_chance} == {"positive", "negative"}
    assert draw(SENTIMENT, 32, 0).asked != draw(SENTIMENT, 32, 1).asked
    capitals = draw(find_task("capitals"), 34, 0)
    alike = zip(capitals.shown, capitals.by_chance, strict=True)
    assert not any(one.output == other.output for one, other in alike)


REFUSED = [
    (lambda: find_task("generation"), Settings(), "its answers are not scored"),
    (task, Settings((0, 21), queries=20), "21 examples are to be shown, and 20 are left"),
    (task, Settings(queries=41), "it has 40 examples"),
    (task, Settings(shots=()), "at least one k"),
    (task, Settings((1,), seeds=0), "one seed"),
    (lambda: task(labels=("dog", "dogs")), Settings((1,)), "“dog” and “dogs” begin with the same"),
    (
        lambda: task(40, instruction="Again and again. " * 60),
        Settings((0, 1)),
        "Choose another model",
    ),
]


@pytest.mark.parametrize(("given", "settings", "says"), REFUSED)
def test_what_cannot_be_studied_is_a_sentence(loaded, given, settings, says):
    with pytest.raises(UserError, match=says):
        run(loaded, given(), settings)


def test_a_k_that_does_not_fit_the_context_is_refused_with_the_one_that_does(loaded):
    with pytest.raises(UserError, match=r"and .* reads 256. Show at most \d+\.") as refused:
        run(loaded, task(64), Settings((0, 32), 1, 8))
    fits = int(refused.value.do.split()[-1])
    assert 4 < fits < 32
    run(loaded, task(64), Settings((fits,), 1, 8, shuffled=False))
    with pytest.raises(UserError, match="Show at most"):
        run(loaded, task(64), Settings((fits + 1,), 1, 8, shuffled=False))


def test_a_full_disk_does_not_end_a_study(loaded, tmp_path, monkeypatch, caplog):
    (tmp_path / "cache").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    study, _ = run(loaded, task(), Settings((0,), 1, 4))
    assert len(study.records) == 4
    assert "Cannot write" in caplog.text


def test_a_tokenizer_that_ends_every_text_does_not_end_prompts(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path / "cache"))
    save_model("llama", tmp_path / "m")
    save_tokenizer(tmp_path / "m")
    engine = open_engine(tmp_path / "m")
    tokenizer = engine.loaded.reader_of_text.tokenizer
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    assert engine.loaded.reader_of_text.read("the dog")[-1].id == 1
    ids = ids_of(engine.loaded, "the dog")
    assert ids[0] == 0
    assert 1 not in ids


@pytest.mark.model
def test_the_default_model_learns_from_examples(tmp_path, monkeypatch):
    """Short: what subjects there are, and how to say them, is learned from four examples."""
    from engine.engine import Engine
    from engine.models.catalogue import default
    from engine.models.store import fetch, open_spec

    folder = fetch(default())
    monkeypatch.setenv("CONTEXTSCOPE_CACHE", str(tmp_path))
    engine = Engine()
    engine.load(open_spec(default(), folder), "cpu")
    settings = Settings((0, 4), 1, 6, instruction=False, shuffled=False)
    study, _ = run(engine.loaded, find_task("subjects"), settings, patience=0.5)
    none, four = study.points
    assert four.gold_logprob.value > none.gold_logprob.value + 1
    assert four.accuracy.value > 1 / 6
