from __future__ import annotations

from typing import Any

import pytest
from inkstream import Client, InvalidRequest
from inkstream._options.addresses import targets_of


@pytest.mark.parametrize(
    ("address", "targets"),
    [
        ("localhost:1", ("localhost:1",)),
        ("ink_server.school:65535", ("ink_server.school:65535",)),
        ("[::1]:50051", ("[::1]:50051",)),
        ("[fe80::1%eth0]:50051", ("[fe80::1%eth0]:50051",)),
        ("a:1, b:2\n", ("a:1", "b:2")),
        (["a:1", "dns:///b:2"], ("a:1", "dns:///b:2")),
        ("ipv4:1.2.3.4:1,1.2.3.5:1", ("ipv4:1.2.3.4:1,1.2.3.5:1",)),
        ("ipv6:[::1]:1,[::2]:1", ("ipv6:[::1]:1,[::2]:1",)),
        ("dns:here:1", ("dns:here:1",)),
        ("dns:///here:1", ("dns:///here:1",)),
        ("dns://127.0.0.1:53/here:1", ("dns://127.0.0.1:53/here:1",)),
        ("unix:/run/ink,unix:ink", ("unix:/run/ink", "unix:ink")),
        ("unix:///run/ink", ("unix:///run/ink",)),
        ("xds:///ink", ("xds:///ink",)),
    ],
)
def test_hosts_with_ports_and_grpc_targets_are_accepted(
    address: Any, targets: tuple[str, ...]
) -> None:
    assert targets_of(address) == targets


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        ("localhost", "add the port; a server listens at 50051"),
        ("dns:///localhost", "add the port"),
        ("[::1]", "add the port"),
        (":50051", 'put the host before the colon: "localhost:50051"'),
        ("::1:50051", 'put an IPv6 address into brackets: "\\[::1\\]:50051"'),
        ("localhost:99999", "a port is a number from 1 to 65535"),
        ("localhost:115587", "a port is a number from 1 to 65535"),
        ("ipv4:1.2.3.4:99999", "a port is a number from 1 to 65535"),
        ("localhost:0", "a port is a number from 1 to 65535"),
        ("localhost:abc", "a port is a number from 1 to 65535"),
        ("localhost:", "a port is a number from 1 to 65535"),
        ("localhost:50051/", "a port is a number from 1 to 65535"),
        ("http://localhost:50051", 'leave out "http://"'),
        ("https://localhost:50051", 'leave out "https://", and encrypt with `tls`'),
        ("tcp://localhost:50051", 'gRPC knows no "tcp://"'),
        ("unix:", 'something must follow "unix:"'),
        (50051, 'write "localhost:50051"'),
        (None, "got None"),
        (b"localhost:50051", "got b'localhost:50051'"),
        ("", "got ''"),
        ("a:1,", "got ''"),
        ([], r"got \[\]"),
        (["a:1", None], "got None"),
    ],
)
def test_addresses_that_grpc_would_misread_are_refused_with_the_fix(address: Any, fix: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^address: expected HOST:PORT such as .*{fix}"):
        Client(address)


def test_the_wrong_one_of_several_addresses_is_named() -> None:
    with pytest.raises(InvalidRequest, match="got 'b'; add the port"):
        targets_of("a:1,b,c:3")
