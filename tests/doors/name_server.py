"""A name server on a UDP socket: it answers what a test tells it, and may stay silent."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class Zone:
    """What the server knows. records: (name, type, text of each record). silent: names that get no
    answer. asked: every question, in the order of their coming."""

    records: Sequence[tuple[str, str, Sequence[str]]] = ()
    silent: Sequence[str] = ()
    asked: list[str] = field(default_factory=list)

    def answer(self, query: bytes) -> bytes | None:
        """Return the response to a query; None for silence."""
        question = dns.message.from_wire(query)
        name, kind = question.question[0].name, question.question[0].rdtype
        self.asked.append(name.to_text(omit_final_dot=True))
        if self.asked[-1] in self.silent:
            return None
        response = dns.message.make_response(question)
        response.flags |= dns.flags.RA
        rows = [each for each in self.records if dns.name.from_text(each[0]) == name]
        if not rows:
            response.set_rcode(dns.rcode.NXDOMAIN)
        for _, wanted, texts in rows:
            if dns.rdatatype.from_text(wanted) == kind:
                response.answer.append(dns.rrset.from_text_list(name, 60, "IN", wanted, texts))
        return response.to_wire(max_size=65_535)


@contextmanager
def serve_names(zone: Zone) -> Iterator[tuple[str, int]]:
    """Answer from ``zone``; yield address and port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def run() -> None:
            while True:
                query, sender = sock.recvfrom(65_535)
                if not query:
                    return
                answer = zone.answer(query)
                if answer is not None:
                    sock.sendto(answer, sender)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join()
