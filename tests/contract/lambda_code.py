"""Byte-code of lambdas in configurations, told without what is chance in it.

Python marks in marshalled code the parts that somebody else holds: that depends on the process,
and differs between two saves by stock too. Before version 3 of the format it does not
(https://docs.python.org/3/library/marshal.html).
"""

from __future__ import annotations

import base64
import json
import marshal
import re
from types import CodeType
from typing import Final

#: A string of JSON that holds base64, of what begins as marshalled code does.
_CODE: Final = re.compile(r'"4[w-z](?:[A-Za-z0-9+/=]|\\n){60,}"')
_WITHOUT_REFERENCES: Final = 2


def without_references(text: str) -> str:
    """Return the JSON *text* with each code in it as it is without references."""
    return _CODE.sub(lambda found: _plain(found[0]), text)


def _plain(string: str) -> str:
    try:
        code = marshal.loads(base64.b64decode(json.loads(string)))
    except (EOFError, TypeError, ValueError):
        return string
    if not isinstance(code, CodeType):
        return string
    return json.dumps(base64.b64encode(marshal.dumps(code, _WITHOUT_REFERENCES)).decode())
