from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from inkstream import Client, InvalidRequest
from inkstream._options.metadata import bearer, metadata_of

from tests.unit.client.fake_server import FakeServer, frame


def test_metadata_arrives_for_keys_in_any_case(fake: FakeServer) -> None:
    pairs: Any = [("X-Tenant", "school 7"), ("X-Trace-Bin", b"\x00\xff"), ("x-raw", b"a")]
    with Client(fake.address, metadata=pairs) as client:
        client.recognize(frame(1))
    (arrived,) = fake.metadata
    assert arrived["x-tenant"] == "school 7"
    assert arrived["x-trace-bin"] == b"\x00\xff"
    assert arrived["x-raw"] == "a"


def test_metadata_of_grpcs_own_type_is_accepted() -> None:
    assert metadata_of(grpc.aio.Metadata(("a", "b"))) == (("a", "b"),)


@pytest.mark.parametrize(
    ("pairs", "expected_text"),
    [
        ({"x-tenant": "a"}, r"got dict; pass tuple\(metadata.items\(\)\)"),
        ("x-tenant", "got str"),
        (7, "got int"),
        (("x-tenant", "a"), "got str in place of a pair"),
        ([("x-tenant",)], "got tuple in place of a pair"),
        ([("x tenant", "a")], "keys of ASCII letters, .*, got 'x tenant'"),
        ([("", "a")], "keys of ASCII letters, .*, got ''"),
        ([(1, "a")], "keys of ASCII letters, .*, got 1"),
        ([("x-tenant", 7)], r"metadata\['x-tenant'\]: expected printable ASCII"),
        ([("x-tenant", "a\n")], r"metadata\['x-tenant'\]: expected printable ASCII"),
        ([("x-tenant", "é")], r"metadata\['x-tenant'\]: expected printable ASCII"),
        ([("x-bin", "a")], r"metadata\['x-bin'\]: expected bytes"),
    ],
)
def test_invalid_metadata_is_refused(pairs: Any, expected_text: str) -> None:
    with pytest.raises(InvalidRequest, match=expected_text):
        Client("localhost:1", metadata=pairs)


def test_a_token_may_end_with_a_newline() -> None:
    assert bearer("till.secret\r\n") == bearer("till.secret")
    assert bearer("") == ()


@pytest.mark.parametrize("token", ["a b", "a\nb", "é", "\n", b"a.b", np.str_("é")])
def test_an_invalid_token_is_refused_and_not_shown(token: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^token: expected") as refused:
        bearer(token)
    assert repr(token) not in str(refused.value)
