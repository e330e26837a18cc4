from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import httpx2
import pytest

from rerank_search.http_calls.cancellable import CancellableRequest


@pytest.fixture
def encrypted(tmp_path: Path) -> ssl.SSLContext:
    """The side of a server, with a certificate of its own."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", *made, "-keyout", str(key), "-out", str(certificate)],
        capture_output=True,
        check=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.process
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_request_through_a_proxy_is_ended_under_tls(encrypted: ssl.SSLContext) -> None:
    """The proxy and the server behind it are one socket here, which never answers."""
    asked, ended = Event(), Event()

    def serve() -> None:
        connection, _ = listening.accept()
        connection.recv(4096)  # CONNECT
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with encrypted.wrap_socket(connection, server_side=True) as server:
            server.recv(4096)
            asked.set()
            while server.recv(4096):
                pass
            ended.set()

    request = CancellableRequest()
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        Thread(target=serve, daemon=True).start()
        proxy = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with httpx2.Client(verify=False, proxy=proxy, timeout=60) as client:
            waiting = pool.submit(
                client.post, "https://localhost/rerank", extensions={"trace": request.traced}
            )
            assert asked.wait(30)
            request.cancel()
            assert ended.wait(30)
            with pytest.raises(httpx2.RemoteProtocolError):
                waiting.result()
