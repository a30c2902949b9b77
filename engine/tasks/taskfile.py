"""A task: labelled examples, and how they are written one after another into a prompt.

A task is one TOML file; resources/tasks/README.md describes the format. What is read here is
checked whole, so that everything else may rely on it.

Where the answer begins
-----------------------
Most tokenizers put a space and the word after it into one token, so that ``"Sentiment: "`` and
``"positive"`` are not the pieces of ``"Sentiment: positive"``. The spaces before the answer
therefore belong to the answer: a prompt never ends in a space, and `Task.answer` begins with those
that the template has there. A line break is a token of its own and stays in the prompt.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Literal

import msgspec

from engine.errors import UserError
from engine.paths import RESOURCES

FOLDER = RESOURCES / "tasks"
Scoring = Literal["labels", "exact", "none"]

_DO = "Correct the file; resources/tasks/README.md says how one is written"
# Fields of an example that are not shown as part of its input.
_OUTPUT, _ALSO = "output", "also"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a template where a field of the example goes."""

    name: str


Template = tuple[str | Slot, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One example.

    Attributes
    ----------
    fields : tuple of (str, str)
        What the templates ask for, by name, in the order of the templates.
    output : str
        The right answer; empty where there is none to give (only with ``scoring = "none"``).
    also : tuple of str
        Other answers that are as right.
    """

    fields: tuple[tuple[str, str], ...]
    output: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A task as its file describes it.

    Attributes
    ----------
    key, title, about : str
        Its name on the command line, its name in the window, and a sentence about it.
    instruction : str
        What comes before the examples where it is asked for.
    before, after : Template
        An example up to its answer, without the spaces that belong to the answer, and what follows.
    lead : str
        The spaces that the answer begins with.
    separator : str
        What stands between two examples, and after the instruction.
    stop : str
        A generated answer ends where this begins.
    scoring : {"labels", "exact", "none"}
        The likeliest of the labels; the generated text compared with the answer; or nothing.
    labels : tuple of str
        What the answer is one of; empty unless the scoring is ``"labels"``.
    examples : tuple of Example
        No two with the same fields.
    """

    key: str
    title: str
    about: str
    instruction: str
    before: Template
    after: Template
    lead: str
    separator: str
    stop: str
    scoring: Scoring
    labels: tuple[str, ...]
    examples: tuple[Example, ...]

    def prompt(
        self, examples: Sequence[Example], query: Example, *, instruction: bool = True
    ) -> str:
        """Write `examples` with their answers, then `query` up to where its answer would begin.

        Returns
        -------
        str
            Without a space at its end: `answer` brings its own. So ``prompt + answer(output)`` is
            the text that would stand there if `query` were one of the examples.

        Raises
        ------
        UserError
            If one of `examples` has no output to show.
        """
        parts = [self.instruction + self.separator] if instruction and self.instruction else []
        for example in examples:
            if not example.output:
                raise UserError(
                    f"Cannot show an example of {self.title}",
                    f"“{_fill(self.before, example).strip()}” has no output",
                    "Use it as a query, or give it an output",
                )
            parts += [self.shown(example), self.separator]
        return "".join(parts) + _fill(self.before, query)

    def shown(self, example: Example) -> str:
        """An example with its answer, as it stands in a prompt."""
        return (
            _fill(self.before, example) + self.answer(example.output) + _fill(self.after, example)
        )

    def answer(self, output: str) -> str:
        """What a model has to write after a prompt to have said `output`: mind the space."""
        return self.lead + output

    def is_right(self, example: Example, generated: str) -> bool:
        """Whether generated text says the answer.

        Only what stands before the first `stop` counts, and in it neither case nor the full stop,
        question or exclamation mark at its end.
        """
        # A model may break the line before it answers.
        said = _plain(generated.strip().split(self.stop)[0])
        return any(said == _plain(right) for right in (example.output, *example.also) if right)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    title: str
    about: str
    output: str
    scoring: Scoring
    examples: list[dict[str, Any]]
    input: str = ""
    instruction: str = ""
    separator: str = "\n\n"
    stop: str = "\n"
    labels: list[str] = []


@functools.cache
def tasks() -> tuple[Task, ...]:
    """The tasks that come with the program, by name."""
    return tuple(read_task(path) for path in sorted(FOLDER.glob("*.toml")))


def find_task(text: str) -> Task:
    """The task meant by `text`: the key of one that comes with the program, or a TOML file.

    Raises
    ------
    UserError
        If there is no such task, or its file cannot be used.
    """
    text = text.strip()
    if text.lower().endswith(".toml"):
        return read_task(Path(text).expanduser())
    for task in tasks():
        if task.key == text.lower():
            return task
    names = ", ".join(task.key for task in tasks())
    raise UserError(
        f"Cannot find the task {text}".rstrip(),
        "no task has that name",
        f"Choose one of {names}, or a .toml file",
    )


def read_task(path: Path) -> Task:
    """Read and check the file of a task.

    Raises
    ------
    UserError
        If the file cannot be read, is not TOML, lacks something, or contradicts itself.
    """
    what = f"Cannot read the task in {path}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(what, (error.strerror or str(error)).lower(), "Check the path") from error
    try:
        return _checked(msgspec.toml.decode(data, type=_File))
    except UnicodeDecodeError as error:
        raise UserError(what, "it is not UTF-8 text", _DO) from error
    except msgspec.ValidationError as error:
        raise UserError(what, _in_terms_of_the_file(str(error)), _DO) from error
    except msgspec.DecodeError as error:
        raise UserError(what, f"it is not TOML ({error})", _DO) from error
    except _BadTaskError as error:
        raise UserError(what, str(error), _DO) from error


def check_labels(task: Task, tokenize: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """The first token of each label, after checking that no two share theirs.

    Labels are told apart by the probability of what comes right after the prompt, which two labels
    with the same first token would have in common.

    Parameters
    ----------
    task : Task
        One with ``scoring = "labels"``.
    tokenize : callable
        From a text to its ids. Special tokens at either end do no harm.

    Returns
    -------
    tuple of int
        Ids in the order of ``task.labels``, as they are right after a prompt.

    Raises
    ------
    UserError
        If two labels share their first token, or the tokenizer has none for a label.
    """
    what = f"Cannot compare the labels of {task.title}"
    prompt = task.prompt((), task.examples[0], instruction=False)
    alone = list(tokenize(prompt))
    # Tokenized where they will stand: a word at the start of a text may be another token.
    whole = [list(tokenize(prompt + task.answer(label))) for label in task.labels]
    start = min((_common(alone, ids) for ids in whole), default=0)
    firsts: dict[int, str] = {}
    for label, ids in zip(task.labels, whole, strict=True):
        if len(ids) <= start or ids == alone:
            raise UserError(
                what, f"this model's tokenizer has no token for “{label}”", "Rename the label"
            )
        other = firsts.setdefault(ids[start], label)
        if other != label:
            raise UserError(
                what,
                f"“{other}” and “{label}” begin with the same token in this model",
                "Rename one of them",
            )
    return tuple(firsts)


class _BadTaskError(Exception):
    """What is wrong with a task, as a clause."""


def _checked(file: _File) -> Task:
    for name in ("key", "title", "about", "output", "separator", "stop"):
        if not getattr(file, name).strip(" "):
            raise _BadTaskError(f"“{name}” is empty")
    if file.key != file.key.lower() or not file.key.replace("-", "").isalnum():
        raise _BadTaskError("“key” may have small letters, digits and hyphens only")
    before, after, names = _templates(file.input, file.output)
    lead = ""
    if before and isinstance(before[-1], str):
        literal = before[-1].rstrip(" ")
        lead = before[-1][len(literal) :]
        before = (*before[:-1], literal)
    _check_labels_given(file)
    if not file.examples:
        raise _BadTaskError("it has no examples")
    examples = tuple(
        _example(file, number, given, names) for number, given in enumerate(file.examples, 1)
    )
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    for number, example in enumerate(examples, 1):
        first = seen.setdefault(example.fields, number)
        if first != number:
            raise _BadTaskError(f"examples {first} and {number} are the same")
    return Task(
        key=file.key,
        title=file.title,
        about=file.about,
        instruction=file.instruction.rstrip(),
        before=before,
        after=after,
        lead=lead,
        separator=file.separator,
        stop=file.stop,
        scoring=file.scoring,
        labels=tuple(file.labels),
        examples=examples,
    )


def _templates(input_: str, output: str) -> tuple[Template, Template, tuple[str, ...]]:
    """What stands before the answer and after it, and the fields that both ask for."""
    ahead = _parsed("input", input_)
    if Slot(_OUTPUT) in ahead:
        raise _BadTaskError("“input” shows {output}, the answer that is asked for")
    answering = _parsed("output", output)
    if answering.count(Slot(_OUTPUT)) != 1:
        raise _BadTaskError("“output” must have {output} in it, once")
    at = answering.index(Slot(_OUTPUT))
    before, after = _joined(ahead + answering[:at]), answering[at + 1 :]
    names = dict.fromkeys(part.name for part in before + after if isinstance(part, Slot))
    if not names:
        raise _BadTaskError("neither “input” nor “output” shows a field of the examples")
    if not any(isinstance(part, Slot) for part in before):
        raise _BadTaskError("no field of the examples stands before {output}")
    return before, after, tuple(names)


def _parsed(name: str, text: str) -> Template:
    parts: list[str | Slot] = []
    try:
        for literal, field, spec, conversion in Formatter().parse(text):
            if literal:
                parts.append(literal)
            if field is None:
                continue
            if not field.isidentifier() or field == _ALSO or spec or conversion:
                raise _BadTaskError(f"“{name}” has the unknown field {{{field}}}")
            parts.append(Slot(field))
    except ValueError as error:
        raise _BadTaskError(
            f"a brace in “{name}” stands alone (two, {{{{ or }}}}, write one)"
        ) from error
    return tuple(parts)


def _joined(parts: Iterable[str | Slot]) -> Template:
    """Put texts that stand side by side into one, so that the last is all that ends the prompt."""
    joined: list[str | Slot] = []
    for part in parts:
        if joined and isinstance(part, str) and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _check_labels_given(file: _File) -> None:
    if file.scoring != "labels":
        if file.labels:
            raise _BadTaskError(f"it has labels, but its scoring is “{file.scoring}”")
        return
    if len(file.labels) < 2:
        raise _BadTaskError(f"it needs at least two labels and has {len(file.labels) or 'none'}")
    for number, label in enumerate(file.labels):
        _check_text(f"label {number + 1}", label)
        if label in file.labels[:number]:
            raise _BadTaskError(f"the label “{label}” is given twice")


def _example(file: _File, number: int, given: dict[str, Any], names: tuple[str, ...]) -> Example:
    where = f"example {number}"
    # What no example has is the template's mistake; what one lacks is that example's.
    for name in names:
        if name not in given:
            if not any(name in other for other in file.examples):
                raise _BadTaskError(f"a template has the unknown field {{{name}}}")
            raise _BadTaskError(f"{where} has no “{name}”")
        _check_text(f"“{name}” of {where}", given[name])
    unused = sorted(set(given) - {*names, _OUTPUT, _ALSO})
    if unused:
        raise _BadTaskError(f"{where} has “{unused[0]}”, which no template shows")
    output, also = given.get(_OUTPUT, ""), given.get(_ALSO, [])
    if _OUTPUT in given:
        _check_text(f"“output” of {where}", output)
    elif file.scoring != "none":
        raise _BadTaskError(f"{where} has no “output”")
    if file.scoring == "labels" and output not in file.labels:
        raise _BadTaskError(f"“{output}”, the output of {where}, is not one of the labels")
    if not isinstance(also, list) or (also and file.scoring != "exact"):
        raise _BadTaskError(
            f"“also” of {where} must be a list of texts, in a task whose scoring is “exact”"
        )
    for text in also:
        _check_text(f"“also” of {where}", text)
    if file.scoring == "exact" and any(file.stop in text for text in (output, *also)):
        raise _BadTaskError(f"the output of {where} goes on after “stop”, so none can be right")
    return Example(tuple((name, given[name]) for name in names), output, tuple(also))


def _check_text(where: str, text: object) -> None:
    if not isinstance(text, str):
        raise _BadTaskError(f"{where} must be text in quotation marks")
    if not text.strip():
        raise _BadTaskError(f"{where} is empty")
    if text != text.strip():
        raise _BadTaskError(f"{where} begins or ends with a space")


def _fill(template: Template, example: Example) -> str:
    values = dict(example.fields)
    return "".join(part if isinstance(part, str) else values[part.name] for part in template)


def _plain(text: str) -> str:
    """A text without what does not make an answer another one."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(folded.split()).rstrip(" .!?。")


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two sequences begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _in_terms_of_the_file(message: str) -> str:
    """Turn msgspec's message into a clause that speaks of the file."""
    if "$.scoring" in message:
        return "“scoring” must be “labels”, “exact” or “none”"
    if match := re.fullmatch(r"Object missing required field `(\w+)`", message):
        return f"it has no “{match[1]}”"
    if match := re.match(r"Object contains unknown field `(.+?)`", message):
        return f"it has the unknown field “{match[1]}”"
    if match := re.fullmatch(r"Expected `(\w+)`, got .* - at `\$\.(\w+).*`", message):
        kinds = {"str": "text in quotation marks", "array": "a list in brackets"}
        return f"“{match[2]}” must be {kinds.get(match[1], 'a list of tables in braces')}"
    return message
