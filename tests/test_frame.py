"""What every page prepares once a server."""

import inspect
import socket

from streamlit.runtime import runtime

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


def test_the_server_does_not_rest_long_between_two_messages(monkeypatch):
    """Streamlit's loop reads this name each time, which a new version may do otherwise."""
    monkeypatch.setattr(runtime, frame.FLUSH_INTERVAL, 0.005)
    frame._flush_soon()
    assert getattr(runtime, frame.FLUSH_INTERVAL) == frame.FLUSH == 0.001
    assert frame.FLUSH_INTERVAL in runtime.Runtime._loop_coroutine.__code__.co_names
    assert "_flush_soon" in inspect.unwrap(frame.prepare_server).__code__.co_names


def test_the_socket_is_looked_for_before_all_is_frozen():
    """What is frozen, the garbage collector does not tell of any more."""
    called = inspect.unwrap(frame.prepare_server).__code__.co_names
    assert called.index("_send_at_once") < called.index("freeze")
