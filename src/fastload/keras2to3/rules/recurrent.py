"""Rules for recurrent layers."""

from __future__ import annotations

from typing import Final

from fastload.keras2to3.rules.rule import ANY, Rule, class_renamed, with_config, without

_RECURRENT: Final = frozenset({"LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM2D"})
_MORE_RECURRENT: Final = frozenset({"ConvLSTM1D", "ConvLSTM3D", "CuDNNLSTM", "CuDNNGRU"})
_CELLS: Final = frozenset({"LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells"})

#: In the order in which they are applied.
RULES: Final = (
    Rule(
        name="cudnn-lstm",
        mends="files of Keras 2.1 to 2.3 that were trained on a GPU with CuDNNLSTM",
        classes=frozenset({"CuDNNLSTM"}),
        change=class_renamed("LSTM"),
    ),
    Rule(
        name="cudnn-gru",
        mends="files of Keras 2.1 to 2.3 that were trained on a GPU with CuDNNGRU",
        classes=frozenset({"CuDNNGRU"}),
        change=lambda item: {**with_config(item, {"reset_after": True}), "class_name": "GRU"},
    ),
    Rule(
        name="reset-after",
        mends="files of Keras 2.0, whose GRU had no reset_after, and did what it is False for",
        classes=frozenset({"GRU", "GRUCell"}),
        change=lambda item: (
            item if "reset_after" in item["config"] else with_config(item, {"reset_after": False})
        ),
    ),
    Rule(
        name="time-major",
        mends="files of Keras 2.4 to 2.15 with LSTM, GRU, SimpleRNN or ConvLSTM",
        classes=_RECURRENT | _MORE_RECURRENT,
        change=without(time_major=False),
    ),
    Rule(
        name="implementation",
        mends="files of Keras 2 whose recurrent layers say how they compute",
        classes=_RECURRENT | _MORE_RECURRENT | _CELLS,
        change=without(implementation=ANY, input_dim=ANY, input_length=ANY),
    ),
)
