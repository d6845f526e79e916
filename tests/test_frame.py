"""What every page prepares once a server."""

import inspect
import socket

from optviz.ui import frame


def waits(one: socket.socket) -> bool:
    return not one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_answer_waits_for_the_one_before_to_be_confirmed():
    """As Streamlit's server makes its socket, without naming the protocol, asyncio leaves it as it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname()), server.accept()[0] as early:
            assert waits(server)
            assert waits(early)
            frame._send_at_once()
            assert not waits(early)
            with socket.create_connection(server.getsockname()), server.accept()[0] as late:
                assert not waits(late)


def test_the_socket_is_looked_for_before_all_is_frozen():
    """What is frozen, the garbage collector does not tell of any more."""
    called = inspect.unwrap(frame.prepare_server).__code__.co_names
    assert called.index("_send_at_once") < called.index("freeze")
