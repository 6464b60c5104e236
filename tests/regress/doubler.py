"""Between psql and the server: sends every SELECT of the simple protocol twice and shows only the second answer. Without TLS."""
import asyncio
import re
import struct
import threading

# Would not be the same the second time, or does something.
NOT = re.compile(rb"nextval|setval|random|clock_timestamp|timeofday|advisory|set_config|lo_|lowrite|pg_sleep|pg_notify|notify|"
                 rb"\binto\b|for update|for share|txid|pg_current_xact|pg_stat|pg_backend|terminate|cancel|dblink|"
                 rb"pg_export|pg_replication|pg_logical|pg_create|pg_drop|pg_read|pg_prepared|cursor", re.I)
SELECT = re.compile(rb"\s*(--[^\n]*\n\s*|/\*.*?\*/\s*)*(select|table|values)\b", re.I | re.S)


class Doubler:
    def __init__(self, port):
        self.server_port = port
        self.doubled = 0
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    async def _client(self, reader, writer):
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        state = {"swallow": None, "query": None}
        try:
            await asyncio.gather(self._up(reader, back_writer, state), self._down(back_reader, writer, back_writer, state))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            back_writer.close()

    async def _up(self, reader, back, state):
        try:
            size = await reader.readexactly(4)  # the startup packet: neither SSLRequest nor GSSENCRequest comes
            back.write(size + await reader.readexactly(struct.unpack("!I", size)[0] - 4))
            while True:
                head = await reader.readexactly(5)
                body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
                text = body[:-1]
                if head[:1] == b"Q" and SELECT.match(text) and not NOT.search(text) and b";" not in text.rstrip(b"; \n\t"):
                    state["query"] = head + body
                    state["swallow"] = []
                back.write(head + body)
                await back.drain()
        finally:
            back.close()

    async def _down(self, reader, writer, back, state):
        try:
            while True:
                head = await reader.readexactly(5)
                message = head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
                held = state["swallow"]
                if held is None:
                    writer.write(message)
                    await writer.drain()
                    continue
                held.append(message)
                if head[:1] != b"Z":
                    if head[:1] in b"GHW":
                        state["swallow"] = None
                        writer.write(b"".join(held))
                    continue
                state["swallow"] = None
                if any(part[:1] in (b"E", b"N", b"A", b"S") for part in held):
                    writer.write(b"".join(held))
                else:
                    self.doubled += 1
                    back.write(state["query"])
        finally:
            writer.close()
