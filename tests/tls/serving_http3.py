"""
A server of HTTP/3, which tests start in the environment that has qh3.

It prints its port, then the path of each request, and answers all of them. It imports nothing of ours.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from qh3.asyncio import QuicConnectionProtocol, serve
from qh3.h3.connection import H3Connection
from qh3.h3.events import HeadersReceived
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.events import QuicEvent


class Hello(QuicConnectionProtocol):
    """Answers ``hello``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._http = H3Connection(self._quic)

    def quic_event_received(self, event: QuicEvent) -> None:
        for one in self._http.handle_event(event):
            if isinstance(one, HeadersReceived):
                print(dict(one.headers)[b":path"].decode(), flush=True)
                self._http.send_headers(one.stream_id, [(b":status", b"200")])
                self._http.send_data(one.stream_id, b"hello", end_stream=True)
                self.transmit()


async def main(chain: str) -> None:
    configuration = QuicConfiguration(alpn_protocols=["h3"], is_client=False, max_datagram_frame_size=65536)
    key, end, certificates = Path(chain).read_text().partition("-----END PRIVATE KEY-----\n")
    configuration.load_cert_chain(certificates, key + end)
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Hello)
    print(server._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
