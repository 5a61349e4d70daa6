"""Recurrent networks for both generations."""

from __future__ import annotations

from typing import Any

from zoo.catalogue import Kit, zoo_model

_ALL = {"keras2": "tf h5 keras", "keras3": "keras h5"}
_MAIN = {"keras2": "tf h5", "keras3": "keras h5"}


@zoo_model("quick", **_ALL)
def lstm_with_dropout(k: Kit) -> Any:
    inputs = k.keras.Input((5, 3))
    x = k.layers.LSTM(4, return_sequences=True, dropout=0.2, recurrent_dropout=0.1)(inputs)
    return k.keras.Model(inputs, k.layers.SimpleRNN(2)(x))


@zoo_model(**_MAIN)
def bidirectional_gru(k: Kit) -> Any:
    inputs = k.keras.Input((None, 3))
    x = k.layers.Bidirectional(k.layers.GRU(2, return_sequences=True), merge_mode="sum")(inputs)
    return k.keras.Model(inputs, k.layers.Bidirectional(k.layers.LSTM(2))(x))


@zoo_model("untraced", **_MAIN)
def bidirectional_of_two_kinds(k: Kit) -> Any:
    inputs = k.keras.Input((5, 3))
    backward = k.layers.GRU(2, go_backwards=True, reset_after=False)
    x = k.layers.Bidirectional(k.layers.LSTM(2), backward_layer=backward)(inputs)
    return k.keras.Model(inputs, x)


@zoo_model(**_MAIN)
def stateful_lstm(k: Kit) -> Any:
    inputs = k.keras.Input((5, 3), batch_size=4)
    x = k.layers.LSTM(3, stateful=True, return_sequences=True)(inputs)
    return k.keras.Model(inputs, k.layers.GRU(2, stateful=True)(x))


@zoo_model("untraced", **_MAIN)
def stacked_cells(k: Kit) -> Any:
    inputs = k.keras.Input((5, 3))
    cells = [k.layers.LSTMCell(3), k.layers.GRUCell(2)]
    return k.keras.Model(inputs, k.layers.RNN(cells, return_sequences=True)(inputs))


@zoo_model("untraced", **_MAIN)
def conv_lstm(k: Kit) -> Any:
    inputs = k.keras.Input((3, 4, 4, 1))
    return k.keras.Model(inputs, k.layers.ConvLSTM2D(2, 3, padding="same")(inputs))


@zoo_model("untraced", **_MAIN)
def encoder_and_decoder(k: Kit) -> Any:
    source, target = k.keras.Input((5, 3)), k.keras.Input((4, 3))
    _, hidden, carry = k.layers.LSTM(3, return_state=True)(source)
    decoded = k.layers.LSTM(3, return_sequences=True)(target, initial_state=[hidden, carry])
    return k.keras.Model([source, target], decoded)


@zoo_model("untraced", **_MAIN)
def simple_rnn_unrolled(k: Kit) -> Any:
    inputs = k.keras.Input((3, 2))
    return k.keras.Model(inputs, k.layers.SimpleRNN(2, unroll=True, go_backwards=True)(inputs))
