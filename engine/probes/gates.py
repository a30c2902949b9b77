"""What the gates of an LSTM's layer let through at each token."""

from __future__ import annotations

from engine.models.families.lstm import LstmReader
from engine.probes.spec import NotAnswerable, Pass, ProbeSpec, states_at, to_numpy
from engine.types import GatesQuery, GatesResult


def answer(passed: Pass, query: GatesQuery) -> GatesResult:
    """Gates, cell and hidden states of one layer, worked out from the states of the trace."""
    reader = passed.loaded.reader
    layers = passed.loaded.info.layers
    if not isinstance(reader, LstmReader):
        raise NotAnswerable(f"{passed.loaded.info.title} has no gates")
    if not 0 <= query.layer < layers:
        raise NotAnswerable(
            f"{passed.loaded.info.title} has layers 0 to {layers - 1}, not {query.layer}"
        )
    _, below = states_at(passed, query.layer, None)
    _, hidden = states_at(passed, query.layer + 1, None)
    found = reader.gates(query.layer, below, hidden)
    return GatesResult(
        layer=query.layer,
        hidden=to_numpy(hidden),
        **{name: to_numpy(tensor) for name, tensor in found.items()},
    )


PROBE = ProbeSpec(GatesQuery, "gates", answer)
